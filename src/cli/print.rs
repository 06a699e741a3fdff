//! Where output goes: colour on a terminal alone (and never with `NO_COLOR`), and a reader that leaves is no failure.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::text::clean;
use crate::config::ConfigError;
use crate::zone::diagnostic::Colour;

/// What is asked for attention.
pub const ALERT: Style = AnsiColor::Yellow.on_default().bold();
/// What failed.
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Prints a text with its ANSI styles, which are left out where nobody would see them as colours.
pub fn out(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // `pointsman events | head`
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints a document as it came, with a line end.
pub fn json(document: &str) -> anyhow::Result<()> {
    out(&format!("{}\n", document.trim_end()))
}

/// Prints why a command failed: a line, or the diagnostics of a configuration, which say themselves that they are errors.
pub fn error(error: &anyhow::Error) {
    if let Some(ConfigError::Wrong(faults)) = error.downcast_ref() {
        let faults: Vec<_> = faults.iter().map(|fault| fault.render(Colour::Always)).collect();
        let _ = writeln!(anstream::stderr(), "{}", faults.join("\n\n"));
        return;
    }
    // A cause that the message told already is not told again.
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    line(ERROR, "error", &text);
}

pub fn warning(text: &str) {
    line(ALERT, "warning", text);
}

fn line(style: Style, word: &str, text: &str) {
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{style}{word}{style:#}: {}", clean(text));
}
