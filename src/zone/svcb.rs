//! SvcParams of SVCB and HTTPS records (RFC 9460, section 2.1 and appendix A).
//!
//! | key | value in the text |
//! | --- | --- |
//! | 0 `mandatory` | keys, without doubles, `mandatory` not among them |
//! | 1 `alpn` | protocol ids; `\,` and `\\` inside one |
//! | 2 `no-default-alpn` | none |
//! | 3 `port` | a number |
//! | 4 `ipv4hint`, 6 `ipv6hint` | addresses |
//! | 5 `ech` | base64 |
//! | 7 `dohpath` | a text |
//! | 8 `ohttp` | none |
//! | `keyNNNNN` | octets |

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::encoding::{Base, Decoder};
use super::lexer::{Kind, Token};
use super::name;
use super::rdata::{Fault, Writer};
use super::words::decimal;

pub(crate) const MANDATORY: u16 = 0;
pub(crate) const PORT: u16 = 3;
pub(crate) const IPV4HINT: u16 = 4;
pub(crate) const ECH: u16 = 5;
pub(crate) const IPV6HINT: u16 = 6;

const KEYS: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];

pub(super) fn read(writer: &mut Writer<'_, '_>) -> Result<(), Fault> {
    let mut parameters: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    let alias = writer.out.starts_with(&[0, 0]);
    let mut last = writer.lexer.peek();
    while !writer.at_end() {
        let (token, key, value) = parameter(writer)?;
        last = token;
        if alias {
            return Err(Fault::new(token, "an alias (priority 0) has no parameters (RFC 9460, section 2.4.2)"));
        }
        if parameters.insert(key, value).is_some() {
            return Err(Fault::new(token, format!("`{}` is given twice", shown(key))));
        }
    }
    consistent(&parameters).map_err(|message| Fault::new(last, message))?;
    for (key, value) in &parameters {
        writer.u16(*key);
        writer.u16(value.len() as u16);
        writer.out.extend_from_slice(value);
    }
    Ok(())
}

/// Rules between parameters (sections 7.1.1 and 8), for text and wire alike.
pub(super) fn consistent(parameters: &BTreeMap<u16, Vec<u8>>) -> Result<(), String> {
    if parameters.contains_key(&2) && !parameters.contains_key(&1) {
        return Err("`no-default-alpn` needs `alpn` (RFC 9460, section 7.1.1)".to_owned());
    }
    let listed = parameters.get(&0).map(Vec::as_slice).unwrap_or_default();
    let listed = listed.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    for key in listed {
        if !parameters.contains_key(&key) {
            return Err(format!("`mandatory` lists `{}`, which is not given", shown(key)));
        }
    }
    Ok(())
}

/// Whether an HTTPS or SVCB record (wire format) keeps clients at the addresses that its owner answers (RFC 9460, sections 2.5.2 and 7.3): no other
/// name as its target, and no hint but addresses that `is_answered`. The keys of `ech` are those of one provider's servers: others end the
/// connection, so that they stay only where one alone `holds_keys`.
pub(crate) fn stays(rdata: &[u8], owner: &[u8], is_answered: impl Fn(IpAddr) -> bool, holds_keys: bool) -> bool {
    let target = rdata.get(2..).unwrap_or_default();
    let own = owner.len();
    let rest = match target {
        [0, rest @ ..] => rest,
        _ if target.get(..own).is_some_and(|target| target.eq_ignore_ascii_case(owner)) => &target[own..],
        _ => return false,
    };
    Parameters(rest).all(|(key, value)| match key {
        IPV4HINT => value.as_chunks::<4>().0.iter().all(|octets| is_answered(IpAddr::from(*octets))),
        IPV6HINT => value.as_chunks::<16>().0.iter().all(|octets| is_answered(IpAddr::from(*octets))),
        ECH => holds_keys,
        _ => true,
    })
}

/// Key and value of each parameter (wire format), up to what is none.
pub(crate) struct Parameters<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[k0, k1, l0, l1], rest) = self.0.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        self.0 = rest;
        Some((u16::from_be_bytes([k0, k1]), value))
    }
}

fn parameter(writer: &mut Writer<'_, '_>) -> Result<(Token, u16, Vec<u8>), Fault> {
    let (token, text) = writer.word("a parameter")?;
    let (key, value) = match text.iter().position(|octet| *octet == b'=') {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let number = number(key).ok_or_else(|| unknown(token, key))?;
    let mut value = value.map(<[u8]>::to_vec);
    // `key="value"`: the lexer ends a word at a quote.
    let next = writer.lexer.peek();
    if value.as_deref() == Some(b"") && next.kind == Kind::Quoted && next.start == token.end + 1 {
        writer.lexer.next();
        value = Some(writer.lexer.octets(next).to_vec());
    }
    let octets = octets(number, value.as_deref())
        .map_err(|message| Fault::new(token, format!("`{}`: {message}", shown(number))))?;
    if octets.len() > usize::from(u16::MAX) {
        return Err(Fault::new(token, "the value passes 65,535 octets"));
    }
    Ok((token, number, octets))
}

fn unknown(token: Token, key: &[u8]) -> Fault {
    let shown = String::from_utf8_lossy(key);
    let fault = Fault::new(token, format!("`{shown}` is no parameter"));
    fault.with_help(format!("known are {}; others are written `keyNNNNN`", KEYS.join(", ")))
}

fn number(key: &[u8]) -> Option<u16> {
    let named = KEYS.iter().position(|known| known.as_bytes() == key).and_then(|at| u16::try_from(at).ok());
    named.or_else(|| {
        let digits = key.strip_prefix(b"key")?;
        let plain = digits.len() == 1 || !digits.starts_with(b"0");
        decimal(digits).filter(|_| plain).and_then(|value| u16::try_from(value).ok()).filter(|value| *value != u16::MAX)
    })
}

fn shown(key: u16) -> String {
    KEYS.get(usize::from(key)).map_or_else(|| format!("key{key}"), |name| (*name).to_owned())
}

/// The value of a parameter in wire format.
fn octets(key: u16, value: Option<&[u8]>) -> Result<Vec<u8>, String> {
    if matches!(key, 2 | 8) {
        return if value.is_none() { Ok(Vec::new()) } else { Err("takes no value".to_owned()) };
    }
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return if key > 8 { Ok(Vec::new()) } else { Err("needs a value".to_owned()) };
    };
    match key {
        0 => mandatory(value),
        1 => alpn(value),
        3 => decimal(value)
            .and_then(|port| u16::try_from(port).ok())
            .map(|port| port.to_be_bytes().to_vec())
            .ok_or_else(|| "expected a number from 0 to 65535".to_owned()),
        4 => hints(value, |text| text.parse::<Ipv4Addr>().ok().map(|address| address.octets().to_vec())),
        6 => hints(value, |text| text.parse::<Ipv6Addr>().ok().map(|address| address.octets().to_vec())),
        5 => {
            let mut out = Vec::new();
            let mut decoder = Decoder::new(Base::Sixtyfour);
            decoder.feed(value, &mut out).and_then(|()| decoder.finish()).map_err(|error| error.to_string())?;
            Ok(out)
        }
        _ => unescaped(value),
    }
}

fn mandatory(value: &[u8]) -> Result<Vec<u8>, String> {
    let mut keys = Vec::new();
    for key in value.split(|octet| *octet == b',') {
        let key = number(key).filter(|key| *key != 0).ok_or_else(|| "expected keys other than itself".to_owned())?;
        keys.push(key);
    }
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("a key is listed twice".to_owned());
    }
    Ok(keys.into_iter().flat_map(u16::to_be_bytes).collect())
}

/// Ids after the escapes of the character-string: `\\` and `\,` are left in them (appendix A.1).
fn alpn(value: &[u8]) -> Result<Vec<u8>, String> {
    let mut ids = vec![Vec::new()];
    let mut octets = unescaped(value)?.into_iter();
    while let Some(octet) = octets.next() {
        match (octet, ids.last_mut()) {
            (b',', _) => ids.push(Vec::new()),
            (b'\\', Some(id)) => id.push(octets.next().ok_or_else(|| "a backslash escapes nothing".to_owned())?),
            (_, Some(id)) => id.push(octet),
            (_, None) => {}
        }
    }
    let mut out = Vec::new();
    for id in ids {
        let length = u8::try_from(id.len()).ok().filter(|length| *length > 0);
        out.push(length.ok_or_else(|| "an id has 1 to 255 octets".to_owned())?);
        out.extend_from_slice(&id);
    }
    Ok(out)
}

fn hints(value: &[u8], parse: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for text in value.split(|octet| *octet == b',') {
        let address = std::str::from_utf8(text).ok().and_then(&parse);
        out.extend(address.ok_or_else(|| format!("`{}` is no address of its family", String::from_utf8_lossy(text)))?);
    }
    Ok(out)
}

fn unescaped(value: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(value.len());
    let mut octets = value.iter().copied();
    while let Some(octet) = octets.next() {
        out.push(if octet == b'\\' { name::unescape(&mut octets).map_err(|error| error.to_string())? } else { octet });
    }
    Ok(out)
}
