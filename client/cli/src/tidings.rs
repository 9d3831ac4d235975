//! What the SDK notices and mends by itself, as sentences: each said once with -v, and the last one kept for whoever
//! waits and wants to say why.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fidelog_client::{Event, Reason};

/// What was heard so far.
#[derive(Debug, Default)]
pub(crate) struct Tidings {
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    said: HashSet<String>,
    trouble: Option<String>,
}

impl Tidings {
    /// Takes an event; gives its sentence unless it was given since things last got better.
    pub(crate) fn hear(&self, event: &Event) -> Option<String> {
        let (sentence, better) = sentence(event);
        let mut heard = self.heard();
        if better {
            heard.said.clear();
            heard.trouble = None;
        } else {
            heard.trouble = Some(sentence.clone());
        }
        heard.said.insert(sentence.clone()).then_some(sentence)
    }

    /// The last trouble nothing better was heard after.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.heard().trouble.clone()
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Nothing can be half done in there.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happened, and whether it is for the better. Without counts: what goes on is the same sentence.
fn sentence(event: &Event) -> (String, bool) {
    let text = match event {
        Event::Disconnected { address, cause } => format!("the connection to {address} ended: {cause}"),
        Event::Reconnected { address } => return (format!("{address} is connected again"), true),
        Event::LeaderChanged { topic, partition, leader, epoch } => {
            return (format!("{topic}/{partition} is led by broker {leader} now, in epoch {epoch}"), true);
        }
        Event::PartitionsGrew { topic, from, to } => {
            return (format!("{topic} has {to} partitions now, and had {from}"), true);
        }
        Event::BatchRetried { topic, partition, reason, .. } => {
            format!("{topic}/{partition}: a batch is sent again: {}", refusal(*reason))
        }
        Event::ProducerWaiting { topic, partition, cause } => {
            format!("{topic}/{partition}: records wait: {cause}")
        }
        Event::ProducerResumed { topic, partition } => {
            return (format!("{topic}/{partition}: records are stored again"), true);
        }
        Event::RequestRetried { cause } => format!("a request is sent again: {cause}"),
        Event::ProducerEpochRaised { topic, partition, epoch } => {
            format!("{topic}/{partition}: the producer goes on in epoch {epoch}")
        }
        Event::Throttled { topic, partition, wait } => {
            format!("{topic}/{partition}: a broker asked to slow down; sending waits for {wait:?}")
        }
        Event::ConsumerWaiting { topic, partition, offset, cause } => {
            format!("{topic}/{partition}: reading waits at offset {offset}: {cause}")
        }
        Event::ConsumerResumed { topic, partition, offset } => {
            return (format!("{topic}/{partition}: reading goes on at offset {offset}"), true);
        }
        Event::ConsumerReset { topic, partition, from, to } => {
            format!("{topic}/{partition}: offset {from} does not exist; reading goes on at {to}")
        }
        other => format!("{other:?}"),
    };
    (text, false)
}

fn refusal(reason: Option<Reason>) -> String {
    match reason {
        Some(Reason::NotEnoughReplicas) => {
            "NOT_ENOUGH_REPLICAS: too few replicas are in sync; `topic desc` shows which".to_owned()
        }
        Some(reason) => format!("the broker answered {}", reason.name()),
        None => "the answer was lost with its connection".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retried(attempts: u32, reason: Reason) -> Event {
        Event::BatchRetried { topic: "orders".into(), partition: 2, attempts, reason: Some(reason) }
    }

    #[test]
    fn a_sentence_is_said_once_until_things_get_better() {
        let tidings = Tidings::default();
        let said = tidings.hear(&retried(1, Reason::NotEnoughReplicas)).unwrap();
        assert!(said.starts_with("orders/2: a batch is sent again: NOT_ENOUGH_REPLICAS"), "{said}");
        assert_eq!(tidings.trouble(), Some(said.clone()));
        assert_eq!(tidings.hear(&retried(2, Reason::NotEnoughReplicas)), None);
        assert!(tidings.hear(&retried(3, Reason::OutcomeUnknown)).is_some());
        assert!(tidings.hear(&Event::Reconnected { address: "a:1".into() }).is_some());
        assert_eq!(tidings.trouble(), None);
        assert_eq!(tidings.hear(&retried(4, Reason::NotEnoughReplicas)), Some(said));
    }
}
