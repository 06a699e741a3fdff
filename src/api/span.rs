//! Spans and moments as people write them: `90s`, `30m`, `1h30m`, `2d`; RFC 3339.

use std::time::Duration;

use jiff::Timestamp;

use crate::steer::time::Time;

/// The longest span that is taken: a year.
pub const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A text that is no span or no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    #[error("`{0}` is not a span of time: write `90s`, `30m`, `1h30m` or `2d`")]
    Span(String),
    #[error("`{0}` is longer than 366 days")]
    LongSpan(String),
    #[error("`{0}` is not a time: write it as RFC 3339 does, `2025-12-05T08:47:00Z`")]
    Moment(String),
}

/// `90s`, `30m`, `1h30m`, `2d`: numbers with `s`, `m`, `h`, `d` or `w`, the larger unit first, more than nothing in all.
pub fn parse_span(text: &str) -> Result<Duration, InvalidTime> {
    let invalid = || InvalidTime::Span(text.to_owned());
    let long = || InvalidTime::LongSpan(text.to_owned());
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(digits);
        let unit = unit_seconds(tail).filter(|&unit| unit < last_unit).ok_or_else(invalid)?;
        if number.is_empty() {
            return Err(invalid());
        }
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(long)?;
        total = total.checked_add(seconds).ok_or_else(long)?;
        last_unit = unit;
        rest = tail.get(1..).unwrap_or_default();
    }
    match Duration::from_secs(total) {
        Duration::ZERO => Err(invalid()),
        span if span > LONGEST => Err(long()),
        span => Ok(span),
    }
}

fn unit_seconds(tail: &str) -> Option<u64> {
    match tail.as_bytes().first()? {
        b's' => Some(1),
        b'm' => Some(60),
        b'h' => Some(3_600),
        b'd' => Some(86_400),
        b'w' => Some(604_800),
        _ => None,
    }
}

/// A moment in RFC 3339, not before 1970.
pub fn parse_moment(text: &str) -> Result<Time, InvalidTime> {
    let moment: Timestamp = text.parse().map_err(|_| InvalidTime::Moment(text.to_owned()))?;
    let millis = u64::try_from(moment.as_millisecond()).map_err(|_| InvalidTime::Moment(text.to_owned()))?;
    Ok(Time(millis))
}

/// The wall clock now.
pub fn now() -> Time {
    Time(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_read() {
        for (text, seconds) in
            [("1s", 1), ("90s", 90), ("30m", 1_800), ("1h30m", 5_400), ("2d", 172_800), ("1w1s", 604_801)]
        {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "30", "m", "0s", "1m1h", "1m1m", "-1m", "1 m", "1.5h", "1M", "1µ", "3ms"] {
            assert_eq!(parse_span(text), Err(InvalidTime::Span(text.to_owned())), "{text}");
        }
        for text in ["367d", "18446744073709551616s", "18446744073709551615w"] {
            assert_eq!(parse_span(text), Err(InvalidTime::LongSpan(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn moments_are_rfc_3339() {
        assert_eq!(parse_moment("1970-01-01T00:00:01.5Z"), Ok(Time(1_500)));
        assert_eq!(parse_moment("1970-01-01T01:00:00+01:00"), Ok(Time(0)));
        for text in ["", "now", "2025-12-05", "2025-12-05T08:47:00", "1969-12-31T23:59:59Z"] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_span(&text);
            let _ = parse_moment(&text);
        }
    }
}
