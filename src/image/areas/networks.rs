//! Areas that targets are resolved for one by one, each with a network that stands for its clients.
//!
//! The DNS of a provider that tells clients apart (EDNS Client Subnet, RFC 7871) is asked for one network of each such area. Asking for all places would be
//! thousands of questions about one target; so there are [`MAX_NETWORKS`] at most:
//!
//! | area | which | how many |
//! | --- | --- | --- |
//! | sets of the configuration that are prefixes alone | the first by name | [`MAX_SETS`] |
//! | countries | those with the most IPv4 addresses | [`MAX_COUNTRIES`] |
//! | continents | for the clients of all other countries | all 7 |
//!
//! The first of a place's areas that is one of them stands for it. Sets that name countries or continents are none: they are of policies, and coarser
//! than what they name. A place without any is answered as everybody is.
//!
//! The network is the one in the middle of the area's addresses, a /24 or a /56 (RFC 7871, section 11.1): the largest block of a country is often one that
//! nobody uses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::sets::{Entry, Sets};
use super::{Areas, Place};

/// The most areas with a network of their own.
pub const MAX_NETWORKS: usize = MAX_SETS + MAX_COUNTRIES + 7;
/// The most sets of prefixes among them.
pub const MAX_SETS: usize = 8;
/// The most countries among them.
pub const MAX_COUNTRIES: usize = 33;
/// Bits of a network that are told.
const V4_BITS: u8 = 24;
const V6_BITS: u8 = 56;
/// In the place of a number.
const NONE: u8 = u8::MAX;

/// An area, and the network that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaNetwork {
    /// As steering records name it.
    pub area: Arc<str>,
    /// A /24 of IPv4, or a /56 where the area has none.
    pub network: IpNet,
}

/// All of them, and which place is under which.
#[derive(Debug)]
pub(super) struct Networks {
    pub(super) all: Arc<[AreaNetwork]>,
    by_place: Box<[u8]>,
}

impl Default for Networks {
    fn default() -> Self {
        Self { all: Arc::new([]), by_place: Box::default() }
    }
}

impl Networks {
    /// Those of these areas. Networks whose address `may_be_told` refuses stand for nobody.
    pub(super) fn of(areas: &Areas, sets: &Sets, may_be_told: impl Fn(IpAddr) -> bool) -> Self {
        let ranges = |ranges: Vec<Range>| ranges.into_iter().filter(|range| may_be_told(range.first())).collect();
        let families: [Vec<Range>; 2] = [ranges(v4_ranges(areas)), ranges(v6_ranges(areas))];
        let standing = Standing::choose(areas.places(), sets, &families);
        let found = standing.networks(&families);
        let told = |network: &IpNet| may_be_told(network.addr());
        let mut all = Vec::new();
        let mut numbers = vec![NONE; found.len()];
        for ((number, network), area) in numbers.iter_mut().zip(found).zip(&standing.areas) {
            if let Some(network) = network.filter(told) {
                *number = u8::try_from(all.len()).unwrap_or(NONE);
                all.push(AreaNetwork { area: area.clone(), network });
            }
        }
        let number = |at: &Option<usize>| at.and_then(|at| numbers.get(at).copied()).unwrap_or(NONE);
        Self { all: all.into(), by_place: standing.by_place.iter().map(number).collect() }
    }

    /// The number of the area that stands for a place.
    #[inline]
    pub(super) fn of_place(&self, place: u16) -> Option<usize> {
        self.by_place.get(usize::from(place)).filter(|number| **number != NONE).map(|number| usize::from(*number))
    }
}

/// Addresses of one place.
struct Range {
    start: u128,
    /// In addresses; of IPv6, networks of 64 bits.
    size: u128,
    place: u16,
    is_v4: bool,
}

impl Range {
    fn at(&self, behind: u128) -> IpAddr {
        if self.is_v4 {
            Ipv4Addr::from_bits((self.start + behind) as u32).into()
        } else {
            Ipv6Addr::from_bits(self.start + (behind << 64)).into()
        }
    }

    fn first(&self) -> IpAddr {
        self.at(0)
    }
}

fn v4_ranges(areas: &Areas) -> Vec<Range> {
    let changes: Vec<_> = areas.v4.iter().map(|(key, place)| (u128::from(key >> 32), place)).collect();
    let ends = changes.iter().skip(1).map(|(start, _)| *start).chain([1 << 32]);
    let ranges = changes.iter().zip(ends);
    ranges.map(|(&(start, place), end)| Range { start, size: end.saturating_sub(start), place, is_v4: true }).collect()
}

fn v6_ranges(areas: &Areas) -> Vec<Range> {
    let changes: Vec<_> = areas.v6.iter().collect();
    let ends = changes.iter().skip(1).map(|(start, _)| *start).chain([u128::MAX]);
    let ranges = changes.iter().zip(ends);
    let range = |start, end: u128, place| Range { start, size: end.saturating_sub(start) >> 64, place, is_v4: false };
    ranges.map(|(&(start, place), end)| range(start, end, place)).filter(|range| range.size > 0).collect()
}

/// Which areas stand for places.
struct Standing {
    areas: Vec<Arc<str>>,
    /// By place, an index of `areas`.
    by_place: Vec<Option<usize>>,
}

impl Standing {
    fn choose(places: &[Place], sets: &Sets, families: &[Vec<Range>; 2]) -> Self {
        let is_prefixes = |entries: &[Entry]| entries.iter().all(|entry| matches!(entry, Entry::Prefix(_)));
        let prefixes = sets.0.iter().filter(|(_, entries)| !entries.is_empty() && is_prefixes(entries));
        let mut chosen: Vec<&str> = prefixes.map(|(name, _)| &**name).take(MAX_SETS).collect();
        chosen.extend(largest_countries(places, families));
        let stands = |area: &&Arc<str>| area.starts_with("continent-") || chosen.contains(&&***area);
        let mut numbers: HashMap<Arc<str>, usize> = HashMap::new();
        let mut areas: Vec<Arc<str>> = Vec::new();
        let by_place = places.iter().map(|place| {
            let area = place.areas.iter().find(stands)?;
            Some(*numbers.entry(area.clone()).or_insert_with(|| {
                areas.push(area.clone());
                areas.len() - 1
            }))
        });
        let by_place = by_place.collect();
        Self { areas, by_place }
    }

    fn of(&self, range: &Range) -> Option<usize> {
        self.by_place.get(usize::from(range.place)).copied().flatten()
    }

    /// By area: the network in the middle of its addresses, of IPv4 if it has any.
    fn networks(&self, families: &[Vec<Range>; 2]) -> Vec<Option<IpNet>> {
        let mut found = vec![None; self.areas.len()];
        for (ranges, bits) in families.iter().zip([V4_BITS, V6_BITS]) {
            let mut sizes = vec![0_u128; self.areas.len()];
            for range in ranges {
                if let Some(size) = self.of(range).and_then(|area| sizes.get_mut(area)) {
                    *size += range.size;
                }
            }
            // What is left until the middle.
            let mut left: Vec<u128> = sizes.into_iter().map(|size| size / 2).collect();
            for range in ranges {
                let Some(area) = self.of(range) else { continue };
                let (Some(left), Some(found)) = (left.get_mut(area), found.get_mut(area)) else { continue };
                if found.is_none() && *left < range.size {
                    *found = IpNet::new(range.at(*left), bits).ok().map(|net| net.trunc());
                }
                *left = left.saturating_sub(range.size);
            }
        }
        found
    }
}

/// The countries with the most IPv4 addresses, then the most of IPv6.
fn largest_countries<'a>(places: &'a [Place], families: &[Vec<Range>; 2]) -> impl Iterator<Item = &'a str> {
    let mut sizes: HashMap<&str, [u128; 2]> = HashMap::new();
    for (family, ranges) in families.iter().enumerate() {
        for range in ranges {
            let areas = places.get(usize::from(range.place)).map_or(&[][..], |place| &place.areas);
            let country = areas.iter().map(|area| &**area).find(|area| area.starts_with("country-"));
            if let Some(size) = country.and_then(|country| sizes.entry(country).or_default().get_mut(family)) {
                *size += range.size;
            }
        }
    }
    let mut all: Vec<_> = sizes.into_iter().collect();
    all.sort_unstable_by(|(a, sizes_a), (b, sizes_b)| sizes_b.cmp(sizes_a).then(a.cmp(b)));
    all.into_iter().take(MAX_COUNTRIES).map(|(country, _)| country)
}

#[cfg(test)]
mod tests {
    use super::super::countries::{Countries, number};
    use super::*;

    fn countries(v4: &[(&str, &str)], v6: &[(&str, &str)]) -> Countries {
        let change = |(start, country): &(&str, &str)| {
            let start = match start.parse().expect("an address") {
                IpAddr::V4(address) => u128::from(address.to_bits()),
                IpAddr::V6(address) => address.to_bits(),
            };
            (start, number(country))
        };
        let changes =
            |changes: &[(&str, &str)]| [(0, 0)].into_iter().chain(changes.iter().map(change)).collect::<Vec<_>>();
        Countries::of_changes(changes(v4).into_iter(), changes(v6).into_iter())
    }

    fn told(areas: &Areas) -> Vec<String> {
        areas.networks().iter().map(|AreaNetwork { area, network }| format!("{area} {network}")).collect()
    }

    #[test]
    fn each_area_has_the_network_in_the_middle() {
        let v4 = [("20.0.0.0", "de"), ("20.0.4.0", "us"), ("21.0.0.0", ""), ("30.0.0.0", "de"), ("30.0.4.0", "")];
        let v6 = [("2a00::", "nl"), ("2a00:1::", "")];
        let sets = Sets::with([
            ("office".into(), vec!["20.0.1.0/24".parse().expect("a prefix")]),
            ("dach".into(), vec!["country-de".parse().expect("a country")]),
        ]);
        let areas = Areas::build(&sets, &countries(&v4, &v6)).expect("few areas").with_networks(&sets, |_| true);
        let mut all = told(&areas);
        all.sort_unstable();
        // Of 256, 512 and 1,024 addresses the 896th is in the middle.
        let expected =
            ["country-de 30.0.0.0/24", "country-nl 2a00:0:8000::/56", "country-us 20.128.2.0/24", "office 20.0.1.0/24"];
        assert_eq!(all, expected);
        let of = |address: &str| {
            let number = areas.network_of(areas.find(address.parse().expect("an address")).place)?;
            areas.networks().get(number).map(|network| network.area.to_string())
        };
        for (address, area) in [
            ("20.0.0.1", Some("country-de")),
            ("20.0.1.1", Some("office")),
            ("20.9.0.1", Some("country-us")),
            ("2a00::1", Some("country-nl")),
            ("9.9.9.9", None),
        ] {
            assert_eq!(of(address).as_deref(), area, "{address}");
        }
    }

    #[test]
    fn there_are_so_many_at_most_and_continents_stand_for_the_rest() {
        let codes: Vec<&str> = crate::zone::steering::areas::countries().map(|(code, _)| code).collect();
        let starts: Vec<String> = (0..=codes.len()).map(|at| format!("20.{}.{}.0", at / 16, at % 16 * 16)).collect();
        let mut v4: Vec<(&str, &str)> =
            starts.iter().map(String::as_str).zip(codes.iter().copied().chain([""])).collect();
        let areas = |v4: &[(&str, &str)]| {
            Areas::build(&Sets::default(), &countries(v4, &[]))
                .expect("few areas")
                .with_networks(&Sets::default(), |_| true)
        };
        let all = areas(&v4);
        let count = |prefix: &str| told(&all).iter().filter(|told| told.starts_with(prefix)).count();
        assert_eq!((count("country-"), count("continent-")), (MAX_COUNTRIES, 7));
        for place in (0..all.places().len()).skip(1) {
            assert!(all.network_of(u16::try_from(place).expect("few places")).is_some());
        }
        // With few countries no continent is needed.
        v4.truncate(5);
        assert!(told(&areas(&v4)).iter().all(|told| told.starts_with("country-")));
    }

    #[test]
    fn what_must_not_be_told_stands_for_nobody() {
        let v4 = [("10.0.0.0", "de"), ("11.0.0.0", "us"), ("12.0.0.0", "")];
        let areas = Areas::build(&Sets::default(), &countries(&v4, &[])).expect("few areas");
        let is_public = |address: IpAddr| !matches!(address, IpAddr::V4(address) if address.is_private());
        let areas = areas.with_networks(&Sets::default(), is_public);
        assert_eq!(told(&areas), ["country-us 11.128.0.0/24"]);
        assert_eq!(areas.network_of(areas.find(IpAddr::from([10, 0, 0, 1])).place), None);
    }

    #[test]
    fn without_countries_and_sets_everybody_is_one() {
        let areas = Areas::default().with_networks(&Sets::default(), |_| true);
        assert_eq!((told(&areas).len(), areas.network_of(0)), (0, None));
    }
}
