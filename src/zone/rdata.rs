//! Record data from its text: walks the fields of its type and writes wire format.
//!
//! Written by hand rather than taken from hickory-proto, whose reader has no positions, drops relative names of SVCB and
//! knows no DNAME, LOC, URI or DS; a test compares the two where both can read.

use super::encoding;
use super::lexer::{Kind, LexFault, Lexer, Token};
use super::location;
use super::name::{self, Name};
use super::prefixes;
use super::record::Rtype;
use super::rtype::Field;
use super::span;
use super::svcb;
use super::wire;
use super::words::{ALGORITHMS, CERTIFICATE_TYPES, calendar, decimal, hex_group, ipv4, ipv6};

/// The longest record data (RFC 1035, section 3.2.1).
pub(super) const MAX_RDATA: usize = 65_535;

/// What is wrong, and which octets of the text are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub start: u32,
    pub end: u32,
    pub message: String,
    pub help: Option<String>,
}

impl Fault {
    pub(super) fn new(token: Token, message: impl Into<String>) -> Self {
        Self { start: token.start, end: token.end, message: message.into(), help: None }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn of_lexer(token: Token, fault: LexFault) -> Self {
        Self::new(token, fault.to_string())
    }
}

/// Reads the record data that follows a type, up to the end of the record, which it takes too. `out` is emptied first and
/// holds the wire format after success.
pub(super) fn read(lexer: &mut Lexer<'_>, rtype: Rtype, origin: &Name, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.clear();
    let first = lexer.peek();
    if first.kind == Kind::Word && lexer.octets(first) == b"\\#" {
        lexer.next();
        return opaque(lexer, first, rtype, out);
    }
    let Some(fields) = rtype.fields() else {
        return Err(Fault::new(first, format!("{rtype} has no text form"))
            .with_help("write its octets as `\\# LENGTH HEX` (RFC 3597, section 5)"));
    };
    let mut writer = Writer { lexer, origin, out };
    let form = |fault: Fault| match form(rtype).filter(|_| fault.help.is_none()) {
        Some(form) => fault.with_help(format!("the data of {rtype} is `{form}`")),
        None => fault,
    };
    for field in fields {
        writer.field(*field).map_err(form)?;
    }
    writer.end().map_err(|fault| match rtype {
        Rtype::A | Rtype::AAAA if fault.help.is_none() => {
            fault.with_help("a record has one address: a further one has a record of its own")
        }
        _ => form(fault),
    })?;
    let whole = Token { end: first.end.max(first.start + 1), ..first };
    if out.len() > MAX_RDATA {
        return Err(Fault::new(whole, format!("the record data has {} octets, 65,535 at most", out.len())));
    }
    wire::lengths(rtype, out).map_err(|message| Fault::new(whole, message))
}

/// What the data of a type looks like, for those that people write by hand and whose fields are easily mistaken.
fn form(rtype: Rtype) -> Option<&'static str> {
    match rtype {
        Rtype::SOA => Some("MNAME RNAME SERIAL REFRESH RETRY EXPIRE MINIMUM"),
        Rtype::MX => Some("PREFERENCE NAME`, as in `10 mail"),
        Rtype::SRV => Some("PRIORITY WEIGHT PORT NAME"),
        Rtype::SVCB | Rtype::HTTPS => Some("PRIORITY TARGET [KEY=VALUE ...]`, as in `1 . alpn=h2"),
        Rtype::DS => Some("KEYTAG ALGORITHM DIGESTTYPE DIGEST"),
        Rtype(52) => Some("USAGE SELECTOR MATCHING HEX"),
        Rtype(257) => Some("FLAGS TAG VALUE`, as in `0 issue \"ca.example\""),
        _ => None,
    }
}

/// `\# LENGTH HEX` (RFC 3597, section 5), checked where the type is known.
fn opaque(lexer: &mut Lexer<'_>, sign: Token, rtype: Rtype, out: &mut Vec<u8>) -> Result<(), Fault> {
    let root = Name::root();
    let mut writer = Writer { lexer, origin: &root, out };
    let (token, length) = writer.number("the number of octets", 65_535)?;
    if writer.lexer.peek().kind == Kind::Word {
        writer.blob("hexadecimal digits", encoding::Base::Hex)?;
    }
    writer.end()?;
    if out.len() != length as usize {
        return Err(Fault::new(token, format!("{length} octets are announced and {} given", out.len())));
    }
    wire::check(rtype, out).map_err(|message| Fault::new(sign, format!("these octets are no {rtype}: {message}")))
}

/// Takes tokens and puts fields behind each other.
pub(super) struct Writer<'a, 'l> {
    pub lexer: &'l mut Lexer<'a>,
    pub origin: &'l Name,
    pub out: &'l mut Vec<u8>,
}

impl<'a> Writer<'a, '_> {
    fn field(&mut self, field: Field) -> Result<(), Fault> {
        match field {
            Field::U8 => self.number("a number from 0 to 255", 255).map(|(_, value)| self.out.push(value as u8)),
            Field::U16 => {
                let (_, value) = self.number("a number from 0 to 65535", 65_535)?;
                self.u16(value as u16);
                Ok(())
            }
            Field::U32 => {
                let (_, value) = self.number("a number from 0 to 4294967295", u32::MAX)?;
                self.u32(value);
                Ok(())
            }
            Field::Period => self.period(),
            Field::Name => self.name(),
            Field::Ipv4 => self.ipv4(),
            Field::Ipv6 => self.ipv6(),
            Field::Text => self.text(),
            Field::OptionalText if self.at_end() => Ok(()),
            Field::OptionalText => self.text(),
            Field::Texts => self.texts(),
            Field::Long => self.long(),
            Field::Tag => self.tag(),
            Field::Hex => self.blob("hexadecimal digits", encoding::Base::Hex),
            Field::Base64 => self.blob("base64", encoding::Base::Sixtyfour),
            Field::Salt => self.salt(),
            Field::Hash => self.hash(),
            Field::Algorithm => {
                self.mnemonic("a DNSSEC algorithm", ALGORITHMS, 255).map(|value| self.out.push(value as u8))
            }
            Field::CertificateType => {
                let value = self.mnemonic("a certificate type", CERTIFICATE_TYPES, 65_535)?;
                self.u16(value);
                Ok(())
            }
            Field::Type => self.rtype(),
            Field::Moment => self.moment(),
            Field::Types => self.types(),
            Field::Location => location::read(self),
            Field::Parameters => svcb::read(self),
            Field::Eui(octets) => self.eui(octets),
            Field::Locator => self.locator(),
            Field::Prefixes => prefixes::read(self),
        }
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// Whether the record ends here.
    pub(super) fn at_end(&mut self) -> bool {
        matches!(self.lexer.peek().kind, Kind::Newline | Kind::End)
    }

    /// The next word that is not quoted.
    pub(super) fn word(&mut self, what: &str) -> Result<(Token, &'a [u8]), Fault> {
        let token = self.lexer.next();
        match token.kind {
            Kind::Word => Ok((token, self.lexer.octets(token))),
            _ => Err(self.missing(token, what)),
        }
    }

    /// The next word or quoted string.
    pub(super) fn string(&mut self, what: &str) -> Result<(Token, &'a [u8]), Fault> {
        let token = self.lexer.next();
        match token.kind {
            Kind::Word | Kind::Quoted => Ok((token, self.lexer.octets(token))),
            _ => Err(self.missing(token, what)),
        }
    }

    /// The record goes on after a token that is not what it should be, or ends with it.
    #[cold]
    fn missing(&mut self, token: Token, what: &str) -> Fault {
        self.lexer.put_back(token);
        match token.kind {
            Kind::Fault(fault) => Fault::of_lexer(token, fault),
            Kind::Quoted => Fault::new(token, format!("expected {what}, not a quoted string")),
            _ => Fault {
                start: token.start,
                end: token.start,
                message: format!("expected {what}, found the end of the record"),
                help: None,
            },
        }
    }

    #[inline]
    fn end(&mut self) -> Result<(), Fault> {
        let token = self.lexer.next();
        match token.kind {
            Kind::Newline | Kind::End => Ok(()),
            _ => Err(self.left_over(token)),
        }
    }

    #[cold]
    fn left_over(&mut self, token: Token) -> Fault {
        self.lexer.put_back(token);
        if let Kind::Fault(fault) = token.kind {
            return Fault::of_lexer(token, fault);
        }
        let fault = Fault::new(token, "expected the end of the record");
        let octets = self.lexer.octets(token);
        let comment = octets.starts_with(b"#") || octets.starts_with(b"//");
        if comment { fault.with_help("a comment begins with `;`") } else { fault }
    }

    pub(super) fn number(&mut self, what: &str, max: u32) -> Result<(Token, u32), Fault> {
        let (token, text) = self.word(what)?;
        match decimal(text).filter(|value| *value <= max) {
            Some(value) => Ok((token, value)),
            None => Err(Fault::new(token, format!("expected {what}"))),
        }
    }

    fn period(&mut self) -> Result<(), Fault> {
        let (token, text) = self.word("a time span")?;
        let seconds = span::seconds(text)
            .ok_or_else(|| Fault::new(token, "expected a time span: seconds, or numbers with units as in `1h30m`"))?;
        self.u32(seconds);
        Ok(())
    }

    pub(super) fn name(&mut self) -> Result<(), Fault> {
        let (token, text) = self.word("a name")?;
        name::append_text(text, self.origin, self.out).map_err(|error| Fault::new(token, error.to_string()))
    }

    fn ipv4(&mut self) -> Result<(), Fault> {
        let (token, text) = self.word("an IPv4 address")?;
        let address = ipv4(text).ok_or_else(|| Fault::new(token, "this is no IPv4 address"))?;
        self.out.extend_from_slice(&address);
        Ok(())
    }

    fn ipv6(&mut self) -> Result<(), Fault> {
        let (token, text) = self.word("an IPv6 address")?;
        let address = ipv6(text).ok_or_else(|| Fault::new(token, "this is no IPv6 address"))?;
        self.out.extend_from_slice(&address);
        Ok(())
    }

    fn text(&mut self) -> Result<(), Fault> {
        let (token, text) = self.string("a character-string")?;
        self.character_string(token, text)
    }

    fn texts(&mut self) -> Result<(), Fault> {
        self.text()?;
        while !self.at_end() {
            self.text()?;
        }
        Ok(())
    }

    fn character_string(&mut self, token: Token, text: &[u8]) -> Result<(), Fault> {
        let at = self.out.len();
        self.out.push(0);
        self.unescaped(token, text)?;
        let length = self.out.len() - at - 1;
        let Ok(octet) = u8::try_from(length) else {
            return Err(Fault::new(token, format!("this character-string has {length} octets, 255 at most")));
        };
        if let Some(place) = self.out.get_mut(at) {
            *place = octet;
        }
        Ok(())
    }

    /// Puts a text with its escapes resolved.
    pub(super) fn unescaped(&mut self, token: Token, text: &[u8]) -> Result<(), Fault> {
        if !text.contains(&b'\\') {
            self.out.extend_from_slice(text);
            return Ok(());
        }
        let mut octets = text.iter().copied();
        while let Some(octet) = octets.next() {
            let value = match octet {
                b'\\' => name::unescape(&mut octets).map_err(|error| Fault::new(token, error.to_string()))?,
                other => other,
            };
            self.out.push(value);
        }
        Ok(())
    }

    fn long(&mut self) -> Result<(), Fault> {
        let (token, text) = self.string("a text")?;
        self.unescaped(token, text)
    }

    fn tag(&mut self) -> Result<(), Fault> {
        let (token, text) = self.word("a tag")?;
        if text.len() > 255 || !text.iter().all(u8::is_ascii_alphanumeric) {
            return Err(Fault::new(token, "a CAA tag has letters and digits alone (RFC 8659, section 4.1)"));
        }
        self.character_string(token, text)
    }

    /// All words to the end of the record, decoded.
    fn blob(&mut self, what: &str, base: encoding::Base) -> Result<(), Fault> {
        let (first, text) = self.word(what)?;
        let mut decoder = encoding::Decoder::new(base);
        let mut last = first;
        let mut take = |out: &mut Vec<u8>, token: Token, text: &[u8]| {
            decoder.feed(text, out).map_err(|error| Fault::new(token, error.to_string()))
        };
        take(self.out, first, text)?;
        while !self.at_end() {
            let (token, text) = self.word(what)?;
            take(self.out, token, text)?;
            last = token;
            if self.out.len() > MAX_RDATA {
                return Err(Fault::new(token, "the record data passes 65,535 octets"));
            }
        }
        decoder.finish().map_err(|error| Fault::new(last, error.to_string()))
    }

    fn salt(&mut self) -> Result<(), Fault> {
        let (token, text) = self.word("a salt")?;
        self.counted(token, if text == b"-" { b"" } else { text }, encoding::Base::Hex)
    }

    fn hash(&mut self) -> Result<(), Fault> {
        let (token, text) = self.word("a hashed owner name")?;
        self.counted(token, text, encoding::Base::Thirtytwo)
    }

    fn counted(&mut self, token: Token, text: &[u8], base: encoding::Base) -> Result<(), Fault> {
        let at = self.out.len();
        self.out.push(0);
        let mut decoder = encoding::Decoder::new(base);
        let decoded = decoder.feed(text, self.out).and_then(|()| decoder.finish());
        decoded.map_err(|error| Fault::new(token, error.to_string()))?;
        let length = u8::try_from(self.out.len() - at - 1).map_err(|_| Fault::new(token, "more than 255 octets"))?;
        if let Some(place) = self.out.get_mut(at) {
            *place = length;
        }
        Ok(())
    }

    fn mnemonic(&mut self, what: &str, table: &[(u16, &str)], max: u32) -> Result<u16, Fault> {
        let (token, text) = self.word(what)?;
        let named = table.iter().find(|(_, mnemonic)| mnemonic.as_bytes().eq_ignore_ascii_case(text));
        let number = named.map(|(number, _)| *number);
        let number = number.or_else(|| decimal(text).filter(|value| *value <= max).map(|value| value as u16));
        number.ok_or_else(|| Fault::new(token, format!("expected {what}: a number up to {max} or a mnemonic")))
    }

    fn rtype(&mut self) -> Result<(), Fault> {
        let (token, text) = self.word("a record type")?;
        let rtype = Rtype::from_text(text).ok_or_else(|| Fault::new(token, "this is no record type"))?;
        self.u16(rtype.0);
        Ok(())
    }

    fn moment(&mut self) -> Result<(), Fault> {
        let (token, text) = self.word("a time")?;
        let seconds = if text.len() == 14 { calendar(text) } else { decimal(text) };
        let seconds =
            seconds.ok_or_else(|| Fault::new(token, "expected a time: YYYYMMDDHHmmSS, or seconds since 1970"))?;
        self.u32(seconds);
        Ok(())
    }

    /// RFC 4034, section 4.1.2. Without any type (CSYNC, NSEC3 of an empty non-terminal) nothing is written.
    fn types(&mut self) -> Result<(), Fault> {
        let mut types = std::collections::BTreeSet::new();
        while !self.at_end() {
            let (token, text) = self.word("a record type")?;
            let rtype = Rtype::from_text(text).ok_or_else(|| Fault::new(token, "this is no record type"))?;
            types.insert(rtype.0);
        }
        let mut types = types.into_iter().peekable();
        while let Some(first) = types.peek().copied() {
            let window = first >> 8;
            let mut bits = [0_u8; 32];
            let mut length = 0;
            while let Some(rtype) = types.next_if(|rtype| rtype >> 8 == window) {
                let at = usize::from(rtype & 0xff) / 8;
                if let Some(octet) = bits.get_mut(at) {
                    *octet |= 0x80 >> (rtype & 7);
                }
                length = at + 1;
            }
            self.out.extend_from_slice(&[window as u8, length as u8]);
            self.out.extend_from_slice(bits.get(..length).unwrap_or_default());
        }
        Ok(())
    }

    fn eui(&mut self, octets: u8) -> Result<(), Fault> {
        let what = format!("{octets} hexadecimal octets joined by hyphens");
        let (token, text) = self.word(&what)?;
        let groups: Vec<Option<u8>> =
            text.split(|octet| *octet == b'-').map(|group| hex_group(group, 2).map(|v| v as u8)).collect();
        if groups.len() != usize::from(octets) || groups.contains(&None) {
            return Err(Fault::new(token, format!("expected {what}")));
        }
        self.out.extend(groups.into_iter().flatten());
        Ok(())
    }

    fn locator(&mut self) -> Result<(), Fault> {
        let (token, text) = self.word("four groups of hexadecimal digits")?;
        let groups: Vec<Option<u16>> = text
            .split(|octet| *octet == b':')
            .map(|group| if (1..=4).contains(&group.len()) { hex_group(group, group.len()) } else { None })
            .collect();
        if groups.len() != 4 || groups.contains(&None) {
            return Err(Fault::new(token, "expected four groups of up to four hexadecimal digits joined by colons"));
        }
        for group in groups.into_iter().flatten() {
            self.u16(group);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(rtype: &str, text: &str) -> Result<Vec<u8>, Fault> {
        let origin = Name::from_text(b"o.", &Name::root()).unwrap();
        let mut out = Vec::new();
        let rtype = Rtype::from_text(rtype.as_bytes()).unwrap();
        read(&mut Lexer::new(text.as_bytes()), rtype, &origin, &mut out).map(|()| out)
    }

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn text_becomes_wire() {
        for (rtype, text, expected) in [
            ("A", "192.0.2.1", "c0000201"),
            ("MX", "10 m", "000a016d016f00"),
            ("TXT", "a \"b c\" \\065", "0161036220630141"),
            ("DNAME", "@", "016f00"),
            ("CAA", "128 issue \"x\"", "8005697373756578"),
            ("URI", "1 2 \"a\"", "0001000261"),
            ("NSEC3", "1 0 5 - CPNMUOG A CAA", "01000005000466"),
            ("NSEC", ". A MX TYPE1234", "0000024001041b00000000"),
            ("RRSIG", "A 13 2 300 20260101000000 1767225600 1 . AQ==", "00010d020000012c6955b9006955b900000100"),
            ("EUI48", "00-00-5e-00-53-2a", "00005e00532a"),
            ("APL", "1:192.0.2.0/24 !2:2001:db8::/32", "00011803c0000200022084 20010db8"),
            ("LOC", "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m", "000016138b3cf018810cbce0009895b8"),
            ("HTTPS", "1 . port=8443 alpn=\"h2,h3\"", "000100 0001000602683202683300030002 20fb"),
            ("SVCB", "1 . alpn=\"a\\\\,b\"", "000100 00010004 03612c62"),
            ("TYPE65280", "\\# 3 0a0b 0c", "0a0b0c"),
            ("A", "\\# 4 c0000201", "c0000201"),
        ] {
            let found = wire(rtype, text).map(|octets| hex(&octets)).unwrap_or_else(|fault| fault.message);
            let expected = expected.replace(' ', "");
            assert!(found.starts_with(&expected), "{rtype} {text}: {found}, expected {expected}");
        }
    }

    #[test]
    fn faults_say_where() {
        for (rtype, text, start, end, message) in [
            ("A", "192.0.2", 0, 7, "this is no IPv4 address"),
            ("A", "", 0, 0, "expected an IPv4 address, found the end of the record"),
            ("A", "\"192.0.2.1\"", 1, 10, "expected an IPv4 address, not a quoted string"),
            ("MX", "10 a..b", 3, 7, "a label is empty"),
            ("MX", "70000 a", 0, 5, "expected a number from 0 to 65535"),
            ("A", "192.0.2.1 x", 10, 11, "expected the end of the record"),
            ("TXT", "\\999", 0, 4, "an escape is neither `\\DDD` (000 to 255) nor a backslash and one character"),
            ("DS", "1 13 2 00ff", 0, 1, "a digest of type 2 has 32 octets, this one 2"),
            ("HTTPS", "1 . prt=1", 4, 9, "`prt` is no parameter"),
            ("HTTPS", "0 . port=1", 4, 10, "an alias (priority 0) has no parameters (RFC 9460, section 2.4.2)"),
            ("WKS", "x", 0, 1, "WKS has no text form"),
            ("A", "\\# 3 c00002", 0, 2, "these octets are no A: 1 octets too few"),
            ("TYPE65280", "\\# 3 c000", 3, 4, "3 octets are announced and 2 given"),
            ("LOC", "91 N 1 E 0", 0, 2, "expected degrees from 0 to 90"),
        ] {
            let fault = wire(rtype, text).expect_err(text);
            assert_eq!((fault.start, fault.end, fault.message.as_str()), (start, end, message), "{rtype} {text}");
        }
    }
}
