//! Time spans in zone files: seconds, or numbers with units (`1h30m`), as BIND writes them.

/// The longest TTL (RFC 2181, section 8).
pub(super) const MAX_TTL: u32 = (1 << 31) - 1;

/// Seconds of a span; none where the text is no span or passes 32 bits. Units are w, d, h, m, s in either case; a number
/// without one counts seconds.
pub(super) fn seconds(text: &[u8]) -> Option<u32> {
    let mut total: u64 = 0;
    let mut number: Option<u64> = None;
    for octet in text {
        if octet.is_ascii_digit() {
            let digits = number.unwrap_or(0) * 10 + u64::from(octet - b'0');
            number = Some(digits).filter(|digits| *digits <= u64::from(u32::MAX));
            number?;
            continue;
        }
        let unit = match octet.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total += number.take()? * unit;
    }
    if text.is_empty() {
        return None;
    }
    u32::try_from(total + number.unwrap_or(0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, expected) in [
            ("0", Some(0)),
            ("3600", Some(3600)),
            ("1h30m", Some(5400)),
            ("1W2D3H4M5S", Some(788_645)),
            ("1h30", Some(3630)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("7102w", None),
            ("", None),
            ("h", None),
            ("1x", None),
            ("1hh", None),
            ("-1", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }
}
