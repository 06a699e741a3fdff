//! `$GENERATE`: one line for many records, as BIND has it.
//!
//! ```text
//! $GENERATE start-stop[/step] owner [ttl] [class] type rdata
//! ```
//!
//! In owner, TTL and data a `$` stands for the number; `\$` and `$$` for a dollar sign; `${offset[,width[,base]]}` adds the
//! offset and pads to the width, in base `d`, `o`, `x`, `X`, or `n` and `N` (nibbles from the last, joined by dots).
//! Record data that has spaces may stand in quotes, which are taken away; without them it is taken as it stands.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::lexer::{Kind, Lexer};
use super::words::decimal;

/// Records of one directive.
pub const MAX_GENERATED: i64 = 65_536;
/// Octets of the owner and the data of one directive, before numbers are put in: it bounds what one line can grow to.
pub const MAX_TEMPLATE: usize = 1_024;
/// The largest width.
const MAX_WIDTH: usize = 255;

/// The numbers of a range.
pub(super) fn range(text: &[u8]) -> Result<std::iter::StepBy<RangeInclusive<i64>>, String> {
    const FORM: &str = "expected a range: start-stop or start-stop/step";
    let text = std::str::from_utf8(text).map_err(|_| FORM)?;
    let (bounds, step) = text.split_once('/').unwrap_or((text, "1"));
    let (start, stop) = bounds.split_once('-').ok_or(FORM)?;
    let number =
        |text: &str| decimal(text.as_bytes()).filter(|value| *value <= i32::MAX as u32).map(i64::from).ok_or(FORM);
    let (start, stop, step) = (number(start)?, number(stop)?, number(step)?);
    if step == 0 {
        return Err("the step is 0".to_owned());
    }
    if start > stop {
        return Err(format!("the range ends at {stop}, before it begins at {start}"));
    }
    if (stop - start) / step >= MAX_GENERATED {
        return Err(format!("the range has more than {MAX_GENERATED} numbers"));
    }
    Ok((start..=stop).step_by(step as usize))
}

/// TTL, class, type and data with the quotes around the data taken away, if these hold all of it.
pub(super) fn unquoted(rest: &[u8]) -> Cow<'_, [u8]> {
    let mut lexer = Lexer::new(rest);
    let mut strings = 0;
    let mut last = lexer.next();
    loop {
        let token = lexer.next();
        match token.kind {
            Kind::Word | Kind::Quoted | Kind::Blank => {
                strings += usize::from(last.kind == Kind::Quoted);
                last = token;
            }
            _ => break,
        }
    }
    if last.kind != Kind::Quoted || strings > 0 {
        return Cow::Borrowed(rest);
    }
    let head = rest.get(..last.start as usize - 1).unwrap_or_default();
    Cow::Owned([head, last.of(rest)].concat())
}

/// The template with the number put in.
pub(super) fn replace(template: &[u8], value: i64) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(template.len() + 8);
    let mut rest = template;
    while let [octet, tail @ ..] = rest {
        rest = tail;
        match (octet, tail) {
            (b'\\', [b'$', after @ ..]) | (b'$', [b'$', after @ ..]) => {
                out.push(b'$');
                rest = after;
            }
            (b'\\', [escaped, after @ ..]) => {
                out.extend_from_slice(&[b'\\', *escaped]);
                rest = after;
            }
            (b'$', [b'{', after @ ..]) => {
                let close = after.iter().position(|octet| *octet == b'}').ok_or("`${` is not closed")?;
                let (modifier, after) = after.split_at(close);
                out.extend(modified(modifier, value)?.into_bytes());
                rest = after.get(1..).unwrap_or_default();
            }
            (b'$', _) => out.extend(value.to_string().into_bytes()),
            (octet, _) => out.push(*octet),
        }
    }
    Ok(out)
}

fn modified(modifier: &[u8], value: i64) -> Result<String, String> {
    const FORM: &str = "expected `${offset[,width[,base]]}`";
    let modifier = std::str::from_utf8(modifier).map_err(|_| FORM)?;
    let mut parts = modifier.split(',');
    let offset: i32 = parts.next().unwrap_or_default().parse().map_err(|_| FORM)?;
    let width = match parts.next() {
        Some(width) => width.parse::<usize>().ok().filter(|width| *width <= MAX_WIDTH).ok_or(FORM)?,
        None => 0,
    };
    let base = parts.next().unwrap_or("d");
    if parts.next().is_some() {
        return Err(FORM.to_owned());
    }
    let number = value + i64::from(offset);
    if number < 0 {
        return Err(format!("{value} with the offset {offset} is below 0"));
    }
    match base {
        "d" => Ok(format!("{number:0width$}")),
        "o" => Ok(format!("{number:0width$o}")),
        "x" => Ok(format!("{number:0width$x}")),
        "X" => Ok(format!("{number:0width$X}")),
        "n" => Ok(nibbles(&format!("{number:x}"), width)),
        "N" => Ok(nibbles(&format!("{number:X}"), width)),
        _ => Err(FORM.to_owned()),
    }
}

/// Digits from the last, joined by dots, up to the width; dots count.
fn nibbles(digits: &str, width: usize) -> String {
    let mut out = String::new();
    let mut digits = digits.chars().rev().peekable();
    loop {
        out.push(digits.next().unwrap_or('0'));
        if digits.peek().is_none() && out.len() >= width {
            return out;
        }
        out.push('.');
        if digits.peek().is_none() && out.len() >= width {
            return out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let numbers = |text: &str| range(text.as_bytes()).map(Iterator::collect::<Vec<_>>);
        assert_eq!(numbers("1-3"), Ok(vec![1, 2, 3]));
        assert_eq!(numbers("0-10/5"), Ok(vec![0, 5, 10]));
        assert_eq!(numbers("7-7"), Ok(vec![7]));
        assert_eq!(range(b"0-65535").map(Iterator::count), Ok(65_536));
        for text in ["0-65536", "3-1", "1-2/0", "1", "a-b", "-1-2", "1-2-3", "1-99999999999"] {
            assert!(range(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn dollars() {
        for (template, expected) in [
            ("host$", "host7"),
            ("host${0,3}", "host007"),
            ("${-7}", "0"),
            ("${9,4,x}", "0010"),
            ("${8,0,X}", "F"),
            ("${1,0,o}", "10"),
            ("${11,3,n}", "2.1"),
            ("${3,3,N}", "A.0"),
            ("\\$x$$", "$x$"),
            ("a\\.$", "a\\.7"),
        ] {
            assert_eq!(replace(template.as_bytes(), 7), Ok(expected.as_bytes().to_vec()), "{template}");
        }
        for template in ["${-8}", "${", "${1", "${x}", "${1,256}", "${1,1,q}", "${1,1,d,1}"] {
            assert!(replace(template.as_bytes(), 7).is_err(), "{template}");
        }
    }

    #[test]
    fn quotes_around_all_data_go() {
        assert_eq!(unquoted(b"MX \"10 mx$\"").as_ref(), b"MX 10 mx$");
        assert_eq!(unquoted(b"TXT \"a\" \"b\"").as_ref(), b"TXT \"a\" \"b\"");
        assert_eq!(unquoted(b"A 192.0.2.$").as_ref(), b"A 192.0.2.$");
    }
}
