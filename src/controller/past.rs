//! `explain` for the past: what a name answered at a time, and why, from the events that were stored.
//!
//! | what is stored | what is said |
//! | --- | --- |
//! | a decision of the name until then | its `to` is the answer; one line for each area rule that had one of its own |
//! | none until then, one after it, and events from before | its `from` is the answer |
//! | none at all, and events from before | what it answers now, if it is steered now |
//! | no events from before | not known |
//! | the server did not run then | nothing was answered |
//!
//! Zones and configurations of the past are not kept: what the targets and the other records of the name were then, nobody
//! here knows, and the document says so.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::message::Reply;
use super::task::Task;
use super::view::{EventView, NameView};
use super::{timestamp, views};
use crate::steer::time::Time;
use crate::steer::transition::Change;
use crate::store::kept::Event;
use crate::store::{Past, StoreError, clients};

/// Overrides that are told one by one.
const OVERRIDES: usize = 100;

/// `GET /v1/explain?at=`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastExplanation {
    pub name: String,
    pub at: Timestamp,
    /// What it answered; empty where that is not known or nothing was answered.
    pub answers: Vec<PastAnswer>,
    /// Where there are no answers: which of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer: Option<NoAnswer>,
    /// Sentences: what is said, and how far that is known.
    pub steps: Vec<String>,
    /// What was believed of its candidates.
    pub candidates: Vec<PastCandidate>,
    /// As they were placed; all that were in force, whatever they are about.
    pub overrides: Vec<EventView>,
    /// The oldest event that is kept: of times before it nothing is known.
    pub history_since: Option<Timestamp>,
}

/// Why no answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoAnswer {
    /// The server did not run.
    NotRunning,
    /// As far as the events say, the name was not steered.
    NotSteered,
    /// That is not over yet.
    NotOver,
    /// There are no events from before.
    NotKnown,
}

/// What some clients were answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastAnswer {
    /// `bunny 70%, gcore 30%`, or `static`.
    pub answer: String,
    /// None where it was before the oldest event.
    pub since: Option<Timestamp>,
    /// Whose clients, where areas are told apart, and which rule decided.
    pub why: Option<String>,
    /// The event that says so.
    pub event: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastCandidate {
    pub id: String,
    pub standing: String,
    pub since: Option<Timestamp>,
    pub why: Option<String>,
}

impl Task {
    pub(super) fn explain_past(&self, name: String, at: Time, reply: Reply<Result<PastExplanation, StoreError>>) {
        let store = self.keeping.store().clone();
        let current = self.names(Some(&name)).into_iter().next().map(|view| words(&view));
        let now = self.clock.now();
        tokio::spawn(async move {
            let past = store.past(name.clone(), at).await;
            drop(reply.send(past.map(|past| PastExplanation::of(name, at, now, &past, current))));
        });
    }
}

impl PastExplanation {
    /// `current` is what the name answers now.
    fn of(name: String, at: Time, now: Time, past: &Past, current: Option<String>) -> Self {
        let known = past.oldest.is_some_and(|oldest| oldest <= at);
        let mut steps = Vec::new();
        let stopped = stopped(past, at, now);
        let no_answer = match (&stopped, known) {
            (Some(_), _) if at > now => NoAnswer::NotOver,
            (Some(_), _) => NoAnswer::NotRunning,
            (None, false) => NoAnswer::NotKnown,
            (None, true) => NoAnswer::NotSteered,
        };
        let answers = match (stopped, known) {
            (Some(why), _) => {
                steps.push(why);
                Vec::new()
            }
            (None, false) => {
                steps.push(match past.oldest {
                    Some(oldest) => format!(
                        "events reach back to {} and no further: what it answered before is not known",
                        timestamp(oldest)
                    ),
                    None => "there are no events: what it answered is not known".to_owned(),
                });
                Vec::new()
            }
            (None, true) => answers(past, current, &mut steps),
        };
        if !answers.is_empty() {
            steps.push("what its targets and its other records were then is not kept".to_owned());
        }
        let candidates =
            past.verdicts.iter().filter(|_| known).map(|(id, event)| PastCandidate::of(id, event, at)).collect();
        Self {
            name,
            at: timestamp(at),
            no_answer: answers.is_empty().then_some(no_answer),
            answers,
            steps,
            candidates,
            overrides: past.overrides.iter().take(OVERRIDES).map(views::event).collect(),
            history_since: past.oldest.map(timestamp),
        }
    }
}

/// Why nothing was answered: between two runs.
fn stopped(past: &Past, at: Time, now: Time) -> Option<String> {
    if at > now {
        return Some("that is not over yet".to_owned());
    }
    let before = past.runs.iter().rfind(|run| run.from <= at)?;
    let after = past.runs.iter().find(|run| run.from > at)?;
    let (until, from) = (timestamp(before.until), timestamp(after.from));
    (at > before.until).then(|| {
        let how = if before.clean { "was stopped" } else { "ended without a clean stop, within 10 s after" };
        format!("the server did not run: it {how} {until}, and began again {from}")
    })
}

fn answers(past: &Past, current: Option<String>, steps: &mut Vec<String>) -> Vec<PastAnswer> {
    let mut told: Vec<PastAnswer> = Vec::new();
    let mut whose: Vec<String> = Vec::new();
    for event in &past.decisions {
        let Change::Decision { to, .. } = &event.transition.change else { continue };
        let clients = clients(&event.transition.why).to_owned();
        if whose.contains(&clients) {
            continue;
        }
        let since = timestamp(event.transition.at);
        steps.push(format!("since {since}, event {}: {to}: {}", event.id, event.transition.why));
        told.push(PastAnswer {
            answer: to.to_string(),
            since: Some(since),
            why: Some(event.transition.why.to_string()),
            event: event.id,
        });
        // One that is for all clients ends what was said of some before.
        if clients.is_empty() {
            break;
        }
        whose.push(clients);
    }
    if !told.is_empty() {
        return told;
    }
    match (&past.next_decision, current) {
        (Some(event), _) => {
            let Change::Decision { from, .. } = &event.transition.change else { return told };
            if **from == *"nothing" {
                steps.push(format!("it was not steered yet: its first decision is event {}", event.id));
                return told;
            }
            steps.push(format!("event {} is its first that is kept, and says what it answered before", event.id));
            vec![PastAnswer { answer: from.to_string(), since: None, why: None, event: event.id }]
        }
        (None, Some(current)) => {
            steps.push(
                "no decision of it is among the events: it answers now what it did then, if it was steered".to_owned(),
            );
            vec![PastAnswer { answer: current, since: None, why: None, event: 0 }]
        }
        (None, None) => {
            steps.push("it is not steered now, and no decision of it is among the events".to_owned());
            told
        }
    }
}

/// What a name answers, as events write it.
fn words(view: &NameView) -> String {
    if view.static_answer {
        return "static".to_owned();
    }
    let serving = view.candidates.iter().filter(|candidate| candidate.share > 0.0);
    serving.map(|candidate| format!("{} {:.0}%", candidate.id, candidate.share * 100.0)).collect::<Vec<_>>().join(", ")
}

impl PastCandidate {
    fn of(id: &str, event: &Event, at: Time) -> Self {
        let Change::Verdict { from, to, .. } = &event.transition.change else {
            return Self { id: id.to_owned(), standing: "unknown".to_owned(), since: None, why: None };
        };
        let before = event.transition.at <= at;
        Self {
            id: id.to_owned(),
            standing: if before { to } else { from }.to_string(),
            since: before.then(|| timestamp(event.transition.at)),
            why: before.then(|| event.transition.why.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::ledger::Run;
    use crate::steer::transition::Transition;

    fn decision(id: u64, at: u64, from: &str, to: &str, why: &str) -> Event {
        let change = Change::Decision { subject: "a.".into(), from: from.into(), to: to.into() };
        Event { id, generation: id, transition: Transition { at: Time(at), change, why: why.into() } }
    }

    fn told(past: &Past, at: u64, current: Option<&str>) -> (Vec<String>, String) {
        let told = PastExplanation::of("a.".to_owned(), Time(at), Time(9_000), past, current.map(str::to_owned));
        (told.answers.into_iter().map(|answer| answer.answer).collect(), told.steps.join("; "))
    }

    #[test]
    fn the_table_holds() {
        let oldest = Some(Time(100));
        let known =
            Past { decisions: vec![decision(7, 500, "bunny", "gcore", "bunny is down")], oldest, ..Past::default() };
        assert_eq!(told(&known, 600, None).0, ["gcore"]);
        let later = Past { next_decision: Some(decision(8, 900, "bunny", "gcore", "")), oldest, ..Past::default() };
        assert_eq!(told(&later, 600, None).0, ["bunny"]);
        let first = Past { next_decision: Some(decision(8, 900, "nothing", "gcore", "")), oldest, ..Past::default() };
        assert!(told(&first, 600, None).1.contains("not steered yet"));
        let none = Past { oldest, ..Past::default() };
        assert_eq!(told(&none, 600, Some("bunny")).0, ["bunny"]);
        assert_eq!(told(&none, 50, Some("bunny")).0, [""; 0]);
        assert!(told(&none, 50, Some("bunny")).1.contains("not known"));
        let run = |from, until, clean| Run { from: Time(from), until: Time(until), clean, lacking: false };
        let runs = vec![run(100, 550, true), run(700, 800, false)];
        let stopped = Past { runs, ..known };
        assert!(told(&stopped, 600, None).1.contains("it was stopped"));
        assert_eq!(told(&stopped, 540, None).0, ["gcore"]);
        for (past, at, expected) in [
            (&stopped, 600, Some(NoAnswer::NotRunning)),
            (&stopped, 9_001, Some(NoAnswer::NotOver)),
            (&stopped, 540, None),
            (&first, 600, Some(NoAnswer::NotSteered)),
            (&none, 600, Some(NoAnswer::NotSteered)),
            (&none, 50, Some(NoAnswer::NotKnown)),
        ] {
            let told = PastExplanation::of("a.".to_owned(), Time(at), Time(9_000), past, None);
            assert_eq!(told.no_answer, expected, "{at}: {:?}", told.steps);
        }
        assert_eq!(told(&stopped, 8_000, None).0, ["gcore"], "the last run goes on");
        assert!(told(&stopped, 9_001, None).1.contains("not over yet"));
    }

    #[test]
    fn area_rules_are_told_apart_until_a_decision_for_all() {
        let decisions = vec![
            decision(9, 500, "fastly", "gcore", "for clients in eu27: fastly is down"),
            decision(8, 400, "bunny", "fastly", "for clients in eu27: bunny is down"),
            decision(7, 300, "bunny", "gcore", "for all other clients: bunny is down"),
            decision(6, 200, "nothing", "bunny", "the first round is over"),
            decision(5, 100, "nothing", "static", "older"),
        ];
        let past = Past { decisions, oldest: Some(Time(100)), ..Past::default() };
        assert_eq!(told(&past, 600, None).0, ["gcore", "gcore", "bunny"]);
    }
}
