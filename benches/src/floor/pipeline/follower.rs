//! A follower: checks, appends and syncs what its leader pushes, and says how far it has come.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Result;
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, Streaming};

use super::flusher::Flusher;
use crate::floor::wire::proto::follower_server;
use crate::floor::wire::proto::{Piece, PushAnswer, PushRequest};

/// One follower with one file.
#[derive(Debug)]
pub struct Follower {
    flusher: Arc<Flusher>,
    synced_end: watch::Receiver<u64>,
}

impl Follower {
    /// Makes its file at `path`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn start(path: &Path) -> Result<Self> {
        let (synced, synced_end) = watch::channel(0);
        let on_synced = move |end| {
            synced.send_replace(end);
        };
        let flusher = Flusher::start(path, on_synced)?;
        Ok(Self { flusher: flusher.into(), synced_end })
    }
}

#[tonic::async_trait]
impl follower_server::Follower for Follower {
    type PushStream = PushAnswers;

    async fn push(&self, request: Request<Streaming<PushRequest>>) -> Result<Response<PushAnswers>, Status> {
        Ok(Response::new(PushAnswers {
            incoming: request.into_inner(),
            flusher: self.flusher.clone(),
            synced_end: WatchStream::from_changes(self.synced_end.clone()),
        }))
    }
}

/// Takes requests as they come, and answers whenever a sync is done; ends with the leader's stream.
#[derive(Debug)]
pub struct PushAnswers {
    incoming: Streaming<PushRequest>,
    flusher: Arc<Flusher>,
    synced_end: WatchStream<u64>,
}

impl Stream for PushAnswers {
    type Item = Result<PushAnswer, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while let Poll::Ready(message) = self.incoming.poll_next_unpin(cx) {
            let Some(message) = message else { return Poll::Ready(None) };
            let pieces = message?.pieces;
            pieces.iter().try_for_each(check)?;
            self.flusher.append(pieces.into_iter().map(|piece| piece.payload));
        }
        let synced_end = std::task::ready!(self.synced_end.poll_next_unpin(cx));
        Poll::Ready(synced_end.map(|synced_end| Ok(PushAnswer { synced_end })))
    }
}

/// Refuses a piece whose bytes are not those its sender summed.
pub(super) fn check(piece: &Piece) -> Result<(), Status> {
    let found = crc32fast::hash(&piece.payload);
    if found == piece.crc {
        return Ok(());
    }
    let (bytes, named) = (piece.payload.len(), piece.crc);
    Err(Status::data_loss(format!("a piece of {bytes} bytes has CRC {found:#010x}, but names {named:#010x}")))
}
