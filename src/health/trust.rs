//! Whom probes trust: one rustls configuration for all of them.
//!
//! Certificates are judged as a browser's would be: system roots plus `extra_ca`, the name of the rule, the time.
//! Sessions are never resumed, since a resumed one shows no certificate: a probe would go on passing after the
//! certificate of the edge ran out. What an accepted chain says of itself is noted for the probe (`certificate`).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::certificate::Certificates;
use super::phase;
use super::settings::{Settings, StartError};

/// A certificate that vouches for itself and is not among the roots.
#[derive(Debug, thiserror::Error)]
#[error("self-signed")]
pub struct SelfSigned;

/// The configuration that every probe takes a copy of: no client certificate, HTTP/2 and HTTP/1.1 by ALPN.
pub fn client_config(settings: &Settings) -> Result<ClientConfig, StartError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(roots(settings)?, Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// The system's roots and those of `extra_ca`. Certificates of the system that cannot be read are passed over, those of
/// `extra_ca` are errors.
fn roots(settings: &Settings) -> Result<RootCertStore, StartError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    for path in &settings.extra_ca {
        let bad = |why: String| StartError::ExtraCaBad { path: path.clone(), why };
        let pem = std::fs::read(path).map_err(|source| StartError::ExtraCaUnreadable { path: path.clone(), source })?;
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| bad(format!("not PEM: {error}")))?;
            roots.add(certificate).map_err(|error| bad(format!("not a certificate to trust: {error}")))?;
            found += 1;
        }
        if found == 0 {
            return Err(bad("no certificate in it".to_owned()));
        }
    }
    if roots.is_empty() {
        let why = system.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(StartError::NoRoots { why });
    }
    Ok(roots)
}

/// The usual verifier, which in addition tells a self-signed certificate from one of an unknown issuer, and notes what it
/// has accepted.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    certificates: Certificates,
}

impl Verifier {
    fn new(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<Self, StartError> {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        usual
            .map(|usual| Self { usual, certificates: Certificates::empty() })
            .map_err(|error| StartError::NoRoots { why: error.to_string() })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let accepts = |at| self.usual.verify_server_cert(certificate, intermediates, name, ocsp, at);
        let verified = accepts(now).map_err(|error| match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_))
                if is_self_signed(certificate) =>
            {
                CertificateError::Other(OtherError(Arc::new(SelfSigned))).into()
            }
            other => other,
        })?;
        phase::showed(self.certificates.read(certificate, intermediates, |at| accepts(at).map(drop)));
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate).is_ok_and(|parsed| parsed.issuer() == parsed.subject())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn with_ca(content: Option<&[u8]>) -> Result<ClientConfig, StartError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        if let Some(content) = content {
            std::fs::write(&path, content).expect("written");
        }
        client_config(&Settings { extra_ca: vec![path], ..Settings::default() })
    }

    #[test]
    fn a_bad_extra_ca_stops_the_start_and_says_which() {
        assert!(matches!(with_ca(None), Err(StartError::ExtraCaUnreadable { path, .. }) if path.ends_with("ca.pem")));
        for bad in [
            &b""[..],
            b"not PEM at all",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
        ] {
            let error = with_ca(Some(bad)).expect_err("refused");
            assert!(matches!(&error, StartError::ExtraCaBad { path, .. } if *path != PathBuf::new()), "{error}");
        }
    }

    #[test]
    fn a_good_extra_ca_is_taken() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("signed").pem();
        let config = with_ca(Some(pem.as_bytes())).expect("taken");
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
