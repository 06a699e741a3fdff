//! Tables for people: columns in line, the last one wrapped to the terminal.
//!
//! Where the output is no terminal nothing is wrapped, so that a row is a line and can be searched for.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use super::text::clean;
use crate::steer::transition::Standing;

/// Between columns.
const GAP: &str = "  ";
/// The last column is not wrapped to less than this, whatever the terminal.
const NARROWEST: usize = 20;
const HEAD: Style = Style::new().bold();

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// One text with its style.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub fn new(text: impl AsRef<str>) -> Self {
        Self::styled(text, Style::new())
    }

    pub fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), style }
    }

    /// The word for a standing, in its colour.
    pub fn standing(standing: Standing) -> Self {
        Self::styled(standing.as_str(), style_of(standing))
    }

    fn width(&self) -> usize {
        self.text.width()
    }
}

/// The colour of a standing.
pub fn style_of(standing: Standing) -> Style {
    match standing {
        Standing::Up => AnsiColor::Green.on_default(),
        Standing::Impaired | Standing::Recovering | Standing::Ramping => AnsiColor::Yellow.on_default(),
        Standing::Down => AnsiColor::Red.on_default(),
        Standing::Unknown => Style::new().dimmed(),
    }
}

/// A table; rows have as many cells as there are columns.
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table's lines with ANSI styles; `terminal` is the number of columns that it must fit, if it is for one.
    pub fn render(&self, terminal: Option<usize>) -> String {
        let widths = self.widths();
        let head: Vec<Cell> = self.columns.iter().map(|(title, _)| Cell::styled(title, HEAD)).collect();
        let rows = std::iter::once(&head).chain(&self.rows);
        rows.map(|row| self.render_row(row, &widths, terminal)).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let widest = |(at, (title, _)): (usize, &(&str, Align))| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.map(Cell::width).max().unwrap_or(0).max(title.width())
        };
        self.columns.iter().enumerate().map(widest).collect()
    }

    fn render_row(&self, row: &[Cell], widths: &[usize], terminal: Option<usize>) -> String {
        let Some((last, before)) = row.split_last() else { return String::new() };
        let mut line = String::new();
        let mut indent = 0;
        for ((cell, width), (_, align)) in before.iter().zip(widths).zip(&self.columns) {
            line.push_str(&padded(cell, *width, *align));
            line.push_str(GAP);
            indent += width + GAP.len();
        }
        let room = terminal.map_or(usize::MAX, |terminal| terminal.saturating_sub(indent).max(NARROWEST));
        let Cell { style, .. } = last;
        for (at, part) in wrapped(&last.text, room).iter().enumerate() {
            if at > 0 {
                line.push_str(&" ".repeat(indent));
            }
            line.push_str(&format!("{style}{part}{style:#}"));
            // An empty last cell leaves no blanks at the end.
            line.truncate(line.trim_end_matches(' ').len());
            line.push('\n');
        }
        line
    }
}

/// How wide the terminal on standard output is; none where it is no terminal.
pub fn terminal() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
}

fn padded(cell: &Cell, width: usize, align: Align) -> String {
    let Cell { text, style } = cell;
    let pad = " ".repeat(width.saturating_sub(cell.width()));
    match align {
        Align::Left => format!("{style}{text}{style:#}{pad}"),
        Align::Right => format!("{pad}{style}{text}{style:#}"),
    }
}

/// Lines of at most `room` columns, broken at spaces; a word that is longer stays whole.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("NAME", Align::Left), ("SHARE", Align::Right), ("WHY", Align::Left)]);
        table.row(vec![Cell::new("bünny"), Cell::new("5%"), Cell::new("one two three four five six seven")]);
        table.row(vec![Cell::new("漢字x"), Cell::new("100%"), Cell::new("")]);
        table
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_stand_in_line() {
        let lines = "NAME   SHARE  WHY\nbünny     5%  one two three four five six seven\n漢字x   100%\n";
        assert_eq!(plain(&table().render(None)), lines);
    }

    #[test]
    fn the_last_column_is_wrapped_to_the_terminal() {
        let lines = "NAME   SHARE  WHY\nbünny     5%  one two three four\n              five six seven\n漢字x   100%\n";
        assert_eq!(plain(&table().render(Some(34))), lines);
        assert_eq!(plain(&table().render(Some(1))), lines, "no narrower than 20");
    }

    #[test]
    fn styles_are_there_and_controls_are_not() {
        let mut table = Table::new(&[("S", Align::Left)]);
        table.row(vec![Cell::standing(Standing::Down)]);
        table.row(vec![Cell::new("\u{1b}[2J")]);
        let text = table.render(None);
        assert!(text.contains("\u{1b}[31mdown\u{1b}[0m"), "{text:?}");
        assert!(text.contains("\\u{1b}[2J"), "{text:?}");
    }
}
