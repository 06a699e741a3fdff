//! Pages that are not the customer's, the two guises of a probe, and what probes learn beside their verdict: over real
//! sockets, with TLS where it matters.
#![allow(clippy::panic)] // A test that finds what it did not look for has failed.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/probing.rs"]
mod probing;
#[path = "support/scripted_resolver.rs"]
mod scripted_resolver;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use pointsman::health::Settings;
use pointsman::health::message::{Plan, Report};
use pointsman::steer::observation::{Cause, Observation, Outcome, PageFault, Stage};
use pointsman::steer::policy::Scheme;
use pointsman::steer::readiness::{BotRules, Facts};

use certificates::Authority;
use fault_target::FaultTarget;
use probing::{PATIENCE, Probing, apart, at, fault, now};
use scripted_resolver::{Says, ScriptedResolver};

const DAY: u64 = 86_400_000;

/// What the next probe saw and learnt.
async fn next(probing: &mut Probing) -> (Observation, Option<Arc<Facts>>) {
    loop {
        if let Report::Observed { observation, facts, .. } = probing.report().await {
            return (observation, facts);
        }
    }
}

/// The first probe of a plan.
async fn first(probing: &mut Probing, plan: Plan) -> (Observation, Option<Arc<Facts>>) {
    let candidate = plan.candidate.clone();
    probing.plan(vec![plan]).await;
    loop {
        let seen = next(probing).await;
        if seen.0.candidate == candidate {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_others_are_failures_with_their_own_reasons() {
    use PageFault::{Blocked, Challenge, Unclaimed};
    let target = FaultTarget::http("200").await;
    let mut probing = Probing::start(Settings::default());
    for (mode, stage, status, page, reason) in [
        (
            "challenge",
            Stage::Status,
            403,
            Challenge,
            "status 403: a challenge page of Cloudflare (header cf-mitigated)",
        ),
        (
            "challenge-200",
            Stage::Body,
            200,
            Challenge,
            "a challenge page of Cloudflare (`<title>Just a moment...</title>` in the body)",
        ),
        ("waf-202", Stage::Body, 202, Challenge, "a challenge page of AWS WAF (header x-amzn-waf-action)"),
        (
            "unclaimed",
            Stage::Status,
            500,
            Unclaimed,
            "status 500: the hostname is not claimed at Fastly (`Fastly error: unknown domain` in the body)",
        ),
        (
            "blocked",
            Stage::Status,
            403,
            Blocked,
            "status 403: a block page of Cloudflare (`Attention Required! | Cloudflare` in the body)",
        ),
    ] {
        target.set(mode);
        let (seen, facts) = first(&mut probing, apart(at(mode, Scheme::Http, target.address))).await;
        let fault = fault(seen.outcome);
        assert_eq!((fault.stage, fault.status, fault.page), (stage, Some(status), Some(page)), "{mode}");
        assert_eq!((fault.reason.as_str(), fault.is_own_configuration()), (reason, page == Unclaimed));
        assert_eq!(facts, None, "what fails says nothing of readiness");
    }
    // A script of Cloudflare's in an ordinary page, and a page with the owner's own marker, are no challenge.
    for (mode, marker) in [("own-script", None), ("challenge-200", Some("Just a moment"))] {
        target.set(mode);
        let mut plan = apart(at(&format!("fine-{mode}"), Scheme::Http, target.address));
        plan.probe.body = marker.map(str::to_owned);
        let (seen, _) = first(&mut probing, plan).await;
        assert!(matches!(seen.outcome, Outcome::Pass { .. }), "{mode}: {seen:?}");
    }
}

/// Every page of `tests/pages/`, each marker of the shipped set among them, over a real socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_as_they_were_seen_are_told_over_the_network() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
    let files = std::fs::read_dir(folder).expect("the pages").map(|entry| entry.expect("an entry").path());
    let target = FaultTarget::http("200").await;
    let mut probing = Probing::start(Settings::default());
    let mut kinds = BTreeSet::new();
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("read");
        let mut lines = text.lines();
        let what = lines.next().and_then(|line| line.strip_prefix("# ")).expect("what it is");
        let status: u16 = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let passes = (200..400).contains(&status);
        target.set(&format!("page:{name}"));
        let (seen, _) = first(&mut probing, apart(at(&name, Scheme::Http, target.address))).await;
        if what == "nobody's" && passes {
            assert!(matches!(seen.outcome, Outcome::Pass { .. }), "{name}: {seen:?}");
            continue;
        }
        let fault = fault(seen.outcome);
        let expected = match what {
            "nobody's" => (Stage::Status, format!("status {status}")),
            what if passes => (Stage::Body, what.to_owned()),
            what => (Stage::Status, format!("status {status}: {what}")),
        };
        assert_eq!((fault.stage, fault.reason.clone(), fault.status), (expected.0, expected.1, Some(status)), "{name}");
        let kind = match what.split(' ').take(2).collect::<Vec<_>>()[..] {
            ["a", "challenge"] => Some(PageFault::Challenge),
            ["a", "block"] => Some(PageFault::Blocked),
            ["the", "hostname"] => Some(PageFault::Unclaimed),
            _ => None,
        };
        assert_eq!((fault.page, fault.is_own_configuration()), (kind, kind == Some(PageFault::Unclaimed)), "{name}");
        kinds.insert(format!("{kind:?}"));
    }
    assert_eq!(kinds.len(), 4, "challenges, blocks, unclaimed hostnames, and failures that are nobody's: {kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_nth_probe_is_sent_with_a_browsers_headers_too() {
    let target = FaultTarget::http("200").await;
    for (every, rounds, browsers) in [(4, 12, 3), (1, 3, 3), (0, 3, 0)] {
        let before = target.browsers();
        let mut probing = Probing::start(Settings { browser_every: every, ..Settings::default() });
        let mut plan = at("bunny", Scheme::Http, target.address);
        plan.probe.every = Duration::from_millis(50);
        probing.plan(vec![plan]).await;
        for _ in 0..rounds {
            assert!(matches!(next(&mut probing).await.0.outcome, Outcome::Pass { .. }));
        }
        let sent = target.browsers() - before;
        // With each round one more may be under way.
        assert!(sent == browsers || (every == 1 && sent == browsers + 1), "every {every}: {sent} of {rounds}");
        probing.stop().await;
    }
    assert!(target.requests() > 18);
}

/// 18 November 2025 for sites whose bot rules let tools in that say what they are: every browser is turned away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_that_are_turned_away_where_they_were_not_are_a_failure() {
    let target = FaultTarget::http("200").await;
    let mut probing = Probing::start(Settings { browser_every: 1, ..Settings::default() });
    let (seen, facts) = first(&mut probing, at("bunny", Scheme::Http, target.address)).await;
    assert!(matches!(seen.outcome, Outcome::Pass { .. }), "{seen:?}");
    assert_eq!((target.requests(), facts.and_then(|facts| facts.bot_rules.clone())), (2, None));
    assert!(target.head().contains("Mozilla/") && target.head().contains("sec-fetch-mode: navigate"));
    target.set("no-browsers");
    // What a round has learnt counts from its end on, a moment after its report.
    loop {
        probing.order("bunny", Cause::Reprobe, now()).await;
        if matches!(next(&mut probing).await.0.outcome, Outcome::Fail(_)) {
            break;
        }
    }
    for _ in 0..3 {
        // A re-probe asks in both guises too, or the failure would never be confirmed.
        probing.order("bunny", Cause::Reprobe, now()).await;
        let fault = fault(next(&mut probing).await.0.outcome);
        assert_eq!(fault.page, Some(PageFault::Challenge));
        assert!(fault.reason.starts_with("as a browser: status 403: a challenge page of Cloudflare"), "{fault:?}");
    }
    target.set("200");
    probing.order("bunny", Cause::Reprobe, now()).await;
    assert!(matches!(next(&mut probing).await.0.outcome, Outcome::Pass { .. }));
}

/// A site that never lets a browser's headers from a data centre in: that says nothing of its users.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_that_never_passed_and_agents_that_are_turned_away_are_told_and_no_failure() {
    let target = FaultTarget::http("no-browsers").await;
    let mut probing = Probing::start(Settings { browser_every: 1, ..Settings::default() });
    let (seen, facts) = first(&mut probing, apart(at("gcore", Scheme::Http, target.address))).await;
    assert!(matches!(seen.outcome, Outcome::Pass { .. }), "{seen:?}");
    let rules = facts.and_then(|facts| facts.bot_rules.clone());
    assert!(matches!(rules, Some(BotRules::AgainstBrowsers(why)) if why.starts_with("status 403")));
    target.set("no-agents");
    let (seen, facts) = first(&mut probing, apart(at("bunny", Scheme::Http, target.address))).await;
    assert!(matches!(seen.outcome, Outcome::Pass { .. }), "{seen:?}");
    let facts = facts.expect("it passed");
    assert!(matches!(&facts.bot_rules, Some(BotRules::AgainstTheAgent(why)) if why.starts_with("status 403")));
    assert_eq!(facts.page.as_ref().map(|page| page.status), Some(200), "the page is the one that users see");
    // Without browsers' probes a challenge is a failure.
    drop(probing);
    let mut probing = Probing::start(Settings { browser_every: 0, ..Settings::default() });
    let (seen, _) = first(&mut probing, apart(at("bunny", Scheme::Http, target.address))).await;
    assert_eq!(fault(seen.outcome).status, Some(StatusCode::FORBIDDEN.as_u16()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_read_in_the_probes_own_connection() {
    let authority = Authority::called("Let's Test");
    let settings = Settings { extra_ca: vec![authority.file.clone()], ..Settings::default() };
    let mut probing = Probing::start(settings);
    for (kind, left) in [("ending", 1..=2), ("good", 365..=1_000_000)] {
        let target = FaultTarget::https("200", authority.server(kind)).await;
        let (seen, facts) = first(&mut probing, at(kind, Scheme::Https, target.address)).await;
        assert!(matches!(seen.outcome, Outcome::Pass { .. }), "{kind}: {seen:?}");
        let certificate = facts.and_then(|facts| facts.certificate.clone()).expect("a certificate");
        assert_eq!(certificate.issuer, "Let's Test");
        let days = certificate.until.0.saturating_sub(now().0) / DAY;
        assert!(left.contains(&days), "{kind}: {days} days left");
        assert_eq!((target.connections(), target.requests()), (1, 1), "no second connection");
    }
    let target = FaultTarget::https("200", authority.server("expired")).await;
    let (seen, facts) = first(&mut probing, at("expired", Scheme::Https, target.address)).await;
    assert_eq!((fault(seen.outcome).stage, facts), (Stage::Tls, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_the_page_is_told() {
    let target = FaultTarget::http("hsts:max-age=31536000; includeSubDomains").await;
    let mut probing = Probing::start(Settings::default());
    let (_, facts) = first(&mut probing, apart(at("hsts", Scheme::Http, target.address))).await;
    let page = facts.and_then(|facts| facts.page.clone()).expect("a page");
    assert_eq!((page.status, page.hsts.as_deref()), (200, Some("includesubdomains; max-age=31536000")));
    target.set("redirect:https://www.shop.example/de");
    let (_, facts) = first(&mut probing, apart(at("redirect", Scheme::Http, target.address))).await;
    let page = facts.and_then(|facts| facts.page.clone()).expect("a page");
    assert_eq!((page.status, page.location.as_deref()), (301, Some("https://www.shop.example/de")));
}

/// CAA is climbed to, `_acme-challenge` is looked up, both beside the probes and only for public authorities.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dns_says_of_the_next_certificate_is_looked_up() {
    let resolver = ScriptedResolver::start().await;
    resolver.says("_acme-challenge.www.shop.example.", Says::Alias("www.shop.example.abc.dcv.cloudflare.com.", 60));
    resolver.says("www.shop.example.", Says::Nothing);
    resolver.says("shop.example.", Says::Caa("DigiCert.com; account=7"));
    for (authority, public) in [("Company Internal CA", false), ("Let's Encrypt", true)] {
        let authority = Authority::called(authority);
        let target = FaultTarget::https("200", authority.server("good")).await;
        let mut probing = Probing::start(Settings {
            extra_ca: vec![authority.file.clone()],
            resolvers: vec![resolver.address],
            ..Settings::default()
        });
        let mut plan = at("bunny", Scheme::Https, target.address);
        plan.probe.every = Duration::from_millis(50);
        probing.plan(vec![plan]).await;
        let limit = Instant::now() + PATIENCE;
        let mut probes = 0;
        let found = loop {
            assert!(Instant::now() < limit, "nothing was found");
            let (seen, facts) = next(&mut probing).await;
            assert!(matches!(seen.outcome, Outcome::Pass { .. }), "{seen:?}");
            probes += 1;
            match facts.and_then(|facts| facts.dns.clone()) {
                None if !public && probes == 10 => break None,
                None => {}
                found => break found,
            }
        };
        assert_eq!((found.is_some(), resolver.questions() > 0), (public, public));
        if let Some(found) = found {
            assert_eq!(found.allowed.as_deref(), Some(&["digicert.com".to_owned()][..]));
            assert_eq!(found.challenge.as_deref(), Some("www.shop.example.abc.dcv.cloudflare.com."));
        }
    }
}
