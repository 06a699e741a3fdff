//! Overrides as requests: placed and released at once, acknowledged when they are kept.
//!
//! An order takes effect before it is stored: on the night of an outage a full disk must not stand between an operator and
//! a drain. The reply waits for the store, and says whether the override will outlive a restart.

use super::message::{NewOverride, OverrideError, Release, ReleaseWhich, Reply};
use super::task::Task;
use super::timestamp;
use super::view::OverrideView;
use crate::steer::effects::Effects;
use crate::steer::observation::CandidateKey;
use crate::steer::orders::PlaceError;
use crate::steer::overrides::{DrainSubject, Order, Override};
use crate::steer::transition::Change;
use crate::store::Condition;
use crate::store::kept::Write;

/// Overrides in force at once.
const MAX_OVERRIDES: usize = 1_000;

impl Task {
    pub(super) fn place(&mut self, new: NewOverride, reply: Reply<Result<OverrideView, OverrideError>>) {
        let now = self.clock.now();
        if let Err(error) = self.admissible(&new) {
            drop(reply.send(Err(error)));
            return;
        }
        let order = Override {
            id: self.next_override,
            order: normal(new.order),
            author: new.author,
            reason: new.reason,
            placed: now,
            until: new.until,
        };
        let effects = match self.steering.place(order.clone(), now) {
            Ok(effects) => effects,
            Err(error) => {
                drop(reply.send(Err(self.not_placed(error, &order.order))));
                return;
            }
        };
        self.next_override += 1;
        let view = self.override_view(&order);
        let mut writes = vec![Write::Override(order)];
        writes.extend(self.carry_out(effects));
        // Its place among all writes is given here, so that a release which comes next is kept after it.
        let kept = self.keeping.submit(writes);
        tokio::spawn(async move {
            let stored = kept.await.is_ok();
            drop(reply.send(Ok(OverrideView { stored, ..view })));
        });
    }

    /// Says what there is where a name or a candidate is none.
    fn not_placed(&self, error: PlaceError, order: &Order) -> OverrideError {
        let (PlaceError::NoSuchSubject, Order::Pin(key) | Order::Drain(DrainSubject::Candidate(key))) = (&error, order)
        else {
            return OverrideError::of(error, subject_of(order));
        };
        match self.steering.name(&key.name) {
            None => OverrideError::NotSteered(key.name.to_string()),
            Some(name) => OverrideError::NoSuchCandidate {
                name: name.name.to_string(),
                candidate: key.candidate.to_string(),
                has: name.candidates.iter().map(|candidate| candidate.id.to_string()).collect(),
            },
        }
    }

    fn admissible(&self, new: &NewOverride) -> Result<(), OverrideError> {
        if new.until.is_some_and(|until| until <= self.clock.now()) {
            return Err(OverrideError::EndsInThePast);
        }
        if self.steering.overrides().count() >= MAX_OVERRIDES {
            return Err(OverrideError::TooMany(MAX_OVERRIDES));
        }
        Ok(())
    }

    pub(super) fn release(&mut self, release: &Release, reply: Reply<Result<Vec<OverrideView>, OverrideError>>) {
        let now = self.clock.now();
        let ids: Vec<u64> = match &release.which {
            ReleaseWhich::Id(id) => vec![*id],
            ReleaseWhich::Subject(subject) => {
                let wanted = normal_subject(subject);
                let named =
                    self.steering.overrides().filter(|order| normal_subject(&subject_of(&order.order)) == wanted);
                named.map(|order| order.id).collect()
            }
        };
        let mut released = Vec::new();
        let (mut writes, mut all) = (Vec::new(), Effects::default());
        for id in ids {
            let Some((order, mut effects)) = self.steering.release(id, now) else { continue };
            for transition in &mut effects.transitions {
                if matches!(transition.change, Change::Override { .. }) {
                    transition.why = format!("released by {}: {}", release.author, release.reason);
                }
            }
            released.push(self.override_view(&order));
            writes.push(Write::ForgetOverride(id));
            all.append(effects);
        }
        if released.is_empty() {
            let which = match &release.which {
                ReleaseWhich::Id(id) => id.to_string(),
                ReleaseWhich::Subject(subject) => format!("on `{subject}`"),
            };
            drop(reply.send(Err(OverrideError::NotInForce(which))));
            return;
        }
        writes.extend(self.carry_out(all));
        let kept = self.keeping.submit(writes);
        tokio::spawn(async move {
            let stored = kept.await.is_ok();
            for view in &mut released {
                view.stored = stored;
            }
            drop(reply.send(Ok(released)));
        });
    }

    pub(super) fn overrides_in_force(&self) -> Vec<OverrideView> {
        self.steering.overrides().map(|order| self.override_view(order)).collect()
    }

    fn override_view(&self, order: &Override) -> OverrideView {
        OverrideView {
            id: order.id,
            order: match order.order {
                Order::Drain(_) => "drain",
                Order::Pin(_) => "pin",
                Order::Freeze => "freeze",
            }
            .to_owned(),
            subject: subject_of(&order.order),
            author: order.author.clone(),
            reason: order.reason.clone(),
            placed: timestamp(order.placed),
            until: order.until.map(timestamp),
            names: self.steering.touched(&order.order),
            stored: self.keeping.store().health().condition == Condition::Ok,
        }
    }
}

impl OverrideError {
    fn of(error: PlaceError, subject: String) -> Self {
        match error {
            PlaceError::NoSuchSubject => Self::NoSuchSubject(subject),
            PlaceError::Forbidden { name, candidate } => Self::Forbidden { name, candidate },
        }
    }
}

/// What an order is about, as people write it.
pub(super) fn subject_of(order: &Order) -> String {
    match order {
        Order::Drain(DrainSubject::Provider(id)) => id.to_string(),
        Order::Drain(DrainSubject::Candidate(key)) | Order::Pin(key) => key.to_string(),
        Order::Drain(DrainSubject::Glob(pattern)) => pattern.clone(),
        Order::Freeze => "everything".to_owned(),
    }
}

/// The order with names as the core writes them: lower case, absolute.
fn normal(order: Order) -> Order {
    let normal_key = |key: CandidateKey| CandidateKey { name: absolute(&key.name).into(), candidate: key.candidate };
    match order {
        Order::Drain(DrainSubject::Candidate(key)) => Order::Drain(DrainSubject::Candidate(normal_key(key))),
        Order::Pin(key) => Order::Pin(normal_key(key)),
        other => other,
    }
}

fn normal_subject(subject: &str) -> String {
    match subject.split_once('/') {
        Some((name, candidate)) if !subject.contains(['*', '?']) => format!("{}/{candidate}", absolute(name)),
        _ => subject.to_ascii_lowercase(),
    }
}

/// A name as the core writes it: lower case, with the final dot.
pub(super) fn absolute(name: &str) -> String {
    let mut name = name.to_ascii_lowercase();
    if !name.ends_with('.') {
        name.push('.');
    }
    name
}
