//! Hexadecimal, base64 (RFC 4648, section 4) and base32hex (section 7) in pieces: the words of a record are one text.

/// How octets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Hex,
    Thirtytwo,
    Sixtyfour,
}

/// A text that is not what its base allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidEncoding {
    #[error("this is no hexadecimal number")]
    NotHex,
    #[error("the number of hexadecimal digits is odd")]
    OddHex,
    #[error("this is no base32hex")]
    NotBase32,
    #[error("this is no base64")]
    NotBase64,
    #[error("the base64 ends early")]
    ShortBase64,
}

/// Collects bits until an octet is whole.
#[derive(Debug)]
pub(super) struct Decoder {
    base: Base,
    bits: u32,
    held: u32,
    digits: u64,
    padding: u32,
}

impl Decoder {
    pub(super) fn new(base: Base) -> Self {
        Self { base, bits: 0, held: 0, digits: 0, padding: 0 }
    }

    /// Decodes a piece behind what `out` holds.
    pub(super) fn feed(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidEncoding> {
        let width = self.width();
        for octet in text {
            if *octet == b'=' && self.base == Base::Sixtyfour {
                self.padding += 1;
                continue;
            }
            let value = self.digit(*octet).filter(|_| self.padding == 0).ok_or(self.wrong())?;
            self.bits = (self.bits << width) | u32::from(value);
            self.held += width;
            self.digits += 1;
            if self.held >= 8 {
                self.held -= 8;
                out.push((self.bits >> self.held) as u8);
                self.bits &= (1 << self.held) - 1;
            }
        }
        Ok(())
    }

    /// Checks that nothing is left over.
    pub(super) fn finish(&self) -> Result<(), InvalidEncoding> {
        match self.base {
            Base::Hex if self.held != 0 => Err(InvalidEncoding::OddHex),
            Base::Hex => Ok(()),
            Base::Thirtytwo if self.held >= 5 || self.bits != 0 => Err(InvalidEncoding::NotBase32),
            Base::Thirtytwo => Ok(()),
            Base::Sixtyfour if !(self.digits + u64::from(self.padding)).is_multiple_of(4) => {
                Err(InvalidEncoding::ShortBase64)
            }
            Base::Sixtyfour if self.padding > 2 || self.bits != 0 || self.digits == 0 => {
                Err(InvalidEncoding::NotBase64)
            }
            Base::Sixtyfour => Ok(()),
        }
    }

    fn width(&self) -> u32 {
        match self.base {
            Base::Hex => 4,
            Base::Thirtytwo => 5,
            Base::Sixtyfour => 6,
        }
    }

    fn wrong(&self) -> InvalidEncoding {
        match self.base {
            Base::Hex => InvalidEncoding::NotHex,
            Base::Thirtytwo => InvalidEncoding::NotBase32,
            Base::Sixtyfour => InvalidEncoding::NotBase64,
        }
    }

    fn digit(&self, octet: u8) -> Option<u8> {
        match (self.base, octet) {
            (Base::Hex | Base::Thirtytwo, b'0'..=b'9') => Some(octet - b'0'),
            (Base::Hex, b'a'..=b'f') | (Base::Thirtytwo, b'a'..=b'v') => Some(octet - b'a' + 10),
            (Base::Hex, b'A'..=b'F') | (Base::Thirtytwo, b'A'..=b'V') => Some(octet - b'A' + 10),
            (Base::Sixtyfour, b'A'..=b'Z') => Some(octet - b'A'),
            (Base::Sixtyfour, b'a'..=b'z') => Some(octet - b'a' + 26),
            (Base::Sixtyfour, b'0'..=b'9') => Some(octet - b'0' + 52),
            (Base::Sixtyfour, b'+') => Some(62),
            (Base::Sixtyfour, b'/') => Some(63),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(base: Base, words: &[&str]) -> Result<Vec<u8>, InvalidEncoding> {
        let mut out = Vec::new();
        let mut decoder = Decoder::new(base);
        for word in words {
            decoder.feed(word.as_bytes(), &mut out)?;
        }
        decoder.finish().map(|()| out)
    }

    #[test]
    fn the_words_are_one_text() {
        assert_eq!(decode(Base::Hex, &["0", "aF", "f"]), Ok(vec![0x0a, 0xff]));
        assert_eq!(decode(Base::Sixtyfour, &["Zm9", "vYg=", "="]), Ok(b"foob".to_vec()));
        assert_eq!(decode(Base::Thirtytwo, &["CPNMUOG"]), Ok(b"foob".to_vec()));
    }

    #[test]
    fn what_is_left_over_is_an_error() {
        assert_eq!(decode(Base::Hex, &["abc"]), Err(InvalidEncoding::OddHex));
        assert_eq!(decode(Base::Hex, &["xy"]), Err(InvalidEncoding::NotHex));
        assert_eq!(decode(Base::Sixtyfour, &["Zm9vY"]), Err(InvalidEncoding::ShortBase64));
        assert_eq!(decode(Base::Sixtyfour, &["Zg==Zg=="]), Err(InvalidEncoding::NotBase64));
        assert_eq!(decode(Base::Sixtyfour, &["===="]), Err(InvalidEncoding::NotBase64));
        assert_eq!(decode(Base::Thirtytwo, &["w"]), Err(InvalidEncoding::NotBase32));
    }
}
