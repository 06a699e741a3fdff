//! Overrides as requests: placed and released at once, acknowledged when they are kept.
//!
//! An order takes effect before it is stored: on the night of an outage a full disk must not stand between an operator and
//! a drain. The reply waits for the store, and says whether the override will outlive a restart.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::drills::Come;
use super::message::{NewOverride, OverrideError, Release, ReleaseWhich, Reply};
use super::task::Task;
use super::timestamp;
use super::view::OverrideView;
use crate::steer::effects::Effects;
use crate::steer::observation::CandidateKey;
use crate::steer::orders::PlaceError;
use crate::steer::overrides::{DrainSubject, Order, Override, Scope};
use crate::steer::policy::SteeredName;
use crate::steer::transition::Change;
use crate::store::Condition;
use crate::store::kept::Write;

/// Overrides in force at once.
const MAX_OVERRIDES: usize = 1_000;
/// Candidates that are down which an override's document names.
const MOST_ON_DOWN: usize = 20;

impl Task {
    pub(super) fn place(&mut self, new: NewOverride, reply: Reply<Result<OverrideView, OverrideError>>) {
        match self.put_in_force(new) {
            Err(error) => drop(reply.send(Err(error))),
            Ok((view, writes)) => {
                // Its place among all writes is given here, so that a release which comes next is kept after it.
                let kept = self.keeping.submit(writes);
                tokio::spawn(async move {
                    let stored = kept.await.is_ok();
                    drop(reply.send(Ok(OverrideView { stored, ..view })));
                });
            }
        }
    }

    /// Places it; what is to be stored is still to be.
    pub(super) fn put_in_force(&mut self, new: NewOverride) -> Result<(OverrideView, Vec<Write>), OverrideError> {
        self.put_in_force_for(new, None)
    }

    /// The same for a drill that was scheduled.
    pub(super) fn put_in_force_for(
        &mut self,
        new: NewOverride,
        come: Option<&Come>,
    ) -> Result<(OverrideView, Vec<Write>), OverrideError> {
        let order = self.admitted(new)?;
        let now = self.clock.now();
        let before = self.before_drill(&order);
        let mut effects =
            self.steering.place(order.clone(), now).map_err(|error| self.not_placed(error, &order.order))?;
        self.next_override += 1;
        let view = self.override_view(&order);
        let mut writes = vec![Write::Override(order.clone())];
        if let Some(before) = before {
            writes.extend(self.drill_begins(&order, &before, come, &mut effects));
        }
        writes.extend(self.carry_out(effects));
        Ok((view, writes))
    }

    /// The override that an order becomes, with the next id.
    pub(super) fn admitted(&self, new: NewOverride) -> Result<Override, OverrideError> {
        let now = self.clock.now();
        self.admissible(&new)?;
        Ok(Override {
            id: self.next_override,
            order: self.told_apart(normal(new.order))?,
            author: new.author,
            reason: new.reason,
            placed: now,
            until: new.until,
            empty: new.over.map(|over| now.after(over)),
        })
    }

    /// A domain is a name or a zone here; what could be both is refused, with what it could be.
    fn told_apart(&self, order: Order) -> Result<Order, OverrideError> {
        let (Order::Drain(DrainSubject::In(Scope::Domain(domain))) | Order::FreezeIn(Scope::Domain(domain))) = &order
        else {
            return Ok(order);
        };
        let is_name = self.steering.name(domain).is_some();
        let in_zone = self.steering.names().filter(|name| name.zone == *domain).count();
        let scope = match (is_name, in_zone) {
            (false, 0) => return Err(OverrideError::NoSuchDomain(domain.to_string())),
            (true, 0) => Scope::Name(domain.clone()),
            (false, _) => Scope::Zone(domain.clone()),
            (true, names) => {
                let zone = format!("zone:{domain} ({names} steered name{})", if names == 1 { "" } else { "s" });
                let meant = vec![format!("name:{domain}"), zone];
                return Err(OverrideError::Ambiguous { subject: domain.to_string(), meant });
            }
        };
        Ok(match order {
            Order::FreezeIn(_) => Order::FreezeIn(scope),
            _ => Order::Drain(DrainSubject::In(scope)),
        })
    }

    /// Says what there is where a name or a candidate is none.
    pub(super) fn not_placed(&self, error: PlaceError, order: &Order) -> OverrideError {
        if let (PlaceError::NoSuchSubject, Order::Drain(DrainSubject::Provider(id))) = (&error, order)
            && let Some(meant) = self.candidates_called(id)
        {
            return OverrideError::Ambiguous { subject: format!("{id} is no provider of a steered name; it"), meant };
        }
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

    /// Patterns for candidates of this id, which is no provider's: `*/main`.
    fn candidates_called(&self, id: &str) -> Option<Vec<String>> {
        let called = |name: &&Arc<SteeredName>| name.candidates.iter().any(|candidate| *candidate.id == *id);
        let mut names: Vec<String> =
            self.steering.names().filter(called).map(|name| format!("{}/{id}", name.name)).collect();
        names.sort_unstable();
        match names.len() {
            0 => None,
            1 => Some(names),
            many => Some(vec![format!("*/{id} ({many} candidates, {} among them)", names[0])]),
        }
    }

    fn admissible(&self, new: &NewOverride) -> Result<(), OverrideError> {
        if new.until.is_some_and(|until| until <= self.clock.now()) {
            return Err(OverrideError::EndsInThePast);
        }
        let empty = new.over.map(|over| self.clock.now().after(over));
        if empty.is_some_and(|empty| new.until.is_some_and(|until| until < empty)) {
            return Err(OverrideError::EndsWhileDraining);
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
                let named = self.steering.overrides().filter(|order| {
                    let subject = normal_subject(&subject_of(&order.order));
                    let domain = subject.strip_prefix("name:").or_else(|| subject.strip_prefix("zone:"));
                    subject == wanted || domain == Some(&wanted)
                });
                named.map(|order| order.id).collect()
            }
        };
        let mut released = Vec::new();
        let (mut writes, mut all) = (Vec::new(), Effects::default());
        for id in ids {
            let Some((order, mut effects)) = self.steering.release(id, now) else { continue };
            for transition in &mut effects.transitions {
                if matches!(transition.change, Change::Override { id: of, .. } if of == id) {
                    transition.why = format!("released by {}: {}", release.author, release.reason).into();
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

    pub(super) fn override_view(&self, order: &Override) -> OverrideView {
        let stuck = self.steering.stuck_by(order.id);
        OverrideView {
            id: order.id,
            order: order_word(&order.order).to_owned(),
            subject: subject_of(&order.order),
            author: order.author.clone(),
            reason: order.reason.clone(),
            placed: timestamp(order.placed),
            until: order.until.map(timestamp),
            names: self.steering.touched(&order.order),
            stored: self.keeping.store().health().condition == Condition::Ok,
            empty: order.empty.map(timestamp),
            left_percent: order.empty.map(|_| order.left(self.clock.now())),
            on_down: stuck.into_iter().flatten().take(MOST_ON_DOWN).map(CandidateKey::to_string).collect(),
            on_down_total: stuck.map_or(0, BTreeSet::len),
        }
    }

    /// Overrides that keep clients on what is down, a line each.
    pub(super) fn overrides_on_down(&self) -> Vec<String> {
        let line = |(id, keys): (u64, &BTreeSet<CandidateKey>)| {
            let order = self.steering.overrides().find(|order| order.id == id)?;
            let first = keys.first()?;
            let more = match keys.len() {
                1 => String::new(),
                all => format!(", and {} more", all - 1),
            };
            let Override { author, reason, .. } = order;
            let what = format!("{} {}", order_word(&order.order), subject_of(&order.order));
            Some(format!("override {id} ({what}, by {author}: {reason}) keeps clients on {first}, which is down{more}"))
        };
        self.steering.stuck().filter_map(line).collect()
    }
}

impl OverrideError {
    fn of(error: PlaceError, subject: String) -> Self {
        match error {
            PlaceError::NoSuchSubject => Self::NoSuchSubject(subject),
            PlaceError::Forbidden { name, candidate } => Self::Forbidden { name, candidate },
            PlaceError::Unsafe(why) => Self::Unsafe(why),
        }
    }
}

/// What an order is about, as people write it.
pub(super) fn subject_of(order: &Order) -> String {
    order.to_string()
}

/// The word for an order.
pub(super) fn order_word(order: &Order) -> &'static str {
    match order {
        Order::Drain(_) => "drain",
        Order::Pin(_) => "pin",
        Order::Freeze | Order::FreezeIn(_) => "freeze",
        Order::Drill(_) => "drill",
    }
}

/// The order with names as the core writes them: lower case, absolute.
fn normal(order: Order) -> Order {
    let normal_key = |key: CandidateKey| CandidateKey { name: absolute(&key.name).into(), candidate: key.candidate };
    match order {
        Order::Drain(DrainSubject::Candidate(key)) => Order::Drain(DrainSubject::Candidate(normal_key(key))),
        Order::Drain(DrainSubject::In(scope)) => Order::Drain(DrainSubject::In(normal_scope(scope))),
        Order::FreezeIn(scope) => Order::FreezeIn(normal_scope(scope)),
        Order::Pin(key) => Order::Pin(normal_key(key)),
        other => other,
    }
}

fn normal_scope(scope: Scope) -> Scope {
    match scope {
        Scope::Name(name) => Scope::Name(absolute(&name).into()),
        Scope::Zone(origin) => Scope::Zone(absolute(&origin).into()),
        Scope::Domain(domain) => Scope::Domain(absolute(&domain).into()),
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
