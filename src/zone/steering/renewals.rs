//! Certificates that could not be renewed as the zone stands: told before any of them is old.
//!
//! | the candidates of one name, probed by one host name over HTTPS | warning |
//! | --- | --- |
//! | two whose providers both renew by a CNAME at `_acme-challenge` | only one can have it |
//! | a standby whose provider renews only where the name leads to it | it has no clients |
//!
//! What each provider does unless it is told otherwise stands in `steer::renewal`. Records at `_acme-challenge` are not
//! looked at: they may stand in another zone, and the probes look there (`docs/VERDICTS.md`, "Readiness").

use std::collections::BTreeSet;

use super::assemble::Draft;
use crate::steer::policy::{Candidate, Scheme};
use crate::steer::renewal::{Validation, validation_of};
use crate::zone::log::{Log, Place};

/// Each place is told once, though a template may stand for thousands of names.
pub(super) fn check(drafts: &[Draft], log: &mut Log) {
    let mut told = BTreeSet::new();
    for draft in drafts {
        let candidates = draft.name.candidates.iter().zip(draft.targets.iter().copied());
        let over_tls: Vec<(&Candidate, Place)> =
            candidates.filter(|(candidate, _)| candidate.probe.scheme == Scheme::Https).collect();
        for (at, (candidate, place)) in over_tls.iter().enumerate() {
            let message = one_challenge(candidate, &over_tls[..at]).or_else(|| no_clients(candidate));
            if let Some((message, help)) = message.filter(|_| told.insert(*place)) {
                log.warning_with_help(*place, message, help);
            }
        }
    }
}

/// One of those before wants `_acme-challenge` of the same host to lead elsewhere.
fn one_challenge(candidate: &Candidate, before: &[(&Candidate, Place)]) -> Option<(String, String)> {
    let wanted = |candidate: &Candidate| match validation_of(&candidate.provider)? {
        Validation::Delegated(below) => Some(below),
        Validation::Reached | Validation::OwnName => None,
    };
    let here = wanted(candidate)?;
    let (other, _) = before.iter().find(|(other, _)| {
        other.probe.host == candidate.probe.host && wanted(other).is_some_and(|there| there != here)
    })?;
    let (host, ids) = (&candidate.probe.host, (&other.id, &candidate.id));
    let message = format!(
        "`{}` and `{}` both renew the certificate of {host} by `_acme-challenge`: only one can have it",
        ids.0, ids.1
    );
    let help = format!(
        "let one of them validate otherwise, or upload a certificate there; the other needs \
         `_acme-challenge.{host}. CNAME ...` to lead below `{here}`, or below `{}`",
        wanted(other).unwrap_or_default()
    );
    Some((message, help))
}

/// A standby at a provider that renews only what leads to it.
fn no_clients(candidate: &Candidate) -> Option<(String, String)> {
    if !candidate.standby || validation_of(&candidate.provider)? != Validation::Reached {
        return None;
    }
    let (id, host) = (&candidate.id, &candidate.probe.host);
    let message =
        format!("`{id}` renews the certificate of {host} only where the name leads to it: a standby has no clients");
    let help = "have the provider validate by DNS, upload a certificate there, or give it a few clients: a small `weight` in \
                the place of `standby=yes`";
    Some((message, help.to_owned()))
}
