//! The authority behind the simulated edges: made at start, kept in memory, trusted by nobody but this program.
//!
//! Its certificate goes into a file in the data folder, which the prober reads as `extra_ca`; its key never leaves.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate authority with one key for all the certificates that it gives out.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    leaf_key: KeyPair,
}

const DAY: Duration = Duration::from_secs(86_400);

/// When a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    Now,
    /// From 2019-02-01 to 2020-02-01.
    Past,
    /// A certificate of 90 days, two of which are left.
    Ending,
}

/// Why there is no certificate, or no TLS configuration with it.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("no certificate for `{name}`: {source}")]
    Certificate { name: String, source: rcgen::Error },
    #[error("no certificate authority: {0}")]
    Authority(rcgen::Error),
    #[error("no TLS configuration: {0}")]
    Tls(#[from] rustls::Error),
}

impl Authority {
    /// A new authority with new keys.
    pub fn new() -> Result<Self, CertificateError> {
        Self::make().map_err(CertificateError::Authority)
    }

    fn make() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "Pointsman demo, trusted by nobody else");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?, leaf_key: KeyPair::generate()? })
    }

    /// The authority's own certificate as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for one name, with its key.
    pub fn issue(&self, name: &str, validity: Validity) -> Result<Arc<CertifiedKey>, CertificateError> {
        let certificate = self
            .sign(name, validity)
            .map_err(|source| CertificateError::Certificate { name: name.to_owned(), source })?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der()));
        Ok(Arc::new(CertifiedKey::new(vec![certificate], ring::sign::any_supported_type(&key)?)))
    }

    fn sign(&self, name: &str, validity: Validity) -> Result<CertificateDer<'static>, rcgen::Error> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "simulated edge");
        match validity {
            Validity::Now => {
                params.not_before = date_time_ymd(2025, 1, 1);
                params.not_after = date_time_ymd(2125, 1, 1);
            }
            Validity::Past => {
                params.not_before = date_time_ymd(2019, 2, 1);
                params.not_after = date_time_ymd(2020, 2, 1);
            }
            Validity::Ending => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(88 * DAY);
                params.not_after = date_time_ymd(1970, 1, 1) + now + 2 * DAY;
            }
        }
        Ok(params.signed_by(&self.leaf_key, &self.issuer)?.der().clone())
    }

    /// What a client needs to trust this authority, and it alone. HTTP/1.1.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, CertificateError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// Certificates by the name that the client asks for, and one for all other names.
#[derive(Debug)]
pub struct Shelf {
    pub by_name: HashMap<String, Arc<CertifiedKey>>,
    pub otherwise: Arc<CertifiedKey>,
}

impl Shelf {
    /// A server's TLS configuration that takes from this shelf. HTTP/2 and HTTP/1.1.
    pub fn server_config(self) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Shelf {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.by_name.get(&name.to_ascii_lowercase()));
        Some(named.unwrap_or(&self.otherwise).clone())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
