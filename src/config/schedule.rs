//! When a drill is due: the five fields of a crontab line, with a time zone behind them if it is not UTC, or one moment.
//!
//! | `at` | when |
//! | --- | --- |
//! | `0 10 * * TUE#1` | the first Tuesday of each month, at 10:00 UTC |
//! | `30 4 1,15 * * Europe/Berlin` | the 1st and the 15th, at 4:30 in Berlin, summer and winter |
//! | `0 10 * * FRIL` | the last Friday of each month; `L` for the day of month is the last day |
//! | `2026-12-01T10:00:00Z` | once |
//!
//! The clock is never read here: times come in as arguments. What is wrong with several schedules together is found
//! whatever the time is, so that a configuration that was good once is good for ever (but for one-offs, which tell their
//! year themselves).

use std::fmt;
use std::time::Duration;

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::steer::time::Time;

/// Where runs of different schedules are compared: four years from 2024 on have every kind of month.
const FROM: Time = Time(1_704_067_200_000);
const UNTIL: Time = Time(FROM.0 + 4 * 366 * 86_400_000);
/// Runs that are compared at most.
const MOST_RUNS: usize = 3_000;
/// Times that are passed over at most: days of which another is the last of its month, at most five of each month, and
/// minutes of an hour that comes twice.
const MOST_PASSED: usize = 300;

/// When a drill is due.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    when: When,
}

#[derive(Clone, Debug)]
enum When {
    Once(Time),
    Cron(Box<Crontab>, Option<Last>),
}

/// What `L` means. It is looked after here: cronexpr 1.7 takes no day of December for the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// The last day of the month.
    Day,
    /// The last of its weekday in the month.
    Weekday,
}

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    #[error(
        "`{0}` is no schedule: write the five fields of a crontab line (`0 10 * * TUE#1`: the first Tuesday of each \
         month, 10:00 UTC), a time zone behind them if it is not UTC (`0 10 * * TUE#1 Europe/Berlin`), or one moment \
         (`2026-12-01T10:00:00Z`)"
    )]
    Form(String),
    #[error("`{text}` is no schedule: {why}")]
    Field { text: String, why: String },
    #[error("`{0}` never comes")]
    Never(String),
}

/// Two runs at the same time: the places of their schedules, and when the second would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clash {
    pub first: usize,
    pub second: usize,
    pub at: Time,
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    ///
    /// A text that is none, or one that never comes (31 February).
    pub fn parse(text: &str) -> Result<Self, InvalidSchedule> {
        let text = text.trim();
        let schedule = |when| Self { text: text.to_owned(), when };
        if let Ok(moment) = text.parse::<Timestamp>() {
            let millis = u64::try_from(moment.as_millisecond()).map_err(|_| InvalidSchedule::Form(text.to_owned()))?;
            return Ok(schedule(When::Once(Time(millis))));
        }
        let field = |why: String| InvalidSchedule::Field { text: text.to_owned(), why };
        let (line, last) = Last::taken_from(text).ok_or_else(|| InvalidSchedule::Form(text.to_owned()))?;
        if line.split_whitespace().nth(2).is_some_and(has_l) || line.split_whitespace().nth(4).is_some_and(has_l) {
            return Err(field("`L` stands alone in its field, and the other field for days is `*`".to_owned()));
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = cronexpr::parse_crontab_with(&line, options);
        let crontab = crontab.map_err(|error| field(last_line(&error.to_string())))?;
        let schedule = schedule(When::Cron(Box::new(crontab), last));
        if schedule.next(FROM).is_none() {
            return Err(InvalidSchedule::Never(text.to_owned()));
        }
        Ok(schedule)
    }

    /// The next time after this one; none where there is none any more.
    pub fn next(&self, after: Time) -> Option<Time> {
        match &self.when {
            When::Once(at) => Some(*at).filter(|at| *at > after),
            When::Cron(crontab, last) => {
                let after = Timestamp::from_millisecond(i64::try_from(after.0).ok()?).ok()?;
                let next = next_of(crontab, *last, after)?;
                u64::try_from(next.as_millisecond()).ok().map(Time)
            }
        }
    }
}

fn next_of(crontab: &Crontab, last: Option<Last>, mut after: Timestamp) -> Option<Timestamp> {
    for _ in 0..MOST_PASSED {
        let next = crontab.find_next(after).ok()?;
        if last.is_some_and(|last| !last.is(next.date())) {
            // On with the day after.
            after = next.end_of_day().ok()?.timestamp();
        } else if is_second(&next) {
            after = next.timestamp();
        } else {
            return Some(next.timestamp());
        }
    }
    None
}

impl Last {
    /// A crontab line whose `L` stands for all days that may be meant, and what it means; none where it has no five fields.
    fn taken_from(text: &str) -> Option<(String, Option<Self>)> {
        let mut fields: Vec<&str> = text.split_whitespace().collect();
        let &[_, _, day, _, weekday, ..] = &fields[..] else { return None };
        let last = if day.eq_ignore_ascii_case("L") && weekday == "*" {
            fields[2] = "28-31";
            Some(Self::Day)
        } else if let (Some(weekday), "*") = (last_of(weekday), day) {
            fields[4] = weekday;
            Some(Self::Weekday)
        } else {
            None
        };
        (fields.len() <= 6).then(|| (fields.join(" "), last))
    }

    fn is(self, date: Date) -> bool {
        let days = match self {
            Self::Day => 1,
            Self::Weekday => 7,
        };
        date.checked_add(days.days()).is_ok_and(|later| later.month() != date.month())
    }
}

/// Whether the clock, set back, shows this time of the day for the second time.
fn is_second(moment: &Zoned) -> bool {
    let first = moment.time_zone().to_ambiguous_zoned(moment.datetime()).earlier();
    first.is_ok_and(|first| first.timestamp() < moment.timestamp())
}

/// No name of a weekday has one.
fn has_l(field: &str) -> bool {
    field.contains(['L', 'l'])
}

/// As it was written.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The first two runs that would overlap, each as long as it says: there can be one drill at a time.
pub fn clash(schedules: &[(&Schedule, Duration)]) -> Option<Clash> {
    let longest = schedules.iter().map(|(_, span)| *span).max()?;
    let once = schedules.iter().filter_map(|(schedule, _)| match schedule.when {
        When::Once(at) => Some((at.before(longest), at.after(longest))),
        When::Cron(..) => None,
    });
    std::iter::once((FROM, UNTIL)).chain(once).find_map(|(from, until)| clash_within(schedules, from, until))
}

fn clash_within(schedules: &[(&Schedule, Duration)], from: Time, until: Time) -> Option<Clash> {
    let mut next: Vec<Option<Time>> = schedules.iter().map(|(schedule, _)| schedule.next(from)).collect();
    let mut busy: Option<(usize, Time)> = None;
    for _ in 0..MOST_RUNS {
        let due = next.iter().enumerate().filter_map(|(at, next)| Some(((*next)?, at)));
        let (at, second) = due.min().filter(|(at, _)| *at < until)?;
        if let Some((first, _)) = busy.filter(|(_, busy_until)| at < *busy_until) {
            return Some(Clash { first, second, at });
        }
        let (schedule, span) = schedules.get(second)?;
        busy = Some((second, at.after(*span)));
        *next.get_mut(second)? = schedule.next(at);
    }
    None
}

/// The weekday of which the last of a month is meant, where it is one alone.
fn last_of(weekday: &str) -> Option<&str> {
    weekday.strip_suffix(['L', 'l']).filter(|day| !day.is_empty() && !day.contains([',', '-', '*', '/', '#']))
}

/// Of a message over several lines the one that says what is wrong.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or_default().trim();
    line.trim_start_matches('^').trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        let millis = text.parse::<Timestamp>().expect("a time").as_millisecond();
        Time(u64::try_from(millis).expect("after 1970"))
    }

    fn told(time: Time) -> String {
        Timestamp::from_millisecond(i64::try_from(time.0).expect("in range")).expect("in range").to_string()
    }

    /// The table of the head, and what else people write.
    #[test]
    fn the_next_time_is_told() {
        for (at, after, next) in [
            ("0 10 * * TUE#1", "2026-11-23T20:00:00Z", Some("2026-12-01T10:00:00Z")),
            ("0 10 * * TUE#1", "2026-12-01T09:59:59.999Z", Some("2026-12-01T10:00:00Z")),
            ("0 10 * * TUE#1", "2026-12-01T10:00:00Z", Some("2027-01-05T10:00:00Z")),
            ("0 10 * * 2#1 UTC", "2026-12-01T10:00:00.001Z", Some("2027-01-05T10:00:00Z")),
            ("30 4 1,15 * * Europe/Berlin", "2026-06-02T00:00:00Z", Some("2026-06-15T02:30:00Z")),
            ("30 4 1,15 * * Europe/Berlin", "2026-12-02T00:00:00Z", Some("2026-12-15T03:30:00Z")),
            // The clock is set forward: half past two does not come. It is set back: it comes once.
            ("30 2 * * * Europe/Berlin", "2026-03-28T02:00:00Z", Some("2026-03-30T00:30:00Z")),
            ("30 2 * * * Europe/Berlin", "2026-10-24T12:00:00Z", Some("2026-10-25T00:30:00Z")),
            ("30 2 * * * Europe/Berlin", "2026-10-25T00:30:00Z", Some("2026-10-26T01:30:00Z")),
            ("*/10 * * * * Europe/Berlin", "2026-10-25T00:50:00Z", Some("2026-10-25T02:00:00Z")),
            ("*/15 9-17 * * MON-FRI", "2026-11-27T17:45:00Z", Some("2026-11-30T09:00:00Z")),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", Some("2028-02-29T00:00:00Z")),
            ("2026-12-01T10:00:00Z", "2026-11-23T20:00:00Z", Some("2026-12-01T10:00:00Z")),
            ("2026-12-01T11:00:00.5+01:00", "2026-11-23T20:00:00Z", Some("2026-12-01T10:00:00.5Z")),
            ("2026-12-01T10:00:00Z", "2026-12-01T10:00:00Z", None),
        ] {
            let schedule = Schedule::parse(at).expect(at);
            assert_eq!(schedule.next(time(after)).map(told).as_deref(), next, "{at} after {after}");
            assert_eq!(schedule.to_string(), at);
        }
    }

    /// The last of a month, the last month among them.
    #[test]
    fn the_last_day_and_weekday_of_each_month_come() {
        for (at, after, next) in [
            ("0 10 L * *", "2026-11-30T10:00:00Z", "2026-12-31T10:00:00Z"),
            ("0 10 L * *", "2026-12-31T10:00:00Z", "2027-01-31T10:00:00Z"),
            ("0 10 * * 2L", "2026-11-24T10:00:00Z", "2026-12-29T10:00:00Z"),
            ("0 10 * * TUEL", "2026-12-29T10:00:00Z", "2027-01-26T10:00:00Z"),
            ("* * l * *", "2026-11-30T23:59:00Z", "2026-12-31T00:00:00Z"),
            ("0 0 L 2 *", "2026-03-01T00:00:00Z", "2027-02-28T00:00:00Z"),
            ("30 23 L * * Europe/Berlin", "2026-12-31T22:30:00Z", "2027-01-31T22:30:00Z"),
        ] {
            let schedule = Schedule::parse(at).expect(at);
            assert_eq!(schedule.next(time(after)).map(told).as_deref(), Some(next), "{at} after {after}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        for (at, part) in [
            ("", "five fields"),
            ("monthly", "five fields"),
            ("first Tuesday 10:00", "five fields"),
            ("0 10 * *", "five fields"),
            ("0 0 10 * * 2 *", "five fields"),
            ("60 10 * * *", "`60 10 * * *` is no schedule: "),
            ("0 10 * * TUE#6", "is no schedule: "),
            ("0 10 15,L * *", "`L` stands alone"),
            ("0 10 15 * 2L", "`L` stands alone"),
            ("0 10 L * 2", "`L` stands alone"),
            ("0 10 * * FRI,MONL", "`L` stands alone"),
            ("0 10 * * MON-FRIL", "`L` stands alone"),
            ("0 10 * * * Europe/Nowhere", "Europe/Nowhere"),
            ("0 0 30 2 *", "never comes"),
            ("1969-12-31T23:00:00Z", "five fields"),
        ] {
            let error = Schedule::parse(at).map(|schedule| schedule.to_string()).expect_err(at).to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{at}: {error}");
        }
    }

    #[test]
    fn runs_that_overlap_are_found() {
        const HOUR: u64 = 3_600;
        for (all, expected) in [
            (&[("0 10 * * TUE#1", HOUR), ("0 11 * * TUE#1", HOUR)][..], None),
            (&[("0 10 * * TUE#1", HOUR + 1), ("0 11 * * TUE#1", HOUR)], Some((0, 1, "2024-01-02T11:00:00Z"))),
            (&[("0 10 * * TUE#1", HOUR), ("30 10 7 * *", HOUR)], Some((0, 1, "2024-05-07T10:30:00Z"))),
            (&[("0 * * * *", HOUR)], None),
            (&[("0 * * * *", HOUR + 1)], Some((0, 0, "2024-01-01T02:00:00Z"))),
            (&[("2031-12-02T09:30:00Z", HOUR), ("0 10 * * TUE#1", 60)], Some((0, 1, "2031-12-02T10:00:00Z"))),
            (&[("2031-12-02T10:30:00Z", 60), ("0 10 * * TUE#1", HOUR)], Some((1, 0, "2031-12-02T10:30:00Z"))),
            (&[("2031-12-02T11:00:00Z", 60), ("0 10 * * TUE#1", HOUR)], None),
            (&[("0 10 * * * Europe/Berlin", HOUR), ("0 10 * * *", HOUR)], None),
            (&[("0 12 * * * Europe/Berlin", HOUR), ("0 10 * * *", HOUR)], Some((1, 0, "2024-03-31T10:00:00Z"))),
        ] {
            let parsed: Vec<_> =
                all.iter().map(|(at, span)| (Schedule::parse(at).expect(at), Duration::from_secs(*span))).collect();
            let schedules: Vec<_> = parsed.iter().map(|(schedule, span)| (schedule, *span)).collect();
            let found = clash(&schedules).map(|clash| (clash.first, clash.second, told(clash.at)));
            let expected = expected.map(|(first, second, at)| (first, second, at.to_owned()));
            // Of two that are due together, either may be the second.
            let together = |(a, b, at): (usize, usize, String)| (a.min(b), a.max(b), at);
            assert_eq!(found.map(together), expected.map(together), "{all:?}");
        }
    }
}
