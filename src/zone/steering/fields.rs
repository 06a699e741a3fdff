//! Fields of the policy and of candidates: which there are, and their values as far as they are given.
//!
//! Nothing is filled in here. `assemble` lays the owner's fields over those of `use`, these over the configuration's, these
//! over the built-in ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::areas;
use super::values::{self, Wrong};
use crate::steer::home::Home;
use crate::steer::policy::{Empty, Preference, Scheme, Sticky, Target};
use crate::steer::provider::Providers;
use crate::zone::log::Place;
use crate::zone::suggestion::suggestion;

/// Fields that a policy and a candidate may have.
const PROBE_FIELDS: [&str; 12] =
    ["probe", "host", "expect", "body", "not-body", "slow", "every", "timeout", "fall", "share", "clean", "ramp"];
const POLICY_FIELDS: [&str; 7] = ["prefer", "only", "ttl", "origin", "sticky", "empty", "use"];
const CANDIDATE_FIELDS: [&str; 7] = ["cdn", "to", "id", "weight", "max", "standby", "home"];

const MAX_SPAN: Duration = Duration::from_secs(7 * 86_400);
const MINUTE: Duration = Duration::from_secs(60);
const TENTH: Duration = Duration::from_millis(100);

/// A value with the place of its field; none where the configuration gives it.
#[derive(Clone, Debug)]
pub(super) struct Said<T> {
    pub value: T,
    pub place: Option<Place>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct PolicyFields {
    pub prefer: Option<Said<Vec<Preference>>>,
    pub only: Option<Said<Vec<Preference>>>,
    pub areas: BTreeMap<String, AreaFields>,
    pub ttl: Option<Said<u32>>,
    pub sticky: Option<Said<Sticky>>,
    pub empty: Option<Said<Empty>>,
    pub origin: Option<Said<String>>,
    pub uses: Option<Said<String>>,
    pub probe: ProbeFields,
}

#[derive(Clone, Debug, Default)]
pub(super) struct AreaFields {
    pub prefer: Option<Said<Vec<Preference>>>,
    pub only: Option<Said<Vec<Preference>>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ProbeFields {
    pub probe: Option<Said<(Scheme, u16, String)>>,
    pub host: Option<Said<String>>,
    pub expect: Option<Said<Vec<(u16, u16)>>>,
    pub body: Option<Said<String>>,
    pub not_body: Option<Said<String>>,
    pub slow: Option<Said<Duration>>,
    pub every: Option<Said<Duration>>,
    pub timeout: Option<Said<Duration>>,
    pub fall: Option<Said<u32>>,
    pub share: Option<Said<(u8, u16)>>,
    pub clean: Option<Said<Duration>>,
    pub ramp: Option<Said<Duration>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct CandidateFields {
    /// Provider and its home.
    pub cdn: Option<Said<(Arc<str>, Home)>>,
    pub to: Option<Said<Target>>,
    pub id: Option<Said<Arc<str>>>,
    pub weight: Option<Said<u32>>,
    pub max: Option<Said<u8>>,
    pub standby: Option<Said<bool>>,
    pub home: Option<Said<Home>>,
    pub probe: ProbeFields,
}

/// What names in values are checked against.
#[derive(Clone, Copy, Debug)]
pub(in crate::zone) struct Known<'a> {
    pub providers: &'a Providers,
    pub areas: &'a [String],
}

/// Why a field is not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// The field itself: unknown, or given twice.
    Field(Wrong),
    Value(Wrong),
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Self {
        Self::Value(wrong)
    }
}

/// Fills a slot, once.
fn set<T>(slot: &mut Option<Said<T>>, key: &str, value: T, place: Option<Place>) -> Result<(), Refused> {
    if slot.is_some() {
        return Err(Refused::Field(format!("`{key}` is given twice").into()));
    }
    *slot = Some(Said { value, place });
    Ok(())
}

impl PolicyFields {
    /// Takes one field; `v` is not among them.
    pub(super) fn take(&mut self, key: &str, raw: &str, place: Option<Place>, known: Known<'_>) -> Result<(), Refused> {
        if raw.is_empty() {
            return self.empty_value(key);
        }
        let text = || values::decoded(raw);
        match key {
            "prefer" => set(&mut self.prefer, key, values::preferences(&text()?, known.providers)?, place),
            "only" => set(&mut self.only, key, values::preferences(&text()?, known.providers)?, place),
            "ttl" => set(&mut self.ttl, key, values::number(&text()?, 1, 86_400)?, place),
            "sticky" => set(&mut self.sticky, key, values::sticky(&text()?)?, place),
            "empty" => set(&mut self.empty, key, values::empty(&text()?)?, place),
            "origin" => set(&mut self.origin, key, values::origin(raw)?, place),
            "use" => set(&mut self.uses, key, text()?, place),
            _ if key.starts_with("prefer.") || key.starts_with("only.") => self.take_area(key, raw, place, known),
            _ if PROBE_FIELDS.contains(&key) => self.probe.take(key, raw, place),
            _ => Err(Refused::Field(Self::unknown(key))),
        }
    }

    fn take_area(&mut self, key: &str, raw: &str, place: Option<Place>, known: Known<'_>) -> Result<(), Refused> {
        let (kind, area) = key.split_once('.').unwrap_or((key, ""));
        areas::check(area, known.areas).map_err(|message| Refused::Field(message.into()))?;
        let value = values::preferences(&values::decoded(raw)?, known.providers)?;
        let fields = self.areas.entry(area.to_owned()).or_default();
        let slot = if kind == "prefer" { &mut fields.prefer } else { &mut fields.only };
        set(slot, key, value, place)
    }

    fn empty_value(&self, key: &str) -> Result<(), Refused> {
        let is_area = key.starts_with("prefer.") || key.starts_with("only.");
        let known = POLICY_FIELDS.contains(&key) || PROBE_FIELDS.contains(&key) || is_area;
        Err(Refused::Field(if known { format!("`{key}` has no value").into() } else { Self::unknown(key) }))
    }

    fn unknown(key: &str) -> Wrong {
        if CANDIDATE_FIELDS.contains(&key) {
            return Wrong::with_help(
                format!("`{key}` is a field of candidates, and this record is a policy"),
                "a candidate is a TXT record of its own that begins with `cdn=`",
            );
        }
        unknown(key, "policy", POLICY_FIELDS.iter().chain(&PROBE_FIELDS))
    }
}

impl ProbeFields {
    fn take(&mut self, key: &str, raw: &str, place: Option<Place>) -> Result<(), Refused> {
        let text = || values::decoded(raw);
        let span = |min, max| values::duration(&text()?, min, max);
        match key {
            "probe" => set(&mut self.probe, key, values::probe(raw)?, place),
            "host" => set(&mut self.host, key, values::host(&text()?)?, place),
            "expect" => set(&mut self.expect, key, values::expect(&text()?)?, place),
            "body" => set(&mut self.body, key, values::marker(&text()?)?, place),
            "not-body" => set(&mut self.not_body, key, values::marker(&text()?)?, place),
            "slow" => set(&mut self.slow, key, span(Duration::from_millis(1), MINUTE)?, place),
            "every" => set(&mut self.every, key, span(TENTH, MINUTE * 60)?, place),
            "timeout" => set(&mut self.timeout, key, span(TENTH, MINUTE)?, place),
            "fall" => set(&mut self.fall, key, values::number(&text()?, 1, 100)?, place),
            "share" => set(&mut self.share, key, values::share(&text()?)?, place),
            "clean" => set(&mut self.clean, key, span(Duration::from_secs(1), MAX_SPAN)?, place),
            "ramp" => set(&mut self.ramp, key, span(Duration::ZERO, MAX_SPAN)?, place),
            _ => Err(Refused::Field(format!("`{key}` is no field").into())),
        }
    }

    /// These, and what is not given here from `other`.
    pub(super) fn or(&self, other: &Self) -> Self {
        let (a, b) = (self.clone(), other.clone());
        Self {
            probe: a.probe.or(b.probe),
            host: a.host.or(b.host),
            expect: a.expect.or(b.expect),
            body: a.body.or(b.body),
            not_body: a.not_body.or(b.not_body),
            slow: a.slow.or(b.slow),
            every: a.every.or(b.every),
            timeout: a.timeout.or(b.timeout),
            fall: a.fall.or(b.fall),
            share: a.share.or(b.share),
            clean: a.clean.or(b.clean),
            ramp: a.ramp.or(b.ramp),
        }
    }
}

impl PolicyFields {
    /// These, and what is not given here from `other`; `use` is never taken over.
    pub(super) fn or(&self, other: &Self) -> Self {
        let (a, b) = (self.clone(), other.clone());
        let mut areas = b.areas;
        for (area, fields) in a.areas {
            let slot = areas.entry(area).or_default();
            slot.prefer = fields.prefer.or(slot.prefer.take());
            slot.only = fields.only.or(slot.only.take());
        }
        Self {
            prefer: a.prefer.or(b.prefer),
            only: a.only.or(b.only),
            areas,
            ttl: a.ttl.or(b.ttl),
            sticky: a.sticky.or(b.sticky),
            empty: a.empty.or(b.empty),
            origin: a.origin.or(b.origin),
            uses: a.uses,
            probe: a.probe.or(&b.probe),
        }
    }
}

impl CandidateFields {
    /// Takes one field.
    pub(super) fn take(&mut self, key: &str, raw: &str, place: Option<Place>, known: Known<'_>) -> Result<(), Refused> {
        let is_known = CANDIDATE_FIELDS.contains(&key) || PROBE_FIELDS.contains(&key);
        if !is_known {
            return Err(Refused::Field(Self::unknown(key)));
        }
        if raw.is_empty() {
            return Err(Refused::Field(format!("`{key}` has no value").into()));
        }
        let text = || values::decoded(raw);
        match key {
            "cdn" => set(&mut self.cdn, key, provider(&text()?, known.providers)?, place),
            "to" => set(&mut self.to, key, values::target(&text()?)?, place),
            "id" => set(&mut self.id, key, values::id(&text()?)?, place),
            "weight" => set(&mut self.weight, key, values::number(&text()?, 0, 1_000_000)?, place),
            "max" => set(&mut self.max, key, values::number(&text()?, 1, 100)? as u8, place),
            "standby" => set(&mut self.standby, key, values::standby(&text()?)?, place),
            "home" => set(&mut self.home, key, values::home(&text()?)?, place),
            _ => self.probe.take(key, raw, place),
        }
    }

    fn unknown(key: &str) -> Wrong {
        if POLICY_FIELDS.contains(&key) || key == "v" || key.starts_with("prefer.") || key.starts_with("only.") {
            return Wrong::with_help(
                format!("`{key}` is a field of the policy, and this record is a candidate"),
                "the policy is the TXT record that begins with `v=steer1`",
            );
        }
        unknown(key, "candidate", CANDIDATE_FIELDS.iter().chain(&PROBE_FIELDS))
    }
}

fn unknown<'a>(key: &str, of: &str, known: impl Iterator<Item = &'a &'a str> + Clone) -> Wrong {
    let message = format!("`{key}` is no {of} field");
    match suggestion(key, known.clone().copied()) {
        Some(near) => Wrong::with_help(message, format!("did you mean `{near}`?")),
        None => Wrong::with_help(message, format!("known are {}", known.copied().collect::<Vec<_>>().join(", "))),
    }
}

fn provider(id: &str, providers: &Providers) -> Result<(Arc<str>, Home), Wrong> {
    if let Some(provider) = providers.find(id) {
        return Ok((provider.id.clone(), provider.home));
    }
    let all: Vec<&str> = providers.iter().map(|provider| &*provider.id).collect();
    let near = suggestion(id, all.iter().copied()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let help = format!("{near}known are {}; a `[provider.{id}]` in the configuration adds one", all.join(", "));
    Err(Wrong::with_help(format!("`{id}` is no known provider"), help))
}
