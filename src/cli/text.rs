//! Times and other texts as people read them.

use std::borrow::Cow;

use jiff::Timestamp;

/// How long ago a time is still told beside it, in seconds: two days.
const RECENT: i64 = 2 * 86_400;

/// `2025-12-05 08:47:12 UTC`, and `(3 min ago)` or `(in 3 min)` behind it where that is of use.
pub fn time(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    if seconds.abs() > RECENT { absolute(at) } else { format!("{} ({})", absolute(at), relative(at, now)) }
}

/// `2025-12-05 08:47:12 UTC`
pub fn absolute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `3 min ago`, `in 3 min`, `now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    match now.as_second() - at.as_second() {
        0 => "now".to_owned(),
        past if past > 0 => format!("{} ago", span(past.unsigned_abs())),
        future => format!("in {}", span(future.unsigned_abs())),
    }
}

/// The two largest units: `45 s`, `3 min`, `2 h 50 min`, `4 d 3 h`.
pub fn span(seconds: u64) -> String {
    let pair = |large: u64, word: &str, small: u64, small_word: &str| match small {
        0 => format!("{large} {word}"),
        _ => format!("{large} {word} {small} {small_word}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// `1 name`, `2 names`.
pub fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// The same text with control characters written out: what a CDN or a colleague wrote must not steer the terminal.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let written = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(written).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (10_200, "2 h 50 min"),
            (86_400, "1 d"),
            (356_400, "4 d 3 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn times_say_how_long_ago_while_that_is_of_use() {
        let now = at(1_000_000);
        for (second, text) in [
            (1_000_000, "1970-01-12 13:46:40 UTC (now)"),
            (999_820, "1970-01-12 13:43:40 UTC (3 min ago)"),
            (1_000_180, "1970-01-12 13:49:40 UTC (in 3 min)"),
            (800_000, "1970-01-10 06:13:20 UTC"),
        ] {
            assert_eq!(time(at(second), now), text);
        }
    }

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(clean("plain é"), "plain é");
        assert_eq!(clean("a\u{1b}[2J\tb\n"), "a\\u{1b}[2J\\tb\\n");
        assert_eq!(clean("\u{9b}2J"), "\\u{9b}2J");
    }
}
