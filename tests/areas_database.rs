//! Databases of countries: what is read of good ones, and that damaged ones do no harm.
//!
//! `tests/areas/*.mmdb` are written by `tests/support/mmdb.rs`; `POINTSMAN_WRITE=1 cargo test --test areas_database` writes
//! them anew.
#![allow(clippy::panic)] // A test that cannot be set up has failed.

#[path = "support/mmdb.rs"]
mod mmdb;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use mmdb::{NETWORKS, Shape, database};
use pointsman::image::areas::database::{Database, DatabaseError};
use pointsman::image::areas::{Areas, Sets};
use proptest::prelude::*;

const COMMITTED: [(&str, Shape, u16); 2] = [("nested.mmdb", Shape::Nested, 24), ("flat.mmdb", Shape::Flat, 28)];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/areas").join(name)
}

fn areas(octets: &[u8]) -> Areas {
    let database = Database::parse(octets).unwrap_or_else(|error| panic!("{error}"));
    Areas::build(&Sets::default(), &database.countries).expect("few places")
}

/// The country or set that comes first, and the prefix.
fn at(areas: &Areas, address: &str) -> (String, u8) {
    let found = areas.find(address.parse::<IpAddr>().expect("an address"));
    (areas.areas_of(found.place).join(" "), found.prefix)
}

#[test]
fn the_committed_databases_are_those_that_the_tests_write() {
    for (name, shape, record_size) in COMMITTED {
        let octets = database(shape, 6, record_size, NETWORKS);
        if std::env::var_os("POINTSMAN_WRITE").is_some() {
            std::fs::write(file(name), &octets).expect("it is written");
        }
        assert_eq!(std::fs::read(file(name)).expect("it is there"), octets, "{name}");
    }
}

#[test]
fn every_shape_and_record_size_is_read() {
    let german = "eu27 eea country-de continent-eu";
    for shape in [Shape::Nested, Shape::Flat] {
        for record_size in [24, 28, 32] {
            let areas = areas(&database(shape, 6, record_size, NETWORKS));
            for (address, names, prefix) in [
                ("192.0.2.7", german, 25),
                ("192.0.2.200", "country-us continent-na", 25),
                ("198.51.101.1", german, 23),
                ("203.0.113.1", "eu27 eea country-fr continent-eu", 26),
                ("203.0.113.65", "", 26),
                ("8.8.8.8", "", 2),
                ("2001:db8::1", german, 48),
                ("2001:db8:2:3:7fff::", "", 65),
                ("2001:db8:2:3:8000::1", "country-br continent-sa", 65),
                ("2a05::1", "eu27 eea country-nl continent-eu", 12),
                ("::ffff:192.0.2.7", german, 25),
                ("2002:c000:207::", "", 15),
                ("::192.0.2.7", "", 3),
            ] {
                assert_eq!(at(&areas, address), (names.to_owned(), prefix), "{address} {shape:?} {record_size}");
            }
            assert_eq!(areas.places().len(), 7);
        }
    }
}

#[test]
fn a_database_of_ipv4_alone_is_read() {
    let areas = areas(&database(Shape::Flat, 4, 24, NETWORKS));
    assert_eq!(at(&areas, "192.0.2.200"), ("country-us continent-na".to_owned(), 25));
    assert_eq!(at(&areas, "2001:db8::1"), (String::new(), 0));
}

#[test]
fn what_it_is_is_told() {
    let database = Database::read(&file("nested.mmdb")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((database.kind.as_str(), database.built), ("Pointsman-Test-Country", 1_764_547_200));
    assert_eq!(database.prefixes, NETWORKS.len() - 1, "`EU` is no country");
}

#[test]
fn what_cannot_be_used_says_why() {
    let other = database(Shape::Other, 6, 24, NETWORKS);
    assert!(
        matches!(Database::parse(&other), Err(DatabaseError::NoCountries(kind)) if kind == "Pointsman-Test-Country")
    );
    assert!(matches!(Database::parse(b""), Err(DatabaseError::Damaged(_))));
    assert!(matches!(Database::parse(b"\xab\xcd\xefMaxMind.com"), Err(DatabaseError::Damaged(_))));
    assert!(matches!(Database::read(&file("none.mmdb")), Err(DatabaseError::Unreadable(_))));
    assert!(matches!(Database::read(&file("")), Err(DatabaseError::NoFile | DatabaseError::Unreadable(_))));
}

#[test]
fn what_is_cut_off_does_no_harm() {
    for (name, ..) in COMMITTED {
        let octets = std::fs::read(file(name)).expect("it is there");
        for end in (0..octets.len()).step_by(97) {
            read_anyhow(&octets[..end]);
            read_anyhow(&octets[end..]);
        }
    }
}

/// A tree whose paths double with each level and come together again: as many networks as there are addresses.
#[test]
fn a_tree_that_is_none_comes_to_an_end() {
    let mut octets = database(Shape::Flat, 6, 24, &[("2001:db8::/127", "DE")]);
    let node_count = 127;
    for node in 0..node_count - 1 {
        let next = u32::to_be_bytes(node + 1);
        let at = node as usize * 6;
        octets[at..at + 3].copy_from_slice(&next[1..]);
        octets[at + 3..at + 6].copy_from_slice(&next[1..]);
    }
    let read = Database::parse(&octets);
    assert!(matches!(read, Err(DatabaseError::TooManyNetworks(_))), "{read:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn flipped_bits_do_no_harm(
        which in 0..2usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..6),
    ) {
        let mut octets = std::fs::read(file(COMMITTED[which].0)).expect("it is there");
        for (at, bit) in flips {
            let at = at.index(octets.len());
            octets[at] ^= 1 << bit;
        }
        read_anyhow(&octets);
    }
}

/// An error or not, what is made of it answers.
fn read_anyhow(octets: &[u8]) {
    let Ok(database) = Database::parse(octets) else { return };
    // More than a file of this size can mean, however its tree is tied.
    let areas = Areas::build(&Sets::default(), &database.countries).expect("few places");
    for address in ["0.0.0.0", "192.0.2.7", "255.255.255.255", "::", "2001:db8::1", "ffff::"] {
        at(&areas, address);
    }
}
