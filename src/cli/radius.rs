//! What a dry run tells: which answers an order would change, the busiest first.

use std::fmt::Write as _;

use super::table::{Align, Cell, Table};
use super::text::{clean, count};
use crate::api::health::percent;
use crate::controller::view::BlastRadius;

/// Moves that the table shows; the JSON has more.
const MOST: usize = 50;

/// The whole text.
pub fn text(told: &BlastRadius, terminal: Option<usize>) -> String {
    let mut text = String::new();
    let BlastRadius { order, subject, names, moves, .. } = told;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "dry run: {} {}: nothing was placed", clean(order), clean(subject));
    let _ = writeln!(text, "it is about {}, and {} would change", count(*names, "name"), count(*moves, "answer"));
    match (told.moved_per_second, told.answers_per_second) {
        (moved, Some(all)) => {
            let moved = moved.unwrap_or(0.0);
            let span = told.measured_seconds;
            let _ =
                writeln!(text, "{} of {} answers/s would move, as measured over {span:.0} s", rate(moved), rate(all));
        }
        _ => text.push_str("answers/s were not measured yet\n"),
    }
    for note in &told.notes {
        let _ = writeln!(text, "WARNING: {}", clean(note));
    }
    if told.of.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("MOVES", Align::Right),
        ("ANSWERS/S", Align::Right),
        ("FROM", Align::Left),
        ("TO", Align::Left),
        ("WHY", Align::Left),
    ]);
    for of in told.of.iter().take(MOST) {
        let whose = of.clients.as_ref().map(|whose| format!(" ({whose})")).unwrap_or_default();
        table.row(vec![
            Cell::new(format!("{}{whose}", of.name)),
            Cell::new(percent(of.share)),
            Cell::new(of.answers_per_second.map_or_else(|| "-".to_owned(), rate)),
            Cell::new(&of.from),
            Cell::new(&of.to),
            Cell::new(&of.why),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render(terminal));
    let more = moves.saturating_sub(told.of.len().min(MOST));
    if more > 0 {
        let _ = writeln!(text, "and {} more", count(more, "answer"));
    }
    text
}

/// `0.4`, `12`, `1250`.
fn rate(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}
