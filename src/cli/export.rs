//! `pointsman events --export`: an incident file from one's own history, as `pointsman replay` takes it (`docs/REPLAY.md`).
//!
//! | event | span |
//! | --- | --- |
//! | a candidate that was up or unknown goes down | its requests fail from then on, as the event's fault says |
//! | it becomes impaired | one in five fails: between what makes it impaired and what makes it down |
//! | it leaves that, to recovering or up | they fail no longer |
//! | the first event of a candidate says that it was down | they failed from the beginning |
//! | none after that | they fail for ten minutes more than the file is of: an export amid an outage is one of an outage |
//!
//! What a verdict says comes later than what happened: the file says so among its assumptions.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::BadInput;
use crate::controller::view::EventView;
use crate::sim::replay::incident::{AFTER, BEFORE, LONGEST, MAX_SPANS};
use crate::steer::observation::Stage;

/// What fails of an impaired candidate.
const IMPAIRED: f64 = 0.2;
/// So long goes on what had not ended: longer than any detection takes.
const GOES_ON: Duration = Duration::from_secs(600);
/// The status codes that an incident may have.
const STATUS: std::ops::RangeInclusive<u16> = 100..=599;

#[derive(Serialize)]
struct Document {
    title: String,
    about: String,
    assumptions: Vec<String>,
    span: Vec<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Span {
    candidate: String,
    from: Timestamp,
    until: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    fails: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The file for these events, newest first, and the time that they are of.
///
/// # Errors
/// Bad input where nothing failed, or too much for one file.
pub fn incident(events: &[EventView], from: Option<Timestamp>, until: Timestamp) -> anyhow::Result<String> {
    let begin = from.or_else(|| events.last().map(|event| event.at)).unwrap_or(until);
    let spans = spans(events, begin, until);
    if spans.is_empty() {
        return Err(BadInput("no candidate failed in that time: there is no incident to export".to_owned()).into());
    }
    if !fits(&spans) {
        let far = "what failed lies more than 14 days apart: give --since and --until";
        return Err(BadInput(far.to_owned()).into());
    }
    if spans.len() > MAX_SPANS {
        let many = format!(
            "{} spans are more than the {MAX_SPANS} that one file takes: give --since, --until or --subject",
            spans.len()
        );
        return Err(BadInput(many).into());
    }
    let of = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
    let document = Document {
        title: format!("Own history from {begin} to {until}"),
        about: format!("{} verdicts, {} decisions, {} orders of operators.", of("verdict"), of("decision"), of("override")),
        assumptions: vec![
            "A span begins with the verdict that it was stored with: what failed began up to the time of detection before.".to_owned(),
            format!(
                "A span ends with the first pass that was seen; one that had not ended by {until} goes on for {} min more.",
                GOES_ON.as_secs() / 60
            ),
            format!("An impaired candidate fails {:.0} % of requests; the history does not say how many.", IMPAIRED * 100.0),
        ],
        span: spans,
    };
    Ok(toml::to_string(&document)?)
}

/// Whether one replay takes them, with the calm before and what it watches after.
fn fits(spans: &[Span]) -> bool {
    let from = spans.iter().map(|span| span.from).min();
    let until = spans.iter().map(|span| span.until).max();
    let apart = from.zip(until).map_or(0, |(from, until)| until.as_second() - from.as_second());
    // Of the first second and the last a part counts.
    u64::try_from(apart).is_ok_and(|apart| apart < (LONGEST - BEFORE - AFTER).as_secs())
}

fn spans(events: &[EventView], begin: Timestamp, end: Timestamp) -> Vec<Span> {
    let mut open: BTreeMap<&str, Span> = BTreeMap::new();
    let mut known: BTreeMap<&str, ()> = BTreeMap::new();
    let mut spans = Vec::new();
    for event in events.iter().rev().filter(|event| event.kind == "verdict") {
        let subject = &*event.subject;
        if known.insert(subject, ()).is_none() && is_failing(&event.from) {
            open.insert(subject, span(event, &event.from, begin));
        }
        if let Some(before) = open.remove(subject) {
            spans.push(Span { until: event.at, ..before });
        }
        if is_failing(&event.to) {
            open.insert(subject, span(event, &event.to, event.at));
        }
    }
    let goes_on_until = end.checked_add(GOES_ON).unwrap_or(end);
    spans.extend(open.into_values().filter(|span| span.from < end).map(|span| Span { until: goes_on_until, ..span }));
    spans.retain(|span| span.from < span.until);
    spans.sort_by(|a, b| (a.from, &a.candidate).cmp(&(b.from, &b.candidate)));
    spans
}

fn is_failing(standing: &str) -> bool {
    matches!(standing, "down" | "impaired")
}

fn span(event: &EventView, standing: &str, from: Timestamp) -> Span {
    let fault = event.fault.as_ref();
    Span {
        candidate: event.subject.clone(),
        from,
        until: from,
        fails: (standing == "impaired").then_some(IMPAIRED),
        stage: fault.map(|fault| fault.stage.word()),
        // What was too slow, or broke off, may have had a status too: it is not what failed.
        status: fault
            .filter(|fault| matches!(fault.stage, Stage::Status | Stage::Body))
            .and_then(|fault| fault.status.filter(|status| STATUS.contains(status))),
        reason: fault.map(|fault| fault.reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::replay::incident::{Incident, Subject};
    use crate::steer::observation::Fault;
    use crate::steer::time::Time;

    fn event(id: u64, second: i64, subject: &str, from: &str, to: &str) -> EventView {
        let status = (to == "down").then(|| Fault {
            stage: Stage::Status,
            status: Some(500),
            certificate: None,
            page: None,
            reason: "status 500".to_owned(),
        });
        EventView {
            id,
            generation: id,
            at: at(second),
            kind: "verdict".to_owned(),
            subject: subject.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            why: "it was so".to_owned(),
            fault: status,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn the_table_holds() {
        let events = [
            event(5, 500, "c./fastly", "up", "down"),
            event(4, 400, "b./gcore", "down", "recovering"),
            event(3, 300, "a./bunny", "down", "recovering"),
            event(2, 200, "a./bunny", "impaired", "down"),
            event(1, 100, "a./bunny", "up", "impaired"),
        ];
        let spans = spans(&events, at(50), at(600));
        let told: Vec<_> = spans
            .iter()
            .map(|span| (&*span.candidate, span.from.as_second(), span.until.as_second(), span.fails, span.status))
            .collect();
        let expected = [
            ("b./gcore", 50, 400, None, None),
            ("a./bunny", 100, 200, Some(IMPAIRED), None),
            ("a./bunny", 200, 300, None, Some(500)),
            ("c./fastly", 500, 1_200, None, Some(500)),
        ];
        assert_eq!(told, expected);
    }

    /// Whatever an event says of a fault, the file is an incident, and what is replayed is that fault.
    #[test]
    fn the_file_is_one_that_replay_takes() {
        let stages =
            [Stage::Resolve, Stage::Connect, Stage::Tls, Stage::Timeout, Stage::Status, Stage::Body, Stage::Slow];
        for stage in stages {
            for status in [None, Some(200), Some(503), Some(999)] {
                let fault = Fault { stage, status, certificate: None, page: None, reason: "\"so\"\n#".to_owned() };
                let fell = EventView { fault: Some(fault), ..event(1, 100, "www.a./bunny", "up", "down") };
                let text = incident(&[fell], None, at(200)).expect("a file");
                let incident = Incident::parse(&text, "own", "own.toml").expect("an incident");
                assert_eq!(incident.title, "Own history from 1970-01-01T00:01:40Z to 1970-01-01T00:03:20Z");
                let [span] = &incident.spans[..] else { panic!("{:?}", incident.spans) };
                let candidate = Subject::Candidate { name: "www.a.".to_owned(), candidate: "bunny".to_owned() };
                assert_eq!((&span.subject, span.stage, &*span.reason), (&candidate, stage, "\"so\"\n#"));
                assert_eq!((span.from, span.until, span.fails), (Time(100_000), Time(800_000), (1.0, 1.0)));
            }
        }
        let impaired = incident(&[event(1, 1_800, "a./bunny", "up", "impaired")], None, at(2_000)).expect("a file");
        let impaired = Incident::parse(&impaired, "own", "own.toml").expect("an incident");
        assert_eq!(impaired.spans[0].fails, (IMPAIRED, IMPAIRED));
        assert!(incident(&[], None, at(200)).expect_err("nothing failed").is::<BadInput>());
    }

    #[test]
    fn what_no_replay_takes_is_not_exported() {
        let longest = 14 * 86_400 - 30 * 60 - 3 * 3_600;
        for (apart, fits) in [(longest - 1, true), (longest, false)] {
            let events = [
                event(2, 9_000 + apart, "www.a./bunny", "down", "recovering"),
                event(1, 9_000, "www.a./bunny", "up", "down"),
            ];
            match incident(&events, None, at(9_000 + apart)) {
                Ok(text) => assert!(fits && Incident::parse(&text, "own", "own.toml").is_ok(), "{text}"),
                Err(why) => assert!(!fits && why.to_string().contains("14 days apart"), "{why}"),
            }
        }
    }
}
