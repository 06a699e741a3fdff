//! The accept loops: connections in, within their limits, until the stop.
//!
//! axum's own server has no limit on connections, on the time for a head or on clients that never read; hyper has the
//! second, and the others stand here.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::author::Peer;
use super::{ControlSocket, Limits, Shared, routes};

/// What a loop waits after an accept that failed for want of memory or descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves both ways in until `stop`.
pub async fn run(tcp: TcpListener, control: ControlSocket, shared: Arc<Shared>, stop: CancellationToken) {
    let server = Server { limits: shared.limits, router: routes::router(shared), stop, tasks: TaskTracker::new() };
    tokio::join!(server.tcp(tcp), server.control(control));
    server.tasks.close();
    // Each connection keeps to the limit itself; this one is for the moment in between.
    let limit = server.limits.stop_time + PAUSE;
    if tokio::time::timeout(limit, server.tasks.wait()).await.is_err() {
        tracing::warn!(connections = server.tasks.len(), "API connections were cut off at the stop");
    }
}

struct Server {
    limits: Limits,
    router: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    async fn tcp(&self, listener: TcpListener) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "the API is not served over TCP"),
        };
        let places = Arc::new(Semaphore::new(self.limits.connections));
        while let Some(place) = self.place(&places).await {
            let accept = async {
                let (stream, remote) = listener.accept().await?;
                let peer = Peer::Tcp { remote, local: stream.local_addr()? };
                stream.set_nodelay(true)?;
                Ok((stream, peer))
            };
            self.next(accept, place).await;
        }
    }

    async fn control(&self, socket: ControlSocket) {
        let ControlSocket { listener, .. } = &socket;
        let listener = listener.try_clone().and_then(tokio::net::UnixListener::from_std);
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "the API is not served on its control socket"),
        };
        let places = Arc::new(Semaphore::new(self.limits.control_connections));
        while let Some(place) = self.place(&places).await {
            let accept = async {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::Socket { uid: stream.peer_cred()?.uid() };
                Ok((stream, peer))
            };
            self.next(accept, place).await;
        }
    }

    /// A place for one more connection; none once it is time to stop.
    async fn place(&self, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        self.stop.run_until_cancelled(Arc::clone(places).acquire_owned()).await?.ok()
    }

    /// One turn of an accept loop. A connection that was gone before it was accepted ends nothing.
    async fn next<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        accept: impl Future<Output = io::Result<(S, Peer)>>,
        place: OwnedSemaphorePermit,
    ) {
        match self.stop.run_until_cancelled(accept).await {
            None => {}
            Some(Ok((stream, peer))) => {
                let connection = connection(stream, peer, self.router.clone(), self.limits, self.stop.clone());
                self.tasks.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Some(Err(error)) if is_of_one_connection(&error) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "the API cannot accept a connection");
                self.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
    )
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        hyper::service::Service::call(&router, request as Request<_>)
    });
    let io = TokioIo::new(Unstalled::new(stream, limits.stalled_write));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_octets)
        .max_headers(limits.head_fields)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // A connection that broke off is the client's business.
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(limits.stop_time, connection).await;
        }
    }
}

/// A stream whose writes fail when the other side takes nothing for a while.
struct Unstalled<S> {
    stream: S,
    limit: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Unstalled<S> {
    fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    /// Passes on what a write came to, unless it has waited too long.
    fn within_limit<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.within_limit(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, octets);
        self.within_limit(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.within_limit(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_never_reads_is_cut_off() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let limit = Duration::from_millis(20);
        let mut stream = Unstalled::new(ours, limit);
        let began = Instant::now();
        let error = stream.write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= limit);
    }
}
