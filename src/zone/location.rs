//! LOC: a place on Earth (RFC 1876, section 3).
//!
//! ```text
//! d1 [m1 [s1]] {"N"|"S"} d2 [m2 [s2]] {"E"|"W"} alt["m"] [size["m"] [hp["m"] [vp["m"]]]]
//! ```

use super::lexer::Token;
use super::rdata::{Fault, Writer};
use super::words::decimal;

/// Thousandths of a second of arc at the equator and the prime meridian.
const ORIGIN: i64 = 1 << 31;
/// The reference ellipsoid's altitude is 100,000 m above the lowest one that can be said; in cm.
const SEA_LEVEL: i64 = 10_000_000;
/// Size, horizontal and vertical precision where they are left out, in cm.
const PRECISIONS: [u64; 3] = [100, 1_000_000, 1_000];

pub(super) fn read(writer: &mut Writer<'_, '_>) -> Result<(), Fault> {
    let latitude = angle(writer, 90, b'N', b'S')?;
    let longitude = angle(writer, 180, b'E', b'W')?;
    let altitude = altitude(writer)?;
    let mut precisions = [0_u8; 3];
    for (octet, default) in precisions.iter_mut().zip(PRECISIONS) {
        *octet = if writer.at_end() { precision(default) } else { span(writer)? };
    }
    // Version 0, then size, horizontal and vertical precision.
    writer.out.push(0);
    writer.out.extend_from_slice(&precisions);
    writer.u32(latitude);
    writer.u32(longitude);
    writer.u32(altitude);
    Ok(())
}

/// Degrees, minutes and seconds up to the letter of the hemisphere.
fn angle(writer: &mut Writer<'_, '_>, limit: u32, positive: u8, negative: u8) -> Result<u32, Fault> {
    let hemisphere = format!("`{}` or `{}`", char::from(positive), char::from(negative));
    let (first, text) = writer.word("degrees")?;
    let degrees = decimal(text).filter(|degrees| *degrees <= limit);
    let degrees = degrees.ok_or_else(|| Fault::new(first, format!("expected degrees from 0 to {limit}")))?;
    let mut milliseconds = i64::from(degrees) * 3_600_000;
    for unit in [60_000, 1_000, 0] {
        let (token, text) = writer.word(&hemisphere)?;
        if let [letter] = text
            && letter.is_ascii_alphabetic()
        {
            let sign = match letter.to_ascii_uppercase() {
                letter if letter == positive => 1,
                letter if letter == negative => -1,
                _ => return Err(Fault::new(token, format!("expected {hemisphere}"))),
            };
            if milliseconds > i64::from(limit) * 3_600_000 {
                return Err(Fault::new(first, format!("the angle is larger than {limit} degrees")));
            }
            return u32::try_from(ORIGIN + sign * milliseconds)
                .map_err(|_| Fault::new(first, "the angle is too large"));
        }
        milliseconds += match unit {
            60_000 => i64::from(decimal(text).filter(|minutes| *minutes < 60).ok_or_else(|| minutes(token))?) * unit,
            1_000 => {
                i64::from(fixed(text, 3).filter(|seconds| *seconds < 60_000).ok_or_else(|| seconds(token))? as u32)
            }
            _ => return Err(Fault::new(token, format!("expected {hemisphere}"))),
        };
    }
    let (token, _) = writer.word(&hemisphere)?;
    Err(Fault::new(token, format!("expected {hemisphere}")))
}

fn minutes(token: Token) -> Fault {
    Fault::new(token, "expected minutes from 0 to 59, or the hemisphere")
}

fn seconds(token: Token) -> Fault {
    Fault::new(token, "expected seconds from 0 to 59.999, or the hemisphere")
}

fn altitude(writer: &mut Writer<'_, '_>) -> Result<u32, Fault> {
    let (token, text) = writer.word("an altitude")?;
    let text = text.strip_suffix(b"m").or_else(|| text.strip_suffix(b"M")).unwrap_or(text);
    let (sign, digits) = match text.split_first() {
        Some((b'-', rest)) => (-1, rest),
        _ => (1, text),
    };
    let centimetres = fixed(digits, 2).and_then(|value| i64::try_from(value).ok());
    let above = centimetres.map(|value| SEA_LEVEL + sign * value).and_then(|value| u32::try_from(value).ok());
    above.ok_or_else(|| Fault::new(token, "expected an altitude in metres, -100000.00 to 42849672.95"))
}

fn span(writer: &mut Writer<'_, '_>) -> Result<u8, Fault> {
    let (token, text) = writer.word("a size in metres")?;
    let text = text.strip_suffix(b"m").or_else(|| text.strip_suffix(b"M")).unwrap_or(text);
    let centimetres = fixed(text, 2).filter(|value| *value <= 9_000_000_000);
    centimetres.map(precision).ok_or_else(|| Fault::new(token, "expected metres from 0 to 90000000.00"))
}

/// A number with up to `places` decimals, in units of the last of them.
fn fixed(text: &[u8], places: usize) -> Option<u64> {
    let mut parts = text.splitn(2, |octet| *octet == b'.');
    let whole = decimal(parts.next()?)?;
    let fraction = parts.next().unwrap_or_default();
    if fraction.len() > places || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let scaled = u64::from(whole) * 10_u64.pow(u32::try_from(places).ok()?);
    let tail = fraction.iter().chain(std::iter::repeat(&b'0')).take(places);
    Some(scaled + tail.fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// Centimetres as mantissa and power of ten, four bits each.
fn precision(centimetres: u64) -> u8 {
    let mut mantissa = centimetres;
    let mut exponent = 0;
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    (mantissa as u8) << 4 | exponent
}
