//! Certificates for targets: good ones, and one for each way of being bad.

// Each test takes what it needs.
#![allow(dead_code)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

/// The name that probes ask for.
pub const HOST: &str = "www.shop.example";

/// A throwaway authority, its certificate in a file for `extra_ca`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pub file: PathBuf,
    _folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        Self::called("test authority")
    }

    pub fn called(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("signed");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, certificate.pem()).expect("written");
        Self { issuer: Issuer::new(params, key), certificate: certificate.der().clone(), file, _folder: folder }
    }

    /// A server's configuration with a certificate of this kind: `good`, `expired`, `not-yet-valid`, `wrong-host`,
    /// `ending`, `old`, `client-only`, `wildcard`, `self-signed`, `self-signed-ca`, `no-name`, `broken`.
    pub fn server(&self, kind: &str) -> Arc<ServerConfig> {
        let (chain, key) = self.certificate(kind);
        let config = builder().with_no_client_auth().with_single_cert(chain, key).expect("a configuration");
        Arc::new(config)
    }

    /// A good certificate, and only these protocols by ALPN.
    pub fn server_with_alpn(&self, protocols: &[&str]) -> Arc<ServerConfig> {
        let (chain, key) = self.certificate("good");
        let mut config = builder().with_no_client_auth().with_single_cert(chain, key).expect("a configuration");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A good certificate, and the client must show one too.
    pub fn server_that_asks_for_a_certificate(&self) -> Arc<ServerConfig> {
        let (chain, key) = self.certificate("good");
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
        let config =
            builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).expect("a configuration");
        Arc::new(config)
    }

    fn certificate(&self, kind: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let name = match kind {
            "wrong-host" => "wrong.example",
            "wildcard" => "*.shop.example",
            _ => HOST,
        };
        let names = if kind == "no-name" { vec![] } else { vec![name.to_owned()] };
        let mut params = CertificateParams::new(names).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, kind);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        match kind {
            "expired" => {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2020, 2, 1);
            }
            "not-yet-valid" => {
                params.not_before = date_time_ymd(2040, 1, 1);
                params.not_after = date_time_ymd(2041, 1, 1);
            }
            // 90 days, of which two are left, or as many as are left when a renewal has failed for long.
            "ending" | "old" => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
                let left = if kind == "old" { 20 } else { 2 };
                params.not_before = date_time_ymd(1970, 1, 1) + (now - (90 - left) * DAY);
                params.not_after = date_time_ymd(1970, 1, 1) + (now + left * DAY);
            }
            "client-only" => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "self-signed-ca" => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            _ => {}
        }
        let certificate = if kind.starts_with("self-signed") {
            params.self_signed(&key).expect("signed")
        } else {
            params.signed_by(&key, &self.issuer).expect("signed")
        };
        let mut der = certificate.der().to_vec();
        if kind == "broken" {
            // In the middle of the subject's key: rustls refuses it when it parses or when it verifies.
            let middle = der.len() / 3;
            der[middle] ^= 0xff;
        }
        (vec![der.into()], PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
    }
}

fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
}
