//! What moves in a drill: the answers before it, those that it changed, and those after it.
//!
//! Answers are compared by the points of the circle, so that what is kept is exact, and tells for each client whether it was
//! with another candidate.

use std::sync::Arc;

use super::areas::PLAIN;
use super::decision::{Decision, Source};
use super::drill_report::{DrillMove, Held, MOST_OCTETS, Span};
use super::name::{NameState, index};
use super::overrides::Drill;
use super::policy::{Candidate, Sticky};
use super::rehearsal::shifts;
use super::shares::Shares;
use super::steering::Steering;
use super::time::Time;
use super::transition::Change;

/// Answers of one drill that are kept: the first by name. All are counted.
pub const MOST_MOVES: usize = 200;

/// What the names of a provider answered at one moment.
#[derive(Debug, Default)]
pub struct AnswersBefore(Vec<(Arc<str>, Answers)>);

/// The decisions of a name, by area rule.
type Answers = Vec<Option<Arc<Decision>>>;

/// What changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub names: usize,
    pub moves: Vec<DrillMove>,
    pub more: usize,
}

impl Steering {
    /// What the names with a candidate of this provider answer now: for [`Steering::moved_since`].
    pub fn answers_of(&self, provider: &str) -> AnswersBefore {
        let of = self.names.values().filter(|state| state.is_at(provider));
        let answers = of.map(|state| {
            let decisions = state.answers.iter().map(|answered| answered.decision.clone());
            (Arc::clone(&state.rules.name), decisions.collect())
        });
        let mut answers: Vec<_> = answers.collect();
        answers.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        AnswersBefore(answers)
    }

    /// What of it changed, by name.
    pub fn moved_since(&self, before: &AnswersBefore, now: Time) -> Moved {
        let mut moved = Moved::default();
        let mut octets = 0;
        for (name, decisions) in &before.0 {
            let Some(state) = self.names.get(name) else { continue };
            let known = decisions.iter().enumerate().filter_map(|(rule, known)| Some((rule, known.as_ref()?)));
            let moves: Vec<DrillMove> = known.filter_map(|(rule, known)| state.moved(rule, known, now)).collect();
            moved.names += usize::from(!moves.is_empty());
            for of in moves {
                octets += of.octets();
                if moved.moves.len() < MOST_MOVES && octets <= MOST_OCTETS {
                    moved.moves.push(of);
                } else {
                    moved.more += 1;
                }
            }
        }
        moved
    }

    /// What these answers are after the drill.
    pub fn look_back(&self, moves: &mut [DrillMove], now: Time) {
        for of in moves {
            let answer = self.names.get(&of.name).and_then(|state| {
                let number = state.rule_that_says(&of.rule)?;
                Some((state, state.answers.get(number)?.decision.as_ref()?))
            });
            match answer {
                Some((state, decision)) => of.look_back(state, decision, now),
                None => of.after = Some("not steered like this any longer".to_owned()),
            }
        }
    }

    /// Whether a change is one that the drill's record is to tell.
    pub fn concerns_drill(&self, drill: &Drill, change: &Change) -> bool {
        let is_at = |name: &str| self.names.get(name).is_some_and(|state| state.is_at(&drill.provider));
        match change {
            Change::Verdict { subject, .. } | Change::Readiness { subject, .. } => is_at(&subject.name),
            Change::Decision { subject, .. } => is_at(subject),
            Change::Provider { .. } | Change::Vantage { .. } | Change::Override { .. } => true,
            Change::Drill { .. } => false,
        }
    }
}

impl NameState {
    fn is_at(&self, provider: &str) -> bool {
        self.rules.candidates.iter().any(|candidate| *candidate.provider == *provider)
    }

    /// The number of the area rule with this text.
    fn rule_that_says(&self, text: &str) -> Option<usize> {
        if text.is_empty() {
            return Some(PLAIN);
        }
        self.areas.others().find(|(_, rule)| rule.terms().to_string() == text).map(|(number, _)| number)
    }

    /// How the answer under this rule differs from what it was.
    fn moved(&self, rule: usize, before: &Decision, now: Time) -> Option<DrillMove> {
        let during = self.answers.get(rule)?.decision.as_ref()?;
        let id = |who: Option<usize>| match who.and_then(|at| self.rules.candidates.get(at)) {
            Some(candidate) => Arc::clone(&candidate.id),
            None => "static".into(),
        };
        let spans = shifts(before, during).into_iter();
        let cohort: Vec<Span> = spans
            .map(|shift| Span { start: shift.start, end: shift.end, from: id(shift.from), to: id(shift.to) })
            .collect();
        let held = |(at, candidate): (usize, &Candidate)| {
            let (before, during) = (points(before, at), points(during, at));
            let (candidate, provider) = (Arc::clone(&candidate.id), Arc::clone(&candidate.provider));
            (before + during > 0).then_some(Held { candidate, provider, before, during, after: None, answers: None })
        };
        (!cohort.is_empty()).then(|| DrillMove {
            name: Arc::clone(&self.rules.name),
            rule: self.areas.rule(rule).map_or_else(String::new, |rule| rule.terms().to_string()),
            whose: self.areas.whose(&[rule]),
            sticky: self.rules.policy.sticky == Sticky::Yes,
            before: self.words(&before.source),
            during: self.words(&during.source),
            after: None,
            away: now,
            back: None,
            held: self.rules.candidates.iter().enumerate().filter_map(held).collect(),
            cohort,
        })
    }
}

impl DrillMove {
    fn look_back(&mut self, state: &NameState, decision: &Decision, now: Time) {
        self.after = Some(state.words(&decision.source));
        for held in &mut self.held {
            held.after = Some(state.position(&held.candidate).map_or(0, |at| points(decision, at)));
        }
        let holds = |span: &Span| match &decision.source {
            Source::Candidates(shares) => {
                state.position(&span.from).and_then(index).is_some_and(|at| holds_all(shares, at, span))
            }
            Source::Static => false,
        };
        self.back = self.cohort.iter().all(holds).then_some(now);
    }

    /// What it takes in the store in about.
    fn octets(&self) -> usize {
        let words = self.name.len() + self.rule.len() + self.before.len() + self.during.len();
        let held: usize = self.held.iter().map(|held| 120 + held.candidate.len() + held.provider.len()).sum();
        let cohort: usize = self.cohort.iter().map(|span| 50 + span.from.len() + span.to.len()).sum();
        // The answer after it is as long as that before.
        300 + 2 * (words + self.before.len()) + self.whose.as_ref().map_or(0, String::len) + held + cohort
    }
}

fn points(decision: &Decision, at: usize) -> u32 {
    match &decision.source {
        Source::Candidates(shares) => index(at).map_or(0, |at| shares.points(at)),
        Source::Static => 0,
    }
}

/// Whether a candidate holds all points of the span.
fn holds_all(shares: &Shares, candidate: u16, span: &Span) -> bool {
    let mut start = 0;
    shares.intervals().all(|(end, holder)| {
        let apart = end <= span.start || start >= span.end;
        start = end;
        apart || holder == candidate
    })
}

#[cfg(test)]
mod tests {
    use super::super::drill_report::{DrillReport, DrillState, MOST_EVENTS};
    use super::super::fixture::{IDS, NAME, START, at, candidate, order, seen, serving, steered};
    use super::super::home::Home;
    use super::super::observation::{Cause, Family};
    use super::super::overrides::{Order, Override};
    use super::super::policy::{AreaPolicy, Preference};
    use super::super::shares::POINTS;
    use super::super::transition::OverrideState;
    use super::super::transition::Transition;
    use super::*;

    fn drill(per_mille: u16) -> Drill {
        Drill { provider: "bunny".into(), per_mille }
    }

    fn placed(per_mille: u16) -> Override {
        order(9, Order::Drill(drill(per_mille)), Some(at(600_000)))
    }

    fn report() -> DrillReport {
        DrillReport {
            id: 1,
            program: "0".to_owned(),
            vantage: "here".to_owned(),
            drill: drill(100),
            schedule: None,
            author: "anna".to_owned(),
            reason: "monthly".to_owned(),
            planned: at(30),
            order: None,
            began: None,
            until: at(600_000),
            ended: None,
            state: DrillState::Planned,
            why: String::new(),
            key_print: 7,
            names: 0,
            moves: Vec::new(),
            more_moves: 0,
            events: Vec::new(),
            more_events: 0,
            restarts: Vec::new(),
            counted_from: None,
        }
    }

    /// The record of a drill that has begun.
    fn begun(steering: &mut Steering, per_mille: u16) -> DrillReport {
        let before = steering.answers_of("bunny");
        steering.place(placed(per_mille), at(30)).unwrap();
        let mut report = report();
        report.begin(9, steering.moved_since(&before, at(30)), at(30));
        report
    }

    fn thirds(of: &DrillMove) -> Vec<(&str, u32, u32, Option<u32>)> {
        of.held.iter().map(|held| (&*held.candidate, held.before, held.during, held.after)).collect()
    }

    #[test]
    fn it_tells_who_went_where_and_that_they_are_back() {
        let mut steering = serving(1);
        let mut report = begun(&mut steering, 100);
        assert_eq!((report.names, report.more_moves, report.state), (1, 0, DrillState::Running));
        let [of] = &report.moves[..] else { panic!("one answer moves") };
        assert_eq!((&*of.name, of.away, of.back, of.sticky), (NAME, at(30), None, true));
        assert!(of.before.starts_with("bunny 33%") && of.during.starts_with("bunny 30%"), "{of:?}");
        let away: u32 = of.cohort.iter().map(|span| span.end - span.start).sum();
        let [(_, before, during, None), ..] = thirds(of)[..] else { panic!("{of:?}") };
        assert_eq!(before - during, away);
        assert!(of.cohort.iter().all(|span| &*span.from == "bunny" && &*span.to != "bunny"));

        // Who belongs to it is told by points.
        let span = of.cohort[0].clone();
        assert_eq!(report.of_point(span.start).count(), 1);
        assert_eq!(report.of_point(span.end - 1).map(|(_, of)| of).collect::<Vec<_>>(), [&span]);
        assert_eq!((0..POINTS).filter(|point| report.of_point(*point).count() > 0).count(), away as usize);

        steering.release(9, at(50)).unwrap();
        steering.look_back(&mut report.moves, at(50));
        report.end(DrillState::Released, at(50), "by anna");
        let of = &report.moves[0];
        assert_eq!((of.back, of.after.as_deref()), (Some(at(50)), Some(&*of.before)));
        assert!(of.held.iter().all(|held| held.after == Some(held.before)));
        assert_eq!((report.began, report.ended), (Some(at(30)), Some(at(50))));
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<DrillReport>(&text).unwrap(), report);
    }

    #[test]
    fn clients_whose_provider_fell_are_not_back() {
        let mut steering = serving(1);
        let mut report = begun(&mut steering, 500);
        let fault = seen(0, Some(Family::V4), Cause::Paced, Some(500), at(40));
        let effects = steering.observe(&fault, at(40));
        let ended = |t: &Transition| matches!(t.change, Change::Override { to: OverrideState::Aborted, .. });
        assert!(effects.transitions.iter().any(ended));
        for (event, transition) in (5..).zip(&effects.transitions) {
            assert!(steering.concerns_drill(&report.drill, &transition.change));
            assert!(report.note(event, 3, transition));
        }
        assert!(matches!(report.events[0].transition.change, Change::Verdict { .. }) && report.events[0].event == 5);
        steering.look_back(&mut report.moves, at(40));
        let of = &report.moves[0];
        // Nobody has passed since it fell: all stays as it was when the drill ended, and that is not where they came from.
        assert_eq!((of.back, of.after.as_deref()), (None, Some(&*of.during)), "{of:?}");
        // A name that has left meanwhile.
        steering.install(&[], at(50));
        steering.look_back(&mut report.moves, at(50));
        assert_eq!(report.moves[0].after.as_deref(), Some("not steered like this any longer"));
    }

    #[test]
    fn each_area_rule_is_told_apart() {
        let mut rules = steered(NAME, IDS[..3].iter().map(|id| candidate(id, "si", 1)).collect());
        let prefer = Some(vec![Preference::Home(Home::EU)]);
        rules.policy.areas.insert("eu27".to_owned(), AreaPolicy { prefer, only: None });
        let mut steering = Steering::new();
        steering.settle([vec![], vec!["eu27".into()]].into(), START);
        steering.install(&[Arc::new(rules)], START);
        for who in 0..3 {
            steering.observe(&seen(who, Some(Family::V4), Cause::Paced, None, at(10)), at(10));
        }
        let mut report = begun(&mut steering, 100);
        let told: Vec<_> = report.moves.iter().map(|of| (&*of.rule, of.whose.as_deref())).collect();
        assert_eq!(told, [("", Some("all other clients")), ("prefer=eu", Some("clients in eu27"))]);
        assert_eq!(report.names, 1);
        steering.release(9, at(50)).unwrap();
        steering.look_back(&mut report.moves, at(50));
        assert!(report.moves.iter().all(|of| of.back == Some(at(50))), "{report:?}");
    }

    #[test]
    fn it_is_bounded_and_says_how_much_it_leaves_out() {
        let mut steering = Steering::new();
        let name = |at: usize| {
            let candidates = IDS[..2].iter().map(|id| candidate(id, "si", 1)).collect();
            Arc::new(steered(&format!("n{at:03}.shop.example."), candidates))
        };
        let names: Vec<_> = (0..MOST_MOVES + 50).map(name).collect();
        steering.install(&names, START);
        for name in &names {
            for who in 0..2 {
                let mut observation = seen(who, Some(Family::V4), Cause::Paced, None, at(10));
                observation.candidate.name = Arc::clone(&name.name);
                steering.observe(&observation, at(10));
            }
        }
        let mut report = begun(&mut steering, 500);
        assert_eq!((report.names, report.moves.len(), report.more_moves), (MOST_MOVES + 50, MOST_MOVES, 50));
        assert_eq!(&*report.moves[0].name, "n000.shop.example.");
        let change = Change::Provider { subject: "bunny".into(), from: Default::default(), to: Default::default() };
        let transition = |why: String| Transition { at: at(40), change: change.clone(), why: why.into() };
        let kept = (0..300).filter(|event| report.note(*event, 3, &transition(String::new()))).count();
        assert_eq!((kept, report.more_events), (MOST_EVENTS, 100));
        let mut long = DrillReport { events: Vec::new(), more_events: 0, ..report.clone() };
        let kept = (0..300).filter(|event| long.note(*event, 3, &transition("x".repeat(10_000)))).count();
        assert!(kept < 14 && kept + long.more_events == 300, "{kept}");
        assert!(serde_json::to_vec(&report).unwrap().len() < 2 * MOST_OCTETS);
    }
}
