//! Plain gRPC to one broker, without the SDK, whose manners would hide what the broker answers.

use bytes::Bytes;
use fidelog_proto::v1::fetch_service_client::FetchServiceClient;
use fidelog_proto::v1::produce_service_client::ProduceServiceClient;
use fidelog_proto::v1::{
    self, FetchRequest, OpenProducerRequest, ProduceRequest, Receipt, RecordFormat, RecordList,
    produce_request,
};
use fidelog_record::types::{ProducerEpoch, ProducerId, Sequence};
use fidelog_record::{BatchBuilder, Codec, ProducerStamp, Record};
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt;

/// A connection to one broker.
#[derive(Clone, Debug)]
pub(crate) struct Raw(pub(crate) Channel);

impl Raw {
    /// Sends a batch to partition 0 of `topic`.
    pub(crate) async fn produce(&self, topic: &str, batch: Bytes) -> Result<Receipt, Status> {
        self.request(ProduceRequest {
            topic: topic.to_owned(),
            partition: Some(0),
            payload: Some(produce_request::Payload::Batch(batch)),
            ..ProduceRequest::default()
        })
        .await
    }

    /// Sends any request.
    pub(crate) async fn request(&self, request: ProduceRequest) -> Result<Receipt, Status> {
        let answer = ProduceServiceClient::new(self.0.clone()).produce(request).await?;
        Ok(answer.into_inner().receipt.expect("a receipt"))
    }

    /// Asks for records of partition 0 from `offset` on.
    pub(crate) async fn fetch(&self, topic: &str, offset: u64) -> Result<Vec<Bytes>, Status> {
        let request = FetchRequest {
            topic: topic.to_owned(),
            offset,
            max_wait_ms: Some(0),
            format: RecordFormat::Records.into(),
            ..FetchRequest::default()
        };
        let answer = FetchServiceClient::new(self.0.clone()).fetch(request).await?.into_inner();
        Ok(answer.records.into_iter().map(|record| record.value.unwrap_or_default()).collect())
    }

    /// Everything from the start on: a single answer may end with a segment.
    pub(crate) async fn read_all(&self, topic: &str) -> Vec<Bytes> {
        let mut all = Vec::new();
        loop {
            let some = self.fetch(topic, all.len() as u64).await.expect("it can be read");
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    /// An identity for resends.
    pub(crate) async fn producer(&self) -> u64 {
        let answer = ProduceServiceClient::new(self.0.clone()).open_producer(OpenProducerRequest {}).await;
        answer.expect("an identity is granted").into_inner().producer_id
    }
}

/// A request of plain records.
pub(crate) fn plain(topic: &str, partition: Option<u32>, records: Vec<v1::Record>) -> ProduceRequest {
    let payload = Some(produce_request::Payload::Records(RecordList { records }));
    ProduceRequest { topic: topic.to_owned(), partition, payload, ..ProduceRequest::default() }
}

/// A plain record of so many bytes.
pub(crate) fn record(bytes: usize) -> v1::Record {
    v1::Record { value: Some(Bytes::from(vec![b'x'; bytes])), ..v1::Record::default() }
}

/// A batch of one record.
pub(crate) fn batch(value: &str, producer_id: u64, epoch: u32, sequence: u64) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.try_push_record(&Record::new(value.to_owned())).expect("it fits");
    let stamp = match producer_id {
        0 => ProducerStamp::default(),
        id => ProducerStamp {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
        },
    };
    builder.finish(stamp).expect("it holds a record").into_bytes()
}

/// The reason a broker gave.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().map_or_else(|| format!("no reason: {status}"), |info| info.reason.clone())
}
