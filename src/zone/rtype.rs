//! Record types: their mnemonics and what their record data is made of.
//!
//! One table says, for each type with a text form, which fields follow each other in it. The same list drives reading
//! the text (`rdata`) and judging octets given as `\# ...` (`wire`). A type that is not in the table is opaque and can be
//! given in the form of RFC 3597 alone.

use std::fmt;

use super::record::Rtype;

/// One field of record data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    U8,
    U16,
    U32,
    /// 32 bits, in the text a time span that may have units (`1h30m`).
    Period,
    Name,
    Ipv4,
    Ipv6,
    /// One character-string (RFC 1035, section 3.3).
    Text,
    /// One character-string that may be left out.
    OptionalText,
    /// One or more character-strings, to the end.
    Texts,
    /// One text without a length, to the end (CAA, URI).
    Long,
    /// The tag of a CAA record (RFC 8659, section 4.1).
    Tag,
    /// Hexadecimal digits in any number of words, to the end; at least one octet.
    Hex,
    /// Base64 in any number of words, to the end; at least one octet.
    Base64,
    /// An NSEC3 salt: length, octets; `-` for none (RFC 5155, section 3.3).
    Salt,
    /// The next hashed owner of NSEC3: length, octets; base32hex.
    Hash,
    /// A DNSSEC algorithm: number or mnemonic (RFC 4034, appendix A.1).
    Algorithm,
    /// A certificate type: number or mnemonic (RFC 4398, section 2.1).
    CertificateType,
    /// A record type (RRSIG).
    Type,
    /// Seconds since 1970, in the text also as YYYYMMDDHHmmSS (RFC 4034, section 3.2).
    Moment,
    /// A bitmap of types, to the end (RFC 4034, section 4.1.2).
    Types,
    /// A LOC record as a whole (RFC 1876).
    Location,
    /// SvcParams, to the end (RFC 9460, section 2).
    Parameters,
    /// Hexadecimal octets joined by hyphens: 6 or 8 of them (RFC 7043).
    Eui(u8),
    /// Four groups of four hexadecimal digits (RFC 6742).
    Locator,
    /// Address prefixes, to the end (RFC 3123).
    Prefixes,
}

/// Number, mnemonic, fields.
type Known = (u16, &'static str, &'static [Field]);

use Field::{
    Algorithm, Base64, CertificateType, Eui, Hash, Hex, Ipv4, Ipv6, Location, Locator, Long, Moment, OptionalText,
    Parameters, Period, Prefixes, Salt, Tag, Text, Texts, Type, Types, U8, U16, U32,
};

/// Types with a text form, by number.
const KNOWN: &[Known] = &[
    (1, "A", &[Ipv4]),
    (2, "NS", &[Field::Name]),
    (3, "MD", &[Field::Name]),
    (4, "MF", &[Field::Name]),
    (5, "CNAME", &[Field::Name]),
    (6, "SOA", &[Field::Name, Field::Name, U32, Period, Period, Period, Period]),
    (7, "MB", &[Field::Name]),
    (8, "MG", &[Field::Name]),
    (9, "MR", &[Field::Name]),
    (12, "PTR", &[Field::Name]),
    (13, "HINFO", &[Text, Text]),
    (14, "MINFO", &[Field::Name, Field::Name]),
    (15, "MX", &[U16, Field::Name]),
    (16, "TXT", &[Texts]),
    (17, "RP", &[Field::Name, Field::Name]),
    (18, "AFSDB", &[U16, Field::Name]),
    (19, "X25", &[Text]),
    (20, "ISDN", &[Text, OptionalText]),
    (21, "RT", &[U16, Field::Name]),
    (23, "NSAP-PTR", &[Field::Name]),
    (24, "SIG", &[Type, Algorithm, U8, U32, Moment, Moment, U16, Field::Name, Base64]),
    (25, "KEY", &[U16, U8, Algorithm, Base64]),
    (26, "PX", &[U16, Field::Name, Field::Name]),
    (27, "GPOS", &[Text, Text, Text]),
    (28, "AAAA", &[Ipv6]),
    (29, "LOC", &[Location]),
    (33, "SRV", &[U16, U16, U16, Field::Name]),
    (35, "NAPTR", &[U16, U16, Text, Text, Text, Field::Name]),
    (36, "KX", &[U16, Field::Name]),
    (37, "CERT", &[CertificateType, U16, Algorithm, Base64]),
    (39, "DNAME", &[Field::Name]),
    (42, "APL", &[Prefixes]),
    (43, "DS", &[U16, Algorithm, U8, Hex]),
    (44, "SSHFP", &[U8, U8, Hex]),
    (46, "RRSIG", &[Type, Algorithm, U8, U32, Moment, Moment, U16, Field::Name, Base64]),
    (47, "NSEC", &[Field::Name, Types]),
    (48, "DNSKEY", &[U16, U8, Algorithm, Base64]),
    (49, "DHCID", &[Base64]),
    (50, "NSEC3", &[U8, U8, U16, Salt, Hash, Types]),
    (51, "NSEC3PARAM", &[U8, U8, U16, Salt]),
    (52, "TLSA", &[U8, U8, U8, Hex]),
    (53, "SMIMEA", &[U8, U8, U8, Hex]),
    (59, "CDS", &[U16, Algorithm, U8, Hex]),
    (60, "CDNSKEY", &[U16, U8, Algorithm, Base64]),
    (61, "OPENPGPKEY", &[Base64]),
    (62, "CSYNC", &[U32, U16, Types]),
    (63, "ZONEMD", &[U32, U8, U8, Hex]),
    (64, "SVCB", &[U16, Field::Name, Parameters]),
    (65, "HTTPS", &[U16, Field::Name, Parameters]),
    (99, "SPF", &[Texts]),
    (104, "NID", &[U16, Locator]),
    (105, "L32", &[U16, Ipv4]),
    (106, "L64", &[U16, Locator]),
    (107, "LP", &[U16, Field::Name]),
    (108, "EUI48", &[Eui(6)]),
    (109, "EUI64", &[Eui(8)]),
    (256, "URI", &[U16, U16, Long]),
    (257, "CAA", &[U8, Tag, Long]),
    (32769, "DLV", &[U16, Algorithm, U8, Hex]),
];

/// Types that have a mnemonic and no text form here: only `\# ...` is taken for them.
const OPAQUE: &[(u16, &str)] = &[
    (10, "NULL"),
    (11, "WKS"),
    (22, "NSAP"),
    (30, "NXT"),
    (31, "EID"),
    (32, "NIMLOC"),
    (34, "ATMA"),
    (40, "SINK"),
    (45, "IPSECKEY"),
    (55, "HIP"),
    (56, "NINFO"),
    (57, "RKEY"),
    (58, "TALINK"),
    (258, "AVC"),
    (259, "DOA"),
    (260, "AMTRELAY"),
    (261, "RESINFO"),
    (262, "WALLET"),
];

/// Types of questions and messages, never of zone data (RFC 6895, section 3.1).
const META: &[(u16, &str)] = &[
    (41, "OPT"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (253, "MAILB"),
    (254, "MAILA"),
    (255, "ANY"),
];

/// Why a word is not the type of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAType {
    Unknown,
    Meta,
}

impl Rtype {
    /// From its mnemonic or as `TYPEnnn` (RFC 3597, section 5), whatever the case. None where the word is neither.
    #[inline]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        // The types that fill zones come first, without a search.
        match text {
            b"A" => Some(Self::A),
            b"AAAA" => Some(Self::AAAA),
            b"NS" => Some(Self::NS),
            b"CNAME" => Some(Self::CNAME),
            b"TXT" => Some(Self::TXT),
            b"MX" => Some(Self::MX),
            b"PTR" => Some(Self::PTR),
            _ => Self::search(text),
        }
    }

    fn search(text: &[u8]) -> Option<Self> {
        let (number, _) =
            mnemonics().find(|(_, mnemonic)| mnemonic.as_bytes().eq_ignore_ascii_case(text)).or_else(|| {
                let (prefix, digits) = text.split_at_checked(4)?;
                let plain = prefix.eq_ignore_ascii_case(b"TYPE") && digits.iter().all(u8::is_ascii_digit);
                let digits = std::str::from_utf8(digits).ok().filter(|_| plain)?;
                Some((digits.parse().ok()?, ""))
            })?;
        Some(Self(number))
    }

    /// The type that a record of a zone may have.
    #[inline]
    pub(super) fn of_data(text: &[u8]) -> Result<Self, NotAType> {
        match Self::from_text(text) {
            None => Err(NotAType::Unknown),
            Some(rtype) if (1..=Self::AAAA.0).contains(&rtype.0) => Ok(rtype),
            Some(rtype) if rtype.0 == 0 || META.iter().any(|(number, _)| *number == rtype.0) => Err(NotAType::Meta),
            Some(rtype) => Ok(rtype),
        }
    }

    /// The fields of its record data; none for an opaque type.
    #[inline]
    pub(super) fn fields(self) -> Option<&'static [Field]> {
        match self {
            Self::A => Some(&[Ipv4]),
            Self::AAAA => Some(&[Ipv6]),
            Self::CNAME => Some(&[Field::Name]),
            Self::TXT => Some(&[Texts]),
            _ => {
                let at = KNOWN.binary_search_by_key(&self.0, |(number, ..)| *number).ok()?;
                KNOWN.get(at).map(|(_, _, fields)| *fields)
            }
        }
    }
}

/// All mnemonics with their numbers.
pub(super) fn mnemonics() -> impl Iterator<Item = (u16, &'static str)> {
    let known = KNOWN.iter().map(|(number, mnemonic, _)| (*number, *mnemonic));
    known.chain(OPAQUE.iter().copied()).chain(META.iter().copied())
}

impl fmt::Display for Rtype {
    /// The mnemonic, or `TYPEnnn`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match mnemonics().find(|(number, _)| *number == self.0) {
            Some((_, mnemonic)) => f.write_str(mnemonic),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(KNOWN.is_sorted_by_key(|(number, ..)| *number));
    }

    #[test]
    fn every_type_is_read_as_it_is_shown() {
        for number in 0..=u16::MAX {
            let rtype = Rtype(number);
            assert_eq!(Rtype::from_text(rtype.to_string().as_bytes()), Some(rtype));
            assert_eq!(Rtype::from_text(format!("type{number}").as_bytes()), Some(rtype));
        }
        for text in ["", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "IN", "AA"] {
            assert_eq!(Rtype::from_text(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Rtype::of_data(b"ANY"), Err(NotAType::Meta));
        assert_eq!(Rtype::of_data(b"TYPE0"), Err(NotAType::Meta));
    }
}
