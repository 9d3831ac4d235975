//! The test broker: records out, within the credit given.

use super::*;

#[tonic::async_trait]
impl FetchService for Service {
    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<v1::FetchResponse>, Status> {
        let request = request.into_inner();
        let state = self.shared.state.lock();
        if request.offset > state.end(request.partition as usize) {
            return Err(refuse(Reason::OffsetOutOfRange));
        }
        Ok(Response::new(state.fetch(request.partition, request.offset, request.max_bytes.max(1).into())))
    }

    type ConsumeStream = Answers<v1::ConsumeResponse>;

    async fn consume(
        &self,
        request: Request<Streaming<v1::ConsumeRequest>>,
    ) -> Result<Response<Self::ConsumeStream>, Status> {
        let requests = request.into_inner();
        let (answers, outbound) = mpsc::unbounded_channel();
        let service = self.clone();
        tokio::spawn(async move { service.feed(requests, answers).await });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(outbound))))
    }

    async fn list_offsets(
        &self,
        request: Request<v1::ListOffsetsRequest>,
    ) -> Result<Response<v1::ListOffsetsResponse>, Status> {
        let request = request.into_inner();
        let state = self.shared.state.lock();
        if let Some(reason) = state.denial(self.id, request.partition) {
            return Err(refuse(reason));
        }
        if state.away.contains(&request.partition) {
            return Err(refuse(Reason::Unavailable));
        }
        let committed_end = state.end(request.partition as usize);
        let offset = match request.at {
            Some(list_offsets_request::At::End(_)) => committed_end,
            _ => 0,
        };
        Ok(Response::new(v1::ListOffsetsResponse {
            offset,
            committed_end,
            topic_id: Bytes::from_static(&TOPIC_ID),
            ..Default::default()
        }))
    }
}

impl Service {
    async fn feed(
        self,
        mut requests: Streaming<v1::ConsumeRequest>,
        answers: mpsc::UnboundedSender<Result<v1::ConsumeResponse, Status>>,
    ) {
        let mut credit = 0_i64;
        let mut subscriptions: BTreeMap<u32, (u32, u64, u32)> = BTreeMap::new();
        let mut changed = self.shared.changed.subscribe();
        loop {
            while credit > 0
                && let Some((answer, spent)) = self.next_answer(&mut subscriptions)
            {
                credit -= i64::try_from(spent).unwrap();
                // Who waits for bytes to be sent looks again.
                self.shared.change(|_| ());
                if answers.send(Ok(answer)).is_err() {
                    return;
                }
            }
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => match request.action {
                        Some(consume_request::Action::Subscribe(s)) => {
                            subscriptions.insert(s.subscription_id, (s.partition, s.offset, s.max_bytes));
                            self.shared.change(|state| state.subscriptions += 1);
                        }
                        Some(consume_request::Action::Unsubscribe(u)) => {
                            subscriptions.remove(&u.subscription_id);
                        }
                        Some(consume_request::Action::CreditBytes(bytes)) => {
                            credit += i64::try_from(bytes).unwrap();
                            self.shared.change(|state| state.granted_bytes += bytes);
                        }
                        None => {}
                    },
                    _ => return,
                },
                _ = changed.changed() => {}
            }
        }
    }

    fn next_answer(
        &self,
        subscriptions: &mut BTreeMap<u32, (u32, u64, u32)>,
    ) -> Option<(v1::ConsumeResponse, u64)> {
        let mut state = self.shared.state.lock();
        let (&subscription_id, &(partition, offset, bytes_max)) =
            subscriptions.iter().find(|(_, (partition, offset, _))| {
                state.leader != self.id
                    || state.away.contains(partition)
                    || state.damaged.contains(partition)
                    || *offset != state.end(*partition as usize)
            })?;
        let end = state.end(partition as usize);
        let away = state.away.contains(&partition).then(|| state.error(Reason::LeaderNotAvailable));
        let damaged = state.damaged.contains(&partition).then(|| v1::Error {
            details: [("mendable".to_owned(), "true".to_owned())].into(),
            ..state.error(Reason::DataLoss)
        });
        let ended = away.or(damaged).or_else(|| match (state.leader == self.id, offset > end) {
            (false, _) => Some(state.error(Reason::NotLeader)),
            (true, true) => {
                let details =
                    [("start", 0), ("end", end)].map(|(key, value)| (key.to_owned(), value.to_string()));
                Some(v1::Error { details: details.into(), ..state.error(Reason::OffsetOutOfRange) })
            }
            (true, false) => None,
        });
        if let Some(error) = ended {
            subscriptions.remove(&subscription_id);
            let event = Some(consume_response::Event::Ended(error));
            return Some((v1::ConsumeResponse { subscription_id, event }, 0));
        }
        let records = state.fetch(partition, offset, bytes_max.into());
        let spent = records.batches.len() as u64;
        state.sent_bytes += spent;
        subscriptions.insert(subscription_id, (partition, records.next_offset, bytes_max));
        let event = Some(consume_response::Event::Records(records));
        Some((v1::ConsumeResponse { subscription_id, event }, spent))
    }
}
