//! What is found while a zone is read: kept as places in its texts, told as lines and columns at the end.

use super::diagnostic::{Diagnostic, MAX_LINE, Severity};
use super::rdata::Fault;
use super::sources::Sources;

/// Errors kept for one zone; reading stops at this many.
pub(super) const MAX_ERRORS: usize = 1_000;
/// Warnings kept for one zone; more are counted.
pub(super) const MAX_WARNINGS: usize = 1_000;

/// Some octets of one of the zone's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub file: u16,
    /// Files have at most 512 MiB.
    pub start: u32,
    pub end: u32,
}

#[derive(Debug)]
struct Note {
    severity: Severity,
    /// None: the zone as a whole.
    place: Option<Place>,
    message: String,
    help: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    notes: Vec<Note>,
    errors: usize,
    warnings: usize,
}

impl Log {
    pub(super) fn error(&mut self, place: impl Into<Option<Place>>, message: impl Into<String>) {
        self.note(Severity::Error, place.into(), message.into(), None);
    }

    pub(super) fn error_with_help(
        &mut self,
        place: impl Into<Option<Place>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(Severity::Error, place.into(), message.into(), Some(help.into()));
    }

    pub(super) fn warning(&mut self, place: impl Into<Option<Place>>, message: impl Into<String>) {
        self.note(Severity::Warning, place.into(), message.into(), None);
    }

    pub(super) fn warning_with_help(
        &mut self,
        place: impl Into<Option<Place>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(Severity::Warning, place.into(), message.into(), Some(help.into()));
    }

    /// With help where there is some.
    pub(super) fn told(&mut self, severity: Severity, place: Option<Place>, message: String, help: Option<String>) {
        self.note(severity, place, message, help);
    }

    pub(super) fn fault(&mut self, file: u16, fault: Fault) {
        let place = Place { file, start: fault.start, end: fault.end };
        self.note(Severity::Error, Some(place), fault.message, fault.help);
    }

    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    pub(super) fn is_full(&self) -> bool {
        self.errors >= MAX_ERRORS
    }

    fn note(&mut self, severity: Severity, place: Option<Place>, message: String, help: Option<String>) {
        let (count, limit) = match severity {
            Severity::Error => (&mut self.errors, MAX_ERRORS),
            Severity::Warning => (&mut self.warnings, MAX_WARNINGS),
        };
        *count += 1;
        if *count <= limit {
            self.notes.push(Note { severity, place, message, help });
        }
    }

    /// All of them with lines and columns: those of the zone as a whole first, then by file and place.
    pub(super) fn diagnostics(mut self, sources: &Sources) -> Vec<Diagnostic> {
        self.notes.sort_by_key(|note| note.place.map(|place| (place.file, place.start)));
        let mut lines = Lines::default();
        let main = sources.shown(0);
        let mut all: Vec<Diagnostic> = self.notes.iter().map(|note| diagnostic(note, sources, &mut lines)).collect();
        if self.errors >= MAX_ERRORS {
            let message = format!("reading stops after {MAX_ERRORS} errors; there may be more");
            all.push(Diagnostic::of_file(Severity::Error, main, message));
        }
        if self.warnings > MAX_WARNINGS {
            let message = format!("and {} more warnings", self.warnings - MAX_WARNINGS);
            all.push(Diagnostic::of_file(Severity::Warning, main, message));
        }
        all
    }
}

/// Where the lines of a file begin; counted once for each file that has diagnostics.
#[derive(Debug, Default)]
struct Lines {
    file: Option<u16>,
    starts: Vec<usize>,
}

impl Lines {
    fn of(&mut self, file: u16, octets: &[u8]) -> &[usize] {
        if self.file != Some(file) {
            self.file = Some(file);
            self.starts.clear();
            self.starts.push(0);
            self.starts.extend(octets.iter().enumerate().filter(|(_, octet)| **octet == b'\n').map(|(at, _)| at + 1));
        }
        &self.starts
    }
}

fn diagnostic(note: &Note, sources: &Sources, lines: &mut Lines) -> Diagnostic {
    let Some(place) = note.place else {
        let whole = Diagnostic::of_file(note.severity, sources.shown(0), note.message.clone());
        return Diagnostic { help: note.help.clone(), ..whole };
    };
    let octets = sources.octets(place.file);
    let starts = lines.of(place.file, octets);
    let start = place.start as usize;
    let line = starts.partition_point(|begin| *begin <= start).max(1);
    let begin = starts.get(line - 1).copied().unwrap_or(0);
    let rest = octets.get(begin..).unwrap_or_default();
    let length = rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len());
    let text = rest.get(..length).unwrap_or_default();
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let at = (start - begin).min(text.len());
    let until = (place.end as usize).saturating_sub(begin).clamp(at, text.len());
    let count = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or_default()).chars().count() as u32;
    Diagnostic {
        severity: note.severity,
        file: sources.shown(place.file).to_owned(),
        line: line as u32,
        column: count(text.get(..at)) + 1,
        length: count(text.get(at..until)).max(1),
        message: note.message.clone(),
        help: note.help.clone(),
        text: String::from_utf8_lossy(text.get(..text.len().min(MAX_LINE)).unwrap_or_default()).into_owned(),
    }
}
