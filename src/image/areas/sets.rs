//! Named sets: prefixes, countries and continents under one word.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use crate::steer::home::EU_MEMBERS;
use crate::zone::steering::areas::{SHIPPED_AREAS, continent, country};

/// The most octets that the name of a set has.
const MAX_NAME: usize = 63;
/// The prefix of IPv4 addresses that are mapped into IPv6 (RFC 4291, section 2.5.5.2).
const MAPPED: u8 = 96;
/// The members of the European Economic Area that are none of the European Union.
const EEA_BESIDE_EU: [&str; 3] = ["is", "li", "no"];

/// One entry of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Prefix(IpNet),
    /// Two letters, lower case.
    Country(Arc<str>),
    Continent(Arc<str>),
}

/// All sets by name, those that ship with the program too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sets(pub(super) BTreeMap<Arc<str>, Vec<Entry>>);

impl Default for Sets {
    /// Those that ship.
    fn default() -> Self {
        let entries = |codes: &[&str]| codes.iter().map(|code| Entry::Country((*code).into())).collect::<Vec<_>>();
        let eu = entries(&EU_MEMBERS);
        let eea = eu.iter().cloned().chain(entries(&EEA_BESIDE_EU)).collect();
        Self(SHIPPED_AREAS.into_iter().map(Arc::from).zip([eea, eu]).collect())
    }
}

impl Sets {
    /// The sets that ship, and `more`. One with a name that is taken wins.
    pub fn with(more: impl IntoIterator<Item = (Arc<str>, Vec<Entry>)>) -> Self {
        let Self(mut sets) = Self::default();
        sets.extend(more);
        Self(sets)
    }
}

/// Whether a set may have this name: a word of `a-z 0-9 -` that begins with a letter, and that nothing else is called.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '-'));
    if !plain {
        return Err(format!("`{name}` is no name of a set: expected a word of a-z, 0-9 and -, a letter first"));
    }
    if name.len() > MAX_NAME {
        return Err(format!("`{name}` is longer than {MAX_NAME} letters"));
    }
    if name.starts_with("country-") || name.starts_with("continent-") {
        return Err(format!("`{name}` is no name of a set: a country or a continent would be meant by it"));
    }
    if SHIPPED_AREAS.contains(&name) {
        return Err(format!("`{name}` is a set that ships with the program: give yours another name"));
    }
    Ok(())
}

impl std::str::FromStr for Entry {
    type Err = String;

    /// A prefix, an address, `country-CODE` or `continent-CODE`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(code) = text.strip_prefix("country-") {
            return country(code).map(|code| Self::Country(code.into()));
        }
        if let Some(code) = text.strip_prefix("continent-") {
            return continent(code).map(|code| Self::Continent(code.into()));
        }
        let prefix = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match prefix {
            None => Err(format!("`{text}` is neither a prefix nor country-CODE nor continent-CODE")),
            Some(prefix) if prefix.addr() != prefix.network() => {
                Err(format!("`{text}` has bits beyond its length: `{}` is the prefix", prefix.trunc()))
            }
            Some(prefix) => Ok(Self::Prefix(canonical(prefix))),
        }
    }
}

/// Prefixes of mapped addresses are prefixes of IPv4.
fn canonical(prefix: IpNet) -> IpNet {
    let IpNet::V6(wide) = prefix else { return prefix };
    let mapped = wide.addr().to_ipv4_mapped().filter(|_| wide.prefix_len() >= MAPPED);
    let narrow = mapped.and_then(|address| Ipv4Net::new(address, wide.prefix_len() - MAPPED).ok());
    narrow.map_or(prefix, IpNet::V4)
}

/// Whether all addresses of an IPv6 prefix are mapped ones, which are looked up as IPv4.
pub(super) fn is_mapped(network: Ipv6Addr, length: u8) -> bool {
    length >= MAPPED && network.to_ipv4_mapped().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_prefixes_countries_and_continents() {
        let prefix = |text: &str| Ok(Entry::Prefix(text.parse().expect("a prefix")));
        for (text, entry) in [
            ("192.0.2.0/24", prefix("192.0.2.0/24")),
            ("192.0.2.1", prefix("192.0.2.1/32")),
            ("2001:db8::/32", prefix("2001:db8::/32")),
            ("::ffff:192.0.2.0/120", prefix("192.0.2.0/24")),
            ("0.0.0.0/0", prefix("0.0.0.0/0")),
            ("country-de", Ok(Entry::Country("de".into()))),
            ("continent-eu", Ok(Entry::Continent("eu".into()))),
        ] {
            assert_eq!(text.parse::<Entry>(), entry, "{text}");
        }
        for text in
            ["", "192.0.2.1/24", "192.0.2.0/33", "2001:db8::1/64", "country-uk", "country-DE", "continent-de", "de"]
        {
            assert!(text.parse::<Entry>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_plain_words_that_nothing_else_is_called() {
        for name in ["office", "a", "a-1", "benelux"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(64);
        for name in
            ["", "Office", "1a", "-a", "a_b", "a.b", "eea", "eu27", "country-de", "country-x", "continent-eu", &long]
        {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
