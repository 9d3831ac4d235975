//! Whether anybody listens at an address: the active controller's eyes (N12).

use std::io::ErrorKind;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpStream;

use crate::meta::controller::active::Probe;

/// A machine that is there refuses at once; one that does not answer is judged by its silence.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Connects, and hangs up.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpProbe;

impl Probe for TcpProbe {
    fn is_refused(&self, address: &str) -> BoxFuture<'static, bool> {
        let connecting = TcpStream::connect(address.to_owned());
        async move {
            let connected = tokio::time::timeout(WAIT_MAX, connecting).await;
            matches!(connected, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_closed_port_refuses() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(!TcpProbe.is_refused(&address).await, "it listens, even if it accepts nothing");
        drop(listener);
        assert!(TcpProbe.is_refused(&address).await);
        assert!(!TcpProbe.is_refused("not an address").await);
    }
}
