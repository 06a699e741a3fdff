//! The simulated internet as a whole: started at once, on free ports, from the steered names that it is for.

use std::sync::Arc;

use super::cast::Cast;
use super::certificates::{Authority, CertificateError};
use super::edge::{EdgeError, Edges};
use super::mode::Modes;
use super::provider_dns::{ProviderDns, ProviderDnsError};
use crate::steer::policy::SteeredName;
use crate::steer::provider::Providers;

/// Everything that is not Pointsman.
pub struct Internet {
    pub cast: Cast,
    pub authority: Authority,
    pub modes: Modes,
    pub edges: Edges,
    pub dns: ProviderDns,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum InternetError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Edge(#[from] EdgeError),
    #[error(transparent)]
    Dns(#[from] ProviderDnsError),
}

impl Internet {
    /// Starts edges and DNS for all candidates of these names. Must be called inside a tokio runtime.
    pub async fn start(names: &[Arc<SteeredName>], providers: &Providers) -> Result<Self, InternetError> {
        let cast = Cast::of(names.iter().map(AsRef::as_ref), providers);
        let authority = Authority::new()?;
        let modes = Modes::all_right(cast.players.iter().map(|player| player.id.clone()));
        let edges = Edges::start(&cast, &authority, &modes).await?;
        let dns = ProviderDns::start(&cast, &modes).await?;
        Ok(Self { cast, authority, modes, edges, dns })
    }

    /// What `[probe] ports` must say for the prober to find the edges: port in the zone, port here.
    pub fn ports(&self) -> impl Iterator<Item = (u16, u16)> {
        let tls = self.cast.tls_ports.iter().map(|port| (*port, self.edges.https_port()));
        // A port with both TLS and plain HTTP on it can only be one of them.
        let plain = self.cast.http_ports.difference(&self.cast.tls_ports).map(|port| (*port, self.edges.http_port()));
        tls.chain(plain)
    }

    /// Stops all of it.
    pub async fn stop(&mut self) {
        self.edges.stop().await;
        self.dns.stop().await;
    }
}
