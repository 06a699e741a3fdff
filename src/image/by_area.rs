//! Which addresses of a target the clients of an area get, where its DNS tells clients apart.
//!
//! | the client's area | the target's DNS has for it | the client gets |
//! | --- | --- | --- |
//! | has a network that stands for it | addresses that work | those; a family that is missing there is everybody's |
//! | has one | nothing, or what does not work | everybody's |
//! | has none | | everybody's |
//!
//! Everybody's are those that the target resolves to from here: never empty, so neither is what an area gets. They are found by the number of the area's
//! network, so an answer takes no search beyond that for the client's place. It depends on that place, and its scope says so (RFC 7871, section 7.2.1).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::areas::{AreaNetwork, Areas};
use super::published::{FAR_CLIENTS, FlattenedSet};
use super::service::{Service, ServiceRecord};
use crate::steer::observation::Family;

/// What the DNS of a target has for an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForArea {
    /// Whom it was asked for.
    pub of: AreaNetwork,
    /// Sorted, without doubles, not empty.
    pub addresses: Vec<IpAddr>,
    /// Seconds.
    pub ttl: u32,
}

/// The same, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaSet {
    /// The network that it was asked for.
    pub network: IpNet,
    /// Sorted, without doubles, not empty.
    pub addresses: Vec<IpAddr>,
    /// Seconds.
    pub ttl: u32,
    /// The target's HTTPS records, as they are right beside these addresses.
    pub service: Option<Arc<Service>>,
}

impl FlattenedSet {
    /// The same with what clients of areas get. `records` are the target's HTTPS records, and hold for so many seconds.
    #[must_use]
    pub fn with_areas(
        mut self,
        networks: &[AreaNetwork],
        answers: &[ForArea],
        (records, ttl): (&[ServiceRecord], u32),
    ) -> Self {
        let sets = networks.iter().map(|network| {
            let answer = answers.iter().find(|answer| answer.of == *network && !answer.addresses.is_empty())?;
            let addresses = completed(&answer.addresses, &self.addresses);
            let is_its_own = addresses.len() == answer.addresses.len();
            let ttl_of_set = if is_its_own { answer.ttl } else { answer.ttl.min(self.ttl) };
            let service = if records.is_empty() { None } else { Service::compile(records, ttl, &addresses) };
            let service = service.map(Arc::new);
            Some(Arc::new(AreaSet { network: network.network, addresses, ttl: ttl_of_set, service }))
        });
        let sets: Arc<[Option<Arc<AreaSet>>]> = sets.collect();
        let differs = sets.iter().flatten().any(|set| set.addresses != self.addresses);
        self.by_area = differs.then_some(sets);
        self
    }
}

/// An area's addresses; those of a family that it has none of are everybody's.
fn completed(of_area: &[IpAddr], of_all: &[IpAddr]) -> Vec<IpAddr> {
    let mut addresses = of_area.to_vec();
    for family in Family::ALL {
        let is_of = |address: &&IpAddr| Family::of(**address) == family;
        if !of_area.iter().any(|address| is_of(&address)) {
            addresses.extend(of_all.iter().filter(is_of));
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// What one client gets of a set.
pub(super) struct ForClient<'a> {
    pub(super) addresses: &'a [IpAddr],
    /// Seconds.
    pub(super) ttl: u32,
    pub(super) service: Option<&'a Service>,
    /// How many bits of the client's address it depends on.
    pub(super) prefix: u8,
    honours_subnets: Option<bool>,
    /// The area, and its network, where it is that area's.
    area: Option<(&'a str, IpNet)>,
}

impl<'a> ForClient<'a> {
    pub(super) fn of(set: &'a FlattenedSet, areas: &'a Areas, client: IpAddr) -> Self {
        let all = Self {
            addresses: &set.addresses,
            ttl: set.ttl,
            service: set.service.as_deref(),
            prefix: 0,
            honours_subnets: set.honours_subnets,
            area: None,
        };
        let Some(by_area) = &set.by_area else { return all };
        let located = areas.find(client);
        // Scope 0 would hold for both families, and clients of the other one may be in another place.
        let all = Self { prefix: located.prefix.max(1), ..all };
        let number = areas.network_of(located.place);
        match number.and_then(|number| Some((areas.networks().get(number)?, by_area.get(number)?.as_deref()?))) {
            Some((network, set)) => Self {
                addresses: &set.addresses,
                ttl: set.ttl,
                service: set.service.as_deref(),
                area: Some((&network.area, set.network)),
                ..all
            },
            None => all,
        }
    }

    /// Whether there is anything to say of whose addresses they are.
    pub(super) fn is_told(&self) -> bool {
        self.area.is_some() || self.prefix > 0 || self.honours_subnets.is_some()
    }

    /// Whose addresses they are, for people.
    pub(super) fn words(&self) -> String {
        match (self.area, self.honours_subnets) {
            (Some((area, network)), _) => {
                let ttl = self.ttl;
                format!("its addresses are those that its DNS has for {area}, asked for {network}, for {ttl} s")
            }
            (None, Some(false)) => FAR_CLIENTS.to_owned(),
            (None, _) if self.prefix > 0 => {
                "its addresses are those that its DNS has for this server: none of this client's area are known to work"
                    .to_owned()
            }
            (None, _) => "its addresses are those that its DNS has for this server".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::areas::{Countries, Sets};
    use super::*;

    fn sets(names: &[(&str, &str)]) -> Sets {
        Sets::with(names.iter().map(|(name, prefix)| ((*name).into(), vec![prefix.parse().expect("a prefix")])))
    }

    fn areas() -> Areas {
        let sets = sets(&[("east", "192.0.2.0/25"), ("west", "192.0.2.128/25"), ("north", "198.51.100.0/24")]);
        Areas::build(&sets, &Countries::default()).expect("few areas").with_networks(&sets, |_| true)
    }

    fn addresses(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|address| address.parse().expect("an address")).collect()
    }

    fn everybodys(text: &str) -> FlattenedSet {
        let addresses = addresses(text);
        FlattenedSet { addresses, ttl: 60, service: None, honours_subnets: Some(true), by_area: None }
    }

    fn answers(areas: &Areas, given: &[(&str, &str)]) -> Vec<ForArea> {
        let of =
            |area: &str| areas.networks().iter().find(|network| &*network.area == area).expect("it is one").clone();
        let answers = given.iter().map(|(area, text)| ForArea { of: of(area), addresses: addresses(text), ttl: 20 });
        answers.collect()
    }

    /// The table of the file's head.
    #[test]
    fn each_area_gets_its_own_or_everybodys() {
        let areas = areas();
        let given = answers(&areas, &[("east", "203.0.113.1 2001:db8::1"), ("west", "203.0.113.2"), ("north", "")]);
        let set = FlattenedSet { ttl: 15, ..everybodys("203.0.113.9 2001:db8::9") };
        let set = set.with_areas(areas.networks(), &given, (&[], 0));
        for (client, expected, ttl, prefix) in [
            ("192.0.2.1", "203.0.113.1 2001:db8::1", 20, 25),
            ("192.0.2.200", "203.0.113.2 2001:db8::9", 15, 25),
            ("198.51.100.1", "203.0.113.9 2001:db8::9", 15, 24),
            ("8.8.8.8", "203.0.113.9 2001:db8::9", 15, 1),
            ("2001:db8::77", "203.0.113.9 2001:db8::9", 15, 1),
        ] {
            let got = ForClient::of(&set, &areas, client.parse().expect("an address"));
            assert_eq!((got.addresses, got.ttl), (&*addresses(expected), ttl), "{client}");
            assert!(got.prefix >= prefix, "{client}: {}", got.prefix);
        }
        let words = |client: &str| ForClient::of(&set, &areas, client.parse().expect("an address")).words();
        let east = "its addresses are those that its DNS has for east, asked for 192.0.2.0/24, for 20 s";
        assert_eq!(words("192.0.2.1"), east);
        assert!(words("8.8.8.8").contains("none of this client's area"));
    }

    /// What a client is told in hints are its addresses.
    #[test]
    fn https_records_are_those_of_the_area() {
        let areas = areas();
        // alpn=h2 ipv4hint=192.0.2.99
        let rdata = b"\0\x01\0\0\x01\0\x03\x02h2\0\x04\0\x04\xc0\0\x02\x63".as_slice();
        let record = ServiceRecord { owner: b"\x01t\0".as_slice().into(), rdata: rdata.into() };
        let given = answers(&areas, &[("east", "203.0.113.1")]);
        let set = everybodys("203.0.113.9").with_areas(areas.networks(), &given, (&[record], 60));
        let service = ForClient::of(&set, &areas, IpAddr::from([192, 0, 2, 1])).service.expect("it has some");
        assert!(service.records(None).iter().all(|record| record.ends_with(&[203, 0, 113, 1])));
        assert_eq!(ForClient::of(&set, &areas, IpAddr::from([8, 8, 8, 8])).service, None, "everybody's are made apart");
    }

    #[test]
    fn where_all_get_the_same_nothing_depends_on_the_area() {
        let areas = areas();
        let given = answers(&areas, &[("east", "203.0.113.9"), ("west", "203.0.113.9")]);
        let set = everybodys("203.0.113.9 2001:db8::9").with_areas(areas.networks(), &given, (&[], 0));
        assert_eq!(set.by_area, None);
        assert_eq!(ForClient::of(&set, &areas, IpAddr::from([192, 0, 2, 1])).prefix, 0);
        // Answers for networks that stand for nobody any more.
        let mut old = answers(&areas, &[("east", "203.0.113.1")]);
        old[0].of.network = "192.0.3.0/24".parse().expect("a prefix");
        assert_eq!(everybodys("203.0.113.9").with_areas(areas.networks(), &old, (&[], 0)).by_area, None);
    }

    proptest! {
        /// Whoever asks: no family that everybody has is empty, and nothing is answered that neither the area nor everybody has.
        #[test]
        fn no_answer_is_empty(
            all in prop::collection::btree_set(any::<IpAddr>(), 1..5),
            given in prop::collection::vec((0..3_usize, prop::collection::btree_set(any::<IpAddr>(), 0..4)), 0..4),
            other in any::<bool>(),
            clients in prop::collection::vec(prop_oneof![any::<IpAddr>(), (0..=255_u8).prop_map(|last| IpAddr::from([192, 0, 2, last]))], 8),
        ) {
            let areas = areas();
            let answer = |(at, addresses): &(usize, std::collections::BTreeSet<IpAddr>)| ForArea {
                of: areas.networks()[*at].clone(),
                addresses: addresses.iter().copied().collect(),
                ttl: 20,
            };
            let given: Vec<ForArea> = given.iter().map(answer).collect();
            let set = everybodys("");
            let set = FlattenedSet { addresses: all.iter().copied().collect(), ..set };
            let set = set.with_areas(areas.networks(), &given, (&[], 0));
            // A set is never read beside other areas; if it were, it would still not be empty.
            let areas = if other { Areas::default() } else { areas };
            for client in clients {
                let got = ForClient::of(&set, &areas, client);
                for family in Family::ALL {
                    let has = |addresses: &[IpAddr]| addresses.iter().any(|address| Family::of(*address) == family);
                    prop_assert!(!has(&set.addresses) || has(got.addresses));
                }
                let known = |address: &IpAddr| all.contains(address) || given.iter().any(|answer| answer.addresses.contains(address));
                prop_assert!(got.addresses.iter().all(known));
            }
        }
    }
}
