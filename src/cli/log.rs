//! Logs: text on a terminal, JSON elsewhere, to standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSection};

/// Starts logging. `RUST_LOG` outranks the configured level. A second call changes nothing.
pub fn start(section: &LogSection) {
    let filter = EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new(&section.level));
    let filter = filter.unwrap_or_else(|error| {
        eprintln!("warning: [log] level = \"{}\": {error}; using info", section.level);
        EnvFilter::new("info")
    });
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    let text = match section.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    // Only an error where another subscriber is set already, as in tests.
    drop(if text { builder.try_init() } else { builder.json().flatten_event(true).try_init() });
}
