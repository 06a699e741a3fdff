//! What a certificate says of itself: who signed it, and when it ends, or the chain that came with it.
//!
//! Only chains that the verifier has accepted are read, in the very handshake that accepted them, so no second
//! connection is needed and nothing is parsed that webpki has refused. When a chain ends is asked of the verifier itself:
//! an intermediate that ends before the leaf matters only where no other path is left, and the verifier is the one to
//! know. Each chain is read once; edges show the same one for weeks.

use std::collections::HashMap;
use std::hash::Hasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use siphasher::sip128::{Hasher128, SipHasher13};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::steer::readiness::Certificate;
use crate::steer::time::Time;

/// Chains that are remembered. One takes about 200 octets; when there are more all are read anew.
const CHAINS: usize = 16_384;
/// Octets of an issuer's name that are kept.
const MAX_ISSUER: usize = 100;
/// How often an earlier end is looked for: once for each intermediate that a chain may have, and one more.
const ENDS: usize = 5;

/// Chains that have been read, by a keyed hash of their octets.
#[derive(Debug)]
pub struct Certificates {
    keys: (u64, u64),
    known: Mutex<HashMap<u128, Option<Arc<Certificate>>>>,
}

impl Certificates {
    pub fn empty() -> Self {
        // Whoever can choose what is hashed must not be able to choose what it is taken for.
        let key = || getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()));
        Self { keys: (key(), key()), known: Mutex::default() }
    }

    /// What an accepted chain says. `accepts` tells how the verifier judges it at another time.
    pub fn read(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        accepts: impl Fn(UnixTime) -> Result<(), rustls::Error>,
    ) -> Option<Arc<Certificate>> {
        let hash = self.hash(leaf, intermediates);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        known.unwrap_or_else(|| {
            let read = parse(leaf, accepts).map(Arc::new);
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= CHAINS {
                known.clear();
            }
            known.insert(hash, read.clone());
            read
        })
    }

    fn hash(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        for certificate in std::iter::once(leaf).chain(intermediates) {
            hasher.write_usize(certificate.len());
            hasher.write(certificate);
        }
        hasher.finish128().as_u128()
    }
}

fn parse(leaf: &CertificateDer<'_>, accepts: impl Fn(UnixTime) -> Result<(), rustls::Error>) -> Option<Certificate> {
    let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    let from = seconds(parsed.validity().not_before.timestamp());
    let until = end(seconds(parsed.validity().not_after.timestamp()), accepts);
    let time = |seconds: u64| Time(seconds.saturating_mul(1_000));
    let issuer = parsed.issuer();
    let name = issuer.iter_organization().chain(issuer.iter_common_name()).find_map(|part| part.as_str().ok());
    let issuer = name.unwrap_or("an issuer without a name").chars().map(|c| if c.is_control() { '?' } else { c });
    Some(Certificate { issuer: issuer.take(MAX_ISSUER).collect(), from: time(from), until: time(until) })
}

/// When the chain ends, in seconds: with the leaf, or before it with whatever of it the verifier needs.
fn end(leaf: u64, accepts: impl Fn(UnixTime) -> Result<(), rustls::Error>) -> u64 {
    let mut until = leaf;
    for _ in 0..ENDS {
        match accepts(UnixTime::since_unix_epoch(Duration::from_secs(until))) {
            Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }))
                if not_after.as_secs() < until =>
            {
                until = not_after.as_secs();
            }
            _ => break,
        }
    }
    until
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn leaf(organisation: Option<&str>) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["www.shop.example".to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "a common name");
        if let Some(organisation) = organisation {
            params.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 4, 1));
        params.self_signed(&key).expect("signed").der().clone()
    }

    fn ended(not_after: u64, time: UnixTime) -> Result<(), rustls::Error> {
        let not_after = UnixTime::since_unix_epoch(Duration::from_secs(not_after));
        let ended = || rustls::Error::from(CertificateError::ExpiredContext { time, not_after });
        if time > not_after { Err(ended()) } else { Ok(()) }
    }

    #[test]
    fn issuer_and_dates_are_read_once() {
        let certificates = Certificates::empty();
        for (organisation, issuer) in [(Some("Let's Encrypt"), "Let's Encrypt"), (None, "a common name")] {
            let leaf = leaf(organisation);
            let read = certificates.read(&leaf, &[], |_| Ok(())).expect("read");
            assert_eq!(read.issuer, issuer);
            assert_eq!((read.from, read.until), (Time(1_767_225_600_000), Time(1_775_001_600_000)));
            let again = certificates.read(&leaf, &[], |_| unreachable!("it is known")).expect("known");
            assert!(Arc::ptr_eq(&read, &again));
            assert!(certificates.read(&leaf, std::slice::from_ref(&leaf), |_| Ok(())).is_some(), "another chain");
        }
    }

    #[test]
    fn a_chain_ends_with_what_the_verifier_needs_of_it() {
        assert_eq!(end(100, |time| ended(100, time)), 100);
        assert_eq!(end(100, |time| ended(50, time)), 50);
        // Two intermediates: the one that ends first is found when the other is out of the way.
        assert_eq!(end(100, |time| ended(70, time).and_then(|()| ended(30, time))), 30);
        let stubborn = |_| Err(CertificateError::UnknownIssuer.into());
        assert_eq!(end(100, stubborn), 100);
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        assert_eq!(Certificates::empty().read(&CertificateDer::from(vec![1, 2, 3]), &[], |_| Ok(())), None);
    }
}
