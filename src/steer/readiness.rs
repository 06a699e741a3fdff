//! Readiness: what a candidate would break on at the moment of need, though its probes pass.
//!
//! Probes gather facts beside their verdict ([`Facts`]): the certificate, the page's head, what DNS says of the next
//! certificate. This rule makes of them `ready`, or `at risk` with reasons. A candidate without facts is `unknown`.
//!
//! | the facts | serves | at risk | used last |
//! | --- | --- | --- | --- |
//! | nothing wrong | no | | |
//! | 90-day certificate, 13 days left | yes | ends soon | |
//! | 90-day certificate, 15 days left | yes | | |
//! | 90-day certificate, 2 days left | yes | ends soon | yes |
//! | 90-day certificate, 0 days left | no | ends soon | yes |
//! | 6-day certificate, 2 days left | no | | |
//! | 6-day certificate, 0.9 days left | no | ends soon | |
//! | 6-day certificate, 0.2 days left | no | ends soon | yes |
//! | 90-day certificate, 20 days left, HTTP-01 | no | not renewed | |
//! | 90-day certificate, 20 days left, HTTP-01 | yes | | |
//! | 90-day certificate, 25 days left, HTTP-01 | no | | |
//! | 90-day certificate, 20 days left, renewed by DNS | no | | |
//! | CAA for the issuer | no | | |
//! | CAA for another issuer | no | caa | |
//! | CAA for another issuer | yes | caa | |
//! | `_acme-challenge` to its provider | no | | |
//! | `_acme-challenge` to its provider, wanted by another's | no | challenge wanted | |
//! | `_acme-challenge` to another provider | no | challenge taken | |
//! | `_acme-challenge` to the owner's own | no | | |
//! | another status than where clients are | no | other status | |
//! | another status than where clients are | yes | | |
//! | a redirect elsewhere | no | other redirect | |
//! | another HSTS | no | other hsts | |
//! | the honest probe is challenged, the browser's passes | yes | bot rules | |
//! | the browser's probe has never passed | no | bot rules | |
//!
//! Only a certificate that is about to end puts a candidate behind those that are ready: it will break users at a known
//! moment, and nothing else here does. What was a risk before a restart is one until the facts that it rests on have been
//! seen again. Numbers and reasons: `docs/VERDICTS.md`, "Readiness".

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::issuers::{domains_of, is_known};
use super::renewal::{Validation, is_delegation, validation_of};
pub use super::risk::{BotRules, ReadinessMemory, Risk};
use super::time::Time;

const DAY: Duration = Duration::from_secs(86_400);
/// A certificate ends soon when it has less than this left, or less than this part of its lifetime.
const SOON: (Duration, u32) = (DAY.saturating_mul(14), 6);
/// It is about to end.
const ABOUT_TO_END: (Duration, u32) = (DAY.saturating_mul(3), 20);
/// What is renewed at all is renewed before the last quarter of its lifetime.
const OVERDUE_PART: u32 = 4;

/// What a probe learnt beside whether it passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub certificate: Option<Arc<Certificate>>,
    pub page: Option<Page>,
    /// Looked up much more rarely than a probe is sent.
    pub dns: Option<Arc<RenewalDns>>,
    /// How bot rules tell the honest probe from a browser's, where they do.
    pub bot_rules: Option<BotRules>,
    /// Whether it was asked with a browser's headers since the start.
    pub asked_as_browser: bool,
}

/// A certificate that was valid for the name when it was shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The organisation that signed it: `Let's Encrypt`.
    pub issuer: String,
    pub from: Time,
    /// When it ends, or the chain that it was shown with.
    pub until: Time,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// `Strict-Transport-Security` in lower case, its directives sorted.
    pub hsts: Option<String>,
}

/// What DNS says of the next certificate of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenewalDns {
    /// The authorities that CAA allows (RFC 8659), by their domain; none where all are.
    pub allowed: Option<Vec<String>>,
    /// Where the CNAME at `_acme-challenge` leads: lower case, absolute.
    pub challenge: Option<String>,
}

/// Everything that the rule looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// Of each address that was probed of late.
    pub(super) facts: &'a [&'a Facts],
    /// The provider's id.
    pub(super) provider: &'a str,
    /// Other candidates that are asked by the same host name, with their providers' ids.
    pub(super) others: &'a [(&'a str, &'a str)],
    /// Whether it has clients now.
    pub(super) serves: bool,
    /// Who has most of the clients and asks the same page, and what came back there.
    pub(super) reference: Option<(&'a str, &'a Page)>,
    /// What was a risk before the start and has not been looked at since.
    pub(super) kept: &'a [Risk],
    /// The edge that showed the certificate of a kept risk has not been seen since.
    pub(super) edge_unseen: bool,
    pub(super) now: Time,
}

/// Whether a candidate can be relied on at the moment of need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing is known yet.
    #[default]
    Unknown,
    Ready,
    /// Never empty.
    AtRisk(Vec<Risk>),
}

/// The same without the reasons: what transitions tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadinessState {
    #[default]
    Unknown,
    Ready,
    AtRisk,
}

impl Readiness {
    pub fn state(&self) -> ReadinessState {
        match self {
            Self::Unknown => ReadinessState::Unknown,
            Self::Ready => ReadinessState::Ready,
            Self::AtRisk(_) => ReadinessState::AtRisk,
        }
    }

    /// Empty unless at risk.
    pub fn risks(&self) -> &[Risk] {
        match self {
            Self::AtRisk(risks) => risks,
            Self::Unknown | Self::Ready => &[],
        }
    }

    /// Whether it is used after all of its rank that are ready.
    pub fn is_used_last(&self) -> bool {
        self.risks().iter().any(|risk| matches!(risk, Risk::EndsSoon { last: true, .. }))
    }

    /// The reasons, a line each; empty unless at risk.
    pub fn reasons(&self) -> Vec<String> {
        self.risks().iter().map(ToString::to_string).collect()
    }

    /// The reasons in one line.
    pub fn words(&self) -> String {
        self.reasons().join("; ")
    }
}

impl fmt::Display for ReadinessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Ready => "ready",
            Self::AtRisk => "at risk",
        })
    }
}

/// The rule. Reasons stand in the order of the table.
pub(super) fn readiness(case: &Case<'_>) -> Readiness {
    let nothing_seen = case.facts.first().is_none_or(|latest| **latest == Facts::default());
    let mut risks: Vec<Risk> = case.unseen().cloned().collect();
    if nothing_seen && risks.is_empty() {
        return Readiness::Unknown;
    }
    let kept_ends = risks.iter().find_map(Risk::certificate_ends);
    if let Some(certificate) = case.certificate().filter(|known| kept_ends.is_none_or(|kept| known.until < kept)) {
        risks.extend(dates(case, certificate));
    }
    if let Some(dns) = case.dns() {
        risks.extend(case.certificate().and_then(|certificate| caa(certificate, dns)));
        risks.extend(challenge(case, dns));
    }
    if let Some((page, there, at)) = case.pages() {
        risks.extend(parity(page, there, at));
    }
    risks.extend(case.facts.iter().find_map(|facts| facts.bot_rules.clone()).map(Risk::BotRules));
    risks.sort_unstable();
    risks.dedup_by_key(|risk| risk.word());
    if risks.is_empty() { Readiness::Ready } else { Readiness::AtRisk(risks) }
}

impl<'a> Case<'a> {
    /// Of several edges the one that breaks first.
    fn certificate(&self) -> Option<&'a Certificate> {
        let certificates = self.facts.iter().filter_map(|facts| facts.certificate.as_deref());
        certificates.min_by_key(|certificate| certificate.until)
    }

    fn dns(&self) -> Option<&'a RenewalDns> {
        self.facts.iter().find_map(|facts| facts.dns.as_deref())
    }

    /// The page here, the one where most clients are, and who that is. A candidate that serves is compared with nobody.
    fn pages(&self) -> Option<(&'a Page, &'a Page, &'a str)> {
        let (at, there) = self.reference.filter(|_| !self.serves)?;
        Some((self.facts.first()?.page.as_ref()?, there, at))
    }

    /// Of what was a risk before the start: those whose facts have not been seen since.
    pub(super) fn unseen(&self) -> impl Iterator<Item = &'a Risk> {
        self.kept.iter().filter(|risk| !self.has_seen(risk))
    }

    /// Whether what a risk rests on is known again.
    fn has_seen(&self, risk: &Risk) -> bool {
        match risk {
            Risk::EndsSoon { .. } | Risk::NotRenewed { .. } => self.certificate().is_some() && !self.edge_unseen,
            // What DNS says is asked for certificates of authorities that CAA can name, and for no others.
            Risk::CaaForbids { .. } | Risk::ChallengeWanted { .. } | Risk::ChallengeTaken { .. } => {
                self.dns().is_some() || self.certificate().is_some_and(|certificate| !is_known(&certificate.issuer))
            }
            Risk::OtherStatus { .. } | Risk::OtherRedirect { .. } | Risk::OtherHsts { .. } => {
                self.serves || self.pages().is_some()
            }
            Risk::BotRules(_) => self.facts.iter().any(|facts| facts.asked_as_browser),
        }
    }
}

/// How long the certificate is good for.
fn dates(case: &Case<'_>, certificate: &Certificate) -> Option<Risk> {
    let (left, lifetime) = (certificate.until.since(case.now), certificate.until.since(certificate.from));
    let within = |(span, part): (Duration, u32)| left < span.min(lifetime / part);
    if within(SOON) {
        return Some(Risk::EndsSoon { until: certificate.until, last: within(ABOUT_TO_END) });
    }
    let by_its_name = validation_of(case.provider) == Some(Validation::Reached);
    let overdue = by_its_name && !case.serves && left < lifetime / OVERDUE_PART;
    overdue.then_some(Risk::NotRenewed { until: certificate.until })
}

/// Whether the issuer may issue again. One that we don't know the domains of is not judged.
fn caa(certificate: &Certificate, dns: &RenewalDns) -> Option<Risk> {
    let allowed = dns.allowed.as_ref()?;
    let issuer = &certificate.issuer;
    if !is_known(issuer) || domains_of(issuer).any(|domain| allowed.iter().any(|allowed| allowed == domain)) {
        return None;
    }
    Some(Risk::CaaForbids { issuer: issuer.clone(), allowed: allowed.clone() })
}

/// Whether `_acme-challenge` leads to another provider than to the one that wants it, or another wants it too. Where it
/// leads to no provider its owner has made an arrangement of his own.
fn challenge(case: &Case<'_>, dns: &RenewalDns) -> Option<Risk> {
    let Some(Validation::Delegated(wanted)) = validation_of(case.provider) else { return None };
    let points_to = dns.challenge.clone().filter(|points_to| is_delegation(points_to))?;
    if !points_to.ends_with(wanted) {
        return Some(Risk::ChallengeTaken { wanted: wanted.to_owned(), points_to });
    }
    let wants_it = |provider: &str| matches!(validation_of(provider), Some(Validation::Delegated(to)) if to != wanted);
    let (by, _) = case.others.iter().find(|(_, provider)| wants_it(provider))?;
    Some(Risk::ChallengeWanted { by: (*by).to_owned(), points_to })
}

/// What clients would see that is not as where they are now.
fn parity<'a>(page: &Page, there: &Page, at: &str) -> impl Iterator<Item = Risk> + use<'a> {
    let at = at.to_owned();
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let status = (page.status != there.status).then(|| Risk::OtherStatus {
        status: page.status,
        there: there.status,
        at: at.clone(),
    });
    let redirect = (page.status == there.status && page.location != there.location).then(|| Risk::OtherRedirect {
        to: text(&page.location),
        there: text(&there.location),
        at: at.clone(),
    });
    let hsts = (page.hsts != there.hsts).then(|| Risk::OtherHsts {
        hsts: text(&page.hsts),
        there: text(&there.hsts),
        at: at.clone(),
    });
    [status, redirect, hsts].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn certificate(lifetime: f64, left: f64) -> Arc<Certificate> {
        let until = NOW.after(DAY.mul_f64(left));
        Arc::new(Certificate { issuer: "Let's Encrypt".to_owned(), from: until.before(DAY.mul_f64(lifetime)), until })
    }

    fn page(status: u16) -> Page {
        Page { status, location: None, hsts: Some("max-age=1".to_owned()) }
    }

    /// The facts and the provider of a row.
    fn facts(words: &str) -> (Facts, &'static str) {
        let good = Facts { certificate: Some(certificate(90.0, 60.0)), page: Some(page(200)), ..Facts::default() };
        let dns = |allowed: Option<&str>, challenge: Option<&str>| {
            let allowed = allowed.map(|domain| vec![domain.to_owned()]);
            Facts {
                dns: Some(Arc::new(RenewalDns { allowed, challenge: challenge.map(str::to_owned) })),
                ..good.clone()
            }
        };
        let with_page = |page: Page| Facts { page: Some(page), ..good.clone() };
        let bots = |rules: BotRules| Facts { bot_rules: Some(rules), ..good.clone() };
        let facts = match words {
            "nothing wrong" => good.clone(),
            "CAA for the issuer" => dns(Some("letsencrypt.org"), None),
            "CAA for another issuer" => dns(Some("digicert.com"), None),
            "`_acme-challenge` to its provider" | "`_acme-challenge` to its provider, wanted by another's" => {
                dns(None, Some("abc.fastly-validations.com."))
            }
            "`_acme-challenge` to another provider" => dns(None, Some("www.x.dcv.cloudflare.com.")),
            "`_acme-challenge` to the owner's own" => dns(None, Some("www.acme.shop.example.")),
            "another status than where clients are" => with_page(page(302)),
            "a redirect elsewhere" => with_page(Page { location: Some("/elsewhere".to_owned()), ..page(200) }),
            "another HSTS" => with_page(Page { hsts: None, ..page(200) }),
            "the honest probe is challenged, the browser's passes" => {
                bots(BotRules::AgainstTheAgent("status 403".to_owned()))
            }
            "the browser's probe has never passed" => bots(BotRules::AgainstBrowsers("status 403".to_owned())),
            dated => {
                let mut words = dated.split(['-', ' ']);
                let lifetime = words.next().and_then(|word| word.parse().ok()).expect("a lifetime");
                let left = words.nth(2).and_then(|word| word.parse().ok()).expect("days left");
                Facts { certificate: Some(certificate(lifetime, left)), ..good.clone() }
            }
        };
        let provider = match words {
            words if words.ends_with("HTTP-01") => "bunny",
            words if words.ends_with("renewed by DNS") => "cloudfront",
            _ => "fastly",
        };
        (facts, provider)
    }

    #[test]
    fn the_table_holds() {
        let rows: Vec<&str> = include_str!("readiness.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|row| !row.starts_with("the facts") && !row.starts_with("---"))
            .collect();
        assert_eq!(rows.len(), 25);
        for row in rows {
            let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
            let (facts, provider) = facts(cells[0]);
            let there = page(200);
            let rival = if cells[0].contains("wanted by another's") { "cloudflare" } else { "bunny" };
            let case = Case {
                facts: &[&facts],
                provider,
                others: &[("other", rival), ("a second one", "fastly")],
                serves: cells[1] == "yes",
                reference: Some(("gcore", &there)),
                kept: &[],
                edge_unseen: false,
                now: NOW,
            };
            let readiness = readiness(&case);
            let words: Vec<&str> = readiness.risks().iter().map(Risk::word).collect();
            assert_eq!(words.join(", "), cells[2], "{row}");
            assert_eq!(if readiness.is_used_last() { "yes" } else { "" }, cells[3], "{row}");
            assert_eq!(readiness.words().is_empty(), cells[2].is_empty(), "{row}");
        }
    }

    #[test]
    fn the_edge_that_breaks_first_counts_and_nothing_known_is_no_judgement() {
        let case = |facts: &[&Facts]| readiness(&Case { facts, ..nothing_seen(&[]) });
        let with = |left| Facts { certificate: Some(certificate(90.0, left)), ..Facts::default() };
        let (nothing, good, bad) = (Facts::default(), with(60.0), with(1.0));
        assert_eq!(case(&[]), Readiness::Unknown);
        assert_eq!(case(&[&nothing]), Readiness::Unknown);
        assert_eq!(case(&[&good]), Readiness::Ready);
        assert!(case(&[&good, &bad]).is_used_last());
    }

    /// A candidate that serves, of which nothing has been seen since the start.
    fn nothing_seen(kept: &[Risk]) -> Case<'_> {
        let (provider, serves, edge_unseen) = ("fastly", true, false);
        Case { facts: &[], provider, others: &[], serves, reference: None, kept, edge_unseen, now: NOW }
    }

    /// One of each kind, with the facts that tell of it anew.
    fn kinds() -> Vec<(Risk, Facts)> {
        let (fine, text) = (certificate(90.0, 60.0), || "x".to_owned());
        let shown = Facts { certificate: Some(fine), ..Facts::default() };
        let asked = Facts { dns: Some(Arc::default()), ..Facts::default() };
        let head = Facts { page: Some(page(200)), ..Facts::default() };
        vec![
            (Risk::EndsSoon { until: NOW, last: true }, shown.clone()),
            (Risk::NotRenewed { until: NOW }, shown),
            (Risk::CaaForbids { issuer: text(), allowed: vec![text()] }, asked.clone()),
            (Risk::ChallengeWanted { by: text(), points_to: text() }, asked.clone()),
            (Risk::ChallengeTaken { wanted: text(), points_to: text() }, asked),
            (Risk::OtherStatus { status: 302, there: 200, at: text() }, head.clone()),
            (Risk::OtherRedirect { to: text(), there: text(), at: text() }, head.clone()),
            (Risk::OtherHsts { hsts: text(), there: text(), at: text() }, head),
            (Risk::BotRules(BotRules::AgainstTheAgent(text())), Facts { asked_as_browser: true, ..Facts::default() }),
        ]
    }

    #[test]
    fn what_was_a_risk_before_the_start_is_one_until_its_facts_are_seen_again() {
        let kinds = kinds();
        assert!(kinds.is_sorted_by_key(|(risk, _)| risk), "reasons stand in the order of the table");
        let kept: Vec<Risk> = kinds.iter().map(|(risk, _)| risk.clone()).collect();
        assert_eq!(readiness(&nothing_seen(&[])), Readiness::Unknown);
        let there = page(200);
        for (gone, facts) in &kinds {
            let case =
                Case { facts: &[facts], serves: false, reference: Some(("gcore", &there)), ..nothing_seen(&kept) };
            let left = readiness(&case);
            assert!(!left.risks().contains(gone), "{gone:?}: {left:?}");
            let same_facts = |risk: &Risk| kinds.iter().any(|(other, of)| other == risk && of == facts);
            for risk in kept.iter().filter(|risk| !same_facts(risk)) {
                assert!(left.risks().contains(risk), "{risk:?} is not seen by the facts of {gone:?}");
            }
        }
        // One that serves is compared with nobody; DNS is not asked for certificates that CAA cannot name.
        let other_status = std::slice::from_ref(&kept[5]);
        let serving = Facts { asked_as_browser: true, ..Facts::default() };
        assert_eq!(readiness(&Case { facts: &[&serving], ..nothing_seen(other_status) }), Readiness::Ready);
        let own = Certificate { issuer: "Company Internal CA".to_owned(), ..(*certificate(90.0, 60.0)).clone() };
        let shown = Facts { certificate: Some(Arc::new(own)), ..Facts::default() };
        assert_eq!(readiness(&Case { facts: &[&shown], ..nothing_seen(&kept[2..5]) }), Readiness::Ready);
        // Another edge was renewed already; one that ends sooner than the unseen one counts in its place.
        let ends = |days: f64| Risk::EndsSoon { until: NOW.after(DAY.mul_f64(days)), last: false };
        let kept = [ends(5.0)];
        for (left, expected) in [(60.0, 5.0), (4.0, 4.0)] {
            let shown = Facts { certificate: Some(certificate(90.0, left)), ..Facts::default() };
            let case = Case { facts: &[&shown], edge_unseen: true, ..nothing_seen(&kept) };
            assert_eq!(readiness(&case).risks(), [ends(expected)]);
        }
    }

    #[test]
    fn each_kind_of_risk_outlives_json() {
        for (risk, _) in kinds() {
            let memory = ReadinessMemory { risks: vec![risk], since: NOW, edge: Some([192, 0, 2, 1].into()) };
            let text = serde_json::to_string(&memory).unwrap();
            assert_eq!(serde_json::from_str::<ReadinessMemory>(&text).unwrap(), memory, "{text}");
        }
        assert_eq!(serde_json::from_str::<ReadinessMemory>("{}").unwrap(), ReadinessMemory::default());
    }

    #[test]
    fn an_issuer_that_is_not_known_is_not_judged() {
        let stranger = Certificate { issuer: "Company Internal CA".to_owned(), from: Time(0), until: NOW };
        let dns = RenewalDns { allowed: Some(vec!["letsencrypt.org".to_owned()]), challenge: None };
        assert_eq!(caa(&stranger, &dns), None);
        let nobody = RenewalDns { allowed: Some(Vec::new()), challenge: None };
        let risk = caa(&Certificate { issuer: "Let's Encrypt".to_owned(), ..stranger }, &nobody).expect("a risk");
        assert_eq!(risk.to_string(), "its certificate is from Let's Encrypt, and CAA allows nobody to issue");
    }
}
