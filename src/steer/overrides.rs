//! Overrides: an operator's word that outranks verdicts.
//!
//! | override | subject | effect |
//! | --- | --- | --- |
//! | drain | a provider, a candidate, a glob over `NAME/CANDIDATE`, a name or a zone | these candidates do not answer |
//! | pin | one candidate | its name answers with it alone, whatever its verdict |
//! | freeze | everything, a name or a zone | decisions stay as they are |
//! | drill | a provider | a small part of its clients is with the others, for a time |
//!
//! A drain may be gradual: what is drained keeps a part of its share that shrinks by a tenth of the whole at a time, until
//! nothing is left.
//!
//! Each has an author, a reason and may have an expiry. `only` stands above them: a pin that `only` forbids has no effect.
//! A pin stands above a drain, and of two pins of one name the later one holds.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::observation::CandidateKey;
use super::policy::{Candidate, SteeredName};
use super::time::Time;

/// One override in force, or one that has been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Unique, never used again; given by the controller, counting up from 1.
    pub id: u64,
    #[serde(flatten)]
    pub order: Order,
    pub author: String,
    pub reason: String,
    pub placed: Time,
    /// When it ends by itself; never, if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// When a gradual drain has left nothing; it began when it was placed. At once, if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<Time>,
}

/// In how many steps a gradual drain goes. Each is a decision, an event and a round of caches that run out, so they are
/// few; and no step moves more than a tenth of the share.
const DRAIN_STEPS: u64 = 10;

/// What an override orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "order", content = "subject")]
pub enum Order {
    Drain(DrainSubject),
    Pin(CandidateKey),
    Freeze,
    /// A freeze of some names alone.
    #[serde(rename = "freeze-in")]
    FreezeIn(Scope),
    Drill(Drill),
}

/// Some names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One steered name, absolute, lower case.
    Name(Arc<str>),
    /// All steered names of a zone, by its origin.
    Zone(Arc<str>),
    /// The name or the zone that is called so. An order that is placed says which; `release` need not.
    Domain(Arc<str>),
}

/// A small part of a provider's clients is with the others for a while, to see that they can be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Drill {
    pub provider: Arc<str>,
    /// How much of its share of each name, in thousandths.
    pub per_mille: u16,
}

impl Drill {
    /// How much of a provider's clients may be with the others, in thousandths.
    pub const SHARE: RangeInclusive<u16> = 1..=500;
    /// The longest drill.
    pub const LONGEST: Duration = Duration::from_secs(86_400);
    /// What is said of a share that is none.
    pub const SHARE_EXPECTED: &str = "from 0.1 % to 50 %, written as `1%`";

    /// A share as people write it (`1%`, `0.5%`), in thousandths; none where it is none, or not within [`Self::SHARE`].
    pub fn parse_share(text: &str) -> Option<u16> {
        let text = text.strip_suffix('%')?.trim_end();
        let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        if !digits(whole) || !digits(tenth) || tenth.len() != 1 {
            return None;
        }
        let share = whole.parse::<u16>().ok()?.checked_mul(10)?.checked_add(tenth.parse().ok()?)?;
        Self::SHARE.contains(&share).then_some(share)
    }
}

/// What a drain empties.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainSubject {
    /// All candidates of one provider.
    Provider(Arc<str>),
    /// One candidate.
    Candidate(CandidateKey),
    /// All candidates whose `NAME/CANDIDATE` the pattern matches: `*` any run of characters, `?` any one.
    Glob(String),
    /// All candidates of these names: what `empty` says answers.
    #[serde(rename = "names")]
    In(Scope),
}

impl Override {
    /// How much of its share a candidate that this drains may still hold, in percent.
    pub fn left(&self, now: Time) -> u8 {
        let done = u8::try_from(self.steps_done(now) * 100 / DRAIN_STEPS).unwrap_or(100);
        100 - done.min(100)
    }

    /// When less is left.
    pub fn next_step(&self, now: Time) -> Option<Time> {
        let done = self.steps_done(now);
        let span = self.empty?.since(self.placed);
        let step = u32::try_from(done + 1).ok().filter(|_| done < DRAIN_STEPS)?;
        // A millisecond more than the part that was rounded away.
        let millis = (span.as_millis() * u128::from(step)).div_ceil(u128::from(DRAIN_STEPS));
        Some(self.placed.after(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))))
    }

    fn steps_done(&self, now: Time) -> u64 {
        let Some(empty) = self.empty.filter(|&empty| now < empty) else { return DRAIN_STEPS };
        let (span, gone) = (empty.since(self.placed).as_millis(), now.since(self.placed).as_millis());
        u64::try_from(gone * u128::from(DRAIN_STEPS) / span.max(1)).map_or(DRAIN_STEPS, |done| done.min(DRAIN_STEPS))
    }
}

impl Scope {
    /// Whether the name is one of these.
    pub fn holds(&self, name: &SteeredName) -> bool {
        match self {
            Self::Name(own) => *own == name.name,
            Self::Zone(origin) => *origin == name.zone,
            Self::Domain(domain) => *domain == name.name || *domain == name.zone,
        }
    }
}

/// `name:www.shop.example.`, `zone:shop.example.`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "name:{name}"),
            Self::Zone(origin) => write!(f, "zone:{origin}"),
            Self::Domain(domain) => f.write_str(domain),
        }
    }
}

impl Order {
    /// Whether this order is about this candidate of this name. A freeze is about all.
    pub fn concerns(&self, name: &SteeredName, candidate: &Candidate) -> bool {
        match self {
            Self::Freeze => true,
            Self::FreezeIn(scope) => scope.holds(name),
            Self::Drill(drill) => candidate.provider == drill.provider,
            Self::Pin(key) => key.name == name.name && key.candidate == candidate.id,
            Self::Drain(subject) => subject.holds(name, candidate),
        }
    }
}

impl DrainSubject {
    fn holds(&self, name: &SteeredName, candidate: &Candidate) -> bool {
        match self {
            Self::Provider(id) => candidate.provider == *id,
            Self::Candidate(key) => key.name == name.name && key.candidate == candidate.id,
            Self::In(scope) => scope.holds(name),
            Self::Glob(pattern) => {
                // Most patterns begin with a name, which most names do not: these cost a comparison.
                let head = pattern.bytes().take_while(|c| !b"*?".contains(c));
                let fits = head.zip(name.name.bytes()).all(|(a, b)| a == b);
                fits && glob_matches(pattern, &format!("{}/{}", name.name, candidate.id))
            }
        }
    }
}

/// What an order is about, as people write it: `bunny`, `www.shop.example./bunny`, a glob, `everything`.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain(DrainSubject::Provider(id)) => f.write_str(id),
            Self::Drain(DrainSubject::Candidate(key)) | Self::Pin(key) => key.fmt(f),
            Self::Drain(DrainSubject::Glob(pattern)) => f.write_str(pattern),
            Self::Drain(DrainSubject::In(scope)) | Self::FreezeIn(scope) => scope.fmt(f),
            Self::Freeze => f.write_str("everything"),
            Self::Drill(drill) => f.write_str(&drill.provider),
        }
    }
}

/// Whether the pattern matches the whole text: `*` any run of characters, `?` any one. Names and ids are ASCII, so a
/// character is an octet. Its time grows with the product of both lengths at worst, whatever the pattern.
fn glob_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and up to where it has eaten.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, eaten)) = star else { return false };
                star = Some((at, eaten + 1));
                p = at + 1;
                t = eaten + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{IDS, NAME, START, candidate, order as order_of, steered};
    use super::*;

    #[test]
    fn a_glob_drains_what_it_matches() {
        let name = steered(NAME, IDS.iter().map(|id| candidate(id, "si", 1)).collect());
        for (pattern, drained) in [
            ("www.shop.example./bunny", 1),
            ("www.shop.example./*", 4),
            ("www.shop.example.", 0),
            ("www.*/b?nny", 1),
            ("w?w.*", 4),
            ("img.*", 0),
            ("*/fastly", 1),
            ("www.shop.example./bunny/", 0),
            ("", 0),
        ] {
            let order = Order::Drain(DrainSubject::Glob(pattern.to_owned()));
            let concerned = name.candidates.iter().filter(|candidate| order.concerns(&name, candidate));
            assert_eq!(concerned.count(), drained, "{pattern}");
        }
    }

    #[test]
    fn a_gradual_drain_goes_down_by_tenths() {
        for span in [1, 7, 10_000, 600_000, 86_400_001] {
            let order = Order::Drain(DrainSubject::Provider("bunny".into()));
            let empty = Some(START.after(Duration::from_millis(span)));
            let gradual = Override { empty, ..order_of(1, order, None) };
            let (mut now, mut left, mut steps) = (START, 100, 0);
            assert_eq!(gradual.left(now), 100);
            while let Some(next) = gradual.next_step(now) {
                assert!(next > now && Some(next) <= gradual.empty, "{span}: {next:?}");
                assert_eq!(gradual.left(Time(next.0 - 1)), left, "{span}: not before");
                assert!(gradual.left(next) < left, "{span}: less with each step");
                (now, left, steps) = (next, gradual.left(next), steps + 1);
            }
            assert_eq!((left, Some(now)), (0, gradual.empty), "{span}");
            assert!(steps <= 10);
        }
        let at_once = order_of(1, Order::Freeze, None);
        assert_eq!((at_once.left(START), at_once.next_step(START)), (0, None));
    }

    #[test]
    fn what_an_earlier_version_stored_is_read() {
        let text = r#"{"id":1,"order":"drain","subject":{"provider":"bunny"},"author":"a","reason":"b","placed":5}"#;
        let read: Override = serde_json::from_str(text).unwrap();
        assert_eq!((read.empty, read.left(START)), (None, 0));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        for order in [
            Order::Freeze,
            Order::FreezeIn(Scope::Zone("a.".into())),
            Order::Drain(DrainSubject::In(Scope::Name("a.".into()))),
            Order::Drill(Drill { provider: "bunny".into(), per_mille: 10 }),
        ] {
            let placed = order_of(1, order, Some(START));
            assert_eq!(serde_json::from_str::<Override>(&serde_json::to_string(&placed).unwrap()).unwrap(), placed);
        }
    }

    #[test]
    fn shares_of_drills_are_read() {
        for (text, share) in [
            ("1%", Some(10)),
            ("0.5 %", Some(5)),
            ("50%", Some(500)),
            ("50.1%", None),
            ("0%", None),
            ("1", None),
            ("1.25%", None),
            (".5%", None),
            ("-1%", None),
            ("99999%", None),
        ] {
            assert_eq!(Drill::parse_share(text), share, "{text}");
        }
    }

    #[test]
    fn globs() {
        let table = [
            ("*", "", true),
            ("*", "www.shop.example./bunny", true),
            ("*/bunny", "www.shop.example./bunny", true),
            ("*/bunny", "www.shop.example./bunny2", false),
            ("*.shop.example./*", "www.shop.example./bunny", true),
            ("*.shop.example./*", "www.shop2.example./bunny", false),
            ("www.*/b?nny", "www.shop.example./bunny", true),
            ("www.*/b?nny", "www.shop.example./bnny", false),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**a**", "bab", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(glob_matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!glob_matches(&"*a".repeat(60), &"a".repeat(59)));
    }
}
