//! Sessions over real sockets: the broker's side and the controller's, with a quorum in memory behind it.

use std::sync::Arc;

use fidelog_log::env::{Clock, RealEntropy};
use fidelog_proto::internal::v1::session_service_server::SessionServiceServer;
use fidelog_record::types::{BrokerEpoch, BrokerId};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::TcpProbe;
use super::session_client::{SelfReport, SessionParts, Standing, run_session};
use super::session_service::SessionServer;
use crate::meta::controller::active::{Controller, ControllerParts};
use crate::meta::controller::testing::{CLUSTER, MemoryQuorum, Shared, TokioClock};
use crate::meta::lease::AckLease;
use crate::meta::state::{FenceReason, Proposal};

/// Tasks that end with the test.
#[derive(Default)]
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

struct Scene {
    clock: Arc<dyn Clock>,
    quorum: Arc<MemoryQuorum>,
    tasks: Tasks,
}

/// A broker's side of its session.
struct Broker {
    lease: AckLease,
    report: watch::Sender<SelfReport>,
    standing: watch::Receiver<Standing>,
}

impl Broker {
    async fn stands(&mut self, expected: Standing) {
        self.standing.wait_for(|&standing| standing == expected).await.unwrap();
    }
}

impl Scene {
    fn new(brokers: u32) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let quorum = MemoryQuorum::new(clock.as_ref(), brokers);
        Self { clock, quorum, tasks: Tasks::default() }
    }

    /// A controller on a port of its own; its address.
    async fn controller(&mut self, me: u32) -> String {
        let controller = Controller::new(ControllerParts {
            me: BrokerId(me),
            quorum: Arc::new(Shared(Arc::clone(&self.quorum))),
            view: Arc::clone(&self.quorum.view),
            clock: Arc::clone(&self.clock),
            probe: Arc::new(TcpProbe),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = SessionServiceServer::new(SessionServer::new(CLUSTER, Some(Arc::clone(&controller))));
        let serving = Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
        self.tasks.0.push(tokio::spawn(async move { serving.await.unwrap() }));
        self.tasks.0.push(tokio::spawn(async move { controller.run().await }));
        address
    }

    fn broker(&mut self, id: u32, epoch: BrokerEpoch, controllers: &[(u32, &str)]) -> Broker {
        let lease = AckLease::default();
        let ready = SelfReport { ready: true, ..SelfReport::default() };
        let (report, reports) = watch::channel(ready);
        let (told, standing) = watch::channel(Standing::Unknown);
        let parts = SessionParts {
            cluster: CLUSTER,
            me: BrokerId(id),
            epoch,
            controllers: controllers.iter().map(|&(id, at)| (BrokerId(id), at.to_owned())).collect(),
            lease: lease.clone(),
            view: Arc::clone(&self.quorum.view),
            clock: Arc::clone(&self.clock),
            entropy: Arc::new(RealEntropy),
            report: reports,
            standing: told,
        };
        self.tasks.0.push(tokio::spawn(async move { match run_session(parts).await {} }));
        Broker { lease, report, standing }
    }
}

#[tokio::test]
async fn a_broker_finds_the_active_controller_past_dead_ones_hung_ones_and_others() {
    let mut scene = Scene::new(5);
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    // The system accepts for it, and nobody ever says a word.
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hung_address = hung.local_addr().unwrap().to_string();
    let other = scene.controller(3).await;
    let active = scene.controller(1).await;
    let epoch = scene.quorum.epoch(5);
    let controllers = [(2, dead.as_str()), (4, &hung_address), (3, &other), (1, &active)];
    let mut broker = scene.broker(5, epoch, &controllers);
    broker.stands(Standing::Alive).await;
    assert!(broker.lease.holds(scene.clock.now()));
}

#[tokio::test]
async fn sessions_follow_the_active_controller() {
    let mut scene = Scene::new(3);
    let (first, second) = (scene.controller(1).await, scene.controller(2).await);
    let epoch = scene.quorum.epoch(3);
    let mut broker = scene.broker(3, epoch, &[(1, &first), (2, &second)]);
    broker.stands(Standing::Alive).await;
    scene.quorum.lead(2);
    let reason = FenceReason::HeartbeatsMissing;
    let fence = Proposal::FenceBroker { broker: BrokerId(3), broker_epoch: epoch, reason };
    scene.quorum.decide(&fence).unwrap();
    // Nobody but the second controller can find that it lives.
    scene.quorum.until_fenced(3, false).await;
    broker.stands(Standing::Alive).await;
}

#[tokio::test]
async fn a_broker_that_stops_is_told_when_it_has_handed_over() {
    let mut scene = Scene::new(2);
    let active = scene.controller(1).await;
    let epoch = scene.quorum.epoch(2);
    let mut broker = scene.broker(2, epoch, &[(1, &active)]);
    broker.stands(Standing::Alive).await;
    broker.report.send_modify(|report| report.stopping = true);
    broker.stands(Standing::Fenced).await;
}

#[tokio::test]
async fn an_older_process_is_told_so_and_gets_no_lease() {
    let mut scene = Scene::new(2);
    let active = scene.controller(1).await;
    let older = BrokerEpoch(scene.quorum.epoch(2).0 - 1);
    let mut broker = scene.broker(2, older, &[(1, &active)]);
    broker.stands(Standing::Superseded).await;
    assert_eq!(broker.lease.last_sent(), None);
}
