//! From a request's payload to a batch that may be placed: plain records are built into one, an encoded one is
//! checked.
//!
//! Always true: what passes can be read by every consumer. The work (checksum, walk, expansion, copies) is done
//! where it was asked for when it is small, else on a thread that may be busy, so that one large batch never delays
//! what else its worker has to do. One hop costs some ten microseconds, a checksum and a walk about one each KiB of
//! small records: [`INLINE_BYTES_MAX`] keeps an inline check well under a millisecond.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use fidelog_proto::v1::{self, Reason, produce_request::Payload};
use fidelog_record::batch::BatchLimits;
use fidelog_record::door::{self, DoorLimits};
use fidelog_record::types::limits::{BATCH_BYTES_MAX, TIMESTAMP_AHEAD_MS_MAX};
use fidelog_record::types::{ProducerEpoch, ProducerId, Sequence};
use fidelog_record::{BatchBuilder, Codec, EncodedBatch, HeaderRef, ProducerStamp, RecordRef};
use tokio::task::JoinHandle;

use super::mapping::{door_failure, finish_failure, header_failure, push_failure};
use super::status::Failure;

/// The most bytes of records, expanded, that are checked where they arrive.
const INLINE_BYTES_MAX: usize = 256 << 10;

thread_local! {
    /// Where compressed records are expanded to be checked; never larger than [`INLINE_BYTES_MAX`].
    static EXPANDED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The door's answer, now or soon.
#[derive(Debug)]
pub(super) enum Admission {
    /// Answered.
    Now(Option<Result<EncodedBatch, Failure>>),
    /// On its way.
    Soon(JoinHandle<Result<EncodedBatch, Failure>>),
}

impl Future for Admission {
    type Output = Result<EncodedBatch, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(answer) => Poll::Ready(answer.take().expect("polled once after it is ready")),
            Self::Soon(handle) => Pin::new(handle).poll(cx).map(|joined| match joined {
                Ok(answer) => answer,
                // Its thread ended with the runtime, or panicked: nothing was placed.
                Err(error) => {
                    Err(Failure::new(Reason::Unavailable, format!("the check was not finished: {error}")))
                }
            }),
        }
    }
}

/// Admits a payload under a topic's limits, from producers whose ids are below `ids_end`.
pub(super) fn admit(
    payload: Option<Payload>,
    stamp: Option<v1::ProducerStamp>,
    limits: DoorLimits,
    ids_end: ProducerId,
) -> Admission {
    if let Some(stamp) = stamp
        && let Err(failure) = check_granted(ProducerId(stamp.producer_id), ids_end)
    {
        return refuse(failure);
    }
    match payload {
        None => refuse(Failure::invalid("payload", "neither records nor batch is set; set one")),
        Some(Payload::Records(list)) => {
            let bytes = list.records.iter().map(payload_bytes).fold(0, usize::saturating_add);
            work(bytes, move || build(&list.records, stamp, limits))
        }
        Some(Payload::Batch(_)) if stamp.is_some() => refuse(Failure::invalid(
            "producer",
            "producer is set beside batch; an encoded batch carries its producer fields itself",
        )),
        Some(Payload::Batch(bytes)) => match EncodedBatch::from_bytes(bytes) {
            Err(error) => refuse(header_failure(&error)),
            Ok(batch) => {
                if let Err(failure) = check_granted(batch.header().producer.id, ids_end) {
                    return refuse(failure);
                }
                let bytes = batch.bytes().len().max(batch.header().expanded_bytes as usize);
                work(bytes, move || check(batch, &limits))
            }
        },
    }
}

/// Whether the quorum can have granted this id.
fn check_granted(id: ProducerId, ids_end: ProducerId) -> Result<(), Failure> {
    if id < ids_end {
        return Ok(());
    }
    let message = format!("producer id {id} was never granted; open a producer, and begin at sequence 0");
    Err(Failure::new(Reason::UnknownProducer, message).with("producer_id", id))
}

fn refuse(failure: Failure) -> Admission {
    Admission::Now(Some(Err(failure)))
}

fn work(bytes: usize, check: impl FnOnce() -> Result<EncodedBatch, Failure> + Send + 'static) -> Admission {
    if bytes <= INLINE_BYTES_MAX {
        Admission::Now(Some(check()))
    } else {
        Admission::Soon(tokio::task::spawn_blocking(check))
    }
}

fn check(batch: EncodedBatch, limits: &DoorLimits) -> Result<EncodedBatch, Failure> {
    let is_small = batch.header().expanded_bytes as usize <= INLINE_BYTES_MAX;
    let checked = if is_small {
        EXPANDED.with_borrow_mut(|expanded| door::check(&batch, limits, expanded))
    } else {
        door::check(&batch, limits, &mut Vec::new())
    };
    checked.map(|()| batch).map_err(|error| door_failure(&error))
}

fn payload_bytes(record: &v1::Record) -> usize {
    let headers = record
        .headers
        .iter()
        .map(|header| header.name.len() + header.value.as_ref().map_or(0, |it| it.len()));
    record.key.as_ref().map_or(0, |it| it.len())
        + record.value.as_ref().map_or(0, |it| it.len())
        + headers.sum::<usize>()
}

/// One batch of plain records; what the builder makes passes the door but for times ahead, which are checked here.
fn build(
    records: &[v1::Record],
    stamp: Option<v1::ProducerStamp>,
    limits: DoorLimits,
) -> Result<EncodedBatch, Failure> {
    let batch_limits =
        BatchLimits { record_bytes_max: limits.record_bytes_max, batch_bytes_max: BATCH_BYTES_MAX };
    let mut builder = BatchBuilder::with_limits(Codec::None, batch_limits);
    let mut headers = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let timestamp_ms = timestamp(record.timestamp_ms, index, limits.now_ms)?;
        headers.clear();
        headers.extend(record.headers.iter().map(borrow));
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let record = RecordRef { key, value, headers: &headers, timestamp_ms };
        builder.try_push(record).map_err(|error| push_failure(&error, index))?;
    }
    let stamp = stamp.map_or(ProducerStamp::NONE, |stamp| ProducerStamp {
        id: ProducerId(stamp.producer_id),
        epoch: ProducerEpoch(stamp.producer_epoch),
        base_sequence: Sequence(stamp.base_sequence),
    });
    builder.finish(stamp).map_err(|error| finish_failure(&error))
}

fn borrow(header: &v1::Header) -> HeaderRef<'_> {
    HeaderRef { name: &header.name, value: header.value.as_deref() }
}

fn timestamp(given_ms: u64, index: usize, now_ms: u64) -> Result<u64, Failure> {
    let max_ms = now_ms.saturating_add(TIMESTAMP_AHEAD_MS_MAX);
    match given_ms {
        0 => Ok(now_ms),
        ms if ms <= max_ms => Ok(ms),
        ms => {
            let message = format!(
                "record {index}: timestamp_ms is {ms}; at most {max_ms} is allowed, one day ahead of the broker's clock"
            );
            let failure = Failure::new(Reason::TimestampOutOfRange, message);
            Err(failure.with("field", "timestamp_ms").with("record", index))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const IDS_END: ProducerId = ProducerId(1_000);
    const LIMITS: DoorLimits = DoorLimits { record_bytes_max: 1 << 20, now_ms: 1_700_000_000_000 };

    fn plain(values: &[&'static str]) -> Option<Payload> {
        let record =
            |value: &&'static str| v1::Record { value: Some((*value).into()), ..v1::Record::default() };
        Some(Payload::Records(v1::RecordList { records: values.iter().map(record).collect() }))
    }

    async fn refused(payload: Option<Payload>) -> Failure {
        admit(payload, None, LIMITS, IDS_END).await.unwrap_err()
    }

    #[tokio::test]
    async fn plain_records_become_one_batch_that_passes_the_door() {
        let stamp = v1::ProducerStamp { producer_id: 7, producer_epoch: 1, base_sequence: 40 };
        let batch = admit(plain(&["a", "b"]), Some(stamp), LIMITS, IDS_END).await.unwrap();
        assert_eq!((batch.header().record_count, batch.header().producer.base_sequence), (2, Sequence(40)));
        assert_eq!(batch.header().base_timestamp_ms, LIMITS.now_ms);
        let again = admit(Some(Payload::Batch(batch.into_bytes())), None, LIMITS, IDS_END).await;
        assert!(again.is_ok(), "{again:?}");
    }

    #[tokio::test]
    async fn each_fault_has_its_reason() {
        assert_eq!(refused(None).await.reason(), Reason::InvalidArgument);
        assert_eq!(refused(plain(&[])).await.reason(), Reason::InvalidArgument);
        let garbage = Payload::Batch(Bytes::from_static(b"garbage"));
        assert_eq!(refused(Some(garbage)).await.reason(), Reason::InvalidBatch);
        let mut damaged = admit(plain(&["a"]), None, LIMITS, IDS_END).await.unwrap().into_bytes().to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        let damaged = Payload::Batch(damaged.into());
        assert_eq!(refused(Some(damaged)).await.reason(), Reason::DataCorrupt);
        let ahead = v1::Record { timestamp_ms: u64::MAX, ..v1::Record::default() };
        let ahead = Payload::Records(v1::RecordList { records: vec![ahead] });
        assert_eq!(refused(Some(ahead)).await.reason(), Reason::TimestampOutOfRange);
    }

    #[tokio::test]
    async fn an_id_that_was_never_granted_is_refused_in_either_form() {
        let stamp = |producer_id| v1::ProducerStamp { producer_id, producer_epoch: 0, base_sequence: 0 };
        let refused = admit(plain(&["a"]), Some(stamp(1_000)), LIMITS, IDS_END).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::UnknownProducer);
        let granted = admit(plain(&["a"]), Some(stamp(999)), LIMITS, IDS_END).await.unwrap();
        let batch = Some(Payload::Batch(granted.into_bytes()));
        assert!(admit(batch.clone(), None, LIMITS, IDS_END).await.is_ok());
        let refused = admit(batch, None, LIMITS, ProducerId(999)).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::UnknownProducer);
    }

    #[tokio::test]
    async fn a_large_batch_is_checked_elsewhere() {
        let value = Bytes::from(vec![7; INLINE_BYTES_MAX + 1]);
        let record = v1::Record { value: Some(value), ..v1::Record::default() };
        let admission =
            admit(Some(Payload::Records(v1::RecordList { records: vec![record] })), None, LIMITS, IDS_END);
        assert!(matches!(admission, Admission::Soon(_)));
        assert!(admission.await.is_ok());
    }
}
