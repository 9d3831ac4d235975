//! Hands records to the SDK in the order of their lines, until the input ends, a line is wrong, or it is told to stop.

use fidelog_client::{Delivery, Producer, SendError};
use tokio::sync::{mpsc, watch};

use super::input::Piece;
use super::recipe::{Made, Recipe};
use crate::exit::{Exit, Failure};
use crate::line_reader::{Line, LineError};

/// A record on its way.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) line: u64,
    pub(super) line_bytes: u64,
    pub(super) delivery: Delivery,
}

/// Why no more records are handed over.
#[derive(Debug)]
pub(super) enum Ended {
    /// All lines were.
    Input,
    /// It was asked to stop.
    Stopped,
    /// This line could not be.
    AtLine(u64, Failure),
}

pub(super) async fn send_all(
    producer: Producer,
    recipe: Recipe,
    mut pieces: mpsc::Receiver<Piece>,
    sent: mpsc::Sender<Sent>,
    mut stop: watch::Receiver<bool>,
) -> Ended {
    loop {
        let piece = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ended::Stopped,
            piece = pieces.recv() => piece,
        };
        let lines = match piece {
            None => return Ended::Input,
            Some(Ok(lines)) => lines,
            Some(Err(error)) => return line_failed(error),
        };
        for line in lines {
            let number = line.number;
            let handed = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ended::Stopped,
                handed = hand_over(&producer, &recipe, line, &sent) => handed,
            };
            match handed {
                Ok(true) => {}
                Ok(false) => return Ended::Stopped,
                Err(failure) => return Ended::AtLine(number, failure),
            }
        }
    }
}

/// False when nobody collects any more. Dropping it before it is done may leave the one record handed over
/// uncollected: room to tell of it is made first.
async fn hand_over(
    producer: &Producer,
    recipe: &Recipe,
    line: Line,
    sent: &mpsc::Sender<Sent>,
) -> Result<bool, Failure> {
    let Ok(room) = sent.reserve().await else { return Ok(false) };
    let (number, line_bytes) = (line.number, line.bytes.len() as u64 + 1);
    let made = recipe.make(line).map_err(|wrong| Failure::new(Exit::Failure, wrong))?;
    let delivery = send(producer, made).await.map_err(|error| Failure::from(error.cause()))?;
    room.send(Sent { line: number, line_bytes, delivery });
    Ok(true)
}

async fn send(producer: &Producer, made: Made) -> Result<Delivery, SendError> {
    match made.partition {
        Some(partition) => producer.send_to(partition, made.record).await,
        None => producer.send(made.record).await,
    }
}

fn line_failed(error: LineError) -> Ended {
    let (LineError::TooLong { number, .. } | LineError::Read { number, .. }) = error;
    let said = match error {
        LineError::TooLong { bytes_max, .. } => format!("it is longer than {bytes_max} bytes; split it"),
        LineError::Read { source, .. } => format!("it cannot be read: {source}"),
    };
    Ended::AtLine(number, Failure::new(Exit::Failure, said))
}
