//! The parts of the world that clients are in: from an address to its place, in a few memory reads.
//!
//! ```text
//!   sets (configuration) ----\
//!                             compile --> Areas: address --ranges--> place --place--> names of areas
//!   database of countries ---/
//! ```
//!
//! | file | thought |
//! | --- | --- |
//! | `sets` | named sets: prefixes, countries, continents |
//! | `countries` | which country each address is in |
//! | `database` | a file in MaxMind's format, read as countries |
//! | `place` | the areas that an address is in, the most specific first |
//! | `compile` | sets and countries become ranges of places |
//! | `ranges` | from an address to its range |
//! | `line` | the ranges of one cache line |
//! | `wide` | the same for the 128 bits of IPv6 |
//! | `networks` | areas that targets are resolved for, and a network for each |

mod compile;
mod countries;
pub mod database;
mod line;
mod networks;
mod place;
mod ranges;
mod sets;
mod wide;

use std::net::IpAddr;
use std::sync::Arc;

pub use self::compile::{BuildError, MAX_PLACES};
pub use self::countries::Countries;
use self::networks::Networks;
pub use self::networks::{AreaNetwork, MAX_NETWORKS};
pub use self::ranges::MAX_RANGES;
use self::ranges::Narrow;
pub use self::sets::{Entry, Sets, check_name};
use self::wide::Wide;

/// What is known of addresses. Never changes; a new one is made when the configuration or the database does.
#[derive(Debug)]
pub struct Areas {
    /// Place 0 is everywhere that nothing is known of.
    places: Vec<Place>,
    v4: Narrow,
    v6: Wide,
    networks: Networks,
}

/// All addresses that are in the same areas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// As steering records name them, the most specific first: named sets, then the country, then the continent.
    pub areas: Vec<Arc<str>>,
}

/// What [`Areas::find`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index into [`Areas::places`].
    pub place: u16,
    /// The length of the longest prefix around the address that is all of this place: 0 to 32, for IPv6 to 128.
    pub prefix: u8,
}

impl Default for Areas {
    /// Everyone is in one place.
    fn default() -> Self {
        Self {
            places: vec![Place::default()],
            v4: Narrow::default(),
            v6: Wide::default(),
            networks: Networks::default(),
        }
    }
}

impl Areas {
    /// Compiles sets and countries. Takes about a second for some millions of prefixes: call it on a thread that may block.
    ///
    /// # Errors
    ///
    /// More places than [`MAX_PLACES`], or more ranges of one family than [`MAX_RANGES`].
    pub fn build(sets: &Sets, countries: &Countries) -> Result<Self, BuildError> {
        compile::compile(sets, countries)
    }

    /// The same areas, with a network to stand for each of those that targets are resolved for. `sets` are those that they were built from; a network
    /// whose address `may_be_told` refuses stands for nobody. Blocks, as [`Self::build`] does.
    #[must_use]
    pub fn with_networks(mut self, sets: &Sets, may_be_told: impl Fn(IpAddr) -> bool) -> Self {
        self.networks = Networks::of(&self, sets, may_be_told);
        self
    }

    /// The areas that targets are resolved for, at most [`MAX_NETWORKS`].
    pub fn networks(&self) -> &Arc<[AreaNetwork]> {
        &self.networks.all
    }

    /// Which of [`Self::networks`] stands for the clients of a place.
    #[inline]
    pub fn network_of(&self, place: u16) -> Option<usize> {
        self.networks.of_place(place)
    }

    /// Where an address is. An IPv4 address mapped into IPv6 counts as IPv4.
    #[inline]
    pub fn find(&self, client: IpAddr) -> Found {
        match client.to_canonical() {
            IpAddr::V4(address) => self.v4.find(u64::from(address.to_bits()) << 32),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        }
    }

    /// The place of an address alone, for those to whom nobody tells how far it reaches: the same as [`Self::find`] says.
    #[inline]
    pub fn place(&self, client: IpAddr) -> u16 {
        match client.to_canonical() {
            IpAddr::V4(address) => self.v4.place(u64::from(address.to_bits()) << 32),
            IpAddr::V6(address) => self.v6.place(address.to_bits()),
        }
    }

    /// All places. Never empty.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The names of the areas that a place is in, the most specific first.
    pub fn areas_of(&self, place: u16) -> &[Arc<str>] {
        self.places.get(usize::from(place)).map_or(&[], |place| &place.areas)
    }

    /// How many ranges of IPv4 and IPv6 addresses are told apart.
    pub fn ranges(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }

    /// Octets of memory that look-ups read in.
    pub fn octets(&self) -> usize {
        self.v4.octets() + self.v6.octets()
    }

    /// Which country each address is in: what [`Areas::build`] was given.
    pub fn countries(&self) -> Countries {
        let country = |place: u16| countries::of_areas(self.areas_of(place));
        Countries::of_changes(
            self.v4.iter().map(|(start, place)| (u128::from(start >> 32), country(place))),
            self.v6.iter().map(|(start, place)| (start, country(place))),
        )
    }
}
