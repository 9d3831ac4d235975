//! A producer that sends value after value and notes each outcome.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fidelog_client::{Client, Codec, Delivery, DeliveryError, Producer, Receipt, Record};

use crate::harness::{LONG, retry};
use crate::history::{Outcome, Recorder, Value};

/// How one producer behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer {
    /// Its number, of which no other writer of the history may be.
    pub(crate) number: u32,
    /// How long the SDK tries to deliver a record.
    pub(crate) budget: Duration,
    /// Records that may be unanswered.
    pub(crate) unanswered_max: usize,
    /// Bytes of filling in each value.
    pub(crate) filling_bytes: usize,
    /// How batches are compressed.
    pub(crate) codec: Codec,
}

impl Writer {
    /// A patient writer: nothing ends unknown as long as the cluster comes back.
    pub(crate) fn new(number: u32) -> Self {
        Self { number, budget: 2 * LONG, unanswered_max: 16, filling_bytes: 100, codec: Codec::None }
    }

    /// A writer that soon gives up, so that outcomes are told under stress: not stored, or unknown.
    pub(crate) fn hasty(number: u32) -> Self {
        Self { budget: Duration::from_millis(150), ..Self::new(number) }
    }

    async fn open(self, client: &Client, topic: &str) -> Producer {
        retry(&format!("writer {} opens", self.number), LONG, || {
            let builder = client.producer(topic).delivery_budget(self.budget).compression(self.codec);
            async move { builder.open().await.ok() }
        })
        .await
    }

    fn record(self, value: Value) -> Record {
        let mut bytes = value.to_string();
        bytes.push(' ');
        bytes.extend(std::iter::repeat_n('.', self.filling_bytes));
        // A few keys a writer: each always in the same partition, and several writers in every partition.
        Record::new(bytes).key(format!("{}/{}", self.number, value.counter % 7))
    }

    pub(super) async fn run(self, client: Client, topic: String, recorder: Recorder, stop: Arc<AtomicBool>) {
        let producer = self.open(&client, &topic).await;
        let mut unanswered: VecDeque<(usize, Delivery)> = VecDeque::new();
        let mut counter = 0;
        while !stop.load(Ordering::Relaxed) {
            let value = Value { producer: self.number, counter };
            counter += 1;
            let record = self.record(value);
            let key = record.key.as_deref().unwrap_or_default();
            let partition = fidelog_record::partitioner::partition_for_key(key, producer.partition_count());
            let place = recorder.sending(value, partition);
            match producer.send(record).await {
                Ok(delivery) => unanswered.push_back((place, delivery)),
                Err(refused) => panic!("writer {}: {}", self.number, refused.cause()),
            }
            while unanswered.len() >= self.unanswered_max {
                settle(&recorder, unanswered.pop_front()).await;
            }
        }
        while !unanswered.is_empty() {
            settle(&recorder, unanswered.pop_front()).await;
        }
    }
}

async fn settle(recorder: &Recorder, oldest: Option<(usize, Delivery)>) {
    if let Some((place, delivery)) = oldest {
        let told = delivery.await;
        recorder.sent(place, outcome(&told));
        if let Ok(Receipt { offset: Some(offset), synced_by, .. }) = told {
            recorder.synced(place, offset.0, synced_by.iter().map(|id| id.0).collect());
        }
    }
}

fn outcome(told: &Result<Receipt, DeliveryError>) -> Outcome {
    match told {
        Ok(receipt) => {
            assert!(
                receipt.replicas >= 2 || receipt.already_stored,
                "acknowledged by {} replicas",
                receipt.replicas
            );
            Outcome::Acked { offset: receipt.offset.map(|offset| offset.0) }
        }
        Err(error) if error.is_definite() => Outcome::NotStored,
        Err(_) => Outcome::Unknown,
    }
}
