//! Who plays: the providers that steered names point to, each with addresses of its own.
//!
//! Provider number `n` (by id) gets `127.53.n.1` and `127.53.n.2`: all of 127.0.0.0/8 is this machine on Linux, so no
//! address needs to be set up. It knows the customers whose candidates stand at it, and no others, as a real one does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::steer::home::Home;
use crate::steer::policy::{Candidate, ProbeRule, Scheme, SteeredName, Target};
use crate::steer::provider::Providers;

/// All that is simulated.
#[derive(Clone, Debug, Default)]
pub struct Cast {
    /// By id.
    pub players: Vec<Player>,
    /// The ports that TLS is spoken on in the zones' eyes: usually 443 alone.
    pub tls_ports: BTreeSet<u16>,
    /// The ports of plain HTTP probes.
    pub http_ports: BTreeSet<u16>,
    /// Candidates that cannot be simulated, since their addresses are not loopback ones: `NAME/CANDIDATE`.
    pub left_out: Vec<String>,
}

/// One simulated provider.
#[derive(Clone, Debug)]
pub struct Player {
    pub id: Arc<str>,
    /// What people call it.
    pub name: String,
    pub home: Home,
    /// Where its edges listen.
    pub addresses: Vec<Ipv4Addr>,
    /// How many of these its target names resolve to; those after them are addresses that candidates give themselves.
    pub resolved: usize,
    /// Its target names: lower case, absolute.
    pub targets: BTreeSet<Arc<str>>,
    /// Its customers, by the name for SNI and `Host`, in lower case.
    pub sites: BTreeMap<String, Site>,
}

/// What a customer's page looks like when all is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub status: u16,
    /// What the body must contain.
    pub markers: BTreeSet<String>,
}

/// The addresses that each provider's target names resolve to.
const ADDRESSES_EACH: u8 = 2;
/// The second octet of the first provider's addresses.
const SECOND_OCTET: usize = 53;
/// How many providers one second octet has room for.
const PLAYERS_PER_OCTET: usize = 250;
/// More providers than this are not simulated: each costs listeners.
pub const MAX_PLAYERS: usize = 100;

impl Cast {
    /// Everyone that these names need, at most [`MAX_PLAYERS`] providers.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a SteeredName>, providers: &Providers) -> Self {
        let mut players = BTreeMap::new();
        let mut cast = Self::default();
        for name in names {
            for candidate in &name.candidates {
                let player =
                    players.entry(candidate.provider.clone()).or_insert_with(|| Player::new(candidate, providers));
                if player.take_target(&candidate.target) {
                    player.take_site(&candidate.probe);
                    cast.take_port(&candidate.probe);
                } else {
                    cast.left_out.push(format!("{}/{}", name.name, candidate.id));
                }
            }
        }
        cast.players = players.into_values().take(MAX_PLAYERS).collect();
        for (number, player) in cast.players.iter_mut().enumerate() {
            player.settle(number);
        }
        cast
    }

    /// The provider with this id.
    pub fn player(&self, id: &str) -> Option<&Player> {
        self.players.iter().find(|player| &*player.id == id)
    }

    fn take_port(&mut self, probe: &ProbeRule) {
        match probe.scheme {
            // A TCP probe is content with any listener.
            Scheme::Https | Scheme::Tcp => self.tls_ports.insert(probe.port),
            Scheme::Http => self.http_ports.insert(probe.port),
        };
    }
}

impl Player {
    fn new(candidate: &Candidate, providers: &Providers) -> Self {
        let known = providers.find(&candidate.provider);
        Self {
            id: candidate.provider.clone(),
            name: known.map_or_else(|| candidate.provider.to_string(), |provider| provider.name.clone()),
            home: known.map_or(candidate.home, |provider| provider.home),
            addresses: Vec::new(),
            resolved: 0,
            targets: BTreeSet::new(),
            sites: BTreeMap::new(),
        }
    }

    /// Whether the target can be simulated.
    fn take_target(&mut self, target: &Target) -> bool {
        match target {
            Target::Name(name) => {
                self.targets.insert(name.clone());
                true
            }
            Target::Addresses(addresses) => {
                let loopback = addresses.iter().filter_map(|address| match address {
                    IpAddr::V4(v4) if v4.is_loopback() => Some(*v4),
                    _ => None,
                });
                let before = self.addresses.len();
                self.addresses.extend(loopback);
                self.addresses.len() - before == addresses.len()
            }
        }
    }

    fn take_site(&mut self, probe: &ProbeRule) {
        if probe.scheme == Scheme::Tcp {
            return;
        }
        let status = match probe.expect.as_slice() {
            ranges if ranges.iter().any(|(low, high)| (*low..=*high).contains(&200)) => 200,
            [(low, _), ..] => *low,
            [] => 200,
        };
        let site = self
            .sites
            .entry(probe.host.to_ascii_lowercase())
            .or_insert_with(|| Site { status, markers: BTreeSet::new() });
        site.markers.extend(probe.body.clone());
    }

    /// Gives the provider its own addresses, before those that its candidates give.
    fn settle(&mut self, number: usize) {
        let second = u8::try_from(SECOND_OCTET + number / PLAYERS_PER_OCTET).unwrap_or(u8::MAX);
        let third = u8::try_from(1 + number % PLAYERS_PER_OCTET).unwrap_or(u8::MAX);
        let mut own: Vec<_> = (1..=ADDRESSES_EACH).map(|last| Ipv4Addr::new(127, second, third, last)).collect();
        self.resolved = own.len();
        self.addresses.sort_unstable();
        self.addresses.dedup();
        own.append(&mut self.addresses);
        self.addresses = own;
    }
}
