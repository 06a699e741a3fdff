//! The way to the authoritative servers of a name: which they are, and where each is asked.
//!
//! Both are found by the ordinary resolver, which has their records in its cache as every user's resolver has. Addresses that probes must not go to are not
//! asked either: a name in a zone decides where such a question goes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;

use super::Cold;
use super::said::NameServer;
use crate::health::prober::Clock;
use crate::health::reach::{self, Routes};
use crate::health::resolve::Targets;
use crate::health::settings::Settings;

/// NS records of one zone that are looked at.
const MAX_SERVERS: usize = 16;
/// For the servers of a zone, and for the address of one.
const SERVERS_LIMIT: Duration = Duration::from_secs(2);
const ADDRESS_LIMIT: Duration = Duration::from_secs(1);
const DNS: u16 = 53;

/// The servers of a zone.
#[derive(Clone, Debug)]
pub struct Servers {
    pub zone: Name,
    pub servers: Vec<NameServer>,
}

/// What it takes to find and to ask them.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    pub settings: &'a Settings,
    pub targets: &'a Targets,
    pub cold: &'a Cold,
    pub routes: &'a Routes,
    pub clock: &'a Clock,
}

impl Way<'_> {
    /// The zone that a name lies in, and its servers, by the ordinary resolver: the closest name above with NS records.
    pub async fn servers_of(&self, name: &Name) -> Result<Servers, String> {
        if let Some(known) = self.cold.servers(name, (self.clock)(), false) {
            return Ok(known);
        }
        let found = tokio::time::timeout(SERVERS_LIMIT, self.find_servers(name)).await;
        match found.unwrap_or_else(|_| Err(format!("the servers of {name} are not found in time"))) {
            Ok(found) => {
                self.cold.found_servers(name.clone(), found.clone(), (self.clock)());
                Ok(found)
            }
            Err(why) => self.cold.servers(name, (self.clock)(), true).ok_or(why),
        }
    }

    async fn find_servers(&self, name: &Name) -> Result<Servers, String> {
        let mut at = name.clone();
        // Nobody's target stands in a top-level domain of its own.
        while at.num_labels() >= 2 {
            let names = self.targets.name_servers(&at).await?;
            if !names.is_empty() {
                let server = |name| NameServer { name, glue: Vec::new() };
                return Ok(Servers { zone: at, servers: names.into_iter().take(MAX_SERVERS).map(server).collect() });
            }
            at = at.base_name();
        }
        Err(format!("no NS records above {name} are known"))
    }

    /// Where a server is asked. Outer none: not from here. Inner none: it has no address. The error: the resolver tells
    /// neither.
    pub async fn to(&self, server: &NameServer) -> Result<Option<Option<SocketAddr>>, String> {
        let addresses = if server.glue.is_empty() {
            match self.targets.find(&server.name.to_ascii(), &[], ADDRESS_LIMIT).await {
                Ok(found) => found.addresses,
                Err(nothing) if nothing.is_unheard() => return Err(format!("{}: {nothing}", server.name)),
                Err(_) => return Ok(Some(None)),
            }
        } else {
            server.glue.clone()
        };
        let may_ask = |address: &IpAddr| self.settings.allow_private || reach::special_kind(*address).is_none();
        let way = addresses.into_iter().find(|address| may_ask(address) && self.routes.reach(*address));
        let port = self.settings.ports.get(&DNS).copied().unwrap_or(DNS);
        Ok(way.map(|way| Some(SocketAddr::new(way, port))))
    }
}
