//! What is published: one `Arc` that readers load once a batch (design, section 3).

use std::net::IpAddr;
use std::sync::Arc;

use super::Image;
use super::areas::Areas;
use super::by_area::AreaSet;
use super::service::Service;
use super::tally::{Cell, Tally};
use crate::steer::areas::AreaRules;
use crate::steer::decision::{Decision, Source};

/// Everything that answers need. A new one for each change; readers keep theirs as long as they like.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Counts up by one with each change, over restarts too.
    pub generation: u64,
    pub image: Arc<Image>,
    pub flattened: Arc<FlattenedSets>,
    pub selection: Arc<Selection>,
    pub areas: Arc<Areas>,
    /// Where the threads count what they answer.
    pub tally: Arc<Tally>,
}

/// The decisions in force for each steered name, by its slot in the image.
#[derive(Clone, Debug, Default)]
pub struct Selection(pub Vec<Selected>);

/// The decisions in force for one steered name.
#[derive(Clone, Debug)]
pub struct Selected {
    /// That of the plain area rule.
    pub plain: Arc<Decision>,
    /// None where all clients are under the plain rule: then nobody needs to know where they are.
    pub areas: Option<Arc<SelectedAreas>>,
    brief: Brief,
}

/// The decisions of a name that answers some places differently.
#[derive(Clone, Debug)]
pub struct SelectedAreas {
    /// Which place of the published [`Areas`] leads to which rule.
    rules: Arc<AreaRules>,
    /// By the number of the area rule, the plain one too.
    decisions: Vec<(Brief, Arc<Decision>)>,
}

/// What nearly all answers need of a decision, beside what leads to it: the decision itself, its shares and its reasons lie in four other places,
/// which is as many cache misses where many names are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brief {
    /// Seconds.
    pub(super) ttl: u32,
    /// Where an interval ends, the last one aside.
    ends: [u16; INTERVALS - 1],
    /// Who holds it. Those behind the last interval repeat its holder, so that it does not matter how many there are.
    candidates: [u16; INTERVALS],
    pub(super) is_whole: bool,
    /// Whether all is said: few intervals, and no candidate leaves a family out.
    is_all: bool,
    /// The row of cells that its answers are counted in.
    pub(super) cells: Cell,
}

/// Intervals that a brief has room for.
const INTERVALS: usize = 4;

impl From<Arc<Decision>> for Selected {
    fn from(plain: Arc<Decision>) -> Self {
        Self::new(plain, None)
    }
}

impl Selected {
    pub fn new(plain: Arc<Decision>, areas: Option<Arc<SelectedAreas>>) -> Self {
        Self { brief: Brief::of(&plain), plain, areas }
    }

    /// The same, counted in these cells: `candidates` and one more for each area rule, the plain one first.
    #[must_use]
    pub fn counted(mut self, first: Cell, candidates: usize) -> Self {
        self.brief.cells = first;
        if let Some(areas) = &mut self.areas {
            let rows = &mut Arc::make_mut(areas).decisions;
            (0..).zip(rows).for_each(|(rule, (brief, _))| brief.cells = first.after(rule * (candidates + 1)));
        }
        self
    }

    /// The first of its cells.
    pub fn cells(&self) -> Cell {
        self.brief.cells
    }

    /// None where the decision itself must be looked at.
    #[inline]
    pub(super) fn brief(&self) -> Option<&Brief> {
        self.brief.is_all.then_some(&self.brief)
    }
}

impl Brief {
    fn of(decision: &Decision) -> Self {
        let mut brief = Self {
            ttl: decision.ttl,
            ends: [u16::MAX; INTERVALS - 1],
            candidates: [0; INTERVALS],
            is_whole: false,
            is_all: false,
            cells: Cell::NONE,
        };
        let Source::Candidates(shares) = &decision.source else { return brief };
        let count = shares.intervals().count();
        let known = |candidate: u16| usize::from(candidate) < decision.reasons.len();
        brief.is_whole = count == 1;
        brief.is_all = (1..=INTERVALS).contains(&count)
            && shares.intervals().all(|(_, candidate)| known(candidate))
            && decision.reasons.iter().all(|reason| reason.left_out.is_none());
        for (place, (end, _)) in brief.ends.iter_mut().zip(shares.intervals()) {
            // The end of the circle is behind the last point.
            *place = u16::try_from(end).unwrap_or(u16::MAX);
        }
        let last = shares.intervals().last().map_or(0, |(_, candidate)| candidate);
        let holders = shares.intervals().map(|(_, candidate)| candidate).chain(std::iter::repeat(last));
        for (place, candidate) in brief.candidates.iter_mut().zip(holders) {
            *place = candidate;
        }
        brief
    }

    /// The candidate that holds the point of `number`: as [`crate::steer::shares::Shares::pick`] says.
    #[inline]
    pub(super) fn pick(&self, number: u64) -> u16 {
        let point = number as u16;
        let at: usize = self.ends.iter().map(|end| usize::from(*end <= point)).sum();
        self.candidates.get(at).copied().unwrap_or(0)
    }
}

impl SelectedAreas {
    /// `decisions` by the number of the area rule, the plain one too.
    pub fn new(rules: Arc<AreaRules>, decisions: impl IntoIterator<Item = Arc<Decision>>) -> Self {
        let decisions = decisions.into_iter().map(|decision| (Brief::of(&decision), decision)).collect();
        Self { rules, decisions }
    }

    /// By the number of the area rule.
    pub fn decisions(&self) -> impl Iterator<Item = &Arc<Decision>> {
        self.decisions.iter().map(|(_, decision)| decision)
    }

    pub fn rules(&self) -> &AreaRules {
        &self.rules
    }

    /// The number of the area rule for the clients of a place, and its decision. None where the parts do not fit together.
    pub fn at(&self, place: u16) -> Option<(usize, &Arc<Decision>)> {
        let rule = self.rules.of_place(place)?;
        Some((rule, &self.decisions.get(rule)?.1))
    }

    /// The cells of an area rule.
    pub(super) fn cells(&self, rule: usize) -> Cell {
        self.decisions.get(rule).map_or(Cell::NONE, |(brief, _)| brief.cells)
    }

    /// None where the decision itself must be looked at.
    #[inline]
    pub(super) fn brief(&self, place: u16) -> Option<&Brief> {
        let (brief, _) = self.decisions.get(self.rules.of_place(place)?)?;
        brief.is_all.then_some(brief)
    }
}

/// The addresses that target names resolved to: by slot, then by candidate. Holds an entry for every candidate of a flattened name
/// whose target is a name and has resolved.
#[derive(Clone, Debug, Default)]
pub struct FlattenedSets(pub Vec<Vec<Option<Arc<FlattenedSet>>>>);

/// One target's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlattenedSet {
    /// Sorted, without doubles, not empty.
    pub addresses: Vec<IpAddr>,
    /// Seconds that the target's own TTL allows, 5 at the least.
    pub ttl: u32,
    /// The target's HTTPS records, as they are right beside these addresses.
    pub service: Option<Arc<Service>>,
    /// Whether the target's DNS answers by client subnet (RFC 7871), where that is known.
    pub honours_subnets: Option<bool>,
    /// What it has for the clients of some areas, by the number of their network in the published [`Areas`]; none where all get the same.
    pub by_area: Option<Arc<[Option<Arc<AreaSet>>]>>,
}

/// What it comes to where a target's DNS does not.
pub const FAR_CLIENTS: &str = "its DNS does not honour client subnets (ECS): unless its addresses are anycast, clients far from this server get addresses \
     chosen for this server";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::steer::decision::CandidateReason;
    use crate::steer::shares::Shares;
    use crate::steer::time::Time;

    proptest! {
        #[test]
        fn a_brief_picks_as_the_shares_do(weights in prop::collection::vec(0..5_u64, 1..7), before in prop::collection::vec(0..5_u64, 7), numbers: [u64; 16]) {
            let previous = Shares::build(&before[..weights.len()], None);
            if let Some(shares) = Shares::build(&weights, previous.as_ref()) {
                let reason = CandidateReason { share: 0.0, left_out: None, reason: String::new() };
                let reasons = vec![reason; weights.len()];
                let source = Source::Candidates(shares.clone());
                let selected = Selected::from(Arc::new(Decision { source, ttl: 30, rule: String::new(), reasons, since: Time(0) }));
                prop_assert_eq!(selected.brief().is_some(), shares.intervals().count() <= INTERVALS);
                for number in numbers.into_iter().chain(shares.intervals().flat_map(|(end, _)| [u64::from(end) - 1, u64::from(end)])) {
                    prop_assert!(selected.brief().is_none_or(|brief| brief.pick(number) == shares.pick(number)));
                }
            }
        }
    }
}
