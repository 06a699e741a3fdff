//! What DNS says of the next certificate of a name: who may issue it, and where `_acme-challenge` leads.
//!
//! Asked of the ordinary resolver, seldom and one name after the other, and only for certificates of public authorities
//! that we can tell by CAA. The answer is what an authority would see now, by the answers that this very server gives.
//!
//! CAA is looked for at the name and then at each parent, up to the top-level domain; the first that has any decides (RFC
//! 8659, section 3). An empty `issue` allows nobody; a set without `issue` and `issuewild` restricts nobody. Which of the
//! two a certificate was issued by is not told, so a domain that either names counts as allowed. What follows the domain (an
//! account, a way of validation: RFC 8657) is not looked at: a provider's account is its own, and unknown here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::CAA;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::debug;

use super::resolve::Targets;
use crate::steer::readiness::RenewalDns;

/// What was found holds so long. CAA changes by hand, and certificates are renewed weeks before they end.
const HOLDS: Duration = Duration::from_secs(3_600);
/// After a look-up that failed.
const AGAIN: Duration = Duration::from_secs(600);
/// Between two names: 20 a second at most, so that a start with many names is no flood for the resolver.
const PAUSE: Duration = Duration::from_millis(50);
/// For all questions about one name.
const LIMIT: Duration = Duration::from_secs(10);
/// Names that are remembered; when there are more, those that have run out are forgotten, or else all.
const NAMES: usize = 100_000;

/// What is known, by host name.
#[derive(Clone)]
pub struct Renewals(Arc<Shared>);

struct Shared {
    targets: Targets,
    known: Mutex<HashMap<String, Known>>,
    /// One name at a time.
    turn: Semaphore,
}

#[derive(Clone)]
struct Known {
    until: Instant,
    found: Option<Arc<RenewalDns>>,
}

impl Renewals {
    pub fn new(targets: Targets) -> Self {
        Self(Arc::new(Shared { targets, known: Mutex::default(), turn: Semaphore::new(1) }))
    }

    /// What was found last for this host. Never waits: where nothing is known, or it has run out, one look-up begins,
    /// unless another is under way, and a later probe finds what came of it.
    pub fn of(&self, host: &str) -> Option<Arc<RenewalDns>> {
        let known = self.lock().get(host).cloned();
        if known.as_ref().is_none_or(|known| known.until <= Instant::now()) && self.0.turn.available_permits() > 0 {
            let (this, host) = (self.clone(), host.to_owned());
            tokio::spawn(async move { this.look(host).await });
        }
        known.and_then(|known| known.found)
    }

    async fn look(&self, host: String) {
        let Ok(_turn) = self.0.turn.try_acquire() else { return };
        let looked = tokio::time::timeout(LIMIT, self.0.targets.renewal(&host)).await.ok().flatten();
        debug!(host, ?looked, "what DNS says of its next certificate");
        let until = Instant::now() + if looked.is_some() { HOLDS } else { AGAIN };
        self.remember(host, Known { until, found: looked.map(Arc::new) });
        tokio::time::sleep(PAUSE).await;
    }

    fn remember(&self, host: String, mut new: Known) {
        let mut known = self.lock();
        if known.len() >= NAMES {
            let now = Instant::now();
            known.retain(|_, known| known.until > now);
            if known.len() >= NAMES {
                known.clear();
            }
        }
        // A resolver that stumbles does not make what it said before untrue.
        new.found = new.found.or_else(|| known.get(&host)?.found.clone());
        known.insert(host, new);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Targets {
    /// None where a question was not answered.
    async fn renewal(&self, host: &str) -> Option<RenewalDns> {
        let challenge = self.records(&format!("_acme-challenge.{host}."), RecordType::CNAME).await?;
        let challenge = challenge.iter().find_map(|data| match data {
            RData::CNAME(target) => Some(target.0.to_ascii().to_ascii_lowercase()),
            _ => None,
        });
        Some(RenewalDns { allowed: self.caa(host).await?, challenge })
    }

    /// The authorities that the nearest CAA set allows; inner none where all are allowed.
    async fn caa(&self, host: &str) -> Option<Option<Vec<String>>> {
        let mut name = host.trim_end_matches('.');
        loop {
            let data = self.records(&format!("{name}."), RecordType::CAA).await?;
            let set: Vec<&CAA> =
                data.iter().filter_map(|data| if let RData::CAA(caa) = data { Some(caa) } else { None }).collect();
            if !set.is_empty() {
                return Some(allowed(&set));
            }
            match name.split_once('.') {
                Some((_, parent)) => name = parent,
                None => return Some(None),
            }
        }
    }

    /// The data of an answer, empty where there is none; none where the resolver does not say.
    async fn records(&self, name: &str, rtype: RecordType) -> Option<Vec<RData>> {
        match self.lookup(name, rtype).await {
            Ok(found) => Some(found.answers().iter().map(|record| record.data.clone()).collect()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
            {
                Some(Vec::new())
            }
            Err(_) => None,
        }
    }
}

fn allowed(set: &[&CAA]) -> Option<Vec<String>> {
    let of_issue = |caa: &&&CAA| caa.tag.eq_ignore_ascii_case("issue") || caa.tag.eq_ignore_ascii_case("issuewild");
    let mut issue = set.iter().filter(of_issue).peekable();
    issue.peek()?;
    let domain = |caa: &&CAA| {
        let value = String::from_utf8_lossy(&caa.value).to_ascii_lowercase();
        value.split(';').next().map(|domain| domain.trim().trim_end_matches('.').to_owned())
    };
    let mut domains: Vec<String> = issue.filter_map(domain).filter(|domain| !domain.is_empty()).collect();
    domains.sort_unstable();
    domains.dedup();
    Some(domains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_allows_whom_it_names() {
        for (records, expected) in [
            (&[("issue", "letsencrypt.org")][..], Some(&["letsencrypt.org"][..])),
            (&[("issue", "DigiCert.com; account=1"), ("issuewild", "pki.goog")], Some(&["digicert.com", "pki.goog"])),
            (&[("issue", ";")], Some(&[])),
            (&[("issue", "")], Some(&[])),
            (&[("iodef", "mailto:security@shop.example")], None),
        ] {
            let set: Vec<CAA> = records
                .iter()
                .map(|(tag, value)| {
                    let mut caa = CAA::new_issue(false, None, Vec::new());
                    (caa.tag, caa.value) = ((*tag).to_owned(), value.as_bytes().to_vec());
                    caa
                })
                .collect();
            let allowed = allowed(&set.iter().collect::<Vec<_>>());
            let expected = expected.map(|domains| domains.iter().map(|&domain| domain.to_owned()).collect());
            assert_eq!(allowed, expected, "{records:?}");
        }
    }
}
