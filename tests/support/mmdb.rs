//! Databases in MaxMind's format (version 2.0 of its specification), written from a list of networks.
#![allow(dead_code)] // Each test takes what it needs.

use std::collections::HashMap;

use ipnet::IpNet;

/// How a record says its country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"country": {"iso_code": "DE"}, "registered_country": {"iso_code": "FR"}}`
    Nested,
    /// `{"country_code": "DE"}`
    Flat,
    /// `{"asn": "DE"}`: not of countries.
    Other,
}

/// What the committed databases hold, which tests of the server read.
pub const NETWORKS: &[(&str, &str)] = &[
    ("127.0.0.0/9", "DE"),
    ("127.128.0.0/9", "US"),
    ("192.0.2.0/25", "DE"),
    ("192.0.2.128/25", "US"),
    ("198.51.100.0/24", "DE"),
    ("198.51.101.0/24", "DE"),
    ("203.0.113.0/26", "FR"),
    ("203.0.113.64/26", "EU"),
    ("2001:db8::/48", "DE"),
    ("2001:db8:1::/48", "JP"),
    ("2001:db8:2:3:8000::/65", "BR"),
    ("2a00::/12", "NL"),
];

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A database of these networks with their codes. `version` is 4 or 6, `record_size` 24, 28 or 32. With version 6, IPv4 stands
/// under ::/96, and again under ::ffff:0:0/96 and 2002::/16, as MaxMind's databases have it.
pub fn database(shape: Shape, version: u16, record_size: u16, networks: &[(&str, &str)]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut records = HashMap::new();
    let mut nodes = vec![[Child::Nothing; 2]];
    for (network, code) in networks {
        let offset = *records.entry(*code).or_insert_with(|| {
            let offset = data.len();
            record(&mut data, shape, code);
            offset
        });
        let net: IpNet = network.parse().expect("a network");
        let (bits, length) = match net {
            IpNet::V4(net) if version == 4 => (u128::from(net.network().to_bits()) << 96, net.prefix_len()),
            IpNet::V4(net) => (u128::from(net.network().to_bits()), net.prefix_len() + 96),
            IpNet::V6(_) if version == 4 => continue,
            IpNet::V6(net) => (net.network().to_bits(), net.prefix_len()),
        };
        put(&mut nodes, bits, length, Child::Data(offset));
    }
    if version == 6
        && let Some(ipv4) = node_at(&nodes, 96)
    {
        put(&mut nodes, 0xffff << 32, 96, Child::Node(ipv4));
        put(&mut nodes, 0x2002 << 112, 16, Child::Node(ipv4));
    }
    let mut octets = Vec::new();
    for [left, right] in &nodes {
        let value = |child: &Child| match child {
            Child::Nothing => nodes.len(),
            Child::Node(node) => *node,
            Child::Data(offset) => nodes.len() + 16 + offset,
        };
        node(&mut octets, record_size, value(left), value(right));
    }
    octets.extend_from_slice(&[0; 16]);
    octets.extend_from_slice(&data);
    metadata(&mut octets, version, record_size, nodes.len());
    octets
}

fn put(nodes: &mut Vec<[Child; 2]>, bits: u128, length: u8, child: Child) {
    let mut at = 0;
    for depth in 0..length {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == length {
            nodes[at][side] = child;
        } else {
            at = match nodes[at][side] {
                Child::Node(next) => next,
                _ => {
                    nodes.push([Child::Nothing; 2]);
                    let next = nodes.len() - 1;
                    nodes[at][side] = Child::Node(next);
                    next
                }
            };
        }
    }
}

/// The node so many zeros below the root.
fn node_at(nodes: &[[Child; 2]], depth: u8) -> Option<usize> {
    (0..depth).try_fold(0, |at: usize, _| match nodes[at][0] {
        Child::Node(next) => Some(next),
        _ => None,
    })
}

fn node(octets: &mut Vec<u8>, record_size: u16, left: usize, right: usize) {
    let ([l3, l2, l1, l0], [r3, r2, r1, r0]) = ((left as u32).to_be_bytes(), (right as u32).to_be_bytes());
    match record_size {
        24 => octets.extend_from_slice(&[l2, l1, l0, r2, r1, r0]),
        28 => octets.extend_from_slice(&[l2, l1, l0, l3 << 4 | r3, r2, r1, r0]),
        _ => octets.extend_from_slice(&[l3, l2, l1, l0, r3, r2, r1, r0]),
    }
}

fn record(data: &mut Vec<u8>, shape: Shape, code: &str) {
    match shape {
        Shape::Flat => pairs(data, &["country_code", code]),
        Shape::Other => pairs(data, &["asn", code]),
        Shape::Nested => {
            control(data, MAP, 2);
            for (key, code) in [("country", code), ("registered_country", "FR")] {
                text(data, key);
                pairs(data, &["iso_code", code]);
            }
        }
    }
}

const TEXT: u8 = 2;
const U16: u8 = 5;
const U32: u8 = 6;
const MAP: u8 = 7;
const U64: u8 = 9;
const ARRAY: u8 = 11;

fn metadata(octets: &mut Vec<u8>, version: u16, record_size: u16, node_count: usize) {
    octets.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    control(octets, MAP, 9);
    for (key, value) in [
        ("binary_format_major_version", 2),
        ("binary_format_minor_version", 0),
        ("ip_version", version),
        ("record_size", record_size),
    ] {
        text(octets, key);
        control(octets, U16, 2);
        octets.extend_from_slice(&value.to_be_bytes());
    }
    text(octets, "build_epoch");
    control(octets, U64, 8);
    octets.extend_from_slice(&1_764_547_200u64.to_be_bytes());
    text(octets, "database_type");
    text(octets, "Pointsman-Test-Country");
    text(octets, "description");
    pairs(octets, &["en", "networks for tests"]);
    text(octets, "languages");
    control(octets, ARRAY, 0);
    text(octets, "node_count");
    control(octets, U32, 4);
    octets.extend_from_slice(&(node_count as u32).to_be_bytes());
}

/// A map of texts.
fn pairs(octets: &mut Vec<u8>, texts: &[&str]) {
    control(octets, MAP, texts.len() / 2);
    texts.iter().for_each(|word| text(octets, word));
}

fn text(octets: &mut Vec<u8>, word: &str) {
    control(octets, TEXT, word.len());
    octets.extend_from_slice(word.as_bytes());
}

/// Type and size of what follows; sizes from 29 to 284 have an octet of their own.
fn control(octets: &mut Vec<u8>, kind: u8, size: usize) {
    let (kind, more) = if kind > 7 { (0, Some(kind - 7)) } else { (kind, None) };
    octets.push(kind << 5 | size.min(29) as u8);
    octets.extend(more);
    if size >= 29 {
        octets.push((size - 29) as u8);
    }
}
