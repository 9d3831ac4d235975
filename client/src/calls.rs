//! Requests that any broker can answer: whom to ask, whom to ask next, and when to give up.
//!
//! What is always true: a request that only looks, or that may be repeated at will, never waits for one silent
//! broker; another one is asked as well, and the first answer counts. A change goes to one broker at a time, one that
//! has just answered something else, and is repeated only when the attempt before surely changed nothing.

use std::future::Future;
use std::time::{Duration, Instant};

use fidelog_proto::Certainty;
use fidelog_proto::v1;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::client::{Core, cluster_client};
use crate::connection::never_connected;
use crate::error::RequestError;
use crate::event::Event;

mod attempts;

use attempts::{Attempts, Next};

pub(crate) use attempts::LAGGING_ANSWERS;

/// After how much silence of a broker another one is asked.
const SILENCE: Duration = Duration::from_secs(1);
/// The same for routes, which every broker has in memory.
const ROUTES_SILENCE: Duration = Duration::from_millis(200);
/// How long one attempt of a request that is made one at a time may take, if it can be repeated.
const TURN: Duration = Duration::from_secs(5);

/// How long a topic or partition that brokers do not know is asked for, at most: one that lags behind may not have heard
/// of it yet.
pub(crate) const LAG_PATIENCE: Duration = Duration::from_secs(2);

/// Whether a request may be sent again when its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It reads, or repeating it changes nothing more.
    Always,
    /// As `Always`, of a request that a healthy broker may answer only after so long.
    AlwaysAfter(Duration),
    /// Repeating it does no harm as long as the last attempt is the one that counts.
    InTurn,
    /// Only after an attempt that surely changed nothing.
    IfDefinite,
}

/// How long a question is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) budget: Duration,
    /// How long while nobody can be reached at all.
    pub(crate) unreachable: Duration,
    /// After how much silence of one broker another one is asked.
    pub(crate) silence: Duration,
}

impl Patience {
    pub(crate) fn for_routes(budget: Duration) -> Self {
        Self { budget, unreachable: budget, silence: ROUTES_SILENCE }
    }
}

/// The question for the routes of these topics.
pub(crate) fn asks_routes(topics: Vec<String>) -> impl Fn(Channel) -> RoutesAnswer {
    move |channel| {
        let request = v1::GetRoutesRequest { topics: topics.clone() };
        Box::pin(async move { cluster_client(channel).get_routes(request).await })
    }
}

/// The answer to a question for routes, to come.
type RoutesAnswer = BoxFuture<'static, Result<Response<v1::GetRoutesResponse>, Status>>;

impl Core {
    /// Every address worth trying: the one that answered last, those the cluster named, those the program gave.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> = self.preferred.lock().clone().into_iter().collect();
        for address in self.routes.addresses().iter().chain(&self.bootstrap) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses
    }

    /// As [`Self::addresses`], beginning with another one at each call.
    pub(crate) fn addresses_in_turn(&self) -> Vec<String> {
        let mut addresses = self.addresses();
        let turn = self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let first = turn % addresses.len().max(1);
        addresses.rotate_left(first);
        addresses
    }

    /// Asks this broker first from now on.
    pub(crate) fn prefer(&self, address: &str) {
        let mut preferred = self.preferred.lock();
        if preferred.as_deref() != Some(address) {
            *preferred = Some(address.to_owned());
        }
    }

    /// Sends a request to any broker, and again elsewhere or later as `repeat` allows, until the request timeout.
    pub(crate) async fn call<T, F, Fut>(&self, repeat: Repeat, send: F) -> Result<T, RequestError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_within(self.request_timeout, repeat, send).await
    }

    /// As [`Self::call`], for no longer than `budget`.
    pub(crate) async fn call_within<T, F, Fut>(
        &self,
        budget: Duration,
        repeat: Repeat,
        send: F,
    ) -> Result<T, RequestError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let silence = match repeat {
            Repeat::Always => SILENCE,
            Repeat::AlwaysAfter(wait) => SILENCE + wait,
            Repeat::InTurn | Repeat::IfDefinite => return self.change(budget, repeat, send).await,
        };
        let patience = Patience { budget, unreachable: budget, silence };
        let (address, answer) = self.ask(patience, self.addresses(), send).await?;
        self.prefer(&address);
        Ok(answer)
    }

    /// Asks one broker after the other, without giving up those that are silent; tells whose answer it was.
    pub(crate) async fn ask<T, F, Fut>(
        &self,
        patience: Patience,
        addresses: Vec<String>,
        send: F,
    ) -> Result<(String, T), RequestError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.ask_for(patience, addresses, send, |_| Ok(())).await
    }

    /// As [`Self::ask`]; an answer that is an error to `judge` is one, and somebody else is asked.
    pub(crate) async fn ask_for<T, F, Fut>(
        &self,
        patience: Patience,
        addresses: Vec<String>,
        send: F,
        judge: impl Fn(&T) -> Result<(), RequestError>,
    ) -> Result<(String, T), RequestError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let began = Instant::now();
        let give_up_at = began + patience.budget;
        let mut attempts = Attempts::new(addresses, patience);
        let mut asked = FuturesUnordered::new();
        let mut ask_at = began;
        loop {
            tokio::select! {
                biased;
                Some((index, outcome)) = asked.next() => {
                    let judged = match outcome {
                        Ok(answer) => judge(&answer).map(|()| answer),
                        Err(error) => Err(error),
                    };
                    let error = match judged {
                        Ok(answer) => return Ok((attempts.address(index).to_owned(), answer)),
                        Err(error) => error,
                    };
                    match attempts.failed(index, error, began.elapsed(), rand::random()) {
                        Next::At(wait) => ask_at = ask_at.min(Instant::now() + wait),
                        Next::Later { wait, cause } => {
                            self.listener.tell(Event::RequestRetried { cause });
                            ask_at = ask_at.min(Instant::now() + wait);
                        }
                        Next::GiveUp(error) => return Err(*error),
                    }
                }
                () = tokio::time::sleep_until(ask_at.into()) => {
                    let (index, silence) = attempts.begin();
                    ask_at = Instant::now() + silence;
                    let address = attempts.address(index).to_owned();
                    let send = &send;
                    asked.push(async move { (index, self.ask_one(&address, give_up_at, send).await) });
                }
            }
        }
    }

    async fn ask_one<T, F, Fut>(
        &self,
        address: &str,
        give_up_at: Instant,
        send: &F,
    ) -> Result<T, RequestError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let attempt = async {
            let channel =
                self.connections.any(address).await.map_err(|error| unreachable(address, &error))?;
            self.call_at(address, give_up_at, send(channel)).await
        };
        match tokio::time::timeout_at(give_up_at.into(), attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(unreachable(address, &"the request timeout passed before there was a connection")),
        }
    }

    /// Sends a change to a broker that has just answered, one at a time.
    async fn change<T, F, Fut>(&self, budget: Duration, repeat: Repeat, send: F) -> Result<T, RequestError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let began = Instant::now();
        let give_up_at = began + budget;
        let mut failures = 0;
        let mut addresses = self.addresses();
        loop {
            let left = give_up_at.saturating_duration_since(Instant::now());
            let address = self.responsive(Patience::for_routes(left), addresses.clone()).await?;
            let turn_ends_at = match repeat {
                Repeat::InTurn => give_up_at.min(Instant::now() + TURN),
                _ => give_up_at,
            };
            let error = match self.ask_one(&address, turn_ends_at, &send).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            failures += 1;
            let wait = error.wait(failures, rand::random());
            let again = match repeat {
                Repeat::IfDefinite => error.certainty() == Certainty::Definite && error.is_passing(),
                _ => may_repeat(&error) || (error.may_lag() && began.elapsed() < LAG_PATIENCE),
            };
            if !again || Instant::now() + wait >= give_up_at {
                return Err(error);
            }
            self.listener.tell(Event::RequestRetried { cause: error.to_string() });
            addresses = self.addresses();
            if error.may_lag() {
                let behind = failures as usize % addresses.len().max(1);
                addresses.rotate_left(behind);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a request to this broker, once, and waits a third of the request timeout: of many brokers that are asked
    /// one may hang.
    pub(crate) async fn call_one<T, F, Fut>(&self, address: &str, send: F) -> Result<T, RequestError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.ask_one(address, Instant::now() + self.patience(), &send).await
    }

    async fn call_at<T>(
        &self,
        address: &str,
        give_up_at: Instant,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, RequestError> {
        let error = match tokio::time::timeout_at(give_up_at.into(), answer).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) if never_connected(&status) => {
                let cause = status.message().to_owned();
                self.connections.forget_all(address, &cause);
                RequestError::Unreachable { tried: address.to_owned(), cause }
            }
            Ok(Err(status)) => RequestError::from_status(&status, address),
            Err(_) => {
                RequestError::Lost { address: address.into(), cause: "the request timeout passed".into() }
            }
        };
        if let RequestError::Lost { cause, .. } = &error {
            self.connections.forget_all(address, cause);
        }
        Err(error)
    }
}

/// Of a request that may be repeated at will: whether repeating it may help.
fn may_repeat(error: &RequestError) -> bool {
    let unknown = matches!(error, RequestError::Refused(_)) && error.certainty() == Certainty::Unknown;
    error.is_passing() || unknown
}

fn unreachable(address: &str, cause: &dyn std::fmt::Display) -> RequestError {
    RequestError::Unreachable { tried: address.to_owned(), cause: cause.to_string() }
}
