//! The health document: `application/health+json`.
//!
//! The shape is that of draft-inadarei-api-health-check-06, an expired draft that monitoring tools read all the same. A
//! verdict on the outside world must not restart a name server that is well, so what orchestrators ask is `/livez` and
//! `/readyz`; this one is for people and their alarms.
//!
//! | check | warn | fail |
//! | --- | --- | --- |
//! | `server` | it starts, the first round is not over, decisions are frozen, its own network or clock is in doubt, a family has no route | it stops |
//! | `store` | it was set aside, or nothing is kept | |
//! | `areas` | the database of countries cannot be used | |
//! | `overrides` | | one keeps clients on a candidate that is down |
//! | `zones` | one serves its last good text | one answers SERVFAIL, or there is none |
//! | `provider:ID` | a candidate of it is not up, or it is impaired | it is down, or none of its candidates is up, impaired or yet unknown |
//! | `name:NAME` | a candidate of it is not up, or at risk | all are down |
//!
//! The whole is `fail` when this server does not do its work: `server` or `zones` fail, or no steered name has a usable
//! candidate. Any other check below `pass` makes it `warn`: that providers fail is what Pointsman is there for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::controller::view::{
    AreaView, FirstRound, NameView, Overview, ProviderView, Serving, StandingCounts, StoreState,
};
use crate::steer::observation::Family;
use crate::steer::transition::{Standing, Verdict};

pub const MEDIA_TYPE: &str = "application/health+json";

/// Checks of names at most; above it only those that do not pass are told.
const MOST_NAMES: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pass,
    Warn,
    Fail,
}

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub status: Status,
    pub version: String,
    pub service_id: String,
    pub description: String,
    /// What needs an operator.
    pub notes: Vec<String>,
    pub checks: BTreeMap<String, Vec<Check>>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    pub status: Status,
    pub observed_value: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_unit: Option<String>,
    /// Since when, or when it was looked at.
    pub time: Timestamp,
    /// Why it does not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// Puts the document together.
pub fn of(overview: &Overview, providers: &[ProviderView], names: &[NameView]) -> Health {
    let server = server(overview);
    let zones = zones(overview);
    let all_lost = overview.names.steered > 0 && overview.names.without_usable >= overview.names.steered;
    let failed = server.status == Status::Fail || zones.status == Status::Fail || all_lost;
    let mut checks = BTreeMap::from([
        ("server".to_owned(), vec![server]),
        ("store".to_owned(), vec![store(overview)]),
        ("areas".to_owned(), vec![areas(overview)]),
        ("overrides".to_owned(), vec![overrides(overview)]),
        ("zones".to_owned(), vec![zones]),
    ]);
    let of_providers = providers.iter().map(|view| (format!("provider:{}", view.id), vec![provider(overview, view)]));
    checks.extend(of_providers);
    checks.extend(name_checks(names));
    let worst = checks.values().flatten().map(|check| check.status).max().unwrap_or(Status::Pass);
    Health {
        status: if failed { Status::Fail } else { worst.min(Status::Warn) },
        version: overview.version.clone(),
        service_id: overview.vantage.clone(),
        description: "an authoritative DNS server that steers names between CDN providers".to_owned(),
        notes: overview.alerts.clone(),
        checks,
    }
}

/// Why `/readyz` says no; none if it is.
pub fn unready(overview: &Overview) -> Option<String> {
    match (overview.serving, overview.first_round) {
        (Serving::Starting, _) => Some("not ready: it is starting, and does not answer yet".to_owned()),
        (Serving::Stopping, _) => Some("not ready: it is stopping".to_owned()),
        _ if overview.zones.answering() == 0 => Some(format!("not ready: {}", without_zones(overview))),
        (Serving::Serving, FirstRound::Pending) => Some("not ready: the first round of probes is not over".to_owned()),
        (Serving::Serving, FirstRound::Done) => None,
    }
}

fn server(overview: &Overview) -> Check {
    let (status, value, output) = match (overview.serving, overview.first_round) {
        (Serving::Stopping, _) => (Status::Fail, "stopping", Some("it is stopping".to_owned())),
        (Serving::Starting, _) => (Status::Warn, "starting", Some("it does not answer yet".to_owned())),
        (Serving::Serving, FirstRound::Pending) => {
            (Status::Warn, "serving", Some("the first round of probes is not over".to_owned()))
        }
        (Serving::Serving, FirstRound::Done) => match restraint(overview) {
            Some(output) => (Status::Warn, "serving", Some(output)),
            None => (Status::Pass, "serving", None),
        },
    };
    Check { status, observed_value: value.into(), observed_unit: None, time: overview.now, output }
}

/// What keeps a server that serves from judging as it should.
fn restraint(overview: &Overview) -> Option<String> {
    if overview.frozen {
        return Some("decisions are frozen".to_owned());
    }
    if let Some(doubt) = overview.doubts.first() {
        return Some(format!("{} is in doubt: {}", doubt.what, doubt.evidence));
    }
    let families = &overview.families_without_route;
    let families: Vec<&str> = families.iter().map(|family| family_word(*family)).collect();
    (!families.is_empty()).then(|| format!("no route for {}: not probed", families.join(" and ")))
}

fn store(overview: &Overview) -> Check {
    let (status, value, output) = match &overview.store {
        StoreState::Ok => (Status::Pass, "ok", None),
        StoreState::SetAside { why, moved_to } => {
            (Status::Warn, "set-aside", Some(format!("{why}; moved to {moved_to}")))
        }
        StoreState::WithoutTexts { why } => {
            (Status::Warn, "without-texts", Some(format!("the last good texts of zones are not kept: {why}")))
        }
        StoreState::WithoutLedger { why } => {
            (Status::Warn, "without-ledger", Some(format!("the ledger is not kept: {why}")))
        }
        StoreState::Gone { why } => (Status::Warn, "gone", Some(format!("nothing is kept: {why}"))),
    };
    Check { status, observed_value: value.into(), observed_unit: None, time: overview.now, output }
}

/// An operator's word stands above verdicts, so it must not be wrong in silence.
fn overrides(overview: &Overview) -> Check {
    let on_down = &overview.overrides_on_down;
    Check {
        status: if on_down.is_empty() { Status::Pass } else { Status::Fail },
        observed_value: overview.overrides_in_force.into(),
        observed_unit: Some("in force".to_owned()),
        time: overview.now,
        output: (!on_down.is_empty()).then(|| on_down.join("; ")),
    }
}

fn areas(overview: &Overview) -> Check {
    let view = &overview.areas;
    let status = if view.error.is_some() { Status::Warn } else { Status::Pass };
    Check {
        status,
        observed_value: view.loaded.as_ref().map_or(0, |database| database.prefixes).into(),
        observed_unit: Some("prefixes with a country".to_owned()),
        time: overview.now,
        output: view.error.clone(),
    }
}

fn zones(overview: &Overview) -> Check {
    let counts = overview.zones;
    let status = match counts {
        _ if counts.broken > 0 || counts.answering() == 0 => Status::Fail,
        _ if counts.stale > 0 => Status::Warn,
        _ => Status::Pass,
    };
    let output = match counts.answering() {
        0 => without_zones(overview),
        _ => format!("{} serve their last good text, {} answer SERVFAIL: see /v1/zones", counts.stale, counts.broken),
    };
    Check {
        status,
        observed_value: counts.serving.into(),
        observed_unit: Some("zones".to_owned()),
        time: overview.now,
        output: (status != Status::Pass).then_some(output),
    }
}

/// Why no question is answered.
pub fn without_zones(overview: &Overview) -> String {
    let what =
        if overview.zones.broken > 0 { "every zone is broken and answers SERVFAIL" } else { "no zone is served" };
    let reload = overview.last_reload.as_ref();
    match reload.and_then(|reload| reload.errors.first()) {
        Some(why) => format!("{what}: {why}"),
        None => what.to_owned(),
    }
}

fn provider(overview: &Overview, view: &ProviderView) -> Check {
    let StandingCounts { up, impaired, down, recovering, ramping, unknown } = view.candidates;
    let all = view.candidates.sum();
    let whole = view.whole.as_ref().filter(|whole| matches!(whole.verdict, Verdict::Impaired | Verdict::Down));
    let status = match all {
        _ if whole.is_some_and(|whole| whole.verdict == Verdict::Down) => Status::Fail,
        _ if whole.is_some() => Status::Warn,
        _ if all == up => Status::Pass,
        _ if up + ramping + impaired + unknown == 0 => Status::Fail,
        _ => Status::Warn,
    };
    let words = [
        (down, "down"),
        (recovering, "recovering"),
        (ramping, "ramping"),
        (impaired, "impaired"),
        (unknown, "unknown"),
    ];
    let mut parts: Vec<String> =
        words.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    parts.extend(whole.map(|whole| format!("as a whole it is {}: {}", whole.verdict, whole.evidence)));
    parts.extend(view.drained_by.map(|id| format!("drained by override {id}")));
    Check {
        status,
        observed_value: up.into(),
        observed_unit: Some(format!("of {all} candidates up")),
        time: overview.now,
        output: (!parts.is_empty()).then(|| parts.join(", ")),
    }
}

fn name_checks(names: &[NameView]) -> impl Iterator<Item = (String, Vec<Check>)> {
    let all = names.len() <= MOST_NAMES;
    let checks = names.iter().map(|view| (format!("name:{}", view.name), vec![name(view)]));
    checks.filter(move |(_, checks)| all || checks.iter().any(|check| check.status != Status::Pass)).take(MOST_NAMES)
}

fn name(view: &NameView) -> Check {
    let is = |verdict: Verdict| move |standing: Standing| standing.verdict() == verdict;
    let standings = view.candidates.iter().map(|candidate| candidate.standing);
    let status = match () {
        () if standings.clone().all(is(Verdict::Up)) && risks(view).next().is_none() => Status::Pass,
        () if !view.usable => Status::Fail,
        () => Status::Warn,
    };
    Check {
        status,
        observed_value: answer(view).into(),
        observed_unit: None,
        time: view.since,
        output: (status != Status::Pass).then(|| rules(view)),
    }
}

/// Why it answers as it does, and in areas that have no usable candidate.
fn rules(view: &NameView) -> String {
    let lost = view.areas.iter().filter(|area| !area.usable);
    let told =
        lost.fold(view.rule.clone(), |told, area| format!("{told}; in {}: {}", area.clients.join(", "), area.rule));
    risks(view).fold(told, |told, risk| format!("{told}; {risk}"))
}

/// Candidates that would break at the moment of need: `gcore is at risk: its certificate ends on 2026-12-01`.
fn risks(view: &NameView) -> impl Iterator<Item = String> {
    let at_risk = view.candidates.iter().filter(|candidate| !candidate.risks.is_empty());
    at_risk.map(|candidate| format!("{} is at risk: {}", candidate.id, candidate.risks.join("; ")))
}

/// Who answers, in short: `bunny 70%, gcore 30%`, `static`, `nobody`.
pub fn answer(view: &NameView) -> String {
    let shares = view.candidates.iter().map(|candidate| (&*candidate.id, candidate.share));
    answer_of(view.static_answer, shares)
}

/// The same for the clients of an area rule.
pub fn answer_in_area(view: &AreaView) -> String {
    answer_of(view.static_answer, view.shares.iter().map(|of| (&*of.id, of.share)))
}

fn answer_of<'a>(is_static: bool, shares: impl Iterator<Item = (&'a str, f64)>) -> String {
    if is_static {
        return "static".to_owned();
    }
    let serving = shares.filter(|(_, share)| *share > 0.0);
    let parts: Vec<String> = serving.map(|(id, share)| format!("{id} {}", percent(share))).collect();
    if parts.is_empty() { "nobody".to_owned() } else { parts.join(", ") }
}

/// `70%`, `33.3%`, `<0.1%`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let tenths = (percent * 10.0).round() / 10.0;
    match tenths {
        0.0 if share > 0.0 => "<0.1%".to_owned(),
        _ if tenths.fract() == 0.0 => format!("{tenths:.0}%"),
        _ => format!("{tenths:.1}%"),
    }
}

/// The word for an address family in labels and texts.
pub fn family_word(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::view::{AreasView, CandidateView, Counts, DoubtView, NameCounts, ProviderVerdictView};
    use crate::steer::readiness::ReadinessState;

    fn overview() -> Overview {
        Overview {
            version: "0.1.0".to_owned(),
            vantage: "here".to_owned(),
            started: Timestamp::UNIX_EPOCH,
            now: Timestamp::UNIX_EPOCH,
            generation: 1,
            serving: Serving::Serving,
            first_round: FirstRound::Done,
            zones: Counts { serving: 1, ..Counts::default() },
            names: NameCounts { steered: 1, without_usable: 0, without_usable_in_area: 0 },
            candidates: StandingCounts::default(),
            overrides_in_force: 0,
            frozen: false,
            overrides_on_down: Vec::new(),
            drill: None,
            planned_drills: Vec::new(),
            store: StoreState::Ok,
            areas: AreasView::default(),
            families_without_route: Vec::new(),
            udp_dropped: 0,
            tcp_connections: 0,
            doubts: Vec::new(),
            alerts: Vec::new(),
            last_reload: None,
            reloading: None,
        }
    }

    fn provider_view(candidates: StandingCounts) -> ProviderView {
        ProviderView {
            id: "bunny".to_owned(),
            name: "bunny.net".to_owned(),
            home: "si".to_owned(),
            status_page: None,
            candidates,
            serving_names: 0,
            drained_by: None,
            whole: None,
        }
    }

    fn name_view(standings: &[Standing]) -> NameView {
        let candidate = |(at, &standing): (usize, &Standing)| CandidateView {
            id: format!("c{at}"),
            provider: "bunny".to_owned(),
            home: "si".to_owned(),
            target: "a.b-cdn.net.".to_owned(),
            verdict: standing.verdict(),
            standing,
            since: Timestamp::UNIX_EPOCH,
            share: 1.0 / standings.len() as f64,
            reason: String::new(),
            standby: false,
            clean_until: None,
            ramp: None,
            failures_in_row: 0,
            recent_failures: (0, 0),
            last_pass: None,
            last_latency_ms: None,
            last_fault: None,
            addresses: Vec::new(),
            honours_subnets: None,
            addresses_by_area: Vec::new(),
            readiness: ReadinessState::Ready,
            risks: Vec::new(),
            at_risk_since: None,
            certificate: None,
        };
        NameView {
            name: "www.shop.example.".to_owned(),
            zone: "shop.example.".to_owned(),
            shape: "cname".to_owned(),
            ttl: 30,
            rule: "the rule".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            static_answer: false,
            usable: standings.iter().any(|standing| *standing != Standing::Down),
            candidates: standings.iter().enumerate().map(candidate).collect(),
            areas: Vec::new(),
        }
    }

    /// The table of the file's head.
    #[test]
    fn statuses_are_as_the_table_says() {
        use Status::{Fail, Pass, Warn};
        let with = |change: fn(&mut Overview)| {
            let mut overview = overview();
            change(&mut overview);
            overview
        };
        let doubtful = |overview: &mut Overview| {
            let (what, evidence) = ("v4".to_owned(), "all fails".to_owned());
            overview.doubts.push(DoubtView { what, since: Timestamp::UNIX_EPOCH, evidence });
        };
        let gone = |overview: &mut Overview| overview.store = StoreState::Gone { why: "disk".to_owned() };
        let aside =
            |overview: &mut Overview| overview.store = StoreState::SetAside { why: "bad".into(), moved_to: "x".into() };
        for (change, key, check, whole) in [
            ((|_| ()) as fn(&mut Overview), "server", Pass, Pass),
            (|overview| overview.serving = Serving::Starting, "server", Warn, Warn),
            (|overview| overview.serving = Serving::Stopping, "server", Fail, Fail),
            (|overview| overview.first_round = FirstRound::Pending, "server", Warn, Warn),
            (|overview| overview.frozen = true, "server", Warn, Warn),
            (doubtful, "server", Warn, Warn),
            (|overview| overview.families_without_route.push(Family::V6), "server", Warn, Warn),
            (|overview| overview.areas.error = Some("gone".into()), "areas", Warn, Warn),
            (gone, "store", Warn, Warn),
            (aside, "store", Warn, Warn),
            (|overview| overview.store = StoreState::WithoutLedger { why: "disk".into() }, "store", Warn, Warn),
            (|overview| overview.zones.stale = 1, "zones", Warn, Warn),
            (|overview| overview.zones.broken = 1, "zones", Fail, Fail),
            (|overview| overview.names.without_usable = 1, "server", Pass, Fail),
        ] {
            let health = of(&with(change), &[], &[]);
            assert_eq!((health.checks[key][0].status, health.status), (check, whole), "{key}: {health:?}");
        }
    }

    #[test]
    fn providers_and_names_make_the_whole_warn_at_most() {
        use Standing::{Down, Impaired, Ramping, Recovering, Unknown, Up};
        use Status::{Fail, Pass, Warn};
        let counts = |up, ramping, down, recovering, unknown| StandingCounts {
            up,
            impaired: 0,
            down,
            recovering,
            ramping,
            unknown,
        };
        for (candidates, status) in [
            (counts(0, 0, 0, 0, 0), Pass),
            (counts(2, 0, 0, 0, 0), Pass),
            (counts(1, 0, 1, 0, 0), Warn),
            (counts(0, 1, 1, 0, 0), Warn),
            (counts(0, 0, 0, 0, 1), Warn),
            (counts(0, 0, 1, 1, 0), Fail),
        ] {
            let health = of(&overview(), &[provider_view(candidates)], &[]);
            assert_eq!(health.checks["provider:bunny"][0].status, status, "{candidates:?}");
            assert_eq!(health.status, status.min(Warn));
        }
        for (verdict, status) in
            [(Verdict::Up, Pass), (Verdict::Unknown, Pass), (Verdict::Impaired, Warn), (Verdict::Down, Fail)]
        {
            let (since, evidence) = (Timestamp::UNIX_EPOCH, "7 of 12".to_owned());
            let whole = Some(ProviderVerdictView { verdict, since, counted: 12, fallen: 7, zones: 4, evidence });
            let view = ProviderView { whole, ..provider_view(counts(12, 0, 0, 0, 0)) };
            assert_eq!(of(&overview(), &[view], &[]).checks["provider:bunny"][0].status, status, "{verdict}");
        }
        for (standings, status) in [
            (&[Up, Up][..], Pass),
            (&[Up, Ramping], Pass),
            (&[Up, Down], Warn),
            (&[Impaired], Warn),
            (&[Unknown], Warn),
            (&[Recovering, Down], Warn),
            (&[Down, Down], Fail),
        ] {
            let health = of(&overview(), &[], &[name_view(standings)]);
            assert_eq!(health.checks["name:www.shop.example."][0].status, status, "{standings:?}");
            assert_eq!(health.status, status.min(Warn));
        }
    }

    #[test]
    fn of_very_many_names_those_that_do_not_pass_are_told() {
        let mut names = vec![name_view(&[Standing::Up]); MOST_NAMES];
        names.push(name_view(&[Standing::Down]));
        for (at, view) in names.iter_mut().enumerate() {
            view.name = format!("n{at}.example.");
        }
        let health = of(&overview(), &[], &names);
        let told: Vec<&String> = health.checks.keys().filter(|key| key.starts_with("name:")).collect();
        assert_eq!(told, [&format!("name:n{MOST_NAMES}.example.")]);
    }

    #[test]
    fn shares_are_rounded_and_never_to_nothing() {
        for (share, text) in
            [(0.0, "0%"), (1.0, "100%"), (0.7, "70%"), (1.0 / 3.0, "33.3%"), (0.0001, "<0.1%"), (0.9999, "100%")]
        {
            assert_eq!(percent(share), text);
        }
        assert_eq!(answer(&name_view(&[Standing::Up, Standing::Up])), "c0 50%, c1 50%");
    }
}
