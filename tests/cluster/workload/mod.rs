//! What runs while a test breaks things: producers and readers that note everything they see.
//!
//! | file | what it holds |
//! |---|---|
//! | `writer` | a producer that sends value after value, some unanswered at a time |
//! | `committer` | a group that commits as it goes, and whose position never goes back |
//! | `reader` | a consumer that reads on, and the final reading to the end |

mod committer;
mod reader;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fidelog_client::Client;
use tokio::task::JoinHandle;

use crate::history::Recorder;

pub(crate) use reader::read_to_end;
pub(crate) use writer::Writer;

/// Writers and readers of one topic, under way.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) recorder: Recorder,
    topic: String,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
}

impl Workload {
    /// Nothing under way yet on `topic`.
    pub(crate) fn new(topic: &str) -> Self {
        let (recorder, stop) = (Recorder::default(), Arc::default());
        Self { recorder, topic: topic.to_owned(), stop, writers: Vec::new(), readers: Vec::new() }
    }

    /// Starts a writer.
    pub(crate) fn write(&mut self, client: &Client, writer: Writer) {
        let task =
            writer.run(client.clone(), self.topic.clone(), self.recorder.clone(), Arc::clone(&self.stop));
        self.writers.push(tokio::spawn(task));
    }

    /// Starts a reader of all partitions, from the start on, in one session to the end of the workload.
    pub(crate) fn read(&mut self, client: &Client) {
        let task =
            reader::follow(client.clone(), self.topic.clone(), self.recorder.clone(), Arc::clone(&self.stop));
        self.readers.push(tokio::spawn(task));
    }

    /// Starts a group that reads and commits.
    pub(crate) fn commit(&mut self, client: &Client) {
        let task = committer::commit(client.clone(), self.topic.clone(), Arc::clone(&self.stop));
        self.readers.push(tokio::spawn(task));
    }

    /// Waits until `count` more records were acknowledged.
    pub(crate) async fn acknowledged(&self, count: usize) {
        let from = self.recorder.counts().acked;
        crate::harness::wait_until(
            &format!("{count} more records are acknowledged"),
            crate::harness::LONG,
            async || (self.recorder.counts().acked >= from + count).then_some(()),
        )
        .await;
    }

    /// Ends the writers, waits for every answer, reads everything once more from the start, and judges the history.
    pub(crate) async fn finish(self, client: &Client) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.writers.into_iter().chain(self.readers) {
            task.await.expect("writers and readers do not panic");
        }
        read_to_end(client, &self.topic, &self.recorder).await;
        println!("{}: {:?}", self.topic, self.recorder.counts());
        self.recorder.judge();
    }
}
