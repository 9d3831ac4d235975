//! Around every call of the public services: what gRPC leaves open.
//!
//! Always true: what is no gRPC is told so by HTTP's own status; the brokers' listener answers public calls only when
//! a broker sent them on; a deadline that has passed is answered before anything is read; every byte of a request is paid for
//! from the budget; whatever gRPC itself refuses leaves with a reason, as what our services refuse does.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use fidelog_proto::v1::Reason;
use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::service::AxumBody;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::arrival::Arrival;
use super::budget::Held;
use super::context::Context;
use super::deadline::Deadline;
use super::forward::FORWARDED;
use super::limits::RpcLimits;
use super::status::Failure;

/// Calls whose sender may be silent between messages. Their services take over what each message holds.
const STREAMS: [&str; 2] = ["/fidelog.v1.ProduceService/ProduceStream", "/fidelog.v1.FetchService/Consume"];
/// The public package's services; what else shares the listener pays for its own memory.
const PUBLIC: &str = "/fidelog.v1.";

/// Puts [`Wire`] around a service.
#[derive(Clone, Debug)]
pub struct WireLayer {
    context: Arc<Context>,
    forwarded_only: bool,
}

/// A service, and what is around it.
#[derive(Clone, Debug)]
pub struct Wire<S> {
    inner: S,
    context: Arc<Context>,
    forwarded_only: bool,
}

impl WireLayer {
    /// The layer of this context, on a listener where public calls are for anybody, or for brokers that forward.
    #[must_use]
    pub fn new(context: Arc<Context>, forwarded_only: bool) -> Self {
        Self { context, forwarded_only }
    }
}

impl<S> Layer<S> for WireLayer {
    type Service = Wire<S>;

    fn layer(&self, inner: S) -> Wire<S> {
        Wire { inner, context: Arc::clone(&self.context), forwarded_only: self.forwarded_only }
    }
}

impl<S> Service<http::Request<Body>> for Wire<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if !is_grpc(request.headers()) {
            let mut answer = http::Response::new(Body::empty());
            *answer.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Box::pin(std::future::ready(Ok(answer)));
        }
        if !request.uri().path().starts_with(PUBLIC) {
            return Box::pin(self.inner.call(request));
        }
        if self.forwarded_only && !request.headers().contains_key(FORWARDED) {
            let failure = not_for_clients(&self.context);
            return Box::pin(std::future::ready(Ok(Status::from(failure).into_http())));
        }
        match prepared(&self.context, request) {
            Ok(request) => {
                let answer = self.inner.call(request);
                Box::pin(async move { answer.await.map(finished) })
            }
            Err(failure) => Box::pin(std::future::ready(Ok(Status::from(failure).into_http()))),
        }
    }
}

fn is_grpc(headers: &http::HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn not_for_clients(context: &Context) -> Failure {
    let state = context.state().ok();
    let own = state.as_ref().and_then(|state| state.broker(context.me)).map(|own| own.client_address.clone());
    let address = own.unwrap_or_else(|| "its other port".to_owned());
    Failure::new(Reason::NotPermitted, format!("this port is for brokers; clients use {address}"))
}

fn prepared(context: &Context, request: http::Request<Body>) -> Result<http::Request<Body>, Failure> {
    let deadline = Deadline::of(request.headers())?;
    let (mut parts, body) = request.into_parts();
    let stream = STREAMS.contains(&parts.uri.path());
    let bytes = AxumBody::new(body).into_data_stream();
    let arrival = Arrival::new(bytes, &context.requests, context.limits.message_wait, stream);
    parts.extensions.insert(deadline);
    parts.extensions.insert(arrival.reserved());
    Ok(http::Request::from_parts(parts, Body::new(AxumBody::from_stream(arrival))))
}

fn finished(mut response: http::Response<Body>) -> http::Response<Body> {
    if let Some(status) = Status::from_header_map(response.headers()).filter(is_bare) {
        return refined(status).into_http();
    }
    match response.extensions_mut().remove::<Arc<Held>>() {
        Some(held) => response.map(|body| holding(body, held)),
        None => response,
    }
}

/// The body, holding what it holds until it was sent. A response is a body too, and its extensions go with it.
fn holding(body: Body, held: Arc<Held>) -> Body {
    let mut carrier = http::Response::new(body);
    carrier.extensions_mut().insert(held);
    Body::new(carrier)
}

fn is_bare(status: &Status) -> bool {
    status.code() != Code::Ok && status.details().is_empty()
}

/// What gRPC itself refused while it read a request, with a reason.
pub(super) fn refined(status: Status) -> Status {
    if !is_bare(&status) {
        return status;
    }
    let said = status.message();
    match status.code() {
        Code::Internal => Failure::invalid("message", format!("the request cannot be read: {said}")).into(),
        Code::OutOfRange | Code::ResourceExhausted => {
            let bytes_max = RpcLimits::MESSAGE_BYTES_MAX;
            let message = format!("the message is too large: {said}; at most {bytes_max} bytes are allowed");
            Failure::limit(Reason::MessageTooLarge, "message_bytes_max", bytes_max, message).into()
        }
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt;

    #[test]
    fn what_grpc_refuses_gets_a_reason_and_what_services_refuse_keeps_theirs() {
        let reason = |status: Status| {
            let details = refined(status).get_error_details();
            details.error_info().map(|info| info.reason.clone())
        };
        let decode = Status::internal("failed to decode Protobuf message: invalid wire type");
        assert_eq!(reason(decode.clone()).as_deref(), Some("INVALID_ARGUMENT"));
        assert_eq!(refined(decode).code(), Code::InvalidArgument);
        assert_eq!(reason(Status::out_of_range("length")).as_deref(), Some("MESSAGE_TOO_LARGE"));
        let ours = Status::from(Failure::new(Reason::OffsetOutOfRange, "outside"));
        assert_eq!(reason(ours).as_deref(), Some("OFFSET_OUT_OF_RANGE"));
        assert_eq!(reason(Status::unimplemented("no such method")), None);
    }
}
