//! The test broker: who leads what, and positions.

use super::*;

#[tonic::async_trait]
impl ClusterService for Service {
    async fn describe_cluster(
        &self,
        _: Request<v1::DescribeClusterRequest>,
    ) -> Result<Response<v1::DescribeClusterResponse>, Status> {
        Err(refuse(Reason::Unavailable))
    }

    async fn get_routes(
        &self,
        request: Request<v1::GetRoutesRequest>,
    ) -> Result<Response<v1::GetRoutesResponse>, Status> {
        let state = self.shared.state.lock();
        let brokers = state.brokers.iter().map(|(id, address)| v1::Broker {
            id: *id,
            address: address.clone(),
            ..Default::default()
        });
        let topics = request.into_inner().topics.into_iter().map(|topic| {
            let known = state.known_to(self.id);
            let error = (topic != TOPIC || known == 0).then(|| state.error(Reason::UnknownTopic));
            let partitions = (0..)
                .zip(&state.logs)
                .take(known)
                .map(|(partition, _)| v1::PartitionRoute { partition, leader: Some(state.hint_of(self.id)) });
            v1::TopicRoute {
                topic,
                topic_id: Bytes::from_static(&TOPIC_ID),
                partitions: partitions.collect(),
                error,
                record_bytes_max: 1 << 20,
            }
        });
        Ok(Response::new(v1::GetRoutesResponse {
            cluster_id: Bytes::from_static(&[1; 16]),
            brokers: brokers.collect(),
            topics: topics.collect(),
            metadata_index: 1,
        }))
    }
}

#[tonic::async_trait]
impl PositionService for Service {
    async fn open_positions(
        &self,
        request: Request<v1::OpenPositionsRequest>,
    ) -> Result<Response<v1::OpenPositionsResponse>, Status> {
        let request = request.into_inner();
        let last = request.partitions.iter().max().copied().unwrap_or_default();
        if let Some(reason) = self.shared.state.lock().denial(self.id, last) {
            return Err(refuse(reason));
        }
        let positions = self.shared.change(|state| {
            let open = |partition: &u32| {
                let position = state.positions.entry((request.group.clone(), *partition)).or_default();
                position.partition = *partition;
                position.generation += 1;
                position.owner.clone_from(&request.owner);
                position.clone()
            };
            request.partitions.iter().map(open).collect()
        });
        Ok(Response::new(v1::OpenPositionsResponse { topic_id: Bytes::from_static(&TOPIC_ID), positions }))
    }

    async fn commit_positions(
        &self,
        request: Request<v1::CommitPositionsRequest>,
    ) -> Result<Response<v1::CommitPositionsResponse>, Status> {
        let request = request.into_inner();
        let results = self.shared.change(|state| {
            let fenced = state.error(Reason::FencedGeneration);
            let refused = state.commit_refusals.pop().map(|reason| state.error(reason));
            let apply = |commit: &v1::PositionCommit| {
                if refused.is_some() {
                    let partition = commit.partition;
                    return v1::PositionResult { partition, position: None, error: refused.clone() };
                }
                let position = state.positions.entry((request.group.clone(), commit.partition)).or_default();
                let error = (commit.generation < position.generation).then(|| fenced.clone());
                if error.is_none() {
                    position.offset = position.offset.max(Some(commit.offset));
                    position.leader_epoch = commit.leader_epoch;
                }
                v1::PositionResult { partition: commit.partition, position: Some(position.clone()), error }
            };
            request.commits.iter().map(apply).collect()
        });
        Ok(Response::new(v1::CommitPositionsResponse { results }))
    }

    async fn fetch_positions(
        &self,
        request: Request<v1::FetchPositionsRequest>,
    ) -> Result<Response<v1::FetchPositionsResponse>, Status> {
        let group = request.into_inner().group;
        self.shared.change(|state| state.position_reads += 1);
        let state = self.shared.state.lock();
        let ours = state.positions.iter().filter(|((owner, _), _)| *owner == group);
        let positions = ours.map(|(_, position)| position.clone()).collect();
        Ok(Response::new(v1::FetchPositionsResponse { topic_id: Bytes::from_static(&TOPIC_ID), positions }))
    }

    async fn reset_positions(
        &self,
        _: Request<v1::ResetPositionsRequest>,
    ) -> Result<Response<v1::ResetPositionsResponse>, Status> {
        Err(refuse(Reason::Unavailable))
    }

    async fn list_groups(
        &self,
        _: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        Err(refuse(Reason::Unavailable))
    }

    async fn delete_group(
        &self,
        request: Request<v1::DeleteGroupRequest>,
    ) -> Result<Response<v1::DeleteGroupResponse>, Status> {
        let group = request.into_inner().group;
        let positions = self.shared.change(|state| {
            let before = state.positions.len();
            state.positions.retain(|(owner, _), _| *owner != group);
            before - state.positions.len()
        });
        Ok(Response::new(v1::DeleteGroupResponse { positions: u32::try_from(positions).unwrap() }))
    }
}
