//! A database of countries in MaxMind's format, read as a whole into memory.
//!
//! | shape of a record | whose |
//! | --- | --- |
//! | `{"country": {"iso_code": "DE"}}` | MaxMind, DB-IP |
//! | `{"country_code": "DE"}` | ip-location-db |
//!
//! A code that is none of ISO 3166-1 says nothing, nor does a record without a country. What a database says of mapped
//! IPv4 addresses, of 6to4 (2002::/16) and of Teredo (2001::/32) is left out: these are copies of IPv4 in most, and say where
//! a tunnel ends in none.
//!
//! The file is not trusted: size, networks and time are limited, and a reader that panics is an error like any other.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr};
use std::panic::catch_unwind;
use std::path::Path;

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions};

use super::countries::{Countries, Country, number};
use super::sets::is_mapped;

/// The largest database, in octets.
pub const MAX_FILE: u64 = 512 << 20;
/// The most networks of a database that are visited, copies and gaps counted.
pub const MAX_NETWORKS: usize = 64_000_000;
/// The most networks for each node of the tree. A tree has one more than nodes, and IPv4 stands there up to four times; one
/// whose paths come together again could have more than time has seconds.
const NETWORKS_PER_NODE: usize = 64;

/// A database that was read.
#[derive(Clone, Debug)]
pub struct Database {
    pub countries: Countries,
    /// What it calls itself: `GeoLite2-Country`.
    pub kind: String,
    /// When it was built, in seconds since the Unix epoch.
    pub built: u64,
    /// Networks that it knows the country of.
    pub prefixes: usize,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it is no file")]
    NoFile,
    #[error("it has more than {MAX_FILE} octets")]
    TooLarge,
    #[error("it is no database in MaxMind's format, or damaged: {0}")]
    Damaged(String),
    #[error("it has more than {0} networks")]
    TooManyNetworks(usize),
    #[error("its records ({0}) have neither `country.iso_code` nor `country_code`: is it a database of countries?")]
    NoCountries(String),
}

impl From<MaxMindDbError> for DatabaseError {
    fn from(error: MaxMindDbError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Database {
    /// Reads a file. Blocks.
    pub fn read(path: &Path) -> Result<Self, DatabaseError> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(DatabaseError::NoFile);
        }
        if metadata.len() > MAX_FILE {
            return Err(DatabaseError::TooLarge);
        }
        let mut octets = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        // It may grow meanwhile.
        file.take(MAX_FILE + 1).read_to_end(&mut octets)?;
        if octets.len() as u64 > MAX_FILE {
            return Err(DatabaseError::TooLarge);
        }
        Self::parse(&octets)
    }

    /// Reads octets.
    pub fn parse(octets: &[u8]) -> Result<Self, DatabaseError> {
        // Nothing is shared that a panic could leave half done.
        catch_unwind(|| parse(octets)).unwrap_or_else(|_| Err(DatabaseError::Damaged("reading it panicked".to_owned())))
    }
}

fn parse(octets: &[u8]) -> Result<Database, DatabaseError> {
    let reader = Reader::from_source(octets)?;
    let metadata = reader.metadata();
    let mut records = Records::default();
    let mut sweep = [Sweep::default(), Sweep::default()];
    let mut prefixes = 0;
    let nodes = usize::try_from(metadata.node_count).unwrap_or(usize::MAX);
    let most = NETWORKS_PER_NODE.saturating_mul(nodes).min(MAX_NETWORKS);
    // Gaps and copies are asked for, so that each step of the iterator is one that is counted.
    let all = WithinOptions::default().include_aliased_networks().include_networks_without_data();
    for (visited, network) in reader.networks(all)?.enumerate() {
        if visited >= most {
            return Err(DatabaseError::TooManyNetworks(most));
        }
        let network = network?;
        let prefix = network.network()?;
        let (start, bits, sweep) = match (prefix.network(), &mut sweep) {
            (IpAddr::V4(address), [narrow, _]) => (u128::from(address.to_bits()), 32, narrow),
            (IpAddr::V6(address), _) if is_copy(address, prefix.prefix()) => continue,
            (IpAddr::V6(address), [_, wide]) => (address.to_bits(), 128, wide),
        };
        let country = records.country(&network)?;
        prefixes += usize::from(country != 0);
        sweep.put(start, end(start, prefix.prefix(), bits), country);
    }
    if !records.any_country {
        return Err(DatabaseError::NoCountries(metadata.database_type.clone()));
    }
    let [v4, v6] = sweep;
    Ok(Database {
        countries: Countries { v4: v4.changes, v6: v6.changes },
        kind: metadata.database_type.clone(),
        built: metadata.build_epoch,
        prefixes,
    })
}

/// Where the addresses of a prefix end, the first one behind it; none where it reaches to the end of its family's.
fn end(start: u128, length: u8, bits: u8) -> Option<u128> {
    let size = 1u128.checked_shl(u32::from(bits.saturating_sub(length)))?;
    start.checked_add(size).filter(|end| bits == 128 || *end < 1 << 32)
}

/// Mapped IPv4, Teredo (RFC 4380) and 6to4 (RFC 3056).
fn is_copy(network: Ipv6Addr, length: u8) -> bool {
    let within = |segments: &[u16], bits: u8| length >= bits && network.segments().starts_with(segments);
    is_mapped(network, length) || within(&[0x2001, 0], 32) || within(&[0x2002], 16)
}

/// Records that were decoded, by where they stand: many networks share one.
#[derive(Default)]
struct Records {
    known: HashMap<usize, Country>,
    any_country: bool,
}

impl Records {
    fn country(&mut self, network: &LookupResult<'_, &[u8]>) -> Result<Country, MaxMindDbError> {
        let Some(offset) = network.offset() else { return Ok(0) };
        if let Some(country) = self.known.get(&offset) {
            return Ok(*country);
        }
        let nested = [PathElement::Key("country"), PathElement::Key("iso_code")];
        let flat = [PathElement::Key("country_code")];
        let code = match network.decode_path::<&str>(&nested)? {
            Some(code) => Some(code),
            None => network.decode_path::<&str>(&flat)?,
        };
        self.any_country |= code.is_some();
        let country = code.map_or(0, number);
        self.known.insert(offset, country);
        Ok(country)
    }
}

/// Networks in order, as changes.
struct Sweep {
    changes: Vec<(u128, Country)>,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { changes: vec![(0, 0)] }
    }
}

impl Sweep {
    /// Networks come in order and do not overlap; `end` is none where one reaches to the end.
    fn put(&mut self, start: u128, end: Option<u128>, country: Country) {
        self.change(start, country);
        if let Some(end) = end {
            self.change(end, 0);
        }
    }

    fn change(&mut self, at: u128, country: Country) {
        if self.changes.last().is_some_and(|(start, _)| *start == at) {
            self.changes.pop();
        }
        if self.changes.last().is_none_or(|(_, last)| *last != country) {
            self.changes.push((at, country));
        }
    }
}
