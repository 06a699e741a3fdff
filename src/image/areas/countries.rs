//! Which country each address is in.

use std::sync::Arc;

use crate::zone::steering::areas::countries;

/// A country by its place in the table, from 1; 0 is none that is known.
pub(super) type Country = u8;

/// Where in the address space the country changes, in both families: sorted, the first at 0, neighbours differ.
///
/// Addresses are plain numbers: those of IPv4 are below 2^32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Countries {
    pub(super) v4: Vec<(u128, Country)>,
    pub(super) v6: Vec<(u128, Country)>,
}

impl Default for Countries {
    /// Nothing is known.
    fn default() -> Self {
        Self { v4: vec![(0, 0)], v6: vec![(0, 0)] }
    }
}

impl Countries {
    /// From changes that are sorted and begin at 0.
    pub(super) fn of_changes(
        v4: impl Iterator<Item = (u128, Country)>,
        v6: impl Iterator<Item = (u128, Country)>,
    ) -> Self {
        let merged = |changes: &mut dyn Iterator<Item = (u128, Country)>| {
            let mut all: Vec<_> = changes.collect();
            all.dedup_by_key(|(_, country)| *country);
            all
        };
        Self { v4: merged(&mut { v4 }), v6: merged(&mut { v6 }) }
    }
}

/// The number of a country's code, whatever its case; 0 where it is none of ISO 3166-1.
pub(super) fn number(code: &str) -> Country {
    let at = countries().position(|(country, _)| country.eq_ignore_ascii_case(code));
    at.and_then(|at| Country::try_from(at + 1).ok()).unwrap_or(0)
}

/// Code and continent of a country; none for 0.
pub(super) fn of(country: Country) -> Option<(&'static str, &'static str)> {
    countries().nth(usize::from(country).checked_sub(1)?)
}

/// The country among names of areas.
pub(super) fn of_areas(areas: &[Arc<str>]) -> Country {
    areas.iter().find_map(|area| area.strip_prefix("country-")).map_or(0, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_there_and_back() {
        for (code, continent) in countries() {
            assert_eq!(of(number(code)), Some((code, continent)));
        }
        assert_eq!((number("DE"), number("uk"), number(""), of(0)), (number("de"), 0, 0, None));
        assert!(usize::from(Country::MAX) >= countries().count(), "all have a number");
    }
}
