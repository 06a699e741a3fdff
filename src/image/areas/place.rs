//! The areas that an address is in, the most specific first.
//!
//! | order | area | among themselves |
//! | --- | --- | --- |
//! | 1 | sets that one of their own prefixes matches | the longest prefix first |
//! | 2 | sets that name the country | the fewest countries first |
//! | 3 | the country | |
//! | 4 | sets that name the continent | the fewest continents first |
//! | 5 | the continent | |
//!
//! What is still equal goes by name.

use std::sync::Arc;

use super::Place;
use super::countries::{self, Country};
use super::sets::{Entry, Sets};

/// How special an area is: less is more special.
type Rank<'a> = (u8, usize, &'a str);

/// The place of addresses in a country that these sets match by a prefix: index of the set, length of the longest one.
pub(super) fn place(sets: &Sets, matched: &[(u32, u8)], country: Country) -> Place {
    let country = countries::of(country);
    let mut areas: Vec<(Rank, Arc<str>)> = Vec::new();
    for (index, (name, entries)) in sets.0.iter().enumerate() {
        let prefix = matched.iter().find(|(set, _)| usize::try_from(*set) == Ok(index));
        let rank = match (prefix, country) {
            (Some((_, length)), _) => Some((1, 128 - usize::from(*length).min(128))),
            (None, Some((country, continent))) => by_country(entries, country, continent),
            (None, None) => None,
        };
        areas.extend(rank.map(|(order, among)| ((order, among, &**name), name.clone())));
    }
    if let Some((country, continent)) = country {
        areas.push(((3, 0, ""), format!("country-{country}").into()));
        areas.push(((5, 0, ""), format!("continent-{continent}").into()));
    }
    areas.sort_unstable();
    Place { areas: areas.into_iter().map(|(_, name)| name).collect() }
}

/// Order, and order among themselves, of a set that names the country or its continent.
fn by_country(entries: &[Entry], country: &str, continent: &str) -> Option<(u8, usize)> {
    let count = |of: fn(&Entry) -> bool| entries.iter().filter(|entry| of(entry)).count();
    if entries.iter().any(|entry| matches!(entry, Entry::Country(code) if **code == *country)) {
        return Some((2, count(|entry| matches!(entry, Entry::Country(_)))));
    }
    let names_continent = entries.iter().any(|entry| matches!(entry, Entry::Continent(code) if **code == *continent));
    names_continent.then(|| (4, count(|entry| matches!(entry, Entry::Continent(_)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the file's head.
    #[test]
    fn the_most_special_area_comes_first() {
        let set = |name: &str, entries: &[&str]| {
            (Arc::from(name), entries.iter().map(|entry| entry.parse().expect("an entry")).collect())
        };
        let sets = Sets::with([
            set("b-office", &["192.0.2.0/24"]),
            set("a-office", &["192.0.2.0/24"]),
            set("net", &["192.0.0.0/16", "country-de"]),
            set("dach", &["country-de", "country-at", "country-ch"]),
            set("old-world", &["continent-eu", "continent-as", "continent-af"]),
            set("nordic", &["country-no", "country-is", "continent-eu"]),
        ]);
        let index = |name: &str| {
            let at = sets.0.keys().position(|key| &**key == name).expect("a set");
            u32::try_from(at).expect("few sets")
        };
        let areas = |matched: &[(&str, u8)], country: &str| {
            let matched: Vec<_> = matched.iter().map(|(name, length)| (index(name), *length)).collect();
            let place = place(&sets, &matched, countries::number(country));
            place.areas.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(areas(&[], ""), "");
        assert_eq!(areas(&[], "de"), "net dach eu27 eea country-de nordic old-world continent-eu");
        assert_eq!(areas(&[], "no"), "nordic eea country-no old-world continent-eu");
        assert_eq!(areas(&[], "jp"), "country-jp old-world continent-as");
        let matched = [("net", 16), ("b-office", 24), ("a-office", 24)];
        assert_eq!(areas(&matched, ""), "a-office b-office net");
        assert_eq!(areas(&matched, "us"), "a-office b-office net country-us continent-na");
        assert_eq!(areas(&[("net", 16)], "de"), "net dach eu27 eea country-de nordic old-world continent-eu");
    }
}
