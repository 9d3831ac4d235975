//! Health as gRPC asks for it (`grpc.health.v1`): serving once the node says so, not serving once it stops.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The services a balancer may ask about by name; the empty name is the broker as a whole.
const SERVICES: [&str; 6] = [
    "",
    "fidelog.v1.ProduceService",
    "fidelog.v1.FetchService",
    "fidelog.v1.TopicService",
    "fidelog.v1.ClusterService",
    "fidelog.v1.PositionService",
];

/// What this broker says of its health. Clones speak of the same.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// Not serving yet.
    pub async fn new() -> Self {
        let health = Self { reporter: HealthReporter::new() };
        health.tell(ServingStatus::NotServing).await;
        health
    }

    /// The broker has caught up with its own registration and takes requests.
    pub async fn serving(&self) {
        self.tell(ServingStatus::Serving).await;
    }

    /// The broker stops.
    pub async fn stopping(&self) {
        self.tell(ServingStatus::NotServing).await;
    }

    async fn tell(&self, status: ServingStatus) {
        for service in SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }

    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }
}

#[cfg(test)]
mod tests {
    use fidelog_proto::FILE_DESCRIPTOR_SET;

    use super::*;

    #[test]
    fn every_public_service_is_asked_about_by_its_name() {
        let text = String::from_utf8_lossy(FILE_DESCRIPTOR_SET);
        for service in SERVICES.iter().filter_map(|name| name.strip_prefix("fidelog.v1.")) {
            assert!(text.contains(service), "{service} is not in the public package");
        }
    }
}
