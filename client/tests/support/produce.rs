//! The test broker: batches in, receipts out.

use super::*;

#[tonic::async_trait]
impl ProduceService for Service {
    async fn produce(&self, _: Request<v1::ProduceRequest>) -> Result<Response<v1::ProduceResponse>, Status> {
        Err(refuse(Reason::Unavailable))
    }

    type ProduceStreamStream = Answers<v1::ProduceStreamResponse>;

    async fn produce_stream(
        &self,
        request: Request<Streaming<v1::ProduceStreamRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let mut requests = request.into_inner();
        let (answers, outbound) = mpsc::unbounded_channel();
        let Self { id, shared } = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let body = request.request.unwrap_or_default();
                let (answer, lose) = shared.change(|state| {
                    let answer = state.append(id, body);
                    let lose = answer.is_ok() && state.answers_to_lose > 0;
                    state.answers_to_lose -= u32::from(lose);
                    (answer, lose)
                });
                shared.until(|shared| !shared.state.lock().held).await;
                shared.until_heard(id).await;
                if lose {
                    let _gone = answers.send(Err(Status::unavailable("the stream broke")));
                    return;
                }
                let result = match answer {
                    Ok(receipt) => v1::produce_stream_response::Result::Receipt(receipt),
                    Err(error) => v1::produce_stream_response::Result::Error(error),
                };
                let answer =
                    v1::ProduceStreamResponse { request_id: request.request_id, result: Some(result) };
                if answers.send(Ok(answer)).is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(outbound))))
    }

    async fn open_producer(
        &self,
        _: Request<v1::OpenProducerRequest>,
    ) -> Result<Response<v1::OpenProducerResponse>, Status> {
        let producer_id = self.shared.change(|state| {
            state.producers += 1;
            state.producers
        });
        Ok(Response::new(v1::OpenProducerResponse {
            producer_id,
            producer_epoch: 0,
            batches_in_flight_max: 1024,
        }))
    }
}
