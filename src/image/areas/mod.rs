//! The parts of the world that clients are in: from an address to its place, in one or two memory reads.

use std::net::IpAddr;
use std::sync::Arc;

/// What is known of addresses. Never changes; a new one is made when the configuration or the database does.
#[derive(Debug)]
pub struct Areas {
    /// Place 0 is everywhere that nothing is known of.
    places: Vec<Place>,
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
        Self { places: vec![Place::default()] }
    }
}

impl Areas {
    /// Where an address is. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn find(&self, _client: IpAddr) -> Found {
        Found { place: 0, prefix: 0 }
    }

    /// All places. Never empty.
    pub fn places(&self) -> &[Place] {
        &self.places
    }
}
