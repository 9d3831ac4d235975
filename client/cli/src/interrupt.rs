//! Ctrl-C. The first asks a stream to end in order, the second not to wait for answers, the third ends the process:
//! stdout may be blocked, and then nothing else would.

use std::future::Future;

use tokio::sync::watch;

use crate::exit::{Exit, Failure};

/// How often Ctrl-C was pressed since this was made. Clones see the same count.
#[derive(Clone, Debug)]
pub(crate) struct Interrupts {
    count: watch::Receiver<u32>,
}

impl Interrupts {
    /// Begins to listen; must be called within the runtime.
    pub(crate) fn listen() -> Self {
        let (tell, count) = watch::channel(0);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                tell.send_modify(|count| *count += 1);
                if *tell.borrow() > 2 {
                    std::process::exit(Exit::Interrupted.code().into());
                }
            }
        });
        Self { count }
    }

    /// Returns once Ctrl-C was pressed `times` times; at once if it was already.
    pub(crate) async fn reached(&mut self, times: u32) {
        if self.count.wait_for(|count| *count >= times).await.is_err() {
            // No signals can be had here: nobody will ever interrupt.
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn any(&self) -> bool {
        *self.count.borrow() > 0
    }
}

/// Runs a command that may simply be dropped when interrupted.
pub(crate) async fn or_interrupted(
    command: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::listen();
    tokio::select! {
        result = command => result,
        () = interrupts.reached(1) => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}
