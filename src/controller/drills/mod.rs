//! Drills as they are run: begun by an order or by the clock, followed until they end, and kept as evidence.
//!
//! ```text
//!   the schedule (plan) ──due──┐
//!   an order ──────────────────┴─> override ──> transitions ──> the record (steer::drill_report) ──> store
//! ```
//!
//! A drill is an override; what is here is its record. The record is stored when it begins, with each transition that it
//! keeps, and when it ends, in the same batch as what it tells of. One drill runs at a time, so one record grows.
//!
//! | how a drill ends | what the record says |
//! | --- | --- |
//! | its time is over, while the server runs or not | `over` |
//! | somebody releases it | `released`, by whom and why |
//! | something goes wrong, or another override is placed | `aborted`, and what |
//! | a restart does not find its override | `cut-short` |
//! | it was due, and would not have been safe | `did-not-begin`, and what stood against it |
//! | it was due while the server did not run | `missed` |

mod plan;
pub mod view;

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher13;
use tokio::time::Instant;

pub(super) use self::plan::Come;
use self::plan::{PATIENCE, Plan};
use super::message::NewOverride;
use super::task::Task;
use super::timestamp;
use crate::config::PlannedDrill;
use crate::steer::drill_moves::AnswersBefore;
use crate::steer::drill_report::{DrillReport, DrillState};
use crate::steer::effects::Effects;
use crate::steer::overrides::{Drill, Order, Override};
use crate::steer::time::Time;
use crate::steer::transition::{Change, OverrideState, Transition};
use crate::store::kept::Write;

/// Records of drills that began which are kept, the latest: more than 16 years of a monthly drill.
const KEPT: usize = 200;
/// Records of drills that did not begin, or were missed.
const KEPT_NOT_BEGUN: usize = 100;
/// Who places drills that are due.
const SCHEDULE: &str = "schedule";
/// An end that comes so long after its time was not seen as it came.
const LATE_END: Duration = Duration::from_secs(10);
/// One that begins late lasts so long at least.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is known of drills.
pub(super) struct Drills {
    plan: Plan,
    reports: BTreeMap<u64, DrillReport>,
    running: Option<u64>,
    /// The decisions that come next are those that it begins with.
    begins: bool,
    next: u64,
    /// Tells the key that clients are hashed with from others, and nothing else of it.
    key_print: u64,
}

impl Drills {
    pub(super) fn new(kept: Vec<DrillReport>, client_key: &[u8; 16]) -> Self {
        let reports: BTreeMap<u64, DrillReport> = kept.into_iter().map(|report| (report.id, report)).collect();
        let mut hasher = SipHasher13::new_with_key(client_key);
        hasher.write(b"a drill's record");
        Self {
            plan: Plan::default(),
            running: reports.values().find(|report| report.state == DrillState::Running).map(|report| report.id),
            begins: false,
            next: reports.keys().next_back().map_or(1, |last| last + 1),
            reports,
            key_print: hasher.finish(),
        }
    }

    fn running(&self) -> Option<&DrillReport> {
        self.reports.get(&self.running?)
    }

    /// How the drill in force ends by this transition, if it does.
    fn end_by(&self, transition: &Transition) -> Option<(DrillState, String)> {
        let report = self.running()?;
        let Change::Override { id, to, .. } = &transition.change else { return None };
        if report.order != Some(*id) {
            return None;
        }
        match to {
            OverrideState::Expired if transition.at.since(report.until) > LATE_END => {
                let why =
                    "its time was over while the server did not run; what is said of after it is after the restart";
                Some((DrillState::Over, why.to_owned()))
            }
            OverrideState::Expired => Some((DrillState::Over, "its time was over".to_owned())),
            OverrideState::Released => Some((DrillState::Released, transition.why.to_string())),
            OverrideState::Aborted => Some((DrillState::Aborted, transition.why.to_string())),
            OverrideState::Absent | OverrideState::InForce | OverrideState::OnDown => None,
        }
    }

    /// Takes a record up; what is to be stored, and what is one too many.
    fn keep(&mut self, report: DrillReport) -> Vec<Write> {
        let mut writes = vec![Write::Drill(Box::new(report.clone()))];
        let began = report.began.is_some();
        self.reports.insert(report.id, report);
        let most = if began { KEPT } else { KEPT_NOT_BEGUN };
        let alike = self.reports.values().filter(|report| report.began.is_some() == began).map(|report| report.id);
        let alike: Vec<u64> = alike.collect();
        for id in alike.iter().take(alike.len().saturating_sub(most)) {
            self.reports.remove(id);
            writes.push(Write::ForgetDrill(*id));
        }
        writes
    }
}

impl Task {
    /// After a start, before zones are installed: the drill that ran goes on, and its end is about to come if its time is over.
    pub(super) fn resume_drill(&mut self) {
        let now = self.clock.now();
        let Some(report) = self.drills.running.and_then(|id| self.drills.reports.get_mut(&id)) else { return };
        report.restarted(now);
        let write = Write::Drill(Box::new(report.clone()));
        self.books.count_anew();
        self.keeping.post(vec![write]);
    }

    /// After a start, when zones are installed: what came while the server did not run is told. `since` is the last
    /// time that it is known to have run.
    pub(super) fn take_up_drills(&mut self, since: Time) {
        let order = self.drills.running().and_then(|report| report.order);
        if order.is_some_and(|id| self.steering.overrides().all(|order| order.id != id)) {
            let mut writes = Vec::new();
            let why = "a restart did not find its override any longer";
            let told = self.end_drill(DrillState::CutShort, self.clock.now(), why, &mut writes);
            writes.extend(self.carry_out(Effects { transitions: told.into_iter().collect(), ..Effects::default() }));
            self.keeping.post(writes);
        }
        self.drills.plan.take(self.config.planned_drills(), since.min(self.clock.now()));
        self.begin_due_drills(Duration::ZERO);
    }

    /// The configuration was read again.
    pub(super) fn plan_drills(&mut self) {
        self.drills.plan.take(self.config.planned_drills(), self.clock.now());
    }

    /// When the next scheduled drill is due.
    pub(super) fn next_drill(&self) -> Option<Instant> {
        self.drills.plan.next().map(|next| self.clock.instant(next))
    }

    /// Begins what is due, where it is safe.
    pub(super) fn begin_drills(&mut self) {
        if self.drills.plan.next().is_some_and(|next| next <= self.clock.now()) {
            self.begin_due_drills(PATIENCE);
        }
    }

    fn begin_due_drills(&mut self, patience: Duration) {
        for come in self.drills.plan.come(self.clock.now(), patience) {
            if self.is_recorded(&come) {
                continue;
            }
            if !come.is_due {
                let why = match come.times {
                    1 => "the server did not run, or was too busy, when it was due".to_owned(),
                    times => format!("the server did not run, or was too busy, when it was due; {times} times"),
                };
                self.drill_failed(&come, DrillState::Missed, &why);
                continue;
            }
            // Reckoned from the plan, so that it makes room for one that is planned for its end.
            let planned = come.at.after(come.planned.span);
            let new = NewOverride {
                order: Order::Drill(come.planned.drill.clone()),
                author: SCHEDULE.to_owned(),
                reason: come.planned.reason.clone(),
                until: Some(planned.max(self.clock.now().after(SHORTEST))),
                over: None,
            };
            match self.put_in_force_for(new, Some(&come)) {
                Ok((_, writes)) => self.keeping.post(writes),
                Err(error) => self.drill_failed(&come, DrillState::DidNotBegin, &error.to_string()),
            }
        }
    }

    /// It began before a crash, and after the last time that the server is known to have run.
    fn is_recorded(&self, come: &Come) -> bool {
        let schedule = come.planned.schedule.to_string();
        let mut reports = self.drills.reports.values().rev();
        reports.any(|report| report.planned == come.at && report.schedule.as_deref() == Some(&*schedule))
    }

    /// A scheduled drill did not come about.
    fn drill_failed(&mut self, come: &Come, state: DrillState, why: &str) {
        let now = self.clock.now();
        let PlannedDrill { drill, reason, span, .. } = &come.planned;
        let until = come.at.after(*span);
        let mut report = self.new_report(drill, SCHEDULE, reason, (come.at, until), Some(come));
        report.end(state, now, why);
        metrics::counter!("pointsman_drills_total", "outcome" => state.as_str()).increment(1);
        let why = format!("planned for {}: {why}", timestamp(come.at));
        let told = changed(&report, DrillState::Planned, now, why);
        let mut writes = self.drills.keep(report);
        writes.extend(self.carry_out(Effects { transitions: vec![told], ..Effects::default() }));
        self.keeping.post(writes);
    }

    /// What the names of a drill answer, before it is placed.
    pub(super) fn before_drill(&self, order: &Override) -> Option<AnswersBefore> {
        match &order.order {
            Order::Drill(drill) => Some(self.steering.answers_of(&drill.provider)),
            _ => None,
        }
    }

    /// A drill is in force: its record begins. What is to be stored; its transition goes into the effects.
    pub(super) fn drill_begins(
        &mut self,
        order: &Override,
        before: &AnswersBefore,
        come: Option<&Come>,
        effects: &mut Effects,
    ) -> Vec<Write> {
        let Order::Drill(drill) = &order.order else { return Vec::new() };
        let now = order.placed;
        let times = (come.map_or(now, |come| come.at), order.until.unwrap_or(now));
        let mut report = self.new_report(drill, &order.author, &order.reason, times, come);
        report.begin(order.id, self.steering.moved_since(before, now), now);
        self.books.count_anew();
        let names = report.names;
        let why =
            format!("{}: {}; clients of {names} name{}", order.author, order.reason, if names == 1 { "" } else { "s" });
        let told = changed(&report, DrillState::Planned, now, why);
        // Behind the override's own, before what follows from it.
        effects.transitions.insert(effects.transitions.len().min(1), told);
        (self.drills.running, self.drills.begins) = (Some(report.id), true);
        self.drills.keep(report)
    }

    fn new_report(
        &mut self,
        drill: &Drill,
        author: &str,
        reason: &str,
        (planned, until): (Time, Time),
        come: Option<&Come>,
    ) -> DrillReport {
        let id = self.drills.next;
        self.drills.next += 1;
        DrillReport {
            id,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            vantage: self.vantage.to_string(),
            drill: drill.clone(),
            schedule: come.map(|come| come.planned.schedule.to_string()),
            author: author.to_owned(),
            reason: reason.to_owned(),
            planned,
            order: None,
            began: None,
            until,
            ended: None,
            state: DrillState::Planned,
            why: String::new(),
            key_print: self.drills.key_print,
            names: 0,
            moves: Vec::new(),
            more_moves: 0,
            events: Vec::new(),
            more_events: 0,
            restarts: Vec::new(),
            counted_from: None,
        }
    }

    /// Transitions that are about to become events, the next ids theirs: those that concern the drill in force go into its
    /// record, and behind one that ends it stands that it has ended.
    pub(super) fn follow_drill(&mut self, transitions: Vec<Transition>, writes: &mut Vec<Write>) -> Vec<Transition> {
        if self.drills.running.is_none() {
            return transitions;
        }
        let begins = std::mem::take(&mut self.drills.begins);
        let mut told = Vec::with_capacity(transitions.len() + 1);
        let mut noted = false;
        for transition in transitions {
            let event = self.next_event + told.len() as u64;
            let in_moves = begins && matches!(transition.change, Change::Decision { .. });
            if let Some(report) = self.drills.running.and_then(|id| self.drills.reports.get_mut(&id))
                && !in_moves
                && self.steering.concerns_drill(&report.drill, &transition.change)
            {
                noted |= report.note(event, self.generation, &transition);
            }
            let end = self.drills.end_by(&transition);
            let at = transition.at;
            told.push(transition);
            if let Some((state, why)) = end {
                told.extend(self.end_drill(state, at, &why, writes));
            }
        }
        if let Some(report) = self.drills.running().filter(|_| noted) {
            writes.push(Write::Drill(Box::new(report.clone())));
        }
        told
    }

    /// The record of the drill in force is complete. Gives the transition that says so.
    fn end_drill(&mut self, state: DrillState, now: Time, why: &str, writes: &mut Vec<Write>) -> Option<Transition> {
        let mut report = self.drills.reports.remove(&self.drills.running.take()?)?;
        self.steering.look_back(&mut report.moves, now);
        self.count_answers_of(&mut report.moves);
        report.end(state, now, why);
        metrics::counter!("pointsman_drills_total", "outcome" => state.as_str()).increment(1);
        let told = changed(&report, DrillState::Running, now, why.to_owned());
        writes.extend(self.drills.keep(report));
        Some(told)
    }

    /// Scheduled providers whose last drill left no proof, a line each.
    pub(super) fn drill_alerts(&self) -> Vec<String> {
        let mut providers: Vec<&str> = self.drills.plan.all().map(|(planned, _)| &*planned.drill.provider).collect();
        providers.sort_unstable();
        providers.dedup();
        let last =
            |provider: &str| self.drills.reports.values().rev().find(|report| *report.drill.provider == *provider);
        let line = |report: &DrillReport| {
            let DrillReport { id, state, why, drill, .. } = report;
            let word = match state {
                DrillState::DidNotBegin => "did not begin",
                DrillState::Missed => "was missed",
                DrillState::CutShort => "was cut short",
                _ => "was aborted",
            };
            let at = timestamp(report.planned).strftime("%Y-%m-%d %H:%M:%S UTC");
            format!("drill {id} of {}, planned for {at}, {word}: {why}", drill.provider)
        };
        providers.into_iter().filter_map(last).filter(|report| report.state.lacks()).map(line).collect()
    }
}

fn changed(report: &DrillReport, from: DrillState, at: Time, why: String) -> Transition {
    let (id, subject) = (report.id, report.drill.provider.to_string());
    Transition { at, change: Change::Drill { id, subject, from, to: report.state }, why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::super::figures::Site;
    use super::*;

    fn report(id: u64, began: bool, state: DrillState) -> DrillReport {
        let text = format!(
            r#"{{"id":{id},"program":"0","vantage":"test","drill":{{"provider":"bunny","per_mille":10}},"author":"anna",
            "reason":"audit","planned":5,"until":9,"state":"over","why":""}}"#
        );
        let report: DrillReport = serde_json::from_str(&text).unwrap();
        DrillReport { began: began.then_some(Time(5)), order: began.then_some(77), state, ..report }
    }

    #[test]
    fn the_latest_are_kept_and_those_that_never_began_push_no_other_out() {
        let mut drills = Drills::new(Vec::new(), &[7; 16]);
        let mut forgotten = Vec::new();
        for id in 1..=600 {
            let (began, state) = if id % 2 == 0 { (true, DrillState::Over) } else { (false, DrillState::Missed) };
            let writes = drills.keep(report(id, began, state));
            assert!(matches!(&writes[0], Write::Drill(report) if report.id == id));
            forgotten.extend(writes.iter().filter_map(|write| match write {
                Write::ForgetDrill(id) => Some(*id),
                _ => None,
            }));
        }
        let kept: Vec<u64> = drills.reports.keys().copied().collect();
        let began = kept.iter().filter(|id| *id % 2 == 0).count();
        assert_eq!((kept.len(), began), (KEPT + KEPT_NOT_BEGUN, KEPT));
        assert_eq!(kept.len() + forgotten.len(), 600);
        assert_eq!((kept[0], kept.last()), (202, Some(&600)), "{kept:?}");
        // Ids go on after a restart.
        let reports = drills.reports.into_values().collect();
        assert_eq!(Drills::new(reports, &[7; 16]).next, 601);
    }

    #[tokio::test]
    async fn a_record_whose_override_is_gone_is_cut_short() {
        let mut site = Site::new().await;
        let task = &mut site.task;
        task.drills = Drills::new(vec![report(3, true, DrillState::Running)], &[7; 16]);
        task.resume_drill();
        assert_eq!(task.drills.running().map(|report| report.restarts.len()), Some(1));
        task.take_up_drills(Time(0));
        assert_eq!(task.drills.running, None);
        let report = &task.drills.reports[&3];
        assert_eq!((report.state, report.ended.is_some()), (DrillState::CutShort, true));
        let told = task
            .recent
            .iter()
            .any(|event| matches!(event.transition.change, Change::Drill { id: 3, to: DrillState::CutShort, .. }));
        assert!(told, "{:?}", task.recent);
        // Nothing is scheduled at that provider, so nobody is asked for another one.
        assert_eq!(task.drill_alerts(), [""; 0]);
    }

    #[tokio::test]
    async fn candidates_that_nobody_knows_are_no_place_for_a_drill() {
        let mut site = Site::new().await;
        let task = &mut site.task;
        let now = task.clock.now();
        let moment = timestamp(now.after(Duration::from_millis(1)));
        task.config.drill = vec![crate::config::DrillSection {
            provider: "bunny".to_owned(),
            share: "1%".to_owned(),
            span: Some(crate::config::Span(Duration::from_secs(60))),
            at: moment.to_string(),
            reason: String::new(),
        }];
        task.drills.plan.take(task.config.planned_drills(), now);
        while task.drills.reports.is_empty() {
            tokio::task::yield_now().await;
            task.begin_drills();
        }
        let report = &task.drills.reports[&1];
        assert_eq!((report.state, &*report.reason), (DrillState::DidNotBegin, "a scheduled drill"));
        assert!(report.why.contains("is unknown"), "{}", report.why);
        let [alert] = &task.drill_alerts()[..] else { panic!("one line") };
        assert!(alert.starts_with("drill 1 of bunny, planned for ") && alert.contains(", did not begin: "), "{alert}");
        assert_eq!(task.steering.overrides().count(), 0);
    }
}
