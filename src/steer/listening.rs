//! How long clients stay though another passes: for those that are being asked, and could answer as well.
//!
//! Who leaves goes to all that have passed since the fault began. The first of them to be heard of is no better than the
//! others, and probes of siblings that were sent at one moment come back some hundredths of a second apart: to go to the
//! first, then on, would be two moves, with all the load on one in between. So the others have a second.
//!
//! This table is the test's table too; all is in seconds since the fault began. Those who leave fell by `fall` failures,
//! or in `haste`, by fewer: then the others were asked no longer before than the last failure was looked at again.
//!
//! | leaves | could answer | another | stays until |
//! | --- | --- | --- | --- |
//! | fell 2 | silent | silent | somebody passes |
//! | fell 2 | passed 1 | passed 1 | 0 |
//! | fell 2 | passed 1 | failed | 0 |
//! | fell 2 | passed 1 | silent | 2 |
//! | fell 2 | passed 4 | silent | 5 |
//! | fell 2 | silent | passed 4 | 5 |
//! | fell 2 | failed | silent | somebody passes |
//! | haste 1 | passed 0 | silent | 2 |
//! | haste 1 | passed 0 | passed 1 | 0 |
//! | haste 1 | passed 4 | silent | 5 |
//! | nobody | passed 1 | silent | 0 |

use std::time::Duration;

use super::time::Time;

/// Who could answer and is being asked has so long.
pub(super) const LISTENS: Duration = Duration::from_secs(1);

/// One that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaver {
    pub(super) fell: Time,
    /// Fewer failures than else made it down.
    pub(super) hasty: bool,
}

/// What was heard since the fault began of one that could answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// When it passed last.
    Passed(Time),
    Failed,
    Nothing,
}

/// The table above. None where nothing is listened for: nobody leaves, nobody has passed yet, or all were heard of.
pub(super) fn listens_until(
    leavers: impl Iterator<Item = Leaver>,
    could_answer: impl Iterator<Item = Heard>,
) -> Option<Time> {
    let (mut first, mut all_heard): (Option<Time>, bool) = (None, true);
    for heard in could_answer {
        match heard {
            Heard::Passed(at) => first = Some(first.map_or(at, |first| first.min(at))),
            Heard::Failed => {}
            Heard::Nothing => all_heard = false,
        }
    }
    let first = first.filter(|_| !all_heard)?;
    let hasty = |leaver: Leaver| if leaver.hasty { leaver.fell } else { Time(0) };
    let last = leavers.map(hasty).max()?;
    Some(first.max(last).after(LISTENS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> Time {
        Time(text.parse::<u64>().expect("seconds") * 1000)
    }

    fn heard(cell: &str) -> Heard {
        match cell.split_once(' ') {
            Some((_, at)) => Heard::Passed(second(at)),
            None if cell == "failed" => Heard::Failed,
            None => Heard::Nothing,
        }
    }

    #[test]
    fn the_table_holds_in_both_orders() {
        let rows: Vec<&str> = include_str!("listening.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|row| !row.starts_with("leaves |") && !row.starts_with("---"))
            .collect();
        assert_eq!(rows.len(), 11);
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let leaver = cells[0].split_once(' ');
            let leaver = leaver.map(|(how, at)| Leaver { fell: second(at), hasty: how == "haste" });
            for others in [[cells[1], cells[2]], [cells[2], cells[1]]] {
                let until = listens_until(leaver.into_iter(), others.into_iter().map(heard));
                let nobody_passes = !others.iter().any(|cell| cell.starts_with("passed"));
                let expected = match cells[3] {
                    "somebody passes" => {
                        assert!(nobody_passes, "{row}");
                        None
                    }
                    "0" => None,
                    at => Some(second(at)),
                };
                assert_eq!(until, expected, "{row}");
            }
        }
    }
}
