//! The demo's story as data: 5 December 2025 in short, told with a name of the zones at hand.
//!
//! On that day one US provider answered 500 to a quarter of the web for 25 minutes, over perfectly healthy TCP and TLS,
//! while its own test pages stayed green. The story needs a steered name that answers with CNAMEs, whose first level
//! holds a provider at home in the European Union and one from the United States; `www.shop.example.` of the example
//! zones is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::mode::Mode;
use crate::steer::home::Home;
use crate::steer::policy::{Candidate, Scheme, Shape, SteeredName, Sticky, Target};

/// A script with its cast.
#[derive(Clone, Debug)]
pub struct Story {
    /// The steered name: absolute, lower case.
    pub name: Arc<str>,
    /// Whose each target is.
    pub targets: BTreeMap<Arc<str>, Arc<str>>,
    /// The provider that will fail.
    pub faller: Arc<str>,
    /// The host and path that are probed through it.
    pub page: (String, String),
    /// Who serves while all is right.
    pub serving: BTreeSet<Arc<str>>,
    pub steps: Vec<Step>,
}

/// One step: what happens, and what must then be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub says: String,
    pub act: Act,
    pub must: Vec<Must>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Nothing,
    /// The faller gets this mode.
    Put(Mode),
}

/// What must be seen, asked over real sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Must {
    /// The API calls Pointsman ready, and the serving candidates up, within this time.
    BeReady { within: Duration },
    /// The DNS names exactly these providers, within this time from the last act.
    Serve { who: BTreeSet<Arc<str>>, within: Duration },
    /// The API calls the faller down, within this time.
    BeDown { within: Duration },
    /// The DNS does not name the faller, at any time in this span.
    StayAway { span: Duration },
    /// The faller's edge answers the customer's page and its own test page with these statuses.
    EdgeSays { page: u16, test_page: u16 },
    /// Clients who were never with the faller have kept their provider all along.
    NobodyElseMoved,
    /// Every client is where it was at the start.
    SameAsBefore,
    /// The API tells of the fall and of the return.
    BeWrittenDown,
}

/// For starting, the first probes, and a machine that is busy.
const READY: Duration = Duration::from_secs(30);
/// From the fault to the changed answer: the pace is a second, and three failures are needed; a busy machine takes longer.
const TO_STEER: Duration = Duration::from_secs(60);
/// To the returned answer, beyond the clean window.
const TO_RETURN: Duration = Duration::from_secs(60);

impl Story {
    /// The story with the first of these names that it can be told with.
    pub fn with(names: &[Arc<SteeredName>]) -> Option<Self> {
        names.iter().find_map(|name| Self::told_by(name))
    }

    fn told_by(name: &SteeredName) -> Option<Self> {
        if name.shape != Shape::Cname || name.policy.sticky != Sticky::Yes {
            return None;
        }
        let first = first_level(name);
        let faller = *first.iter().find(|candidate| is_american(candidate) && has_a_page(candidate))?;
        if !first.iter().any(|candidate| candidate.home.is_within(Home::EU)) {
            return None;
        }
        let targets = name.candidates.iter().filter_map(|candidate| match &candidate.target {
            Target::Name(target) => Some((target.clone(), candidate.provider.clone())),
            Target::Addresses(_) => None,
        });
        let serving: BTreeSet<_> = first.iter().map(|candidate| candidate.provider.clone()).collect();
        Some(Self {
            name: name.name.clone(),
            targets: targets.collect(),
            faller: faller.provider.clone(),
            page: (faller.probe.host.clone(), faller.probe.path.clone()),
            steps: script(&faller.provider, &serving, faller.judgement.clean),
            serving,
        })
    }
}

fn script(faller: &Arc<str>, serving: &BTreeSet<Arc<str>>, clean: Duration) -> Vec<Step> {
    let others: BTreeSet<_> = serving.iter().filter(|id| *id != faller).cloned().collect();
    let list = |ids: &BTreeSet<Arc<str>>| ids.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" and ");
    let window = clean.as_secs();
    let step = |says: String, act, must: &[Must]| Step { says, act, must: must.to_vec() };
    vec![
        step(
            format!("all is well: {} serve", list(serving)),
            Act::Nothing,
            &[Must::BeReady { within: READY }, Must::Serve { who: serving.clone(), within: READY }],
        ),
        step(
            format!("{faller} begins to answer 500, and its own test page stays green"),
            Act::Put(Mode::DEFAULT_FAULT),
            &[Must::EdgeSays { page: 500, test_page: 200 }],
        ),
        step(
            format!("the answer changes: {} alone", list(&others)),
            Act::Nothing,
            &[Must::Serve { who: others, within: TO_STEER }, Must::NobodyElseMoved, Must::BeDown { within: TO_STEER }],
        ),
        step(
            format!("{faller} works again, and is not trusted yet: its clean window is {window} s"),
            Act::Put(Mode::Right),
            &[Must::EdgeSays { page: 200, test_page: 200 }, Must::StayAway { span: clean * 7 / 10 }],
        ),
        step(
            format!("{faller} was clean for {window} s, and is taken back"),
            Act::Nothing,
            &[Must::Serve { who: serving.clone(), within: clean + TO_RETURN }, Must::SameAsBefore],
        ),
        step("what Pointsman has written down".to_owned(), Act::Nothing, &[Must::BeWrittenDown]),
    ]
}

/// The candidates that serve while all are up: those of the best level, standbys aside.
fn first_level(name: &SteeredName) -> Vec<&Candidate> {
    let policy = &name.policy;
    let allowed = |candidate: &&Candidate| {
        let only = policy.only.as_ref();
        !candidate.standby && only.is_none_or(|only| only.iter().any(|entry| entry.matches(candidate)))
    };
    let level = |candidate: &Candidate| {
        policy.prefer.iter().position(|entry| entry.matches(candidate)).unwrap_or(policy.prefer.len())
    };
    let best = name.candidates.iter().filter(allowed).map(level).min();
    let first: Vec<_> =
        name.candidates.iter().filter(allowed).filter(|candidate| Some(level(candidate)) == best).collect();
    let weighed = first.iter().any(|candidate| candidate.weight > 0);
    first.into_iter().filter(|candidate| candidate.weight > 0 || !weighed).collect()
}

fn is_american(candidate: &Candidate) -> bool {
    candidate.home.as_str() == "us"
}

fn has_a_page(candidate: &Candidate) -> bool {
    candidate.probe.scheme == Scheme::Https
}
