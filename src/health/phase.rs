//! The probe that a task has under way: where it goes, and how far it has come (connecting, TLS, headers, body).
//!
//! All HTTP probes share one client, since building one costs as much as a tenth of a probe. So what is the probe's own
//! stands beside the client, in a variable of the task: the client keeps no connections, hence connects inside the task
//! that asks, and its hooks find the probe there. Without one they refuse, they never take another's.
//!
//! reqwest tells neither which step failed nor how long each took. Two hooks are enough to know it: rustls asks its
//! session store once at the start of each handshake, and a layer around the connector sees when it is done. The
//! session store keeps nothing, so no session is ever resumed.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use crate::steer::readiness::Certificate;

/// The step that a probe is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Connecting,
    Handshake,
    Headers,
    Body,
}

impl Phase {
    /// What the probe does in it, for reasons: `timed out connecting`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Handshake => "in the TLS handshake",
            Self::Headers => "waiting for headers",
            Self::Body => "reading the body",
        }
    }
}

tokio::task_local! {
    static UNDER_WAY: UnderWay;
}

struct UnderWay {
    to: SocketAddr,
    phase: Cell<Phase>,
    certificate: RefCell<Option<Arc<Certificate>>>,
}

/// Runs `probe` as the probe of this task, on its way to this address.
pub async fn on_the_way<F: Future>(to: SocketAddr, probe: F) -> F::Output {
    let under_way = UnderWay { to, phase: Cell::new(Phase::Connecting), certificate: RefCell::default() };
    UNDER_WAY.scope(under_way, probe).await
}

/// Where the probe of this task goes; none outside of one.
pub fn destination() -> Option<SocketAddr> {
    UNDER_WAY.try_with(|probe| probe.to).ok()
}

/// How far the probe of this task has come.
pub fn phase() -> Phase {
    UNDER_WAY.try_with(|probe| probe.phase.get()).unwrap_or(Phase::Connecting)
}

/// The probe of this task has come so far. It never goes back.
pub fn reached(phase: Phase) {
    // Nobody asks how far something has come that is no probe.
    let _ = UNDER_WAY.try_with(|probe| probe.phase.set(probe.phase.get().max(phase)));
}

/// The edge has shown this certificate, and the verifier has accepted it.
pub fn showed(certificate: Option<Arc<Certificate>>) {
    // Nobody asks what a connection showed that is no probe's.
    let _ = UNDER_WAY.try_with(|probe| *probe.certificate.borrow_mut() = certificate);
}

/// The certificate that the probe of this task was shown.
pub fn certificate() -> Option<Arc<Certificate>> {
    UNDER_WAY.try_with(|probe| probe.certificate.borrow().clone()).ok().flatten()
}

/// A session store that notes the start of each handshake.
pub fn resumption() -> Resumption {
    Resumption::store(Arc::new(NoSessions))
}

/// The layer: the connector is done when its future is ready without an error.
#[derive(Clone, Copy, Debug)]
pub struct Watch;

impl<S> tower_layer::Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched(inner)
    }
}

/// A connector whose end is noted.
#[derive(Clone, Debug)]
pub struct Watched<S>(S);

impl<S, R> tower_service::Service<R> for Watched<S>
where
    S: tower_service::Service<R>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.0.call(request);
        Box::pin(async move {
            let connected = connecting.await;
            if connected.is_ok() {
                reached(Phase::Headers);
            }
            connected
        })
    }
}

#[derive(Debug)]
struct NoSessions;

impl ClientSessionStore for NoSessions {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        reached(Phase::Handshake);
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        reached(Phase::Handshake);
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        reached(Phase::Handshake);
        None
    }
}
