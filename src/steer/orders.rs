//! Overrides in force: how they are placed, end, and reach the names that they concern.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::effects::Effects;
use super::observation::CandidateKey;
use super::overrides::{Order, Override};
use super::policy::SteeredName;
use super::shares::POINTS;
use super::sharing::Sharing;
use super::steering::Steering;
use super::time::Time;
use super::transition::{Change, OverrideState, Transition};

/// The orders in force for one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// By candidate; empty where none is drained.
    pub(super) drained: Vec<Option<Signed>>,
    /// By candidate, which may hold only a part of its share; empty where none is.
    pub(super) parted: Vec<Option<Parted>>,
    pub(super) pin: Option<(usize, Signed)>,
    pub(super) frozen: Option<Signed>,
    /// When time alone changes any of this.
    pub(super) next: Option<Time>,
}

/// An order as the reason tells it: `drained by anna: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) id: u64,
    pub(super) words: String,
}

/// A part of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parted {
    /// In points of the whole.
    pub(super) part: u32,
    pub(super) why: Signed,
    /// `is being drained: 40 % left`.
    pub(super) short: String,
}

/// Why an override is not placed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("no candidate is called for by this order")]
    NoSuchSubject,
    #[error("`only` of {name} forbids {candidate}")]
    Forbidden { name: String, candidate: String },
    #[error("the drill would not be safe: {0}")]
    Unsafe(String),
}

impl Steering {
    /// Puts an override in force. Its id is the caller's; one with an id that is in force takes its place.
    pub fn place(&mut self, order: Override, now: Time) -> Result<Effects, PlaceError> {
        self.admit(&order)?;
        let mut why = signed(&order);
        if let Order::Pin(key) = &order.order
            && let Some(whose) = self.pin_forbidden_for(key)
        {
            why += &format!("; not for {whose}: `only` forbids it");
        }
        let mut effects = Effects::default();
        self.abort_drill(&format!("override {} was placed by {}", order.id, order.author), now, &mut effects);
        let (id, subject) = (order.id, order.order.to_string());
        let mut concerned = vec![order.order.clone()];
        concerned.extend(self.overrides.insert(id, order).map(|before| before.order));
        let change = Change::Override { id, subject, from: OverrideState::Absent, to: OverrideState::InForce };
        effects.transitions.push(Transition { at: now, change, why: why.into() });
        self.reorder(&concerned, now, &mut effects);
        Ok(effects)
    }

    /// Whether the order can be carried out.
    pub(super) fn admit(&self, order: &Override) -> Result<(), PlaceError> {
        if order.order != Order::Freeze && self.touched(&order.order) == 0 {
            return Err(PlaceError::NoSuchSubject);
        }
        match &order.order {
            Order::Pin(key) => self.check_pin(key),
            Order::Drill(drill) => self.check_drill(drill),
            Order::Drain(_) | Order::Freeze | Order::FreezeIn(_) => Ok(()),
        }
    }

    /// Ends an override. None where no such one is in force.
    pub fn release(&mut self, id: u64, now: Time) -> Option<(Override, Effects)> {
        let order = self.overrides.remove(&id)?;
        let mut effects = Effects::default();
        effects.transitions.push(ended(&order, OverrideState::Released, now));
        self.reorder(std::slice::from_ref(&order.order), now, &mut effects);
        Some((order, effects))
    }

    /// Those in force, by id.
    pub fn overrides(&self) -> impl Iterator<Item = &Override> {
        self.overrides.values()
    }

    /// How many names an order touches.
    pub fn touched(&self, order: &Order) -> usize {
        self.names.values().filter(|state| concerns(order, &state.rules)).count()
    }

    /// Whose clients a pin to this candidate does not reach, since `only` forbids it there: `clients in eu27`.
    pub fn pin_forbidden_for(&self, key: &CandidateKey) -> Option<String> {
        let state = self.names.get(&key.name)?;
        let pinned = &state.rules.candidates[state.position(&key.candidate)?];
        let forbids = |&number: &usize| !state.areas.terms(number, &state.rules.policy).allow(pinned);
        let numbers: Vec<usize> = (0..state.areas.count()).filter(forbids).collect();
        if numbers.is_empty() {
            None
        } else {
            Some(state.areas.whose(&numbers).unwrap_or_else(|| "any client".to_owned()))
        }
    }

    /// A pin must reach some clients at least.
    fn check_pin(&self, key: &CandidateKey) -> Result<(), PlaceError> {
        let state = self.names.get(&key.name).ok_or(PlaceError::NoSuchSubject)?;
        let at = state.position(&key.candidate).ok_or(PlaceError::NoSuchSubject)?;
        let allows = |number| state.areas.terms(number, &state.rules.policy).allow(&state.rules.candidates[at]);
        if (0..state.areas.count()).any(allows) {
            return Ok(());
        }
        Err(PlaceError::Forbidden { name: key.name.to_string(), candidate: key.candidate.to_string() })
    }

    /// Overrides whose time is over end. Returns their orders.
    pub(super) fn end_overrides(&mut self, now: Time, effects: &mut Effects) -> Vec<Order> {
        let over = |order: &Override| order.until.is_some_and(|until| until <= now);
        let ids: Vec<u64> = self.overrides.values().filter(|order| over(order)).map(|order| order.id).collect();
        let gone: Vec<Override> = ids.iter().filter_map(|id| self.overrides.remove(id)).collect();
        effects.transitions.extend(gone.iter().map(|order| ended(order, OverrideState::Expired, now)));
        gone.into_iter().map(|order| order.order).collect()
    }

    /// The names that any of these orders concerns, sorted, so that effects come in one order.
    pub(super) fn touched_by(&self, orders: &[Order]) -> Vec<Arc<str>> {
        if orders.is_empty() {
            return Vec::new();
        }
        let concerned = self.names.values().filter(|state| orders.iter().any(|order| concerns(order, &state.rules)));
        let mut names: Vec<Arc<str>> = concerned.map(|state| Arc::clone(&state.rules.name)).collect();
        names.sort_unstable();
        names
    }

    /// The names that these orders concern are decided anew.
    pub(super) fn reorder(&mut self, orders: &[Order], now: Time, effects: &mut Effects) {
        let mut sharing = Sharing::of_many();
        for name in self.touched_by(orders) {
            if let Some(state) = self.names.get_mut(&name) {
                state.orders = orders_of(&self.overrides, &state.rules, now);
            }
            self.redecide(&name, now, &mut sharing, effects);
        }
    }
}

fn concerns(order: &Order, rules: &SteeredName) -> bool {
    rules.candidates.iter().any(|candidate| order.concerns(rules, candidate))
}

/// The orders that concern a name; of several alike the latest holds.
pub(super) fn orders_of(overrides: &BTreeMap<u64, Override>, rules: &SteeredName, now: Time) -> Orders {
    let mut orders = Orders::default();
    for order in overrides.values().filter(|order| concerns(&order.order, rules)) {
        let words = signed(order);
        let told = |what: &str| Signed { id: order.id, words: format!("{what} by {words}") };
        match &order.order {
            Order::Freeze | Order::FreezeIn(_) => orders.frozen = Some(told("frozen")),
            Order::Drill(drill) => {
                let part = POINTS - (POINTS * u32::from(drill.per_mille.min(1000)) + 500) / 1000;
                let short = format!("lends {} of its clients to a drill", share_words(drill.per_mille));
                let until = order.until.map_or_else(String::new, |until| format!(" until {until}"));
                let words = format!("{short} by {}{until}: {}", order.author, order.reason);
                orders.part(order, rules, &Parted { part, why: Signed { id: order.id, words }, short });
            }
            Order::Drain(_) if order.left(now) > 0 => {
                let (left, empty) = (order.left(now), order.empty.unwrap_or(now));
                let short = format!("is being drained: {left} % left");
                let words = format!("being drained by {} until {empty}: {left} % left: {}", order.author, order.reason);
                let part = (POINTS * u32::from(left) + 50) / 100;
                orders.part(order, rules, &Parted { part, why: Signed { id: order.id, words }, short });
                orders.next = orders.next.into_iter().chain(order.next_step(now)).min();
            }
            Order::Pin(key) => {
                let at = rules.candidates.iter().position(|candidate| candidate.id == key.candidate);
                orders.pin = at.map(|at| (at, told("pinned"))).or(orders.pin);
            }
            Order::Drain(_) => {
                orders.drained.resize(rules.candidates.len(), None);
                for (drained, candidate) in orders.drained.iter_mut().zip(&rules.candidates) {
                    if order.order.concerns(rules, candidate) {
                        *drained = Some(told("drained"));
                    }
                }
            }
        }
    }
    orders
}

impl Orders {
    /// Of several parts of one candidate the smallest holds.
    fn part(&mut self, order: &Override, rules: &SteeredName, parted: &Parted) {
        self.parted.resize(rules.candidates.len(), None);
        for (known, candidate) in self.parted.iter_mut().zip(&rules.candidates) {
            let smaller = known.as_ref().is_none_or(|known| parted.part <= known.part);
            if smaller && order.order.concerns(rules, candidate) {
                *known = Some(parted.clone());
            }
        }
    }

    /// The part of its share that orders leave to a candidate.
    pub(super) fn parted(&self, at: usize) -> Option<&Parted> {
        self.parted.get(at)?.as_ref()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.drained.is_empty() && self.parted.is_empty() && self.pin.is_none() && self.frozen.is_none()
    }
}

/// `1 %`, `0.5 %`.
pub fn share_words(per_mille: u16) -> String {
    match per_mille % 10 {
        0 => format!("{} %", per_mille / 10),
        tenths => format!("{}.{tenths} %", per_mille / 10),
    }
}

pub(super) fn ended(order: &Override, to: OverrideState, now: Time) -> Transition {
    let change = Change::Override { id: order.id, subject: order.order.to_string(), from: OverrideState::InForce, to };
    Transition { at: now, change, why: signed(order).into() }
}

/// `anna: the edge in Frankfurt is slow`.
fn signed(order: &Override) -> String {
    format!("{}: {}", order.author, order.reason)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NAME, START, at, candidate, key, order, serving, steered};
    use super::super::home::Home;
    use super::super::overrides::DrainSubject;
    use super::super::policy::{AreaPolicy, Preference};
    use super::*;

    fn drain(provider: &str) -> Order {
        Order::Drain(DrainSubject::Provider(provider.into()))
    }

    #[test]
    fn overrides_touch_what_they_concern() {
        let mut steering = serving(1);
        let other = steered("img.shop.example.", vec![candidate("bunny", "si", 1), candidate("akamai", "us", 1)]);
        let first = Arc::clone(steering.name(NAME).unwrap());
        steering.install(&[first, Arc::new(other)], at(20));
        assert_eq!(steering.touched(&drain("bunny")), 2);
        assert_eq!(steering.touched(&drain("akamai")), 1);
        assert_eq!(steering.touched(&Order::Pin(key(1))), 1);
        assert_eq!(steering.touched(&Order::Freeze), 2);
        assert_eq!(steering.place(order(1, drain("nobody"), None), at(30)), Err(PlaceError::NoSuchSubject));
        assert_eq!(steering.place(order(1, Order::Pin(key(3)), None), at(30)), Err(PlaceError::NoSuchSubject));

        let effects = steering.place(order(1, drain("bunny"), Some(at(60_000))), at(30)).unwrap();
        assert_eq!(effects.decided, ["img.shop.example.".into(), NAME.into()] as [Arc<str>; 2]);
        assert_eq!(effects.transitions.len(), 3);
        assert!(matches!(effects.transitions[0].change, Change::Override { id: 1, to: OverrideState::InForce, .. }));
        assert_eq!(steering.release(7, at(40)), None);

        // The first round of the new name ends before; its probes never came.
        while let Some(next) = steering.next_tick().filter(|&next| next < at(60_000)) {
            steering.tick(next);
        }
        assert_eq!(steering.next_tick(), Some(at(60_000)));
        let effects = steering.tick(at(60_000));
        assert!(matches!(effects.transitions[0].change, Change::Override { id: 1, to: OverrideState::Expired, .. }));
        assert_eq!(steering.overrides().count(), 0);
        assert_eq!(steering.next_tick(), None);
    }

    #[test]
    fn a_pin_is_followed_where_only_lets_it_and_told_where_not() {
        let mut rules = steered(NAME, vec![candidate("bunny", "si", 1), candidate("gcore", "us", 1)]);
        let only = Some(vec![Preference::Home(Home::EU)]);
        rules.policy.areas.insert("eu27".to_owned(), AreaPolicy { prefer: None, only });
        let mut steering = Steering::new();
        steering.settle([vec![], vec!["eu27".into()]].into(), START);
        steering.install(&[Arc::new(rules)], START);
        let effects = steering.place(order(1, Order::Pin(key(1)), None), at(1)).unwrap();
        assert_eq!(&*effects.transitions[0].why, "anna: a drill; not for clients in eu27: `only` forbids it");
        assert_eq!(&*effects.transitions[1].why, "for all other clients: pinned by anna: a drill");
        assert_eq!(effects.transitions.len(), 2, "in eu27 nothing moves");
        assert_eq!(steering.pin_forbidden_for(&key(1)).unwrap(), "clients in eu27");
        assert_eq!(steering.pin_forbidden_for(&key(0)), None);
        let rule = &steering.decision(NAME, 1).unwrap().rule;
        assert!(rule.ends_with("; the pin to gcore is not followed: `only` forbids it"), "{rule}");
        // Once it is forbidden everywhere, it is refused.
        let mut rules = SteeredName::clone(steering.name(NAME).unwrap());
        rules.policy.only = Some(vec![Preference::Home(Home::EU)]);
        steering.install(&[Arc::new(rules)], at(2));
        assert_eq!(steering.pin_forbidden_for(&key(1)).unwrap(), "any client");
        assert!(steering.place(order(2, Order::Pin(key(1)), None), at(3)).is_err());
    }

    #[test]
    fn a_pin_that_only_forbids_is_refused() {
        let mut rules = steered(NAME, vec![candidate("bunny", "si", 1), candidate("gcore", "us", 1)]);
        rules.policy.only = Some(vec![Preference::Home(Home::EU)]);
        let mut steering = Steering::new();
        steering.install(&[Arc::new(rules)], START);
        let forbidden = PlaceError::Forbidden { name: NAME.to_owned(), candidate: "gcore".to_owned() };
        assert_eq!(steering.place(order(1, Order::Pin(key(1)), None), at(1)), Err(forbidden));
        assert!(steering.place(order(1, Order::Pin(key(0)), None), at(1)).is_ok());
    }
}
