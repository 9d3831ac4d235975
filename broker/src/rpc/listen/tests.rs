//! Raw sockets against the accept loop and a real server behind it, with an honest client beside each.

use tokio::io::AsyncWriteExt;
use tokio_util::sync::DropGuard;
use tonic::transport::{Endpoint, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::rpc::health::Health;

const LIMITS: ListenLimits = ListenLimits {
    connections_max: 4,
    connections_per_address_max: 2,
    first_bytes_wait: Duration::from_millis(50),
    forwarded_only: false,
};

/// A server of nothing but health; it stops when the guard is dropped.
async fn served(limits: ListenLimits) -> (SocketAddr, DropGuard) {
    let listener = bind("127.43.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let stopping = CancellationToken::new();
    let connections = incoming(listener, limits, stopping.clone());
    let health = Health::new().await;
    health.serving().await;
    let guard = stopping.clone().drop_guard();
    tokio::spawn(
        Server::builder()
            .add_service(health.service())
            .serve_with_incoming_shutdown(connections, stopping.cancelled_owned()),
    );
    (address, guard)
}

async fn honest_client_is_served(address: SocketAddr) {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status, 1);
}

/// Reads until the other side closes, cleanly or not.
async fn closed(mut stream: TcpStream) -> usize {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_or(0, |_| bytes.len())
}

async fn from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let (address, _guard) = served(LIMITS).await;
    let silent = from("127.0.0.2", address).await;
    honest_client_is_served(address).await;
    assert_eq!(closed(silent).await, 0);
}

#[tokio::test]
async fn a_dripped_greeting_is_closed_when_its_time_is_up() {
    let (address, _guard) = served(LIMITS).await;
    let mut dripping = from("127.0.0.2", address).await;
    dripping.write_all(&PREFACE[..23]).await.unwrap();
    assert_eq!(closed(dripping).await, 0);
    honest_client_is_served(address).await;
}

/// The preface alone kept a connection until two keepalives were missed.
#[tokio::test]
async fn a_connection_that_says_no_more_than_the_preface_is_closed() {
    let (address, _guard) = served(LIMITS).await;
    for begun in [&PREFACE[..], &[&PREFACE[..], &[0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 3]].concat()] {
        let mut silent = from("127.0.0.2", address).await;
        silent.write_all(begun).await.unwrap();
        assert_eq!(closed(silent).await, 0, "the server answered {begun:?}");
    }
    let patient = ListenLimits { first_bytes_wait: Duration::from_secs(3600), ..LIMITS };
    let (address, _guard) = served(patient).await;
    let mut other = from("127.0.0.2", address).await;
    other.write_all(&[&PREFACE[..], &[0, 0, 8, 6, 0, 0, 0, 0, 0]].concat()).await.unwrap();
    assert_eq!(closed(other).await, 0, "a ping instead of settings");
    honest_client_is_served(address).await;
}

#[tokio::test]
async fn garbage_is_closed_at_its_first_byte() {
    let patient = ListenLimits { first_bytes_wait: Duration::from_secs(3600), ..LIMITS };
    let (address, _guard) = served(patient).await;
    for garbage in [&b"\x16\x03\x01"[..], b"GET / HTTP/1.1\r\n\r\n", b"\0", b"PRI * HTTP/1"] {
        let mut stream = from("127.0.0.2", address).await;
        stream.write_all(garbage).await.unwrap();
        assert_eq!(closed(stream).await, 0, "{garbage:?}");
        honest_client_is_served(address).await;
    }
}

#[tokio::test]
async fn a_flood_from_one_address_leaves_room_for_others() {
    let patient = ListenLimits { first_bytes_wait: Duration::from_secs(3600), ..LIMITS };
    let (address, _guard) = served(patient).await;
    let (first, second) = (from("127.0.0.2", address).await, from("127.0.0.2", address).await);
    assert_eq!(closed(from("127.0.0.2", address).await).await, 0, "a third from the same address");
    honest_client_is_served(address).await;
    // A place is free again when its connection is gone.
    drop((first, second));
    honest_client_is_served(address).await;
}

#[tokio::test]
async fn a_flood_from_many_addresses_ends_at_the_cap() {
    let patient = ListenLimits { first_bytes_wait: Duration::from_secs(3600), ..LIMITS };
    let (address, _guard) = served(patient).await;
    let mut held = Vec::new();
    for number in 2..6 {
        held.push(from(&format!("127.0.0.{number}"), address).await);
    }
    assert_eq!(closed(from("127.0.0.9", address).await).await, 0, "a fifth connection");
    held.pop();
    drop(held);
}

#[test]
fn a_place_is_given_back_with_its_connection() {
    let places = Arc::new(Places { limits: LIMITS, taken: Mutex::default() });
    let address: IpAddr = "127.0.0.2".parse().unwrap();
    let held: Vec<Place> = (0..2).map(|_| places.take(address).unwrap()).collect();
    assert!(matches!(places.take(address), Err(Full::Address { count: 2, .. })));
    drop(held);
    let taken = places.taken.lock();
    assert_eq!((taken.count, taken.by_address.len()), (0, 0));
}
