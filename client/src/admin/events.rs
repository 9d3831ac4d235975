//! What happens in the cluster, as it happens. Connects again by itself, to another broker if need be.

use std::collections::VecDeque;
use std::sync::Arc;

use fidelog_proto::v1::{ClusterEvent, WatchEventsRequest, WatchEventsResponse};

use crate::backoff;
use crate::calls::Patience;
use crate::client::Core;
use crate::error::RequestError;
use crate::event::Event;

use super::operations::operations;

/// A watch of the cluster's events. Dropping it ends it.
///
/// After a lost connection it goes on behind the last metadata index told; another broker may tell an event twice, and
/// one that began later may miss some, which [`Self::missed`] counts.
#[derive(Debug)]
pub struct ClusterEvents {
    core: Arc<Core>,
    answers: tonic::Streaming<WatchEventsResponse>,
    address: String,
    waiting: VecDeque<ClusterEvent>,
    /// All up to here has been received.
    index: u64,
    missed: u32,
}

impl ClusterEvents {
    pub(super) async fn open(core: Arc<Core>, after_index: Option<u64>) -> Result<Self, RequestError> {
        let index = after_index.unwrap_or_default();
        let (address, answers) = connect(&core, index).await?;
        let mut watch = Self { core, answers, address, waiting: VecDeque::new(), index, missed: 0 };
        watch.began().await?;
        Ok(watch)
    }

    /// The next event. Waits for it as long as it takes, and through lost connections.
    ///
    /// # Errors
    /// When a broker refuses the watch for a reason that waiting does not mend.
    pub async fn next(&mut self) -> Result<ClusterEvent, RequestError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            // Stopping here is safe: an answer that was not taken stays in the stream.
            match self.answers.message().await {
                Ok(Some(answer)) => self.take(answer),
                Ok(None) => self.reconnect("the broker ended the watch".to_owned()).await?,
                Err(status) => {
                    let error = RequestError::from_status(&status, &self.address);
                    match error.is_passing() {
                        true => self.reconnect(error.to_string()).await?,
                        false => return Err(error),
                    }
                }
            }
        }
    }

    /// The metadata index up to which everything was received: watch after it to go on later.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How often events between the index asked for and the first one told were not kept any more.
    #[must_use]
    pub fn missed(&self) -> u32 {
        self.missed
    }

    fn take(&mut self, answer: WatchEventsResponse) {
        self.missed += u32::from(answer.missed);
        self.index = self.index.max(answer.metadata_index);
        self.waiting.extend(answer.events);
    }

    /// The first answer tells where the watch begins.
    async fn began(&mut self) -> Result<(), RequestError> {
        match self.answers.message().await {
            Ok(Some(answer)) => self.take(answer),
            Ok(None) => return Err(RequestError::Malformed("a watch that begins")),
            Err(status) => return Err(RequestError::from_status(&status, &self.address)),
        }
        Ok(())
    }

    async fn reconnect(&mut self, mut cause: String) -> Result<(), RequestError> {
        let mut failures = 0;
        loop {
            failures += 1;
            self.core.listener.tell(Event::RequestRetried { cause });
            tokio::time::sleep(backoff::search(failures, rand::random())).await;
            let error = match connect(&self.core, self.index).await {
                Ok((address, answers)) => {
                    (self.address, self.answers) = (address, answers);
                    return Ok(());
                }
                Err(error) => error,
            };
            if !error.is_passing() {
                return Err(error);
            }
            cause = error.to_string();
        }
    }
}

async fn connect(
    core: &Core,
    after_index: u64,
) -> Result<(String, tonic::Streaming<WatchEventsResponse>), RequestError> {
    let patience = Patience::for_routes(core.request_timeout);
    core.ask(patience, core.addresses_in_turn(), |channel| async move {
        operations(channel).watch_events(WatchEventsRequest { after_index }).await
    })
    .await
}
