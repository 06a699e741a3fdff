//! Keeping the ledger's books: what is published and what the threads answered go in, what is to be stored comes out.
//!
//! Time needs no look: the ledger knows since when which decision is in force. Answers are in the tally that was published
//! with the image; a tally of an image before is read until no state holds it, and once more then, so that a reload loses none.
//!
//! Every [`EVERY`] all that changed goes to the disk as one batch, with the time until which it holds, so that a crash
//! loses what came after and nothing else. A clean stop writes once more, after the last answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use tokio::time::Instant;

use super::rates::Rates;
use super::task::Task;
use crate::image::Image;
use crate::image::published::Published;
use crate::image::tally::{Cell, Tally};
use crate::steer::areas::{AreaRules, PLAIN};
use crate::steer::decision::{Decision, Source};
use crate::steer::drill_report::DrillMove;
use crate::steer::ledger::{Account, KeptLedger, Ledger, Party, Points, Run};
use crate::steer::policy::SteeredName;
use crate::steer::shares::POINTS;
use crate::steer::time::Time;
use crate::store::KeptLedgerFiles;

/// How often the books are written. A crash may lose so much and what a commit takes, and that is to be at most 10 s.
pub(super) const EVERY: Duration = Duration::from_secs(7);
/// Who asks makes the books be written no more often than this.
const ASKED: Duration = Duration::from_secs(1);
/// No account is known of this cell yet.
const UNKNOWN: u32 = u32::MAX;

/// The books.
pub(super) struct Books {
    ledger: Ledger,
    rates: Rates,
    /// This one; none before the first publication.
    run: Option<Run>,
    /// Threads that answer.
    threads: usize,
    /// The last is of what is published.
    counting: Vec<Counting>,
    next: Instant,
    /// When they were written last.
    written: Option<Instant>,
    /// Answers by account since the drill in force began.
    during: Option<HashMap<u32, u64>>,
    /// What stands for the plain area rule.
    plain: Arc<str>,
}

/// A tally, and whose its cells are.
struct Counting {
    tally: Arc<Tally>,
    seen: Vec<u32>,
    /// By cell, as far as they are known.
    accounts: Vec<u32>,
    rows: Vec<Row>,
}

/// The cells of one slot of the image.
struct Row {
    first: Cell,
    name: Arc<SteeredName>,
    areas: Option<Arc<AreaRules>>,
}

impl Books {
    /// Takes up what was kept.
    pub(super) fn new(kept: &KeptLedger, threads: usize, now: Time) -> Self {
        Self {
            ledger: Ledger::restore(kept, now),
            rates: Rates::new(now),
            run: None,
            threads,
            counting: Vec::new(),
            next: Instant::now() + EVERY,
            written: None,
            during: None,
            plain: "".into(),
        }
    }

    /// When they are to be written.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Rows of cells for the slots of an image, and the tally that it is to be published with.
    pub(super) fn open(&mut self, image: &Image, areas: impl Fn(&SteeredName) -> Option<Arc<AreaRules>>) -> Arc<Tally> {
        let mut next = Cell::FIRST;
        let mut rows = Vec::with_capacity(image.slots().len());
        for name in image.slots() {
            let areas = areas(name).filter(|areas| !areas.is_plain());
            let rules = areas.as_ref().map_or(1, |areas| areas.count());
            rows.push(Row { first: next, name: name.clone(), areas });
            next = next.after(rules * (name.candidates.len() + 1));
        }
        let tally = Arc::new(Tally::new(self.threads, next));
        let accounts = vec![UNKNOWN; next.index()];
        self.counting.push(Counting { tally: tally.clone(), seen: Vec::new(), accounts, rows });
        tally
    }

    /// The cells of a slot of the image that is published.
    pub(super) fn cells(&self, slot: usize) -> Option<Cell> {
        Some(self.counting.last()?.rows.get(slot)?.first)
    }

    /// What a name answers from now on.
    fn decide(&mut self, name: &SteeredName, areas: Option<&AreaRules>, decisions: &[&Decision], now: Time) {
        let points = |(rule, decision): (usize, &&Decision)| self.points(name, areas, rule, decision);
        let rules = decisions.iter().enumerate().map(points).collect();
        self.ledger.decide(&name.name, rules, now);
    }

    fn points(&self, name: &SteeredName, areas: Option<&AreaRules>, rule: usize, decision: &Decision) -> Points {
        let rule_text = self.rule_text(name, areas, rule);
        let account = |candidate| account(name, &rule_text, candidate);
        let Source::Candidates(shares) = &decision.source else { return vec![(account(None), POINTS)] };
        (0..).zip(&name.candidates).map(|(at, _)| (account(Some(usize::from(at))), shares.points(at))).collect()
    }

    fn rule_text(&self, name: &SteeredName, areas: Option<&AreaRules>, rule: usize) -> Arc<str> {
        let terms = areas.filter(|_| rule != PLAIN).map(|areas| areas.terms(rule, &name.policy).to_string());
        terms.map_or_else(|| Arc::clone(&self.plain), Arc::from)
    }

    /// Reads what the threads counted.
    fn fold(&mut self) {
        let mut counting = std::mem::take(&mut self.counting);
        let current = counting.len().saturating_sub(1);
        let mut at = 0;
        counting.retain_mut(|counting| {
            let held = at == current || Arc::strong_count(&counting.tally) > 1;
            at += 1;
            // What the last holder counted was before it let go.
            fence(Ordering::Acquire);
            for (cell, answers) in counting.tally.fold(&mut counting.seen) {
                if let Some(account) = self.account_of(counting, cell) {
                    self.ledger.count(account, answers.into());
                    self.rates.count(account, answers.into());
                    if let Some(during) = &mut self.during {
                        *during.entry(account).or_default() += u64::from(answers);
                    }
                }
            }
            held
        });
        self.counting = counting;
    }

    fn account_of(&mut self, counting: &mut Counting, cell: usize) -> Option<u32> {
        let known = counting.accounts.get_mut(cell)?;
        if *known == UNKNOWN {
            let at = counting.rows.partition_point(|row| row.first.index() <= cell).checked_sub(1)?;
            let Row { first, name, areas } = counting.rows.get(at)?;
            let (place, length) = (cell - first.index(), name.candidates.len() + 1);
            let rule = self.rule_text(name, areas.as_deref(), place / length);
            *known = self.ledger.account(account(name, &rule, (place % length).checked_sub(1)));
        }
        Some(*known)
    }

    /// Counts the answers from now on for the record of a drill.
    pub(super) fn count_anew(&mut self) {
        self.fold();
        self.during = Some(HashMap::new());
    }

    /// Hands over all that is to be written so that everything until `now` is kept.
    fn write(&mut self, files: &KeptLedgerFiles, now: Time) {
        self.fold();
        self.rates.counted(now);
        // Before the first publication there is nothing to tell.
        let Some(run) = &mut self.run else { return };
        run.until = now;
        if files.wants_whole() {
            self.ledger.write_whole();
        }
        files.post(self.ledger.changes(now), *run);
    }
}

impl Task {
    /// Counts the answers until now, for `rate_of`.
    pub(super) fn measure_rates(&mut self) {
        self.books.fold();
        self.books.rates.counted(self.clock.now());
    }

    /// Notes who gave how many answers since the drill in force began, which is over.
    pub(super) fn count_answers_of(&mut self, moves: &mut [DrillMove]) {
        self.books.fold();
        let Some(during) = self.books.during.take() else { return };
        for of in moves {
            let Some(name) = self.steering.name(&of.name) else { continue };
            let rule = Arc::from(of.rule.as_str());
            for held in &mut of.held {
                let at = name.candidates.iter().position(|candidate| candidate.id == held.candidate);
                let known = at.and_then(|at| self.books.ledger.known(&account(name, &rule, Some(at))));
                held.answers = Some(known.and_then(|number| during.get(&number).copied()).unwrap_or(0));
            }
        }
    }

    /// The time that rates are of, in seconds.
    pub(super) fn rates_span(&self) -> f64 {
        self.books.rates.span()
    }

    /// Answers a second of a candidate, or of the owner's own records, under an area rule. None while nothing was measured.
    pub(super) fn rate_of(&self, name: &SteeredName, rule: usize, candidate: Option<usize>) -> Option<f64> {
        let areas = self.steering.areas(&name.name).map(|areas| &**areas);
        let rule = self.books.rule_text(name, areas, rule);
        match self.books.ledger.known(&account(name, &rule, candidate)) {
            Some(account) => self.books.rates.of(account),
            None => (self.rates_span() > 0.0).then_some(0.0),
        }
    }

    /// Answers a second of a name.
    pub(super) fn rate_of_name(&self, name: &str) -> Option<f64> {
        let name = self.steering.name(name)?;
        let rules = self.steering.areas(&name.name).map_or(1, |areas| areas.count());
        let mut counted = HashSet::new();
        let mut rate = None;
        for rule in 0..rules {
            for candidate in std::iter::once(None).chain((0..name.candidates.len()).map(Some)) {
                let party = candidate.and_then(|at| name.candidates.get(at)).map(|c| (&c.provider, c.home));
                // Candidates at one provider and home are one account.
                if counted.insert((rule, party)) {
                    rate = self.rate_of(name, rule, candidate).map(|more| rate.unwrap_or(0.0) + more).or(rate);
                }
            }
        }
        rate
    }

    /// Rows for the names of an image that is about to be published.
    pub(super) fn open_books(&mut self, image: &Image) -> Arc<Tally> {
        self.books.open(image, |name| self.steering.areas(&name.name).cloned())
    }

    /// What is published is told to the ledger: of these names, or of all.
    pub(super) fn book_decisions(&mut self, names: Option<&[Arc<str>]>) {
        let now = self.clock.now();
        let published = self.published.load_full();
        let all: Vec<usize>;
        let slots = match names {
            Some(names) => names.iter().filter_map(|name| self.slots.get(name).copied()).collect(),
            None => {
                let steered: HashSet<&str> = self.slots.keys().map(|name| &**name).collect();
                self.books.ledger.retain(|name| steered.contains(name), now);
                all = self.slots.values().copied().collect();
                all
            }
        };
        for slot in slots {
            self.book(&published, slot, now);
        }
        if self.books.run.is_none() {
            self.books.run = Some(Run { from: now, until: now, clean: false, lacking: false });
            self.keep_books();
        }
    }

    fn book(&mut self, published: &Published, slot: usize, now: Time) {
        let Some(name) = published.image.slots().get(slot) else { return };
        let Some(selected) = published.selection.0.get(slot) else { return };
        match &selected.areas {
            None => self.books.decide(name, None, &[&selected.plain], now),
            Some(areas) => {
                let decisions: Vec<&Decision> = areas.decisions().map(|decision| &**decision).collect();
                self.books.decide(name, Some(areas.rules()), &decisions, now);
            }
        }
    }

    /// Writes what changed; nobody waits for it.
    pub(super) fn keep_books(&mut self) {
        let now = Instant::now();
        (self.books.next, self.books.written) = (now + EVERY, Some(now));
        self.books.write(self.keeping.store().ledger(), self.clock.now());
    }

    /// The same, for somebody who reads them then; not where that was a moment ago.
    pub(super) fn keep_books_for_who_asks(&mut self) {
        if self.books.written.is_none_or(|written| written.elapsed() >= ASKED) {
            self.keep_books();
        }
    }

    /// The last entry: the threads that answer have ended. The store waits for it when it closes.
    pub(super) fn close_books(&mut self) {
        let now = self.clock.now();
        self.books.ledger.stop(now);
        self.books.run.iter_mut().for_each(|run| run.clean = true);
        self.books.write(self.keeping.store().ledger(), now);
    }
}

/// The account of a candidate by its index, or of the owner's own records.
fn account(name: &SteeredName, rule: &Arc<str>, candidate: Option<usize>) -> Account {
    let candidate = candidate.and_then(|at| name.candidates.get(at));
    let party = candidate.map(|candidate| Party { provider: candidate.provider.clone(), home: candidate.home });
    Account { name: name.name.clone(), rule: Arc::clone(rule), party }
}
