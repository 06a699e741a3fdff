//! Diagnostics: what is wrong with a zone file, where, and how people and programs are told.

use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// The longest line that is kept and shown, in octets.
pub(super) const MAX_LINE: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The zone does not check out.
    Error,
    /// It does, and somebody should look.
    Warning,
}

/// One fault with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The path as it was given, or as an `$INCLUDE` made it.
    pub file: String,
    /// From 1; 0 where the whole file is meant.
    pub line: u32,
    /// In characters from 1; 0 where the whole file is meant.
    pub column: u32,
    /// In characters; what runs on over the line ends with it.
    pub length: u32,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line itself; octets that are no UTF-8 replaced, cut after 4,096 octets.
    pub text: String,
}

/// Whether a rendering uses colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Never,
    Always,
}

impl Diagnostic {
    /// About a file as a whole.
    pub fn of_file(severity: Severity, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity,
            file: file.into(),
            line: 0,
            column: 0,
            length: 0,
            message: message.into(),
            help: None,
            text: String::new(),
        }
    }

    /// Several lines in rustc's manner, without a final line end.
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Never => Renderer::plain(),
            Colour::Always => Renderer::styled(),
        };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str());
        let mut group = if self.line == 0 {
            title.element(annotate_snippets::Origin::path(self.file.as_str()))
        } else {
            let primary = AnnotationKind::Primary.span(self.octets());
            let snippet = Snippet::source(self.text.as_str()).path(self.file.as_str());
            title.element(snippet.line_start(self.line as usize).annotation(primary))
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }

    /// The place in `text`, in octets.
    fn octets(&self) -> std::ops::Range<usize> {
        let at =
            |characters: u32| self.text.char_indices().nth(characters as usize).map_or(self.text.len(), |(at, _)| at);
        let start = self.column.saturating_sub(1);
        at(start)..at(start.saturating_add(self.length))
    }
}

impl fmt::Display for Diagnostic {
    /// One line: `file:line:column: error: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        match self.line {
            0 => write!(f, "{}: {severity}: {}", self.file, self.message),
            line => write!(f, "{}:{line}:{}: {severity}: {}", self.file, self.column, self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic() -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: "a.zone".to_owned(),
            line: 7,
            column: 6,
            length: 3,
            message: "this is wrong".to_owned(),
            help: Some("write it right".to_owned()),
            text: "wörd bad rest".to_owned(),
        }
    }

    #[test]
    fn people_see_the_line_and_a_caret() {
        let expected = "error: this is wrong\n --> a.zone:7:6\n  |\n7 | wörd bad rest\n  |      ^^^\n  |\n  = help: write it right";
        assert_eq!(diagnostic().render(Colour::Never), expected);
        assert!(diagnostic().render(Colour::Always).contains('\u{1b}'));
        assert_eq!(diagnostic().to_string(), "a.zone:7:6: error: this is wrong");
    }

    #[test]
    fn a_place_past_the_cut_line_is_shown_at_its_end() {
        let far = Diagnostic { column: 5_000, length: 7, ..diagnostic() };
        assert!(far.render(Colour::Never).contains("error: this is wrong"));
    }

    #[test]
    fn a_file_as_a_whole_has_no_line() {
        let whole = Diagnostic::of_file(Severity::Warning, "a.zone", "odd");
        assert_eq!(whole.render(Colour::Never), "warning: odd\n--> a.zone");
        assert_eq!(whole.to_string(), "a.zone: warning: odd");
    }
}
