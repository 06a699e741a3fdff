//! A rehearsal: what an order would move, before it is placed.
//!
//! The names that it concerns are cloned and decided by the same code under the same judgement, as if the order were in
//! force; nothing of the state changes, and there are no effects. Of a gradual drain it tells where it ends.

use std::sync::Arc;

use super::decision::{Decision, Source};
use super::name::NameState;
use super::observation::CandidateKey;
use super::orders::{PlaceError, orders_of};
use super::overrides::Override;
use super::shares::POINTS;
use super::sharing::Sharing;
use super::steering::Steering;
use super::time::Time;

/// What an order would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rehearsal {
    /// Names that it is about.
    pub touched: Vec<Arc<str>>,
    /// Answers that would change, by name and area rule.
    pub moves: Vec<Move>,
    /// Candidates that are down, on which it would keep clients.
    pub stuck: Vec<CandidateKey>,
}

/// What the clients of one area rule would be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    pub name: Arc<str>,
    /// The number of the area rule.
    pub rule: usize,
    /// Whose clients: `clients in eu27`; none where all are alike.
    pub whose: Option<String>,
    /// `bunny 70%, gcore 30%`, or `static`.
    pub from: String,
    pub to: String,
    /// Which rule would decide.
    pub why: String,
    /// Whether any candidate could be used then.
    pub usable: bool,
    pub flows: Vec<Flow>,
}

/// Clients that would go from one to another; none is the owner's own records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// By the index of the candidate under the name.
    pub from: Option<usize>,
    pub to: Option<usize>,
    /// Of the whole circle.
    pub points: u32,
    /// What `from` holds of it before.
    pub held: u32,
}

impl Steering {
    /// What the order would move, if it were placed now.
    ///
    /// # Errors
    ///
    /// As [`Steering::place`] has them.
    pub fn rehearse(&self, order: &Override, now: Time) -> Result<Rehearsal, PlaceError> {
        self.admit(order)?;
        let order = Override { empty: None, ..order.clone() };
        let mut overrides = self.overrides.clone();
        overrides.insert(order.id, order.clone());
        let mut rehearsal =
            Rehearsal { touched: self.touched_by(std::slice::from_ref(&order.order)), ..Rehearsal::default() };
        for name in &rehearsal.touched {
            let Some(state) = self.names.get(name) else { continue };
            let mut then = state.clone();
            then.orders = orders_of(&overrides, &state.rules, now);
            then.decide(now, &mut Sharing::default());
            rehearsal.moves.extend((0..state.answers.len()).filter_map(|rule| moved(state, &then, rule)));
            let stuck = then.stuck_now().filter(|(id, _)| *id == order.id);
            rehearsal.stuck.extend(stuck.map(|(_, key)| key));
        }
        Ok(rehearsal)
    }
}

fn moved(before: &NameState, then: &NameState, rule: usize) -> Option<Move> {
    let (known, new) = (before.answers.get(rule)?.decision.as_ref()?, then.answers.get(rule)?);
    let decision = new.decision.as_ref()?;
    let flows = flows(known, decision);
    (!flows.is_empty()).then(|| Move {
        name: Arc::clone(&before.rules.name),
        rule,
        whose: before.areas.whose(&[rule]),
        from: before.words(&known.source),
        to: then.words(&decision.source),
        why: decision.rule.clone(),
        usable: new.usable,
        flows,
    })
}

/// Points of the circle that change hands; none is the owner's own records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) start: u32,
    /// Not in it any longer.
    pub(super) end: u32,
    /// By the index of the candidate under the name.
    pub(super) from: Option<usize>,
    pub(super) to: Option<usize>,
}

/// Which points go from whom to whom, in order.
pub(super) fn shifts(before: &Decision, then: &Decision) -> Vec<Shift> {
    let (old, new) = (holders(before), holders(then));
    let mut shifts: Vec<Shift> = Vec::new();
    let (mut i, mut j, mut start) = (0, 0, 0);
    while let (Some(&(old_end, from)), Some(&(new_end, to))) = (old.get(i), new.get(j)) {
        let end = old_end.min(new_end);
        if from != to && end > start {
            match shifts.last_mut() {
                Some(last) if (last.end, last.from, last.to) == (start, from, to) => last.end = end,
                _ => shifts.push(Shift { start, end, from, to }),
            }
        }
        start = end;
        i += usize::from(old_end == end);
        j += usize::from(new_end == end);
    }
    shifts
}

/// Each interval's end (exclusive) and holder.
fn holders(decision: &Decision) -> Vec<(u32, Option<usize>)> {
    match &decision.source {
        Source::Candidates(shares) => shares.intervals().map(|(end, at)| (end, Some(usize::from(at)))).collect(),
        Source::Static => vec![(POINTS, None)],
    }
}

/// Who loses which clients to whom.
fn flows(before: &Decision, then: &Decision) -> Vec<Flow> {
    let old = holders(before);
    let held = |who: Option<usize>| {
        let mut start = 0;
        old.iter().fold(0, |held, &(end, holder)| {
            let span = end - start;
            start = end;
            if holder == who { held + span } else { held }
        })
    };
    let mut flows: Vec<Flow> = Vec::new();
    for Shift { start, end, from, to } in shifts(before, then) {
        match flows.iter_mut().find(|flow| flow.from == from && flow.to == to) {
            Some(flow) => flow.points += end - start,
            None => flows.push(Flow { from, to, points: end - start, held: held(from) }),
        }
    }
    flows
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::areas::PLAIN;
    use super::super::fixture::{NAME, at, key, order, serving};
    use super::super::overrides::{DrainSubject, Drill, Order, Scope};
    use super::*;

    fn drain(provider: &str) -> Order {
        Order::Drain(DrainSubject::Provider(provider.into()))
    }

    fn source(steering: &Steering) -> Source {
        steering.decision(NAME, PLAIN).unwrap().source.clone()
    }

    #[test]
    fn what_is_rehearsed_is_what_happens() {
        let scope = |of: fn(Arc<str>) -> Scope, text: &str| Order::Drain(DrainSubject::In(of(text.into())));
        for order_ in [
            drain("bunny"),
            Order::Pin(key(2)),
            Order::Freeze,
            Order::FreezeIn(Scope::Name(NAME.into())),
            Order::Drain(DrainSubject::Glob("*/?core".to_owned())),
            scope(Scope::Name, NAME),
            scope(Scope::Zone, "shop.example."),
            Order::Drill(Drill { provider: "bunny".into(), per_mille: 100 }),
        ] {
            let mut steering = serving(1);
            let placed = order(1, order_.clone(), None);
            let before = source(&steering);
            let told = steering.rehearse(&placed, at(30)).unwrap();
            assert_eq!(source(&steering), before, "nothing has changed");
            assert_eq!(steering.overrides().count(), 0);
            assert_eq!(told.touched, [Arc::from(NAME)]);
            let effects = steering.place(placed, at(30)).unwrap();
            let moved = source(&steering) != before;
            assert_eq!(told.moves.len(), usize::from(moved), "{order_:?}");
            let words = steering.names[NAME].words(&source(&steering));
            assert!(told.moves.iter().all(|of| of.to == words), "{told:?} {effects:?}");
        }
    }

    #[test]
    fn a_gradual_drain_is_told_by_its_end() {
        let steering = serving(1);
        let mut gradual = order(1, drain("bunny"), None);
        let at_once = steering.rehearse(&gradual, at(30)).unwrap();
        gradual.empty = Some(gradual.placed.after(Duration::from_secs(600)));
        assert_eq!(steering.rehearse(&gradual, at(30)).unwrap(), at_once);
        let [of] = &at_once.moves[..] else { panic!("one name moves") };
        assert_eq!(of.flows.iter().map(|flow| flow.points).sum::<u32>(), of.flows[0].held);
        assert!(of.flows.iter().all(|flow| flow.from == Some(0) && flow.to != Some(0)));
        assert_eq!(steering.rehearse(&order(1, drain("nobody"), None), at(30)), Err(PlaceError::NoSuchSubject));
    }

    proptest! {
        #[test]
        fn a_drained_part_never_grows_and_no_other_moves(span in 10_000..1_000_000_u64, steps in 1..40_u64) {
            let mut steering = serving(1);
            let mut gradual = order(1, drain("bunny"), None);
            gradual.placed = at(30);
            gradual.empty = Some(at(30 + span));
            let held = |steering: &Steering| match source(steering) {
                Source::Candidates(shares) => shares.points(0),
                Source::Static => 0,
            };
            let whole = held(&steering);
            steering.place(gradual.clone(), at(30)).unwrap();
            let mut last = whole;
            for step in 0..=steps {
                let now = at(30 + span * step / steps);
                // Its probes go on: nobody falls for want of them.
                steering.tick(now);
                let (left, points) = (u32::from(gradual.left(now)), held(&steering));
                prop_assert!(points <= last, "it never gains");
                prop_assert!(u64::from(points) <= u64::from(whole) * u64::from(left) / 100 + 2, "{points} of {whole}");
                last = points;
            }
            prop_assert_eq!(last, 0);
            steering.release(1, at(31 + span)).unwrap();
            prop_assert_eq!(held(&steering), whole, "it is back at once");
        }
    }
}
