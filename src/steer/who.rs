//! Who answers: from the ranks of a name's candidates to the weights of those that serve.
//!
//! State outranks level. Ranks: up (ramping included, or impaired in one address family alone); then unknown and recovering; then
//! impaired, or not ready (never passed, and failed at its last probe); last who counts as down by its provider alone, and
//! has passed since that fell (doomed). Down has no rank. Within a rank the first level
//! of `prefer` that has a candidate serves, then standbys. The best serve by weight.
//!
//! This table is the test's table too. The candidates: `a` (first level, weight 70), `b` (first level, weight 30), `c`
//! (second level, weight 0), `s` (first level, on standby). `alone` is impaired in one address family alone.
//!
//! | a | b | c | s | answers |
//! | --- | --- | --- | --- | --- |
//! | up | up | up | up | a 70 b 30 |
//! | up | alone | up | up | a 70 b 30 |
//! | up | down | up | up | a 100 |
//! | up | unknown | up | up | a 100 |
//! | up | recovering | up | up | a 100 |
//! | up | impaired | up | up | a 100 |
//! | down | down | up | up | c 100 |
//! | recovering | down | up | up | c 100 |
//! | recovering | recovering | up | up | c 100 |
//! | impaired | impaired | up | up | c 100 |
//! | impaired | alone | up | up | b 100 |
//! | down | down | down | up | s 100 |
//! | recovering | unknown | impaired | up | s 100 |
//! | recovering | unknown | impaired | down | a 70 b 30 |
//! | recovering | impaired | unknown | down | a 100 |
//! | down | impaired | recovering | unknown | c 100 |
//! | down | impaired | down | recovering | s 100 |
//! | impaired | not-ready | impaired | impaired | a 70 b 30 |
//! | down | not-ready | impaired | down | b 100 |
//! | down | down | not-ready | impaired | c 100 |
//! | down | down | down | not-ready | s 100 |
//! | up | doomed | doomed | doomed | a 100 |
//! | doomed | doomed | not-ready | down | c 100 |
//! | down | doomed | doomed | doomed | b 100 |
//! | down | down | down | doomed | s 100 |
//! | down | down | down | down | nobody |
//!
//! Within a rank those at risk of breaking at a known moment (a certificate about to end: `readiness`) come after all
//! that are ready, whatever their level.
//!
//! A weight of 0 serves only where nobody of the same group has another one. `max` caps a candidate's share: what is
//! above goes to the others of its group, then to the following groups of rank up; when no room is left the caps are
//! exceeded, by those who would serve without any. Who may hold only a part of its share: `cohorts`.

use super::shares::{POINTS, apportion};
use super::transition::Standing;

/// How good a candidate's state is; the first is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Up, be it that its share is still growing, or impaired in one address family alone.
    Up,
    /// Unknown or recovering.
    Unsure,
    /// Impaired, or not ready.
    Poor,
    /// Counts as down by its provider, be it that it passes.
    Doomed,
}

impl Rank {
    /// The rank of a standing; none for down.
    pub(super) fn of(standing: Standing, alone: bool, failing: bool) -> Option<Self> {
        match standing {
            Standing::Up | Standing::Ramping => Some(Self::Up),
            Standing::Impaired if alone => Some(Self::Up),
            Standing::Unknown if failing => Some(Self::Poor),
            Standing::Unknown | Standing::Recovering => Some(Self::Unsure),
            Standing::Impaired => Some(Self::Poor),
            Standing::Down => None,
        }
    }
}

/// A candidate as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contender {
    /// None where it cannot serve: down, drained, forbidden.
    pub(super) rank: Option<Rank>,
    /// Used after all of its rank that are ready (`readiness`).
    pub(super) at_risk: bool,
    pub(super) standby: bool,
    pub(super) level: usize,
    pub(super) weight: u32,
    /// In percent.
    pub(super) cap: Option<u8>,
    /// How much of its share it may hold, in points of the whole (`cohorts`).
    pub(super) part: u32,
}

/// What candidates serve by: best first.
type Group = (Rank, AtRisk, bool, usize);
/// Whether it is used after all of its rank that are ready.
type AtRisk = bool;

/// Who serves, with how many points each; their sum is `POINTS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) points: Vec<u32>,
    /// The points if each held its whole share, where that makes a difference.
    pub(super) whole: Option<Vec<u32>>,
    pub(super) group: Group,
    /// A cap sent clients to a following group.
    pub(super) spilled: bool,
    /// No room was left under the caps.
    pub(super) exceeded: bool,
    /// Nobody was there who may hold the whole: someone holds more than its part.
    pub(super) hurried: bool,
}

/// Who answers where each may hold its whole share. None where nobody can.
pub(super) fn choose_whole(contenders: &[Contender]) -> Option<Choice> {
    let mut groups: Vec<Group> = contenders.iter().filter_map(Contender::group).collect();
    groups.sort_unstable();
    groups.dedup();
    let &first = groups.first()?;
    let mut points = vec![0; contenders.len()];
    let mut left = POINTS;
    let mut spilled = false;
    for &group in groups.iter().filter(|&&group| group == first || group.0 == Rank::Up) {
        if left == 0 {
            break;
        }
        spilled |= group != first;
        left -= fill(contenders, group, left, &mut points);
    }
    let exceeded = left > 0;
    if exceeded {
        let beyond = apportion(&weights(contenders, first, |_| true), left)?;
        for (points, more) in points.iter_mut().zip(beyond) {
            *points += more;
        }
    }
    Some(Choice { points, whole: None, group: first, spilled, exceeded, hurried: false })
}

impl Contender {
    fn group(&self) -> Option<Group> {
        self.rank.map(|rank| (rank, self.at_risk, self.standby, self.level))
    }

    fn cap_points(&self) -> u32 {
        self.cap.map_or(POINTS, |percent| (POINTS * u32::from(percent)).div_ceil(100).min(POINTS))
    }
}

/// Gives `total` points to a group by weight under its caps. Returns how many were given.
fn fill(contenders: &[Contender], group: Group, total: u32, points: &mut [u32]) -> u32 {
    let mut capped = vec![false; contenders.len()];
    let mut left = total;
    loop {
        let weights = weights(contenders, group, |i| !capped[i]);
        let Some(parts) = apportion(&weights, left) else { return total - left };
        let above: Vec<usize> =
            (0..parts.len()).filter(|&i| weights[i] > 0 && parts[i] > contenders[i].cap_points()).collect();
        if above.is_empty() {
            for (points, part) in points.iter_mut().zip(parts) {
                *points += part;
            }
            return total;
        }
        for i in above {
            capped[i] = true;
            points[i] = contenders[i].cap_points();
            left -= points[i];
        }
    }
}

/// The weights of those of the group that `open` lets in; all alike where the whole group weighs nothing.
fn weights(contenders: &[Contender], group: Group, open: impl Fn(usize) -> bool) -> Vec<u64> {
    let weightless = contenders.iter().all(|c| c.group() != Some(group) || c.weight == 0);
    let weight = |(i, c): (usize, &Contender)| match c.group() == Some(group) && open(i) {
        true if weightless => 1,
        true => u64::from(c.weight),
        false => 0,
    };
    contenders.iter().enumerate().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rank(word: &str) -> Option<Rank> {
        match word {
            "alone" => Rank::of(Standing::Impaired, true, true),
            "not-ready" => Rank::of(Standing::Unknown, false, true),
            "doomed" => Some(Rank::Doomed),
            word => Rank::of(standing(word), false, false),
        }
    }

    fn standing(word: &str) -> Standing {
        use Standing::{Down, Impaired, Recovering, Unknown, Up};
        *[Up, Impaired, Down, Recovering, Unknown].iter().find(|s| s.as_str() == word).expect("a standing")
    }

    fn contender(rank: Option<Rank>, standby: bool, level: usize, weight: u32, cap: Option<u8>) -> Contender {
        Contender { rank, at_risk: false, standby, level, weight, cap, part: POINTS }
    }

    fn percent(points: u32) -> u32 {
        (points * 100 + POINTS / 2) / POINTS
    }

    #[test]
    fn the_table_holds() {
        let rows: Vec<&str> = include_str!("who.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|row| !row.starts_with("a |") && !row.starts_with("---"))
            .collect();
        assert_eq!(rows.len(), 26);
        for row in rows {
            let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
            let contenders = [
                contender(rank(cells[0]), false, 0, 70, None),
                contender(rank(cells[1]), false, 0, 30, None),
                contender(rank(cells[2]), false, 1, 0, None),
                contender(rank(cells[3]), true, 0, 1, None),
            ];
            let answers = choose_whole(&contenders).map_or("nobody".to_owned(), |choice| {
                let serving = "abcs".chars().zip(&choice.points).filter(|(_, points)| **points > 0);
                serving.map(|(who, &points)| format!("{who} {}", percent(points))).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(answers, cells[4], "{row}");
        }
    }

    type Rules = [(u32, Option<u8>); 4];

    /// Weight and cap of `a` and `b` in the first level, of `c` in the second, of a standby `s`; what each serves.
    #[test]
    fn caps_spill_within_the_group_then_beyond_then_give_way() {
        let up = Some(Rank::Up);
        let table: [(Rules, [u32; 4], bool, bool); 7] = [
            ([(70, Some(40)), (30, None), (1, None), (1, None)], [40, 60, 0, 0], false, false),
            ([(70, Some(40)), (30, Some(50)), (1, None), (1, None)], [40, 50, 10, 0], true, false),
            ([(70, Some(40)), (30, Some(30)), (1, Some(20)), (1, None)], [40, 30, 20, 10], true, false),
            ([(70, Some(40)), (30, Some(30)), (1, Some(10)), (1, Some(10))], [47, 33, 10, 10], true, true),
            ([(1, None), (0, None), (1, None), (1, None)], [100, 0, 0, 0], false, false),
            ([(1, Some(60)), (0, None), (1, None), (1, None)], [60, 0, 40, 0], true, false),
            ([(0, None), (0, None), (1, None), (1, None)], [50, 50, 0, 0], false, false),
        ];
        for (rules, expected, spilled, exceeded) in table {
            let place = [(false, 0), (false, 0), (false, 1), (true, 0)];
            let contenders: Vec<Contender> = rules
                .iter()
                .zip(place)
                .map(|(&(weight, cap), (standby, level))| contender(up, standby, level, weight, cap))
                .collect();
            let choice = choose_whole(&contenders).unwrap();
            let shares: Vec<u32> = choice.points.iter().map(|&points| percent(points)).collect();
            assert_eq!(shares, expected, "{rules:?}");
            assert_eq!((choice.spilled, choice.exceeded), (spilled, exceeded), "{rules:?}");
        }
    }

    /// `a` and `b` in the first level, `c` in the second: at risk or not, and who serves.
    #[test]
    fn those_at_risk_are_used_after_all_of_their_rank_and_before_the_next() {
        let (up, unsure) = (Some(Rank::Up), Some(Rank::Unsure));
        for (contenders, expected) in [
            ([(up, true), (up, false), (up, false)], [0, 100, 0]),
            ([(up, true), (up, true), (up, false)], [0, 0, 100]),
            ([(up, true), (up, true), (up, true)], [50, 50, 0]),
            ([(up, true), (unsure, false), (unsure, false)], [100, 0, 0]),
        ] {
            let levels = [0, 0, 1];
            let of = |((rank, at_risk), level)| Contender { at_risk, ..contender(rank, false, level, 1, None) };
            let contenders: Vec<Contender> = contenders.into_iter().zip(levels).map(of).collect();
            let points = choose_whole(&contenders).unwrap().points;
            assert_eq!(points.iter().map(|&points| percent(points)).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn caps_do_not_spill_onto_something_worse() {
        let contenders =
            [contender(Some(Rank::Up), false, 0, 1, Some(40)), contender(Some(Rank::Unsure), false, 0, 1, None)];
        let choice = choose_whole(&contenders).unwrap();
        assert_eq!((choice.points, choice.exceeded), (vec![POINTS, 0], true));
    }

    proptest! {
        #[test]
        fn all_points_are_given_and_none_to_those_who_cannot_serve(
            rows in prop::collection::vec((0..4_usize, any::<bool>(), 0..3_usize, 0..4_u32, prop::option::of(1..=100_u8)), 0..7)
        ) {
            let ranks = [Some(Rank::Up), Some(Rank::Unsure), Some(Rank::Poor), None];
            let contenders: Vec<Contender> =
                rows.iter().map(|&(r, standby, level, w, cap)| contender(ranks[r], standby, level, w, cap)).collect();
            match choose_whole(&contenders) {
                None => prop_assert!(contenders.iter().all(|c| c.rank.is_none())),
                Some(choice) => {
                    prop_assert_eq!(choice.points.iter().sum::<u32>(), POINTS);
                    for (c, &points) in contenders.iter().zip(&choice.points) {
                        prop_assert!(points == 0 || c.rank == Some(choice.group.0) || (choice.spilled && c.rank == Some(Rank::Up)));
                        prop_assert!(choice.exceeded || points <= c.cap_points());
                    }
                }
            }
        }
    }
}
