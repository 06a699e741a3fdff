//! `[[drill]]`: drills that begin by themselves, with everything that can be wrong with them told at its place.

use std::ops::Range;
use std::time::Duration;

use toml::de::DeValue;

use super::schedule::{Schedule, clash};
use super::{Config, DrillSection, Fault, Value, fitting};
use crate::steer::overrides::Drill;

/// Schedules at most.
const MOST: usize = 50;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// A drill that the configuration schedules.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedDrill {
    pub drill: Drill,
    pub span: Duration,
    pub schedule: Schedule,
    pub reason: String,
}

/// Where a section stands: its head, and the values of its keys.
pub(super) struct Places {
    head: Range<usize>,
    keys: Vec<(String, Range<usize>)>,
}

impl Places {
    fn of(value: &Value<'_>) -> Self {
        let keys = match value.get_ref() {
            DeValue::Table(table) => {
                table.iter().map(|(key, value)| (key.get_ref().to_string(), value.span())).collect()
            }
            _ => Vec::new(),
        };
        Self { head: value.span(), keys }
    }

    fn at(&self, key: &str) -> Range<usize> {
        self.keys.iter().find(|(known, _)| known == key).map_or(&self.head, |(_, span)| span).clone()
    }
}

/// The sections, and where each stands.
pub(super) fn sections(value: Value<'_>, faults: &mut Vec<Fault>) -> (Vec<DrillSection>, Vec<Places>) {
    let span = value.span();
    let DeValue::Array(drills) = value.into_inner() else {
        faults.push((Some(span), "`drill` is not a list of tables: write `[[drill]]`".to_owned()));
        return (Vec::new(), Vec::new());
    };
    let read = |value: Value<'_>| {
        let places = Places::of(&value);
        (fitting(value, "drill", faults), places)
    };
    drills.into_iter().map(read).unzip()
}

impl Config {
    pub(super) fn find_faults_of_drills(&self, places: &[Places], faults: &mut Vec<Fault>) {
        if self.drill.len() > MOST {
            let head = places.get(MOST).map(|places| places.head.clone());
            faults.push((head, format!("there are more than {MOST} drills")));
            return;
        }
        let mut good = Vec::new();
        for (at, (section, places)) in self.drill.iter().zip(places).enumerate() {
            let before = faults.len();
            self.find_faults_of_drill(section, places, faults);
            match (Schedule::parse(&section.at), section.span) {
                (Ok(schedule), Some(span)) if faults.len() == before => good.push((at, schedule, span.0)),
                _ => {}
            }
        }
        let schedules: Vec<_> = good.iter().map(|(_, schedule, span)| (schedule, *span)).collect();
        let Some(found) = clash(&schedules) else { return };
        let (Some((first, schedule, _)), Some((second, ..))) = (good.get(found.first), good.get(found.second)) else {
            return;
        };
        let place = places.get(*second).map(|places| places.at("at"));
        let moment = jiff::Timestamp::from_millisecond(i64::try_from(found.at.0).unwrap_or(0)).unwrap_or_default();
        let message = if first == second {
            format!("it comes again before it is over: at {moment} for example")
        } else {
            let provider = self.drill.get(*first).map_or("", |section| section.provider.as_str());
            format!("it begins while the drill of {provider} (`{schedule}`) runs: at {moment} for example")
        };
        faults.push((place, format!("[drill] {message}; there is one drill at a time")));
    }

    fn find_faults_of_drill(&self, section: &DrillSection, places: &Places, faults: &mut Vec<Fault>) {
        let mut fault = |key: &str, message: String| faults.push((Some(places.at(key)), format!("[drill] {message}")));
        if section.provider.is_empty() {
            fault("provider", "`provider` is missing: whose clients are to move?".to_owned());
        } else if self.providers().find(&section.provider).is_none() {
            fault("provider", format!("`{}` is no provider that is known: [provider.ID] adds one", section.provider));
        }
        if Drill::parse_share(&section.share).is_none() {
            fault("share", format!("`share` is {}", Drill::SHARE_EXPECTED));
        }
        match section.span {
            Some(span) if (Duration::from_secs(1)..=Drill::LONGEST).contains(&span.0) => {}
            _ => fault("for", "`for` is from 1s to 24h: how long it takes".to_owned()),
        }
        if section.at.is_empty() {
            fault("at", "`at` is missing: `0 10 * * TUE#1` is 10:00 UTC on the first Tuesday of each month".to_owned());
        } else if let Err(error) = Schedule::parse(&section.at) {
            fault("at", error.to_string());
        }
        let reason = &section.reason;
        if reason.chars().count() > LONGEST_REASON || reason.chars().any(char::is_control) {
            fault("reason", format!("`reason` is one line of at most {LONGEST_REASON} characters"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ConfigError;
    use super::*;

    const GOOD: &str = "[[drill]]\nprovider = \"bunny\"\nshare = \"1%\"\nfor = \"10m\"\nat = \"0 10 * * TUE#1\"\nreason = \"monthly\"\n";

    fn faults(text: &str) -> Vec<(u32, u32, String)> {
        match Config::parse(text, "pointsman.toml") {
            Ok(_) => Vec::new(),
            Err(ConfigError::Wrong(faults)) => {
                faults.into_iter().map(|fault| (fault.line, fault.column, fault.message)).collect()
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn drills_are_read() {
        let text = format!(
            "{GOOD}[[drill]]\nprovider = \"mine\"\nshare = \"0.5%\"\nfor = \"1h\"\nat = \"2031-12-02T12:00:00Z\"\n[provider.mine]\nhome = \"de\"\n"
        );
        let planned = Config::parse(&text, "x").expect("it is good").planned_drills();
        let told: Vec<_> = planned
            .iter()
            .map(|of| {
                (&*of.drill.provider, of.drill.per_mille, of.span.as_secs(), &*of.reason, of.schedule.to_string())
            })
            .collect();
        assert_eq!(
            told,
            [
                ("bunny", 10, 600, "monthly", "0 10 * * TUE#1".to_owned()),
                ("mine", 5, 3_600, "a scheduled drill", "2031-12-02T12:00:00Z".to_owned()),
            ]
        );
        assert_eq!(Config::default().planned_drills(), []);
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        for (from, to, line, column, part) in [
            ("\"bunny\"", "\"nobody\"", 2, 12, "[drill] `nobody` is no provider that is known"),
            ("provider = \"bunny\"\n", "", 1, 1, "`provider` is missing"),
            ("\"1%\"", "\"51%\"", 3, 9, "`share` is from 0.1 % to 50 %"),
            ("\"1%\"", "\"a bit\"", 3, 9, "`share` is from 0.1 % to 50 %"),
            ("\"10m\"", "\"25h\"", 4, 7, "`for` is from 1s to 24h"),
            ("\"10m\"", "\"soon\"", 4, 7, "`soon` is not a span of time"),
            ("\"0 10 * * TUE#1\"", "\"monthly\"", 5, 6, "five fields of a crontab line"),
            (
                "\"0 10 * * TUE#1\"",
                "\"*/5 * * * *\"",
                5,
                6,
                "it comes again before it is over: at 2024-01-01T00:10:00Z",
            ),
            ("at =", "when =", 5, 1, "unknown field `when`"),
            ("[[drill]]", "[drill]", 1, 1, "write `[[drill]]`"),
        ] {
            let text = GOOD.replace(from, to);
            let found = faults(&text);
            let hit = found.iter().find(|(_, _, message)| message.contains(part));
            let place = hit.map(|(line, column, _)| (*line, *column));
            assert_eq!(place, Some((line, column)), "{text}{found:#?}");
        }
        assert_eq!(faults(GOOD), []);
        let twice = format!("{GOOD}{}", GOOD.replace("bunny", "gcore").replace("0 10", "5 10"));
        let found = faults(&twice);
        assert_eq!((found.len(), found[0].0, found[0].1), (1, 11, 6), "{found:#?}");
        assert!(
            found[0].2.contains("it begins while the drill of bunny (`0 10 * * TUE#1`) runs: at 2024-01-02T10:05:00Z"),
            "{found:#?}"
        );
        let many = GOOD.repeat(51);
        assert_eq!(faults(&many)[0].2, "there are more than 50 drills");
    }
}
