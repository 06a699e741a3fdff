//! Jurisdiction: for how long and how often which provider, under which law, answered for which name.
//!
//! The document says itself how far it is to be trusted: from when to when it tells, what is missing in between and why,
//! and whether anything may be missing that was not counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::books::EVERY;
use super::message::Reply;
use super::task::Task;
use super::timestamp;
use crate::steer::home::Home;
use crate::steer::ledger::{Account, Party, Run};
use crate::steer::time::Time;
use crate::store::{Served, ServedQuery, StoreError};

/// Gaps that are told one by one.
const GAPS: usize = 1_000;
/// What a crash may lose at most, in seconds: `EVERY`, and the time that a commit takes.
pub const LOST_BY_A_CRASH: u64 = 10;

/// `GET /v1/jurisdiction`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jurisdiction {
    /// What this tells of: what was asked for, as far as it is over, widened to whole hours or days.
    pub from: Timestamp,
    pub until: Timestamp,
    /// `hour`, or `day` where the beginning is too long ago for hours.
    pub resolution: String,
    /// Nothing is missing but the gaps. False where the server crashed in that time, or could not store something.
    pub exact: bool,
    /// Something of that time could not be stored, or cannot be read any longer.
    #[serde(default)]
    pub lacking: bool,
    /// Seconds in which the server ran and counted: gaps are not in them.
    pub covered_seconds: f64,
    /// Times that nothing is counted of, in order; the first 1,000.
    pub gaps: Vec<Gap>,
    /// All names together, by provider and home. Seconds are those of names' plain rules, so two names that answer for a
    /// second are two seconds; answers are all.
    pub totals: Vec<Share>,
    pub names: Vec<Named>,
}

/// A time without a count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    pub from: Timestamp,
    pub until: Timestamp,
    pub seconds: f64,
    pub why: String,
}

/// One name under one of its area rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    pub name: String,
    /// What the area rule says: `prefer=eu only=eu`; missing for clients without one of their own. The time of each rule is
    /// counted apart: they run beside each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    pub served: Vec<Share>,
}

/// What one provider answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// `static`: the owner's own records.
    pub provider: String,
    /// None for the owner's own records.
    pub home: Option<Home>,
    /// Weighted by shares: half of the clients for 100 s are 50 s.
    pub seconds: f64,
    pub answers: u64,
}

impl Task {
    pub(super) fn jurisdiction(&mut self, query: ServedQuery, reply: Reply<Result<Jurisdiction, StoreError>>) {
        self.keep_books_for_who_asks();
        let store = self.keeping.store().clone();
        tokio::spawn(async move {
            let served = store.served(query).await;
            drop(reply.send(served.map(|served| Jurisdiction::of(&served))));
        });
    }
}

impl Jurisdiction {
    fn of(served: &Served) -> Self {
        let within = |run: &&Run| run.until >= served.from && run.from <= served.until;
        let runs: Vec<&Run> = served.runs.iter().filter(within).collect();
        let last = served.runs.len().saturating_sub(1);
        let crashed =
            |(at, run): (usize, &Run)| at != last && !run.clean && (served.from..=served.until).contains(&run.until);
        let lacking = served.lacking || runs.iter().any(|run| run.lacking);
        let exact = !lacking && !served.runs.iter().copied().enumerate().any(|(at, run)| crashed((at, &run)));
        let covered = runs.iter().map(|run| run.until.min(served.until).since(run.from.max(served.from)).as_secs_f64());
        Self {
            from: timestamp(served.from),
            until: timestamp(served.until),
            resolution: if served.by_day { "day" } else { "hour" }.to_owned(),
            exact,
            lacking,
            covered_seconds: covered.sum(),
            gaps: gaps(served),
            totals: totals(&served.sums),
            names: names(&served.sums),
        }
    }
}

/// What lies between the runs, and before the first.
fn gaps(served: &Served) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut note = |from: Time, until: Time, why: String| {
        let (from, until) = (from.max(served.from), until.min(served.until));
        if from < until && gaps.len() < GAPS {
            let seconds = until.since(from).as_secs_f64();
            gaps.push(Gap { from: timestamp(from), until: timestamp(until), seconds, why });
        }
    };
    let first = served.runs.first().map_or(served.until, |run| run.from);
    note(served.from, first, "before the first time that is known".to_owned());
    for pair in served.runs.windows(2) {
        let [before, after] = pair else { continue };
        let why = if before.clean {
            "the server was stopped".to_owned()
        } else {
            format!(
                "the server ended without a clean stop: of its last seconds, {LOST_BY_A_CRASH} at most, nothing is counted"
            )
        };
        note(before.until, after.from, why);
    }
    gaps
}

fn totals(sums: &BTreeMap<Account, (u64, u64)>) -> Vec<Share> {
    let mut parties: BTreeMap<&Option<Party>, (u64, u64)> = BTreeMap::new();
    for (account, (millis, answers)) in sums {
        let sum = parties.entry(&account.party).or_default();
        sum.0 += if account.rule.is_empty() { *millis } else { 0 };
        sum.1 += answers;
    }
    parties.into_iter().map(|(party, sum)| Share::of(party.as_ref(), sum)).collect()
}

fn names(sums: &BTreeMap<Account, (u64, u64)>) -> Vec<Named> {
    let mut names: Vec<Named> = Vec::new();
    let mut last: Option<(&Arc<str>, &Arc<str>)> = None;
    for (account, sum) in sums {
        if last != Some((&account.name, &account.rule)) {
            last = Some((&account.name, &account.rule));
            let rule = Some(account.rule.to_string()).filter(|rule| !rule.is_empty());
            names.push(Named { name: account.name.to_string(), rule, served: Vec::new() });
        }
        if let Some(named) = names.last_mut() {
            named.served.push(Share::of(account.party.as_ref(), *sum));
        }
    }
    names
}

impl Share {
    fn of(party: Option<&Party>, (millis, answers): (u64, u64)) -> Self {
        Self {
            provider: party.map_or_else(|| "static".to_owned(), |party| party.provider.to_string()),
            home: party.map(|party| party.home),
            seconds: std::time::Duration::from_millis(millis).as_secs_f64(),
            answers,
        }
    }
}

const _: () = assert!(EVERY.as_secs() < LOST_BY_A_CRASH);
