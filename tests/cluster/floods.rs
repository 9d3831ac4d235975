//! Clients that mean harm, many streams, many frames, many connections, nothing read, nothing finished: each is refused,
//! ended or bounded, the broker's memory stays bounded, and honest clients beside it are acknowledged and read on.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use fidelog_client::Client;
use fidelog_proto::v1::ProduceStreamRequest;
use fidelog_proto::v1::produce_service_client::ProduceServiceClient;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use crate::frames::{self, CONTINUATION, DATA, END_HEADERS, HEADERS, PING, RST_STREAM, SETTINGS};
use crate::frames::{call, frame, hello, stream};
use crate::harness::{Cluster, LONG};
use crate::raw::{plain, record};
use crate::workload::{Workload, Writer};

/// What a broker under attack may have resident; without one it has under 50 MB.
const RESIDENT_BYTES_MAX: u64 = 200 << 20;
/// Calls a connection may have open.
const STREAMS_MAX: u32 = 256;
/// Acknowledgements of honest producers after which an attack that moved nothing is stuck.
const STUCK_AFTER: usize = 1_000;
const PRODUCE: &str = "/fidelog.v1.ProduceService/Produce";

/// A cluster with honest clients, and the broker to attack.
struct Attacked {
    cluster: Cluster,
    client: Client,
    workload: Workload,
    broker: u32,
}

impl Attacked {
    async fn start(name: &'static str) -> Self {
        let cluster = Cluster::start(name).await;
        let client = cluster.client().await;
        let topic = cluster.topic_led_by(&client, "orders", 2).await;
        cluster.in_sync(&client, &topic).await;
        let mut workload = Workload::new(&topic);
        workload.write(&client, Writer::new(1));
        workload.read(&client);
        workload.acknowledged(100).await;
        let attacked = Self { cluster, client, workload, broker: 2 };
        attacked.memory_is_bounded();
        attacked
    }

    fn memory_is_bounded(&self) -> u64 {
        let bytes = self.cluster.resident_bytes(self.broker);
        assert!(bytes < RESIDENT_BYTES_MAX, "{bytes} bytes are resident, {RESIDENT_BYTES_MAX} may be");
        bytes
    }

    fn address(&self) -> SocketAddr {
        self.cluster.client_address(self.broker)
    }

    /// A connection from an address that honest clients do not use.
    async fn connect(&self, from: u8) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 255, 0, from), 0).into())?;
        socket.connect(self.address()).await
    }

    /// Writes `repeats` times what `bytes` yields, and reads nothing.
    async fn write(&self, stream: &mut TcpStream, repeats: u32, bytes: impl Fn(u32) -> Vec<u8>) -> Written {
        for index in 0..repeats {
            let bytes = bytes(index);
            let mut at = 0;
            while at < bytes.len() {
                // Whether an attack is stuck is told by what honest clients reach meanwhile.
                tokio::select! {
                    biased;
                    written = stream.write(&bytes[at..]) => match written {
                        Ok(count) => at += count,
                        Err(_) => return Written::Ended,
                    },
                    () = self.workload.acknowledged(STUCK_AFTER) => return Written::Stuck,
                }
            }
            if index % 1_000 == 0 {
                self.memory_is_bounded();
            }
        }
        Written::All
    }

    /// Honest clients went on, all they sent was stored, and nothing was kept of the attack.
    async fn finish(self) {
        self.workload.acknowledged(STUCK_AFTER).await;
        println!("{} bytes resident", self.memory_is_bounded());
        let recorder = self.workload.recorder.clone();
        self.workload.finish(&self.client).await;
        let counts = recorder.counts();
        assert_eq!((counts.not_stored, counts.unknown), (0, 0), "{counts:?}");
    }
}

/// How far an attack got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    All,
    /// The broker ended the connection.
    Ended,
    /// The broker reads no further.
    Stuck,
}

/// What came back: the streams that were ended one by one, and whether the connection was.
#[derive(Debug, Default)]
struct Answers {
    bytes: Vec<u8>,
    streams_ended: BTreeSet<u32>,
    connection_ended: bool,
}

impl Answers {
    /// Waits for some more.
    async fn read(&mut self, connection: &mut (impl AsyncRead + Unpin)) {
        let mut buffer = vec![0; 1 << 16];
        let read = tokio::time::timeout(LONG, connection.read(&mut buffer)).await;
        let Ok(count @ 1..) = read.expect("the broker says something") else {
            self.connection_ended = true;
            return;
        };
        self.bytes.extend(&buffer[..count]);
        for frame in frames::take(&mut self.bytes) {
            self.connection_ended |= frame.ends_connection();
            if frame.ends_stream() {
                self.streams_ended.insert(frame.stream);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_beyond_the_cap_are_refused() {
    const STREAMS: u32 = 50_000;
    let attacked = Attacked::start("many-streams").await;
    let mut connection = attacked.connect(1).await.expect("it is taken");
    connection.write_all(&hello()).await.expect("it is taken");
    // Calls that are begun and never finished.
    let open = |index| frame(HEADERS, END_HEADERS, stream(index), &call(PRODUCE));
    let written = attacked.write(&mut connection, STREAMS, open).await;
    let (mut answers, beyond) = (Answers::default(), (STREAMS - STREAMS_MAX) as usize);
    while !answers.connection_ended && answers.streams_ended.len() < beyond {
        answers.read(&mut connection).await;
    }
    println!("{written:?}: {} refused, ended: {}", answers.streams_ended.len(), answers.connection_ended);
    attacked.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_that_nobody_reads_the_answers_of_are_ended_or_stuck() {
    const FRAMES: u32 = 3_000_000;
    let attacked = Attacked::start("frames").await;
    let reset = |index| {
        let mut bytes = frame(HEADERS, END_HEADERS, stream(index), &call(PRODUCE));
        bytes.extend(frame(RST_STREAM, 0, stream(index), &[0, 0, 0, 8]));
        bytes
    };
    let settings = |_| frame(SETTINGS, 0, 0, &[]).repeat(100);
    let ping = |_| frame(PING, 0, 0, b"are you?").repeat(100);
    let continuation = |index| match index {
        0 => frame(HEADERS, 0, 1, &call(PRODUCE)),
        // A header of its own in each, literal and without an index.
        _ => frame(CONTINUATION, 0, 1, &[&[0, 1, b'x', 120][..], &[b'y'; 120]].concat().repeat(100)),
    };
    type Flood<'a> = (&'a str, &'a dyn Fn(u32) -> Vec<u8>);
    let floods: [Flood<'_>; 4] =
        [("resets", &reset), ("settings", &settings), ("pings", &ping), ("continuations", &continuation)];
    for (what, flood) in floods {
        let mut connection = attacked.connect(2).await.expect("it is taken");
        connection.write_all(&hello()).await.expect("it is taken");
        let written = attacked.write(&mut connection, FRAMES, flood).await;
        println!("{what}: {written:?}, {} bytes resident", attacked.memory_is_bounded());
        assert_ne!(written, Written::All, "{what}: {FRAMES} were read to the last");
    }
    attacked.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_silent_connections_are_capped_and_closed() {
    /// More than a broker takes in all.
    const CONNECTIONS: usize = 5_000;
    let attacked = Attacked::start("silent").await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        // Beyond the cap of an address connections are closed at once.
        silent.extend(attacked.connect(3).await.ok());
    }
    let mut other = attacked.connect(5).await.expect("a client from elsewhere is let in meanwhile");
    other.write_all(&hello()).await.expect("it is let in");
    let heard = tokio::time::timeout(LONG, other.read(&mut [0; 9])).await.expect("it is answered");
    assert_eq!(heard.expect("it is answered"), 9, "a client from elsewhere is shut out");
    attacked.memory_is_bounded();
    attacked.workload.acknowledged(STUCK_AFTER).await;
    for mut connection in silent {
        let closed = tokio::time::timeout(LONG, connection.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "a silent connection is kept for ever");
    }
    attacked.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_produce_stream_whose_answers_nobody_reads_is_read_no_further() {
    const RECORD_BYTES: usize = 1 << 10;
    const WINDOW_BYTES: u32 = (1 << 16) - 1;
    /// Several times what may be unanswered.
    const REQUESTS_MAX: u64 = 40_000;
    let attacked = Attacked::start("unread-answers").await;
    // Topics are of one partition each, so the leader of this one is attacked, too.
    let topic = attacked.cluster.topic_led_by(&attacked.client, "flooded", attacked.broker).await;
    let (requests, outgoing) = tokio::sync::mpsc::channel(1);
    // The client's half of the connection holds as little as it can.
    let endpoint = Endpoint::from_shared(format!("http://{}", attacked.address())).expect("a URI");
    let endpoint =
        endpoint.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let mut flood = ProduceServiceClient::new(endpoint.connect_lazy());
    let answers = flood.produce_stream(ReceiverStream::new(outgoing)).await.expect("the stream is opened");
    let mut taken = 0;
    let request = plain(&topic, Some(0), vec![record(RECORD_BYTES)]);
    while taken < REQUESTS_MAX {
        let request = ProduceStreamRequest { request_id: taken, request: Some(request.clone()) };
        tokio::select! {
            biased;
            sent = requests.send(request) => sent.expect("it is still open"),
            () = attacked.workload.acknowledged(STUCK_AFTER) => break,
        }
        taken += 1;
    }
    println!("{taken} requests taken without one answer read");
    assert!(taken < REQUESTS_MAX, "{taken} requests were taken without one answer read");
    attacked.workload.acknowledged(STUCK_AFTER).await;
    attacked.memory_is_bounded();
    // It was only waiting.
    let mut answers = answers.into_inner();
    for _ in 0..taken.saturating_sub(1) {
        answers.message().await.expect("the stream lives").expect("there is an answer for each");
    }
    drop((answers, requests));
    attacked.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_drip_are_ended() {
    const STREAMS: u32 = 200;
    let attacked = Attacked::start("drips").await;
    let mut connection = attacked.connect(4).await.expect("it is taken");
    connection.write_all(&hello()).await.expect("it is taken");
    for index in 0..STREAMS {
        let mut begun = frame(HEADERS, END_HEADERS, stream(index), &call(PRODUCE));
        // Not compressed, and 1 MiB is said to follow.
        begun.extend(frame(DATA, 0, stream(index), &[0, 0, 16, 0, 0]));
        connection.write_all(&begun).await.expect("so many are taken");
    }
    let (mut reading, mut writing) = connection.into_split();
    let mut answers = Answers::default();
    let mut drip = tokio::time::interval(Duration::from_millis(250));
    let begun = Instant::now();
    while !answers.connection_ended && answers.streams_ended.len() < STREAMS as usize {
        tokio::select! {
            () = answers.read(&mut reading) => {}
            _ = drip.tick() => {
                assert!(begun.elapsed() < 2 * LONG, "{} of {STREAMS} ended", answers.streams_ended.len());
                let ended = &answers.streams_ended;
                let open = (0..STREAMS).map(stream).filter(|number| !ended.contains(number));
                let drops: Vec<u8> = open.flat_map(|number| frame(DATA, 0, number, &[0])).collect();
                if writing.write_all(&drops).await.is_err() {
                    break;
                }
                attacked.memory_is_bounded();
            }
        }
    }
    attacked.finish().await;
}
