//! Takes the outcomes in the order of the lines, prints receipts, and says at the end what is stored.
//!
//! At the first outcome that is no acknowledgement the sender is stopped; what is on its way is still waited for, so
//! that the count is right. The second Ctrl-C ends the waiting too: what is unanswered then counts as unknown.

use std::io::Stdout;
use std::time::Duration;

use fidelog_client::{Delivery, DeliveryError, Receipt};
use tokio::sync::{mpsc, watch};

use super::ledger::{Ledger, Outcome, records};
use super::receipt::ReceiptOut;
use super::sender::{self, Sent};
use crate::context::{Context, SILENCE_MAX};
use crate::exit::{Exit, Failure, one_line};
use crate::interrupt::Interrupts;
use crate::output::Stream;
use crate::progress::Progress;

const TAKEN_AT_ONCE: usize = 1024;

/// How the collecting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every record sent has an outcome.
    Settled,
    /// Not all have.
    GaveUp,
}

pub(super) struct Collector<'a> {
    context: &'a Context,
    topic: &'a str,
    interrupts: Interrupts,
    stop: watch::Sender<bool>,
    receipts: Option<Stream<Stdout>>,
    progress: &'a Progress,
    ledger: Ledger,
    failure: Option<(u64, Failure)>,
    last: Option<Receipt>,
    /// Why it waits, as it was said last.
    told: Option<String>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        context: &'a Context,
        topic: &'a str,
        skipped: u64,
        interrupts: Interrupts,
        stop: watch::Sender<bool>,
        receipts: Option<Stream<Stdout>>,
        progress: &'a Progress,
    ) -> Self {
        let ledger = Ledger::new(skipped);
        Self {
            context,
            topic,
            interrupts,
            stop,
            receipts,
            progress,
            ledger,
            failure: None,
            last: None,
            told: None,
        }
    }

    /// Collects until the sender has ended and everything it sent is answered.
    pub(super) async fn run(&mut self, mut unsettled: mpsc::Receiver<Sent>) -> Ended {
        let mut stop_pressed = self.interrupts.clone();
        let stop = self.stop.clone();
        let stopper = tokio::spawn(async move {
            stop_pressed.reached(1).await;
            // Told anew at every failure too; a sender that has ended needs no telling.
            stop.send_replace(true);
        });
        let ended = self.collect(&mut unsettled).await;
        stopper.abort();
        if let Err(error) = self.receipts.as_mut().map_or(Ok(()), Stream::end) {
            self.stdout_failed(0, &error);
        }
        ended
    }

    async fn collect(&mut self, unsettled: &mut mpsc::Receiver<Sent>) -> Ended {
        let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
        let mut gave_up = false;
        loop {
            let mut interrupts = self.interrupts.clone();
            let count = tokio::select! {
                biased;
                () = interrupts.reached(2), if !gave_up => {
                    gave_up = true;
                    unsettled.close();
                    continue;
                }
                count = unsettled.recv_many(&mut taken, TAKEN_AT_ONCE) => count,
            };
            if count == 0 {
                return if gave_up { Ended::GaveUp } else { Ended::Settled };
            }
            for sent in taken.drain(..) {
                self.progress.advance(sent.line_bytes);
                let known = sent.delivery.outcome();
                let outcome = match known {
                    Some(outcome) => Some(outcome),
                    None if gave_up => None,
                    None => self.wait(sent.delivery, &mut interrupts).await,
                };
                gave_up |= outcome.is_none();
                self.settle(sent.line, outcome);
            }
            self.flush();
            self.progress.say(format!("{} acknowledged", records(self.ledger.acked)));
        }
    }

    /// Waits for an outcome; `None` when Ctrl-C was pressed twice meanwhile. Every second without one it says why, if
    /// that is news.
    async fn wait(
        &mut self,
        mut delivery: Delivery,
        interrupts: &mut Interrupts,
    ) -> Option<Result<Receipt, DeliveryError>> {
        loop {
            tokio::select! {
                biased;
                outcome = &mut delivery => {
                    if outcome.is_ok() {
                        self.told = None;
                    }
                    return Some(outcome);
                }
                () = interrupts.reached(2) => return None,
                () = tokio::time::sleep(SILENCE_MAX) => {
                    let why = self.context.tidings().trouble();
                    if let Some(said) = self.news(why, delivery.partition()) {
                        self.context.note(&said);
                    }
                }
            }
        }
    }

    fn news(&mut self, why: Option<String>, partition: u32) -> Option<String> {
        let unanswered = || format!("{}/{partition}: its leader has not acknowledged yet", self.topic);
        let why = why.unwrap_or_else(unanswered);
        let said = format!("waiting, {} acknowledged so far: {why}", records(self.ledger.acked));
        (self.told.replace(why.clone()) != Some(why)).then_some(said)
    }

    fn settle(&mut self, line: u64, outcome: Option<Result<Receipt, DeliveryError>>) {
        match outcome {
            Some(Ok(receipt)) => {
                self.ledger.note(line, Outcome::Acked);
                self.print(line, &receipt);
                self.last = Some(receipt);
            }
            Some(Err(error)) => {
                let outcome = if error.is_definite() { Outcome::Refused } else { Outcome::Unknown };
                self.ledger.note(line, outcome);
                let mut failure = Failure::from(&error);
                // An answer says more than what was noticed on the way.
                if let (None, Some(trouble)) = (error.reason(), self.context.tidings().trouble()) {
                    failure.message = format!("{}; {trouble}", failure.message);
                }
                self.fail(line, failure);
            }
            None => self.ledger.note(line, Outcome::Unknown),
        }
    }

    fn fail(&mut self, line: u64, failure: Failure) {
        self.failure.get_or_insert((line, failure));
        self.stop.send_replace(true);
    }

    fn print(&mut self, line: u64, receipt: &Receipt) {
        let Some(receipts) = &mut self.receipts else { return };
        if let Err(error) = receipts.push(&ReceiptOut::new(self.topic, line, receipt)) {
            self.stdout_failed(line, &error);
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.receipts.as_mut().map_or(Ok(()), Stream::flush) {
            self.stdout_failed(0, &error);
        }
    }

    /// Nobody takes the receipts: going on would send records whose receipts are lost.
    fn stdout_failed(&mut self, line: u64, error: &std::io::Error) {
        self.receipts = None;
        self.fail(
            line,
            Failure::new(Exit::Failure, format!("receipts cannot be written to stdout: {error}")),
        );
    }

    /// What to say, and how it ended.
    pub(super) fn report(&mut self, sender: sender::Ended, took: Duration) -> Result<String, Failure> {
        let on = self.ledger.how_to_go_on();
        if let Some((line, failure)) = self.failure.take() {
            return Err(at_line(line, failure, &on));
        }
        match sender {
            sender::Ended::AtLine(line, failure) => Err(at_line(line, failure, &on)),
            sender::Ended::Stopped => Err(Failure::new(Exit::Interrupted, format!("interrupted: {on}"))),
            sender::Ended::Input if self.ledger.unknown > 0 => {
                Err(Failure::new(Exit::Interrupted, format!("interrupted: {on}")))
            }
            sender::Ended::Input => Ok(self.summary(took)),
        }
    }

    fn summary(&self, took: Duration) -> String {
        let mut said = format!("{} acknowledged in {:.2} s", records(self.ledger.acked), took.as_secs_f64());
        if let Some(last) = &self.last {
            let brokers = last.synced_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let offset = crate::output::or_dash(last.offset);
            said +=
                &format!("; the last: partition {}, offset {offset}, synced by {brokers}", last.partition);
        }
        said
    }
}

fn at_line(line: u64, mut failure: Failure, on: &str) -> Failure {
    let whose = if line > 0 { format!("line {line}: ") } else { String::new() };
    failure.message = format!("{whose}{}; {on}", one_line(&failure.message));
    failure
}

impl std::fmt::Debug for Collector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn why_it_waits_is_said_once_and_when_it_changes() {
        let cli = crate::args::Cli::try_parse_from(["fidelog", "produce", "orders"]).unwrap();
        let (context, progress) = (Context::new(cli.globals), Progress::none());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let interrupts = runtime.block_on(async { Interrupts::listen() });
        let stop = watch::channel(false).0;
        let mut collector = Collector::new(&context, "orders", 0, interrupts, stop, None, &progress);
        let said = collector.news(None, 2).unwrap();
        assert!(said.contains("orders/2") && said.contains("0 records acknowledged so far"), "{said}");
        assert_eq!(collector.news(None, 2), None);
        assert!(collector.news(Some("gone".into()), 2).unwrap().ends_with("gone"));
        assert_eq!(collector.news(Some("gone".into()), 2), None);
    }

    #[test]
    fn a_failure_names_its_line_and_where_to_go_on() {
        let failure = Failure::new(Exit::NotFound, "gone");
        let told = at_line(3, failure.clone(), "2 records acknowledged; go on with --skip 2");
        assert_eq!(told.message, "line 3: gone; 2 records acknowledged; go on with --skip 2");
        assert_eq!(told.exit, Exit::NotFound);
        assert_eq!(at_line(0, failure, "x").message, "gone; x");
    }
}
