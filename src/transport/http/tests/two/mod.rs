//! Exchanges over HTTP/2, with real servers on real sockets.

mod bounds;
mod chosen;
mod frames;
mod left_out;
mod lost;
mod sharing;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use http::{Request, Response};
use tokio::net::TcpStream;

use super::server::Server;
use super::{Transport, call, downstream, way_to};
use crate::domain::access::{Access, HttpVersion};
use crate::domain::endpoint::HttpDownstream;
use crate::domain::policy::Downstream;
use crate::transport::Call;

/// A transport that requires HTTP/2, without TLS.
fn two_to(at: SocketAddr) -> Transport {
    speaking(HttpVersion::Two, &format!("http://{at}/hook?a=1"))
}

fn speaking(http: HttpVersion, url: &str) -> Transport {
    let access = Arc::new(Access { http, ..Access::default() });
    way_to(&Downstream::Http(HttpDownstream { access, ..downstream(url) })).unwrap()
}

/// A call with a body of its own.
fn numbered(number: usize) -> Call {
    let mut call = call("");
    call.id = format!("sms_{number}");
    call.body = Bytes::from(number.to_string());
    call
}

/// A server of the h2 crate that answers each request by `handle`, which gets the number of the connection.
async fn answering<H, F>(builder: Builder, handle: H) -> Server
where
    H: Fn(usize, Request<h2::RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    Server::start(move |stream: TcpStream, number| {
        let (builder, handle) = (builder.clone(), handle.clone());
        async move {
            let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
            let mut handled = tokio::task::JoinSet::new();
            while let Some(Ok((request, respond))) = connection.accept().await {
                handled.spawn(handle(number, request, respond));
            }
        }
    })
    .await
}

/// The whole body of a request.
async fn body_of(request: &mut Request<h2::RecvStream>) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    let body = request.body_mut();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        body.flow_control().release_capacity(data.len()).ok()?;
        whole.extend(data);
    }
    Some(whole)
}

/// Answers 200 `ok`. A client that has gone is no fault.
fn ok(mut respond: SendResponse<Bytes>) {
    if let Ok(mut body) = respond.send_response(Response::new(()), false) {
        drop(body.send_data(Bytes::from_static(b"ok"), true));
    }
}
