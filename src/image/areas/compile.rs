//! Sets and countries become ranges of places: both are swept together, from the lowest address to the highest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ipnet::IpNet;

use super::countries::{Countries, Country};
use super::networks::Networks;
use super::place::place;
use super::ranges::{MAX_RANGES, Narrow};
use super::sets::{Entry, Sets, is_mapped};
use super::wide::{SPLIT, Wide};
use super::{Areas, Place};

/// The most places: combinations of areas that addresses are in.
pub const MAX_PLACES: usize = SPLIT as usize;

/// Why sets and countries cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("the sets make more than {MAX_PLACES} different combinations of areas")]
    TooManyPlaces,
    #[error("more than {MAX_RANGES} ranges of addresses")]
    TooManyRanges,
}

pub(super) fn compile(sets: &Sets, countries: &Countries) -> Result<Areas, BuildError> {
    let mut places = Places::new(sets);
    let v4 = places.combine(&sweep(prefixes(sets, false)), &countries.v4)?;
    let v6 = places.combine(&sweep(prefixes(sets, true)), &countries.v6)?;
    // Splitting a /64 makes up to two more.
    if v4.len() > MAX_RANGES || v6.len() > MAX_RANGES / 2 {
        return Err(BuildError::TooManyRanges);
    }
    let v4: Vec<_> = v4.into_iter().map(|(start, place)| ((start as u64) << 32, place)).collect();
    Ok(Areas { places: places.all, v4: Narrow::new(&v4), v6: Wide::new(&v6), networks: Networks::default() })
}

/// One prefix of a set: its first address, the first one after it (none: it reaches to the end), whose it is.
struct Prefix {
    start: u128,
    end: Option<u128>,
    set: u32,
    length: u8,
}

/// Which sets match by a prefix, with the length of the longest one; sorted by set.
type Matched = Vec<(u32, u8)>;

fn prefixes(sets: &Sets, wide: bool) -> Vec<Prefix> {
    let mut all = Vec::new();
    for (set, entries) in (0..).zip(sets.0.values()) {
        for entry in entries {
            let (start, length, bits) = match entry {
                Entry::Prefix(IpNet::V4(net)) if !wide => (u128::from(net.network().to_bits()), net.prefix_len(), 32),
                Entry::Prefix(IpNet::V6(net)) if wide && !is_mapped(net.network(), net.prefix_len()) => {
                    (net.network().to_bits(), net.prefix_len(), 128)
                }
                _ => continue,
            };
            let end = 1u128.checked_shl(u32::from(bits - length)).and_then(|size| start.checked_add(size));
            all.push(Prefix { start, end: end.filter(|end| bits == 128 || *end < 1 << 32), set, length });
        }
    }
    all
}

/// Where the sets that match change: sorted, the first at 0.
fn sweep(prefixes: Vec<Prefix>) -> Vec<(u128, Matched)> {
    // Lengths by set: of one that is given twice, or lies in another of its set, each leaves for itself.
    let mut events: Vec<(u128, bool, u32, u8)> = Vec::new();
    for Prefix { start, end, set, length } in prefixes {
        events.push((start, true, set, length));
        events.extend(end.map(|end| (end, false, set, length)));
    }
    events.sort_unstable();
    events.dedup();
    let mut inside: BTreeMap<u32, BTreeSet<u8>> = BTreeMap::new();
    let mut changes = vec![(0, Vec::new())];
    for at_once in events.chunk_by(|a, b| a.0 == b.0) {
        // Ends sort before beginnings, so that what ends here does not take away what begins here.
        for &(_, begins, set, length) in at_once {
            let lengths = inside.entry(set).or_default();
            if begins {
                lengths.insert(length);
            } else {
                lengths.remove(&length);
            }
        }
        let longest = inside.iter().filter_map(|(set, lengths)| Some((*set, *lengths.last()?)));
        let matched: Matched = longest.collect();
        inside.retain(|_, lengths| !lengths.is_empty());
        let Some((start, ..)) = at_once.first() else { continue };
        if *start == 0 {
            changes.clear();
        }
        changes.push((*start, matched));
    }
    changes
}

/// Places that were met, by what makes them.
struct Places<'a> {
    sets: &'a Sets,
    all: Vec<Place>,
    by_areas: HashMap<Vec<Arc<str>>, u16>,
    by_match: HashMap<(Matched, Country), u16>,
}

impl<'a> Places<'a> {
    fn new(sets: &'a Sets) -> Self {
        let all = vec![Place::default()];
        Self { sets, all, by_areas: HashMap::from([(Vec::new(), 0)]), by_match: HashMap::new() }
    }

    /// Both lists of changes as one, neighbours differing.
    fn combine(
        &mut self,
        matched: &[(u128, Matched)],
        countries: &[(u128, Country)],
    ) -> Result<Vec<(u128, u16)>, BuildError> {
        let mut changes: Vec<(u128, u16)> = Vec::with_capacity(countries.len());
        let (mut matched, mut countries) = (matched.iter().peekable(), countries.iter().peekable());
        let (nothing, mut country) = (Vec::new(), 0);
        let mut sets = &nothing;
        // The place of each country in these sets; a country's number is an octet.
        let mut known = [None; 256];
        loop {
            let next = |start: Option<&u128>| start.copied().unwrap_or(u128::MAX);
            let (of_sets, of_countries) =
                (next(matched.peek().map(|(start, _)| start)), next(countries.peek().map(|(start, _)| start)));
            let start = of_sets.min(of_countries);
            if matched.peek().is_none() && countries.peek().is_none() {
                return Ok(changes);
            }
            if let Some((_, changed)) = matched.next_if(|(at, _)| *at == start) {
                sets = changed;
                known = [None; 256];
            }
            if let Some((_, changed)) = countries.next_if(|(at, _)| *at == start) {
                country = *changed;
            }
            let slot = known.get_mut(usize::from(country));
            let place = match slot.as_deref().copied().flatten() {
                Some(place) => place,
                None => self.number(sets, country)?,
            };
            if let Some(slot) = slot {
                *slot = Some(place);
            }
            if changes.last().is_none_or(|(_, last)| *last != place) {
                changes.push((start, place));
            }
        }
    }

    fn number(&mut self, matched: &Matched, country: Country) -> Result<u16, BuildError> {
        let key = (matched.clone(), country);
        if let Some(number) = self.by_match.get(&key) {
            return Ok(*number);
        }
        let place = place(self.sets, matched, country);
        let number = match self.by_areas.get(&place.areas) {
            Some(number) => *number,
            None if self.all.len() >= MAX_PLACES => return Err(BuildError::TooManyPlaces),
            None => {
                let number = u16::try_from(self.all.len()).map_err(|_| BuildError::TooManyPlaces)?;
                self.by_areas.insert(place.areas.clone(), number);
                self.all.push(place);
                number
            }
        };
        self.by_match.insert(key, number);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;
    use crate::image::areas::{Found, countries};

    /// Addresses that share prefixes with each other, so that sets and countries overlap.
    fn v4() -> impl Strategy<Value = u32> {
        prop_oneof![any::<u32>(), (0..2048u32).prop_map(|low| 0xc633_6000 + low), Just(0), Just(u32::MAX)]
    }

    fn v6() -> impl Strategy<Value = u128> {
        let net = 0x2001_0db8_u128 << 96;
        prop_oneof![
            any::<u128>(),
            (0..4096u128).prop_map(move |low| net | low),
            (0..4096u128).prop_map(move |middle| net | middle << 58),
            (0..4096u128).prop_map(move |high| net | high << 84),
            Just(0),
            Just(u128::MAX),
        ]
    }

    fn prefix() -> impl Strategy<Value = IpNet> {
        let narrow = (v4(), 0..=32u8).prop_map(|(bits, length)| {
            IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(bits), length).expect("a length")).trunc()
        });
        let wide = (v6(), 0..=128u8).prop_map(|(bits, length)| {
            IpNet::V6(Ipv6Net::new(Ipv6Addr::from_bits(bits), length).expect("a length")).trunc()
        });
        prop_oneof![narrow, wide]
    }

    fn countries() -> impl Strategy<Value = Countries> {
        let of = |address: BoxedStrategy<u128>| {
            prop::collection::btree_map(address, 0..4u8, 0..12).prop_map(|mut changes| {
                changes.entry(0).or_insert(0);
                let mut changes: Vec<_> = changes.into_iter().collect();
                changes.dedup_by_key(|(_, country)| *country);
                changes
            })
        };
        let narrow = of(v4().prop_map(u128::from).boxed());
        (narrow, of(v6().boxed())).prop_map(|(v4, v6)| Countries { v4, v6 })
    }

    fn sets() -> impl Strategy<Value = Vec<Vec<Entry>>> {
        let country = prop::sample::select(vec![1u8, 2, 3]);
        let entry = prop_oneof![
            4 => prefix().prop_map(|net| net.to_string().parse().expect("a prefix")),
            1 => country.prop_map(|number| Entry::Country(countries::of(number).expect("a country").0.into())),
            1 => Just(Entry::Continent("af".into())),
        ];
        prop::collection::vec(prop::collection::vec(entry, 0..8), 0..5)
    }

    /// What the documentation says, one address at a time.
    fn areas_of(sets: &Sets, countries: &Countries, address: IpAddr) -> Vec<Arc<str>> {
        let (changes, bits) = match address {
            IpAddr::V4(address) => (&countries.v4, u128::from(address.to_bits())),
            IpAddr::V6(address) => (&countries.v6, address.to_bits()),
        };
        let country = changes.iter().rfind(|(start, _)| *start <= bits).expect("one at 0").1;
        let longest = |entries: &[Entry]| {
            let lengths = entries.iter().filter_map(|entry| match entry {
                Entry::Prefix(net) if net.contains(&address) => Some(net.prefix_len()),
                _ => None,
            });
            lengths.max()
        };
        let matched: Matched = (0..).zip(sets.0.values()).filter_map(|(set, all)| Some((set, longest(all)?))).collect();
        place(sets, &matched, country).areas
    }

    fn first_and_last(address: IpAddr, length: u8) -> (IpAddr, IpAddr) {
        let net = IpNet::new(address, length).expect("a length");
        (net.network(), net.broadcast())
    }

    /// Every cut is at an end of a prefix or a change of country: the place is one exactly where none lies between.
    fn is_uniform(sets: &Sets, countries: &Countries, address: IpAddr, length: u8) -> bool {
        let (low, high) = first_and_last(address, length);
        let of_sets = sets.0.values().flatten().filter_map(|entry| match entry {
            Entry::Prefix(net) => Some([Some(net.network()), after(net.broadcast())]),
            _ => None,
        });
        let of_countries = match address {
            IpAddr::V4(_) => countries.v4.iter().map(|(at, _)| IpAddr::V4(Ipv4Addr::from_bits(*at as u32))).collect(),
            IpAddr::V6(_) => {
                countries.v6.iter().map(|(at, _)| IpAddr::V6(Ipv6Addr::from_bits(*at))).collect::<Vec<_>>()
            }
        };
        let cuts = of_sets.flatten().flatten().chain(of_countries);
        let areas = areas_of(sets, countries, address);
        cuts.filter(|cut| cut.is_ipv4() == address.is_ipv4() && low <= *cut && *cut <= high)
            .chain([low])
            .all(|cut| areas_of(sets, countries, cut) == areas)
    }

    fn after(address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(address) => address.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
            IpAddr::V6(address) => address.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn every_address_is_found_with_the_longest_uniform_prefix(
            countries in countries(),
            entries in sets(),
            narrow in prop::collection::vec(v4(), 4),
            wide in prop::collection::vec(v6(), 4),
        ) {
            let names = ["alpha", "beta", "gamma", "delta", "epsilon"].map(Arc::from);
            let sets = Sets::with(names.into_iter().zip(entries));
            let areas = Areas::build(&sets, &countries).expect("few places");
            let edges: Vec<IpAddr> = sets.0.values().flatten().filter_map(|entry| match entry {
                Entry::Prefix(net) => Some([Some(net.network()), Some(net.broadcast()), after(net.broadcast())]),
                _ => None,
            }).flatten().flatten().collect();
            let narrow = narrow.into_iter().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
            let wide = wide.into_iter().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
            for address in narrow.chain(wide).chain(edges) {
                let address = address.to_canonical();
                let Found { place, prefix } = areas.find(address);
                prop_assert_eq!(areas.place(address), place, "{}", address);
                prop_assert_eq!(areas.areas_of(place), areas_of(&sets, &countries, address), "{}", address);
                prop_assert!(is_uniform(&sets, &countries, address, prefix), "{}/{}", address, prefix);
                let wider = prefix.checked_sub(1);
                prop_assert!(!wider.is_some_and(|wider| is_uniform(&sets, &countries, address, wider)), "{}/{}", address, prefix);
            }
            let compiled = areas.countries();
            prop_assert_eq!(compiled, countries);
        }
    }

    #[test]
    fn mapped_addresses_count_as_ipv4() {
        let sets = Sets::with([(Arc::from("office"), vec!["192.0.2.0/24".parse().expect("a prefix")])]);
        let areas = Areas::build(&sets, &Countries::default()).expect("few places");
        let found = areas.find("::ffff:192.0.2.7".parse().expect("an address"));
        assert_eq!((found.prefix, areas.areas_of(found.place)), (24, &[Arc::from("office")][..]));
        let around = areas.find("192.0.3.0".parse().expect("an address"));
        assert_eq!(around, Found { place: 0, prefix: 24 });
        assert_eq!(areas.find("128.0.0.0".parse().expect("an address")), Found { place: 0, prefix: 2 });
        assert_eq!(areas.find("2001:db8::1".parse().expect("an address")), Found { place: 0, prefix: 0 });
    }

    /// Sixteen sets, each the addresses that have one bit: as many combinations as 16 bits have.
    #[test]
    fn too_many_places_are_an_error() {
        let net = |bits: u32, length| Ipv4Net::new(Ipv4Addr::from_bits(bits), length).expect("a length");
        let with_bit = |bit: u8| (0..1u32 << bit).map(move |above| net((above << 1 | 1) << (31 - bit), bit + 1));
        let sets = (0..16u8).map(|bit| {
            let entries = with_bit(bit).map(|net| Entry::Prefix(net.into())).collect();
            (Arc::from(format!("set-{bit}")), entries)
        });
        let built = Areas::build(&Sets::with(sets), &Countries::default());
        assert_eq!(built.map(|areas| areas.places().len()), Err(BuildError::TooManyPlaces));
    }
}
