//! Shares: which part of a name's clients each candidate serves.
//!
//! The clients stand on a circle of 65,536 points, each at the point that its number gives (a keyed hash of its prefix,
//! or a draw). A candidate holds intervals of that circle. When candidates leave, their points go to those who stay, and
//! nobody else moves: that is what makes a share sticky over a change.
//!
//! ```text
//! three serve     |aaaaaaaaaaaaaaaaaaaaaaaa|bbbbbbbbbbbbbb|cccccccccc|
//! c leaves        |aaaaaaaaaaaaaaaaaaaaaaaa|bbbbbbbbbbbbbb|bbbb|aaaaaa|   only c's points move
//! c returns       |aaaaaaaaaaaaaaaaaaaaaaaa|bbbbbbbbbbbbbb|cccccccccc|   and come back
//! ```
//!
//! A candidate that gives up points gives first those that its taker would hold in the plain layout (all in the order
//! of the zone file), so that many changes lead back to few intervals. One whose share grows by and by takes first what
//! it will hold in the end: the same clients move first and stay moved, and no holder gives up more than it must. Where there are too many all the same, the
//! plain layout is taken: some clients move once, and every look-up stays short.

use std::sync::Arc;

use serde::Serialize;

/// The number of points.
pub const POINTS: u32 = 1 << 16;
/// More intervals than this, or than twice the candidates that serve, and the circle is laid out anew.
const MAX_INTERVALS: usize = 64;
/// Holds the points of a candidate that is gone, until they are given out.
const NOBODY: u16 = u16::MAX;

/// Who holds which points. Never empty: every point has a holder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Shares(Arc<[Interval]>);

/// The points from the end of the interval before to `end` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
struct Interval {
    end: u32,
    candidate: u16,
}

impl Shares {
    /// All points for one candidate.
    pub fn whole(candidate: u16) -> Self {
        Self(Arc::new([Interval { end: POINTS, candidate }]))
    }

    /// Whether one candidate holds all points.
    #[inline]
    pub fn is_whole(&self) -> bool {
        self.0.len() == 1
    }

    /// Shares in proportion to the weights, one weight for each candidate in order, moving as few points of `previous`
    /// as can be. None where all weights are 0.
    pub fn build(weights: &[u64], previous: Option<&Self>) -> Option<Self> {
        Self::build_towards(weights, None, previous)
    }

    /// The same on the way to other weights: who gains takes first what it will hold by those, so that it finds its
    /// clients when it is there.
    pub(super) fn build_towards(weights: &[u64], later: Option<&[u64]>, previous: Option<&Self>) -> Option<Self> {
        let points = apportion(weights, POINTS)?;
        let plain = Self::plain(&points);
        let Some(previous) = previous else { return Some(plain) };
        let home = later.and_then(|later| apportion(later, POINTS)).map(|later| Self::plain(&later));
        let moved = previous.moved_to(&points, home.as_ref().unwrap_or(&plain));
        let serving = points.iter().filter(|&&count| count > 0).count();
        Some(if moved.0.len() > MAX_INTERVALS.max(2 * serving) { plain } else { moved })
    }

    /// The candidate that holds the point of `number`, by its index under the name. A look-up, never a decision.
    #[inline]
    pub fn pick(&self, number: u64) -> u16 {
        let point = (number & u64::from(POINTS - 1)) as u32;
        // Few are sooner looked at one by one.
        let at = match self.0.len() {
            0..=8 => self.0.iter().take_while(|interval| interval.end <= point).count(),
            _ => self.0.partition_point(|interval| interval.end <= point),
        };
        // The last interval ends at POINTS, so one is always found; 0 is never reached.
        self.0.get(at).map_or(0, |interval| interval.candidate)
    }

    /// How many points a candidate holds.
    pub fn points(&self, candidate: u16) -> u32 {
        self.spans().filter(|&(_, _, holder)| holder == candidate).map(|(start, end, _)| end - start).sum()
    }

    /// The part of the clients that a candidate serves, 0 to 1.
    pub fn share(&self, candidate: u16) -> f64 {
        f64::from(self.points(candidate)) / f64::from(POINTS)
    }

    /// Each interval's end (exclusive) and holder, in order; the last one ends at `POINTS`.
    pub fn intervals(&self) -> impl Iterator<Item = (u32, u16)> {
        self.0.iter().map(|interval| (interval.end, interval.candidate))
    }

    /// From intervals as `intervals` gives them. None where their ends do not rise, or the last one is not `POINTS`.
    pub fn from_intervals(intervals: impl IntoIterator<Item = (u32, u16)>) -> Option<Self> {
        let mut layout = Layout::default();
        for (end, candidate) in intervals {
            if end <= layout.end() || end > POINTS {
                return None;
            }
            layout.push(end, candidate);
        }
        (layout.end() == POINTS).then(|| layout.into())
    }

    /// The same circle under new indices; the points of a candidate without one are nobody's until the next `build`.
    pub(super) fn renumbered(&self, index: impl Fn(u16) -> Option<u16>) -> Self {
        let mut layout = Layout::default();
        for (end, candidate) in self.intervals() {
            layout.push(end, index(candidate).unwrap_or(NOBODY));
        }
        layout.into()
    }

    /// All in order, one interval each.
    fn plain(points: &[u32]) -> Self {
        let mut layout = Layout::default();
        for (candidate, &count) in (0..NOBODY).zip(points) {
            layout.push(layout.end() + count, candidate);
        }
        layout.into()
    }

    /// This circle, changed until each candidate holds its points. Only points above a holder's new number move, first
    /// those that are at home elsewhere.
    fn moved_to(&self, points: &[u32], home: &Self) -> Self {
        let mut balance = Balance::new(self, points);
        let homeward = self.shifted(Some(home), &mut balance);
        homeward.shifted(None, &mut balance)
    }

    /// Moves points from those with too many to those with too few: only to their holder in `towards`, or to anyone.
    fn shifted(&self, towards: Option<&Self>, balance: &mut Balance) -> Self {
        let mut layout = Layout::default();
        let mut start = 0;
        for (end, holder) in self.cut_by(towards) {
            let home = towards.map(|plain| plain.pick(u64::from(start)));
            while start < end {
                let Some((taker, count)) = balance.movable(holder, home, end - start) else { break };
                balance.give(holder, taker, count);
                start += count;
                layout.push(start, taker);
            }
            layout.push(end, holder);
            start = end;
        }
        layout.into()
    }

    /// The intervals, cut also where those of `other` end.
    fn cut_by(&self, other: Option<&Self>) -> Vec<(u32, u16)> {
        let mut ends: Vec<u32> =
            self.0.iter().chain(other.into_iter().flat_map(|o| o.0.iter())).map(|i| i.end).collect();
        ends.sort_unstable();
        ends.dedup();
        ends.into_iter().map(|end| (end, self.pick(u64::from(end - 1)))).collect()
    }

    fn spans(&self) -> impl Iterator<Item = (u32, u32, u16)> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|interval| interval.end));
        starts.zip(self.intervals()).map(|(start, (end, candidate))| (start, end, candidate))
    }
}

/// Splits `total` in proportion to the weights, exactly: what rounding leaves goes to the largest remainders, the first
/// ones among equals. None where all weights are 0.
pub(super) fn apportion(weights: &[u64], total: u32) -> Option<Vec<u32>> {
    let sum: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    if sum == 0 {
        return None;
    }
    let exact = |weight: u64| u128::from(weight) * u128::from(total);
    let mut parts: Vec<u32> = weights.iter().map(|&w| u32::try_from(exact(w) / sum).unwrap_or(total)).collect();
    let left = total.saturating_sub(parts.iter().sum());
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(exact(weights[i]) % sum));
    for &i in order.iter().take(left as usize) {
        parts[i] += 1;
    }
    Some(parts)
}

/// A circle being laid out; neighbours with one holder become one interval.
#[derive(Default)]
struct Layout(Vec<Interval>);

impl Layout {
    fn end(&self) -> u32 {
        self.0.last().map_or(0, |interval| interval.end)
    }

    fn push(&mut self, end: u32, candidate: u16) {
        if end <= self.end() {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.candidate == candidate => last.end = end,
            _ => self.0.push(Interval { end, candidate }),
        }
    }
}

impl From<Layout> for Shares {
    fn from(layout: Layout) -> Self {
        Self(layout.0.into())
    }
}

/// Who holds too many points, and who too few.
struct Balance {
    excess: Vec<u32>,
    need: Vec<u32>,
}

impl Balance {
    fn new(shares: &Shares, points: &[u32]) -> Self {
        let mut held = vec![0; points.len()];
        for (start, end, holder) in shares.spans() {
            if let Some(count) = held.get_mut(usize::from(holder)) {
                *count += end - start;
            }
        }
        let excess = held.iter().zip(points).map(|(&held, &due)| held.saturating_sub(due)).collect();
        let need = held.iter().zip(points).map(|(&held, &due)| due.saturating_sub(held)).collect();
        Self { excess, need }
    }

    /// To whom the holder can give how many of `most` points.
    fn movable(&self, holder: u16, home: Option<u16>, most: u32) -> Option<(u16, u32)> {
        // A holder that is gone gives everything.
        let spare = self.excess.get(usize::from(holder)).copied().unwrap_or(u32::MAX);
        let taker = match home {
            Some(home) => Some(usize::from(home)),
            None => self.need.iter().position(|&need| need > 0),
        }?;
        let count = most.min(spare).min(self.need.get(taker).copied().unwrap_or(0));
        (count > 0).then_some((u16::try_from(taker).unwrap_or(NOBODY), count))
    }

    fn give(&mut self, holder: u16, taker: u16, count: u32) {
        if let Some(excess) = self.excess.get_mut(usize::from(holder)) {
            *excess -= count;
        }
        if let Some(need) = self.need.get_mut(usize::from(taker)) {
            *need -= count;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weights() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(prop_oneof![Just(0), 1..100_u64, 1..=1_000_000_u64], 5)
            .prop_filter("someone serves", |weights| weights.iter().any(|&weight| weight > 0))
    }

    fn moved(from: &Shares, to: &Shares) -> u32 {
        (0..POINTS).map(|point| u32::from(from.pick(u64::from(point)) != to.pick(u64::from(point)))).sum()
    }

    #[test]
    fn a_candidate_that_returns_finds_its_clients() {
        let three = Shares::build(&[50, 30, 20], None).unwrap();
        for weights in [[50, 30, 0], [50, 0, 20], [0, 30, 20], [0, 0, 20]] {
            let fewer = Shares::build(&weights, Some(&three)).unwrap();
            assert_eq!(Shares::build(&[50, 30, 20], Some(&fewer)).unwrap(), three, "{weights:?}");
        }
    }

    #[test]
    fn a_share_that_grows_by_and_by_finds_its_clients() {
        let three = Shares::build(&[50, 30, 20], None).unwrap();
        let mut shares = Shares::build(&[50, 30, 0], Some(&three)).unwrap();
        for percent in [1, 5, 10, 25, 50, 100] {
            let weights = [5000 + 20 * (100 - percent) * 50 / 80, 3000 + 20 * (100 - percent) * 30 / 80, 20 * percent];
            let next = Shares::build_towards(&weights, Some(&[50, 30, 20]), Some(&shares)).unwrap();
            let given_back = (0..u64::from(POINTS)).filter(|&p| shares.pick(p) == 2 && next.pick(p) != 2).count();
            assert_eq!(given_back, 0);
            shares = next;
        }
        assert_eq!(shares, three);
    }

    #[test]
    fn points_of_one_who_is_gone_are_given_out() {
        let two = Shares::build(&[70, 30], None).unwrap().renumbered(|i| (i == 1).then_some(0));
        let shares = Shares::build(&[1, 1], Some(&two)).unwrap();
        assert_eq!((shares.points(0), shares.points(1)), (POINTS / 2, POINTS / 2));
    }

    #[test]
    fn intervals_that_are_no_circle_are_refused() {
        for bad in [vec![], vec![(5, 0)], vec![(5, 0), (5, 1), (POINTS, 0)], vec![(POINTS + 1, 0)]] {
            assert_eq!(Shares::from_intervals(bad), None);
        }
    }

    #[test]
    fn nobody_serves_without_a_weight() {
        assert_eq!(Shares::build(&[0, 0], None), None);
        assert_eq!(Shares::build(&[], None), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn points_are_exact(weights in weights()) {
            let shares = Shares::build(&weights, None).unwrap();
            let sum: u64 = weights.iter().sum();
            let mut all = 0;
            for (candidate, &weight) in (0..).zip(&weights) {
                let exact = weight as f64 / sum as f64 * f64::from(POINTS);
                prop_assert!((f64::from(shares.points(candidate)) - exact).abs() < 1.0);
                prop_assert!(weight > 0 || shares.points(candidate) == 0);
                all += shares.points(candidate);
            }
            prop_assert_eq!(all, POINTS);
        }

        #[test]
        fn as_few_points_move_as_can(history in prop::collection::vec(weights(), 2..12)) {
            let mut shares = Shares::build(&history[0], None).unwrap();
            for weights in &history[1..] {
                let next = Shares::build(weights, Some(&shares)).unwrap();
                let least: u32 = (0..5).map(|c| shares.points(c).saturating_sub(next.points(c))).sum();
                prop_assert_eq!(moved(&shares, &next), least);
                prop_assert!(next.0.len() <= MAX_INTERVALS);
                prop_assert_eq!(Shares::from_intervals(next.intervals()), Some(next.clone()));
                shares = next;
            }
        }

        #[test]
        fn clients_find_their_shares_within_a_percent(weights in weights(), seed: u64) {
            let shares = Shares::build(&weights, None).unwrap();
            let mut seen = [0_u32; 5];
            let mut number = seed;
            for _ in 0..100_000 {
                // SplitMix64: any even spread of numbers will do.
                number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = number;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                seen[usize::from(shares.pick(z ^ (z >> 31)))] += 1;
            }
            let sum: u64 = weights.iter().sum();
            for (candidate, &weight) in weights.iter().enumerate() {
                let share = f64::from(seen[candidate]) / 100_000.0;
                prop_assert!((share - weight as f64 / sum as f64).abs() < 0.01);
            }
        }
    }
}
