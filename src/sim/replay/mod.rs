//! Replay: the same core that the server runs, driven through an incident in simulated time.
//!
//! ```text
//!  incident (TOML) --> world        who fails whom and when, for one seed
//!                        |   \
//!             drive (the core)  peers (other rules)    --> answers of each name over time
//!                        \   /
//!                      visitors      resolver caches: where visitors are, and what they lose
//!                          |
//!                      outcome       figures of one name and one seed
//!                          |
//!                      report        over all seeds --> table, JSON, picture, budget
//! ```
//!
//! Equal incidents, names and seeds give equal reports, whatever the number of threads.

pub mod answers;
pub mod budget;
pub mod document;
pub mod draw;
pub mod drive;
pub mod faults;
pub mod incident;
pub mod outcome;
pub mod peers;
pub mod picture;
pub mod report;
pub mod visitors;
pub mod world;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::incident::{ALL, Incident, PREFERRED, Subject};
use self::outcome::{Outcome, play};
use self::peers::Peer;
use self::report::Report;
use self::world::concerns;
use crate::steer::policy::SteeredName;

/// The most seeds of one replay.
pub const MAX_SEEDS: u32 = 10_000;
/// The most names of one replay.
pub const MAX_NAMES: usize = 2_000;

/// What to replay.
#[derive(Clone, Debug)]
pub struct Replay {
    pub incident: Incident,
    /// Those that the incident has something to do with, by name.
    pub names: Vec<Arc<SteeredName>>,
    /// Those that it has not.
    pub untouched: Vec<Arc<str>>,
    /// The provider that most names prefer.
    pub preferred: Arc<str>,
    pub against: Vec<Peer>,
    pub seeds: u32,
}

/// Why nothing can be replayed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReplayError {
    #[error("there is no steered name to replay it with")]
    NoNames,
    #[error("none of the {names} steered names has a provider that the incident is about ({providers})")]
    AllUntouched { names: usize, providers: String },
    #[error("{0} names are touched: a replay takes at most {MAX_NAMES}")]
    TooManyNames(usize),
}

impl Replay {
    /// Sorts the names out.
    pub fn new(
        incident: Incident,
        mut names: Vec<Arc<SteeredName>>,
        against: Vec<Peer>,
        seeds: u32,
    ) -> Result<Self, ReplayError> {
        names.sort_by(|a, b| a.name.cmp(&b.name));
        names.dedup_by(|a, b| a.name == b.name);
        let Some(preferred) = most_preferred(&names) else { return Err(ReplayError::NoNames) };
        let all = names.len();
        let (names, others): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| concerns(&incident, name, &preferred));
        if names.is_empty() {
            let providers = incident.providers().join(", ");
            return Err(ReplayError::AllUntouched { names: all, providers });
        }
        if names.len() > MAX_NAMES {
            return Err(ReplayError::TooManyNames(names.len()));
        }
        let untouched = others.iter().map(|name| Arc::clone(&name.name)).collect();
        Ok(Self { incident, names, untouched, preferred, against, seeds: seeds.clamp(1, MAX_SEEDS) })
    }

    /// Plays all seeds, on so many threads, and sums up.
    pub fn run(&self, threads: NonZeroUsize) -> Report {
        let next = AtomicUsize::new(0);
        let seeds = self.seeds as usize;
        let mut played: Vec<(usize, Vec<Outcome>)> = std::thread::scope(|scope| {
            let work = || {
                let mut mine = Vec::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return mine;
                    }
                    mine.push((seed, play(self, seed as u64)));
                }
            };
            let threads: Vec<_> = (0..threads.get().min(seeds)).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        played.sort_unstable_by_key(|(seed, _)| *seed);
        Report::new(self, &played.into_iter().map(|(_, outcomes)| outcomes).collect::<Vec<_>>())
    }
}

impl Incident {
    /// The providers that it is about, as its spans say.
    pub fn providers(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for span in &self.spans {
            let said = match &span.subject {
                Subject::Provider(id) => id.clone(),
                Subject::Candidate { name, candidate } => format!("{name}/{candidate}"),
                Subject::Origin(name) if name != ALL => format!("the origin of {name}"),
                _ => continue,
            };
            if !ids.contains(&said) {
                ids.push(said);
            }
        }
        ids
    }

    /// The provider to prefer where no zones are given.
    pub fn suggested(&self) -> &str {
        let provider = self.spans.iter().find_map(|span| match &span.subject {
            Subject::Provider(id) if id != ALL && id != PREFERRED => Some(id.as_str()),
            _ => None,
        });
        provider.unwrap_or("bunny")
    }

    /// The same with another part of requests that fail, wherever a provider or a candidate does.
    #[must_use]
    pub fn with_fails(mut self, fails: f64) -> Self {
        for span in &mut self.spans {
            if matches!(span.subject, Subject::Provider(_) | Subject::Candidate { .. }) {
                span.fails = (fails, if span.fails.1 < span.fails.0 { span.fails.1.min(fails) } else { fails });
            }
        }
        self
    }
}

/// The provider that is the first choice of most names; of those with equally many the first by id.
fn most_preferred(names: &[Arc<SteeredName>]) -> Option<Arc<str>> {
    let mut counts: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for name in names {
        let level = |at: usize| peers::level(name, &name.candidates[at]);
        let first = (0..name.candidates.len())
            .filter_map(|at| Some((level(at)?, std::cmp::Reverse(name.candidates[at].weight), at)))
            .min();
        if let Some((.., at)) = first {
            *counts.entry(Arc::clone(&name.candidates[at].provider)).or_default() += 1;
        }
    }
    let most = counts.values().max().copied()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(id, _)| id)
}
