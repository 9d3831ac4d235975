//! The catch-up floor: a server streams a file that was written beforehand, a client checks it.
//!
//! It bounds how fast a late consumer or a new replica can follow. The file is in the page cache, as a log's
//! recent past is; each message is one positional read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status};

use super::append_file::{AppendFile, Cache};
use super::child::{Child, Role};
use super::payload::Payloads;
use super::wire;
use super::wire::proto::reader_client::ReaderClient;
use super::wire::proto::reader_server::{self, ReaderServer};
use super::wire::proto::{ReadAnswer, ReadRequest};
use crate::contender::{Contender, Running, warm_up};
use crate::sample::Sample;
use crate::shape::Shape;

/// Bytes written before the first read; read round and round.
const FILE_BYTES: usize = 512 << 20;
/// Largest message: the client's limit.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// See the module. The latency of its samples is the time from one message to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatchUpFloor;

impl Contender for CatchUpFloor {
    fn start(&self, shape: &Shape, dir: &Path) -> Result<Box<dyn Running>> {
        let message_bytes = shape.batch_bytes();
        ensure!((1..=FILE_BYTES).contains(&message_bytes), "{shape} has messages larger than the file");
        let server = Child::spawn(&Role::Reader { dir: dir.to_owned(), message_bytes })?;
        Ok(Box::new(Consumer { shape: *shape, server, runtime: wire::runtime()? }))
    }
}

struct Consumer {
    shape: Shape,
    server: Child,
    runtime: Runtime,
}

impl Running for Consumer {
    fn drive(&mut self, time: Duration) -> Result<Sample> {
        self.runtime.block_on(consume(self.server.address(), self.shape, time))
    }
}

/// Reads until the time is over; dropping the call then ends the server's stream.
async fn consume(address: std::net::SocketAddr, shape: Shape, time: Duration) -> Result<Sample> {
    let client = ReaderClient::new(wire::connect(address).await?);
    let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut messages = client.read(ReadRequest { read_bytes: u64::MAX }).await?.into_inner();
    let counted_from = Instant::now() + warm_up(time);
    let mut sample = Sample::default();
    let mut before = Instant::now();
    while let Some(ReadAnswer { crc, payload }) = messages.message().await? {
        ensure!(crc32fast::hash(&payload) == crc, "a message read has another checksum than was written");
        let after = Instant::now();
        if before >= counted_from {
            sample.record(after - before, shape.records_per_batch, payload.len());
        }
        if after >= counted_from + time {
            return Ok(sample.over(after - counted_from));
        }
        before = after;
    }
    anyhow::bail!("the server's stream ended early")
}

/// The service that streams; writes its file in `dir` first, in pieces of `message_bytes`.
///
/// # Errors
/// When the file cannot be written.
pub fn reader(dir: &Path, message_bytes: usize) -> Result<ReaderServer<Reader>> {
    Ok(ReaderServer::new(Reader(Written::write(&dir.join("log"), message_bytes)?.into())))
}

/// Streams one file.
#[derive(Debug)]
pub struct Reader(Arc<Written>);

/// A file of whole messages, with the checksum of each as a log's index of batches would have it.
#[derive(Debug)]
struct Written {
    file: File,
    message_bytes: usize,
    crcs: Vec<u32>,
}

impl Written {
    fn write(path: &Path, message_bytes: usize) -> Result<Self> {
        ensure!(
            (1..=FILE_BYTES).contains(&message_bytes),
            "messages of {message_bytes} bytes do not fit the file"
        );
        let mut payloads = Payloads::new(1, message_bytes);
        let mut file = AppendFile::create(path, Cache::Kept)?;
        let mut crcs = Vec::new();
        for _ in 0..FILE_BYTES / message_bytes {
            let payload = payloads.take();
            crcs.push(crc32fast::hash(&payload));
            file.append(&[payload])?;
        }
        file.sync()?;
        Ok(Self { file: File::open(path).context("cannot open what was written")?, message_bytes, crcs })
    }

    fn read(&self, message: usize) -> std::io::Result<ReadAnswer> {
        let mut payload = vec![0; self.message_bytes];
        self.file.read_exact_at(&mut payload, (message * self.message_bytes) as u64)?;
        Ok(ReadAnswer { crc: self.crcs[message], payload: Bytes::from(payload) })
    }
}

#[tonic::async_trait]
impl reader_server::Reader for Reader {
    type ReadStream = BoxStream<'static, Result<ReadAnswer, Status>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let written = self.0.clone();
        let message_count = request.into_inner().read_bytes / written.message_bytes as u64;
        let round = (0..written.crcs.len()).cycle().zip(0..message_count);
        let read = move |(message, _)| written.read(message).map_err(Status::from);
        Ok(Response::new(futures::stream::iter(round).map(read).boxed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let written = Written::write(&dir.path().join("log"), 1 << 20).unwrap();
        assert_eq!(written.crcs.len(), FILE_BYTES >> 20);
        for message in [0, 1, written.crcs.len() - 1] {
            let answer = written.read(message).unwrap();
            assert_eq!(crc32fast::hash(&answer.payload), answer.crc);
        }
    }
}
