//! Who answers while some may hold only a part of their share.
//!
//! The clients are cohorts, from the first to the last. A candidate that may hold a part of its share is there for the
//! first cohorts alone, as many as its part says; for each cohort they answer who would answer if those that are not
//! there did not exist (`who`). So it takes just its part of the share that it would have; the rest stays with those
//! who would serve without it; nobody leaves as a part grows but to the one that it belongs to; and all shares are one.
//!
//! State outranks parts. Where nobody of the best rank is there for a cohort, those of the best rank with the greatest
//! part are there all the same: so one that ramps takes all where no other that is up would serve.
//!
//! Which clients are of the first cohorts is up to the circle (`shares`): those who moved first are those who stay moved.
//!
//! This table is the test's table too, with the candidates of the one in `who`; `half` is up and may hold half of its
//! share, as one that ramps, `nothing` is up and may hold nothing yet.
//!
//! | a | b | c | s | answers |
//! | --- | --- | --- | --- | --- |
//! | up | half | up | up | a 85 b 15 |
//! | half | up | up | up | a 35 b 65 |
//! | nothing | up | up | up | b 100 |
//! | half | down | up | up | a 50 c 50 |
//! | half | half | up | up | a 35 b 15 c 50 |
//! | half | nothing | up | up | a 50 c 50 |
//! | down | down | half | up | c 50 s 50 |
//! | up | up | half | up | a 70 b 30 |
//! | half | recovering | unknown | down | a 100 |
//! | half | half | impaired | down | a 70 b 30 |
//! | half | nothing | down | down | a 100 |
//! | nothing | down | recovering | recovering | a 100 |
//! | nothing | nothing | down | impaired | a 70 b 30 |

use super::shares::{POINTS, apportion};
use super::who::{Choice, Contender, choose_whole};

/// Who answers. None where nobody can.
pub(super) fn choose(contenders: &[Contender]) -> Option<Choice> {
    if contenders.iter().all(|contender| contender.part == POINTS) {
        return choose_whole(contenders);
    }
    let best = contenders.iter().filter_map(|contender| contender.rank).min()?;
    let of_best = contenders.iter().filter(|contender| contender.rank == Some(best));
    let greatest = of_best.map(|contender| contender.part).max()?;
    let mut ends: Vec<u32> =
        contenders.iter().map(|contender| contender.part).filter(|&part| part < greatest).collect();
    ends.push(greatest);
    ends.sort_unstable();
    ends.dedup();
    let mut points = vec![0_u64; contenders.len()];
    let mut choice: Option<Choice> = None;
    let mut start = 0;
    for end in ends {
        // Nobody has a greater part, so those of the greatest are there to the end.
        let cohorts = if end == greatest { POINTS - start } else { end - start };
        start = end;
        if cohorts == 0 {
            continue;
        }
        let there =
            |contender: &Contender| Contender { rank: contender.rank.filter(|_| contender.part >= end), ..*contender };
        let there: Vec<Contender> = contenders.iter().map(there).collect();
        let of_these = choose_whole(&there)?;
        for (points, more) in points.iter_mut().zip(&of_these.points) {
            *points += u64::from(*more) * u64::from(cohorts);
        }
        let before = choice.take();
        choice = Some(Choice {
            spilled: of_these.spilled || before.as_ref().is_some_and(|before| before.spilled),
            exceeded: of_these.exceeded || before.is_some_and(|before| before.exceeded),
            ..of_these
        });
    }
    let whole = Some(choose_whole(contenders)?.points);
    Some(Choice { points: apportion(&points, POINTS)?, whole, hurried: greatest < POINTS, ..choice? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::transition::Standing;
    use super::super::who::Rank;
    use super::*;

    fn state(word: &str) -> (Option<Rank>, u32) {
        use Standing::{Down, Impaired, Recovering, Unknown, Up};
        let standing = *[Down, Impaired, Recovering, Unknown].iter().find(|s| s.as_str() == word).unwrap_or(&Up);
        let part = match word {
            "half" => POINTS / 2,
            "nothing" => 0,
            _ => POINTS,
        };
        (Rank::of(standing, false, false), part)
    }

    #[test]
    fn the_table_holds() {
        let rows: Vec<&str> = include_str!("cohorts.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|row| !row.starts_with("a |") && !row.starts_with("---"))
            .collect();
        assert_eq!(rows.len(), 13);
        for row in rows {
            let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
            let places = [(false, 0, 70), (false, 0, 30), (false, 1, 0), (true, 0, 1)];
            let contenders: Vec<Contender> = places
                .iter()
                .zip(&cells)
                .map(|(&(standby, level, weight), word)| {
                    let (rank, part) = state(word);
                    Contender { rank, at_risk: false, standby, level, weight, cap: None, part }
                })
                .collect();
            let choice = choose(&contenders).expect("someone answers");
            let serving = "abcs".chars().zip(&choice.points).filter(|(_, points)| **points > 0);
            let percent = |points: u32| (points * 100 + POINTS / 2) / POINTS;
            let answers =
                serving.map(|(who, &points)| format!("{who} {}", percent(points))).collect::<Vec<_>>().join(" ");
            assert_eq!(answers, cells[4], "{row}");
        }
    }

    fn contenders(parts: impl Strategy<Value = u32>) -> impl Strategy<Value = Vec<Contender>> {
        let ranks = prop_oneof![4 => Just(Some(Rank::Up)), 1 => Just(Some(Rank::Unsure)), 1 => Just(None)];
        let row = (ranks, any::<bool>(), 0..3_usize, 0..4_u32, prop::option::weighted(0.2, 1..=100_u8), parts);
        prop::collection::vec(
            row.prop_map(|(rank, standby, level, weight, cap, part)| Contender {
                rank,
                at_risk: false,
                standby,
                level,
                weight,
                cap,
                part,
            }),
            1..7,
        )
    }

    fn part() -> impl Strategy<Value = u32> {
        prop_oneof![2 => Just(POINTS), 1 => 0..=POINTS, 1 => Just(655), 1 => Just(POINTS / 2)]
    }

    proptest! {
        #[test]
        fn all_points_are_given_and_parts_are_kept(contenders in contenders(part())) {
            let Some(choice) = choose(&contenders) else {
                prop_assert!(contenders.iter().all(|contender| contender.rank.is_none()));
                return Ok(());
            };
            prop_assert_eq!(choice.points.iter().sum::<u32>(), POINTS);
            let best = contenders.iter().filter_map(|contender| contender.rank).min();
            let greatest = contenders.iter().filter(|c| c.rank == best).map(|c| c.part).max().unwrap();
            prop_assert_eq!(choice.hurried, greatest < POINTS);
            for (contender, &points) in contenders.iter().zip(&choice.points) {
                prop_assert!(points == 0 || contender.rank == best || contender.rank == Some(Rank::Up));
                // Those with less than the greatest part hold no more than theirs, whatever happens.
                prop_assert!(contender.part == greatest || points <= contender.part + 1, "{contenders:?}: {choice:?}");
            }
        }

        #[test]
        fn whole_parts_change_nothing(contenders in contenders(Just(POINTS))) {
            prop_assert_eq!(choose(&contenders), choose_whole(&contenders));
        }

        #[test]
        fn one_part_of_a_share_is_that_part_and_the_rest_stays(contenders in contenders(Just(POINTS)), part in 0..=POINTS) {
            let with = choose_whole(&contenders);
            let mut without = contenders.clone();
            without[0].rank = None;
            let mut parted = contenders.clone();
            parted[0].part = part;
            let best = contenders.iter().filter_map(|contender| contender.rank).min();
            let (Some(with), Some(choice)) = (with, choose(&parted)) else { return Ok(()) };
            let without = choose_whole(&without).filter(|without| Some(without.group.0) == best);
            for (i, &points) in choice.points.iter().enumerate() {
                let stays = without.as_ref().map_or(with.points[i], |without| without.points[i]);
                let exact = f64::from(part) * f64::from(with.points[i]) + f64::from(POINTS - part) * f64::from(stays);
                prop_assert!((f64::from(points) - exact / f64::from(POINTS)).abs() <= 1.0, "{i} of {choice:?}");
            }
        }
    }
}
