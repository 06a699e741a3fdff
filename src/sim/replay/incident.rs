//! Incidents: what failed, when, and for whom, as TOML files (`docs/REPLAY.md`).
//!
//! A file has a head (`title`, `about`, when to begin and end), its sources and assumptions, and spans of time in which
//! something fails. [`Document`] is the file as it is written; [`Incident`] is the same after it was checked. Nothing is
//! taken of a file with a fault, and all faults are told at once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Span as Length;
use crate::steer::observation::{Family, Stage};
use crate::steer::time::Time;

/// The largest file, in octets.
pub const MAX_FILE: usize = 4 << 20;
/// The most spans in one file.
pub const MAX_SPANS: usize = 10_000;
/// The longest replay.
pub const LONGEST: Duration = Duration::from_secs(14 * 86_400);
/// The shortest `every` of a span that comes and goes.
const SHORTEST_SLOT: Duration = Duration::from_secs(1);
/// Calm before the first span, where `begin` is not given: half an hour fills every ring and starts with everyone up.
pub const BEFORE: Duration = Duration::from_secs(30 * 60);
/// What is watched after the last span, where `end` is not given: the longest clean window and a ramp, twice.
pub const AFTER: Duration = Duration::from_secs(3 * 3_600);
/// The provider that most names prefer.
pub const PREFERRED: &str = "preferred";
/// Every provider, or every name.
pub const ALL: &str = "*";

/// An incident file as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// Address families that are probed.
    #[serde(default = "v4_alone", skip_serializing_if = "is_v4_alone")]
    pub families: Vec<Family>,
    /// Whose name servers the zones are published at; the first alone is what doing nothing means.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
    #[serde(default, rename = "source", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    #[serde(default, rename = "span", skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<SpanText>,
}

/// Where a fact comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Who says it, and what that page is called; empty in a file of one's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    pub url: String,
    /// What is taken from it.
    pub taken: String,
}

/// One span as it is written: exactly one of the first five keys says what fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanText {
    /// A provider's id, `preferred`, or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// `NAME/CANDIDATE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// A steered name, or `*`: all its candidates fail alike, and so does the origin itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// `v4`, `v6` or `all`: all that is sent from the vantage fails, its anchors too; visitors see nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vantage: Option<String>,
    /// An operator of name servers: questions to it get no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nameservers: Option<String>,
    pub from: Timestamp,
    pub until: Timestamp,
    /// The part of requests that fail, 0 to 1.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub fails: f64,
    /// What it has become at the end, in a straight line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fails_at_end: Option<f64>,
    /// The part of the provider's names that are hit at all, 0 to 1: the seed says which.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub part: f64,
    /// It comes and goes: in each slot of this length it is there ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Length>,
    /// ... with this chance, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Hits::is_all")]
    pub hits: Hits,
}

/// Whose requests fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hits {
    #[default]
    All,
    Visitors,
    Probes,
}

impl Hits {
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// An incident that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// The file's name without its ending.
    pub name: String,
    pub title: String,
    pub about: String,
    pub begin: Time,
    pub end: Time,
    pub families: Vec<Family>,
    pub operators: Vec<String>,
    pub assumptions: Vec<String>,
    pub sources: Vec<Source>,
    /// Not empty.
    pub spans: Vec<Span>,
}

/// A span of time in which something fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub subject: Subject,
    pub from: Time,
    pub until: Time,
    /// The part of requests that fail, at the start and at the end.
    pub fails: (f64, f64),
    pub part: f64,
    /// Length of the slots, and the chance of each, of a fault that comes and goes.
    pub slots: Option<(Duration, f64)>,
    pub stage: Stage,
    pub status: Option<u16>,
    /// One line, as observations carry it.
    pub reason: Arc<str>,
    pub hits: Hits,
}

/// What fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An id, [`PREFERRED`] or [`ALL`].
    Provider(String),
    Candidate {
        name: String,
        candidate: String,
    },
    /// A steered name, or [`ALL`].
    Origin(String),
    Vantage(Vec<Family>),
    Nameservers(String),
}

/// Why an incident file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IncidentError {
    #[error("{file}: larger than {MAX_FILE} octets")]
    TooLarge { file: String },
    #[error("{file}: {error}")]
    NotRead { file: String, error: std::io::Error },
    #[error("{file}: {error}")]
    NoDocument { file: String, error: toml::de::Error },
    #[error("{file}: {}", .faults.join(&format!("\n{file}: ")))]
    Wrong { file: String, faults: Vec<String> },
}

impl Incident {
    /// Reads a text; `file` is what faults call it, `name` what the incident is called.
    pub fn parse(text: &str, name: &str, file: &str) -> Result<Self, IncidentError> {
        let file = file.to_owned();
        if text.len() > MAX_FILE {
            return Err(IncidentError::TooLarge { file });
        }
        match toml::from_str::<Document>(text) {
            Ok(document) => Self::check(document, name).map_err(|faults| IncidentError::Wrong { file, faults }),
            Err(error) => Err(IncidentError::NoDocument { file, error }),
        }
    }

    /// From the first moment in which something fails to the last.
    pub fn trouble(&self) -> (Time, Time) {
        let from = self.spans.iter().map(|span| span.from).min().unwrap_or(self.begin);
        let until = self.spans.iter().map(|span| span.until).max().unwrap_or(self.end);
        (from, until)
    }

    fn check(document: Document, name: &str) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut spans = Vec::new();
        for (number, text) in document.spans.iter().enumerate() {
            match text.check() {
                Ok(span) => spans.push(span),
                Err(why) => faults.extend(why.into_iter().map(|why| format!("span {}: {why}", number + 1))),
            }
        }
        if document.spans.is_empty() {
            faults.push("no [[span]]: an incident says at least one thing that fails".to_owned());
        }
        if document.spans.len() > MAX_SPANS {
            faults.push(format!("more than {MAX_SPANS} spans"));
        }
        if document.families.is_empty() {
            faults.push("`families` is empty: `v4`, `v6` or both".to_owned());
        }
        let mut families = document.families.clone();
        families.sort_unstable();
        families.dedup();
        let mut incident = Self {
            name: name.to_owned(),
            title: document.title,
            about: document.about.trim().to_owned(),
            begin: Time(0),
            end: Time(0),
            families,
            operators: document.operators,
            assumptions: document.assumptions,
            sources: document.sources,
            spans,
        };
        let (from, until) = incident.trouble();
        incident.begin = document.begin.map_or(from.before(BEFORE), time);
        incident.end = document.end.map_or(until.after(AFTER), time);
        incident.find_faults(from, until, &mut faults);
        if faults.is_empty() { Ok(incident) } else { Err(faults) }
    }

    fn find_faults(&self, from: Time, until: Time, faults: &mut Vec<String>) {
        if self.spans.is_empty() {
            return;
        }
        if self.begin > from || self.end < until {
            faults.push("a span lies outside of `begin` and `end`".to_owned());
        }
        if self.end.since(self.begin) > LONGEST {
            faults.push("`begin` and `end` are more than 14 days apart".to_owned());
        }
        for span in &self.spans {
            if let Subject::Nameservers(operator) = &span.subject
                && !self.operators.contains(operator)
            {
                faults.push(format!("`nameservers = \"{operator}\"` is not one of `operators`"));
            }
        }
    }
}

impl SpanText {
    fn check(&self) -> Result<Span, Vec<String>> {
        let mut faults = Vec::new();
        let subject = self.subject().map_err(|why| faults.push(why)).ok();
        let (from, until) = (time(self.from), time(self.until));
        if from >= until {
            faults.push("`until` is not after `from`".to_owned());
        }
        let fails = (self.fails, self.fails_at_end.unwrap_or(self.fails));
        let chance = self.chance.unwrap_or(0.5);
        let parts = [("fails", fails.0), ("fails_at_end", fails.1), ("part", self.part), ("chance", chance)];
        for (key, part) in parts {
            if !(0.0..=1.0).contains(&part) {
                faults.push(format!("`{key}` is not within 0 and 1"));
            }
        }
        if self.chance.is_some() && self.every.is_none() {
            faults.push("`chance` says nothing without `every`".to_owned());
        }
        if self.every.is_some_and(|every| every.0 < SHORTEST_SLOT) {
            faults.push("`every` is shorter than 1s".to_owned());
        }
        if self.status.is_some_and(|status| !(100..=599).contains(&status)) {
            faults.push("`status` is not within 100 and 599".to_owned());
        }
        let stage = self.stage.unwrap_or(match (&subject, self.status) {
            (Some(Subject::Vantage(_) | Subject::Nameservers(_)), None) => Stage::Timeout,
            _ => Stage::Status,
        });
        let status = self.status.or_else(|| (stage == Stage::Status).then_some(500));
        if status.is_some() && !matches!(stage, Stage::Status | Stage::Body) {
            faults.push(format!("`status` does not go with `stage = \"{}\"`", stage.word()));
        }
        match subject {
            Some(subject) if faults.is_empty() => Ok(Span {
                subject,
                from,
                until,
                fails,
                part: self.part,
                slots: self.every.map(|every| (every.0, chance)),
                stage,
                status,
                reason: self.reason.clone().unwrap_or_else(|| reason(stage, status)).into(),
                hits: self.hits,
            }),
            _ => Err(faults),
        }
    }

    fn subject(&self) -> Result<Subject, String> {
        let said = [&self.provider, &self.candidate, &self.origin, &self.vantage, &self.nameservers];
        if said.iter().filter(|key| key.is_some()).count() != 1 {
            return Err(
                "exactly one of `provider`, `candidate`, `origin`, `vantage`, `nameservers` says what fails".into()
            );
        }
        if let Some(candidate) = &self.candidate {
            let (name, candidate) =
                candidate.rsplit_once('/').ok_or("`candidate` is not written NAME/CANDIDATE".to_owned())?;
            return Ok(Subject::Candidate { name: absolute(name), candidate: candidate.to_owned() });
        }
        if let Some(vantage) = &self.vantage {
            return match vantage.as_str() {
                "v4" => Ok(Subject::Vantage(vec![Family::V4])),
                "v6" => Ok(Subject::Vantage(vec![Family::V6])),
                "all" => Ok(Subject::Vantage(Family::ALL.to_vec())),
                other => Err(format!("`vantage` is `{other}`: expected `v4`, `v6` or `all`")),
            };
        }
        Ok(match (&self.provider, &self.origin, &self.nameservers) {
            (Some(provider), ..) => Subject::Provider(provider.clone()),
            (_, Some(origin), _) if origin != ALL => Subject::Origin(absolute(origin)),
            (_, Some(origin), _) => Subject::Origin(origin.clone()),
            (.., operator) => Subject::Nameservers(operator.clone().unwrap_or_default()),
        })
    }
}

/// A moment as the core has it.
fn time(at: Timestamp) -> Time {
    Time(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

/// A name as the core writes it.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').to_ascii_lowercase())
}

fn reason(stage: Stage, status: Option<u16>) -> String {
    match (stage, status) {
        (Stage::Status, Some(status)) => format!("status {status}"),
        (Stage::Resolve, _) => "the target does not resolve: SERVFAIL".to_owned(),
        (Stage::Connect, _) => "connection refused".to_owned(),
        (Stage::Tls, _) => "the TLS handshake failed".to_owned(),
        (Stage::Timeout, _) => "no answer within the time limit".to_owned(),
        (Stage::Body, _) => "the body has no marker".to_owned(),
        (Stage::Slow, _) => "slower than the limit".to_owned(),
        (Stage::Status, None) => "no HTTP answer".to_owned(),
    }
}

fn v4_alone() -> Vec<Family> {
    vec![Family::V4]
}

fn is_v4_alone(families: &[Family]) -> bool {
    families == [Family::V4]
}

fn whole() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
fn is_whole(part: &f64) -> bool {
    (*part - 1.0).abs() < f64::EPSILON
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: &str =
        "[[span]]\nprovider = \"bunny\"\nfrom = \"2026-01-01T10:00:00Z\"\nuntil = \"2026-01-01T11:00:00Z\"\n";

    fn parse(text: &str) -> Result<Incident, IncidentError> {
        Incident::parse(text, "mine", "mine.toml")
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let incident = parse(&format!("title = \"One\"\n{SPAN}")).expect("an incident");
        let span = &incident.spans[0];
        assert_eq!((incident.begin, incident.end), (span.from.before(BEFORE), span.until.after(AFTER)));
        assert_eq!((span.stage, span.status, &*span.reason), (Stage::Status, Some(500), "status 500"));
        assert_eq!((span.fails, span.slots, span.hits), ((1.0, 1.0), None, Hits::All));
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let table: [(&str, &[&str]); 8] = [
            ("", &["missing field `title`"]),
            ("title = \"x\"\ncolour = 1\n", &["unknown field `colour`"]),
            ("title = \"x\"\n", &["no [[span]]"]),
            (&format!("title = \"x\"\n{SPAN}origin = \"*\"\n"), &["span 1: exactly one of"]),
            (
                &format!("title = \"x\"\n{SPAN}fails = 2\n{SPAN}chance = 0.1\nstatus = 99\n"),
                &["span 1: `fails` is not", "span 2: `chance` says nothing", "span 2: `status` is not"],
            ),
            (&format!("title = \"x\"\nend = \"2026-01-01T10:30:00Z\"\n{SPAN}"), &["outside of `begin` and `end`"]),
            (&format!("title = \"x\"\nend = \"2026-02-01T10:30:00Z\"\n{SPAN}"), &["more than 14 days"]),
            (&format!("title = \"x\"\n{SPAN}").replace("provider", "nameservers"), &["not one of `operators`"]),
        ];
        for (text, expected) in table {
            let told = parse(text).expect_err("a fault").to_string();
            for part in expected {
                assert!(told.contains(part), "{text}\n{told}");
            }
        }
    }

    #[test]
    fn a_document_is_written_as_it_is_read() {
        let document: Document = toml::from_str(&format!("title = \"One\"\n{SPAN}fails = 0.5\n")).expect("a document");
        let text = toml::to_string(&document).expect("text");
        assert_eq!(toml::from_str::<Document>(&text).expect("a document"), document, "{text}");
    }
}
