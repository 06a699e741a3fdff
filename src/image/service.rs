//! The HTTPS records of a flattened name (RFC 9460): those of a candidate's target, so written that they are right at another owner.
//!
//! What a client is told there must lead it to the addresses that it is answered and that are probed, and to no others.
//!
//! | the target's record | at the owner |
//! | --- | --- |
//! | an alias (priority 0) | none at all is taken: clients look at nothing else, and nobody probes where it leads |
//! | another name than its own owner | left out, likewise |
//! | a port other than 443 | left out, likewise |
//! | its own owner (`.`), without `ech` | `.`, the owner: its addresses are those of the answer |
//! | its own owner (`.`), with `ech` | the target's own name |
//! | the same, while a family is left out | `.`, and `ech` is left out |
//! | `ipv4hint`, `ipv6hint` | what the candidate answers of that family; none of one that it leaves out |
//!
//! Keys of `ech` are those of one provider's servers, and others end the connection. After a move a resolver may hold the
//! HTTPS record of one candidate and ask for the addresses of the next: under the target's own name keys and addresses stay together
//! (RFC 9460, section 2.5.2). That name has both families, so it cannot be told to clients while one is left out.

use std::net::IpAddr;

use crate::steer::observation::Family;
use crate::zone::svcb::{ECH, IPV4HINT, IPV6HINT, MANDATORY, PORT, Parameters};

/// The port of `https` URLs.
const HTTPS_PORT: [u8; 2] = 443_u16.to_be_bytes();
/// Records of one target that are taken.
const MAX_RECORDS: usize = 8;
/// Hints of one family in a record; more of them help nobody.
const MAX_HINTS: usize = 4;

/// An HTTPS record of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Where it stands: wire format.
    pub owner: Box<[u8]>,
    /// Wire format, the name in it not compressed.
    pub rdata: Box<[u8]>,
}

/// The HTTPS records of one flattened set, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Seconds that the target's own TTL allows.
    pub ttl: u32,
    /// Wire format: while no family is left out; while IPv4 is; while IPv6 is.
    variants: [Box<[Box<[u8]>]>; 3],
}

impl Service {
    /// What these records come to beside these addresses; none where nothing of them is right.
    pub fn compile(records: &[ServiceRecord], ttl: u32, addresses: &[IpAddr]) -> Option<Self> {
        // An alias is all that clients look at (section 2.4.1).
        if records.iter().any(|record| record.rdata.starts_with(&[0, 0])) {
            return None;
        }
        let variant = |left_out: Option<Family>| {
            let is_answered = |address: &&IpAddr| Some(Family::of(**address)) != left_out;
            let answered: Vec<IpAddr> = addresses.iter().filter(is_answered).copied().collect();
            let fit = records.iter().filter_map(|record| rewritten(record, &answered, left_out.is_none()));
            let mut all: Vec<Box<[u8]>> = fit.take(MAX_RECORDS).collect();
            all.sort_unstable();
            all.dedup();
            all.into_boxed_slice()
        };
        let variants = [variant(None), variant(Some(Family::V4)), variant(Some(Family::V6))];
        variants.iter().any(|records| !records.is_empty()).then_some(Self { ttl, variants })
    }

    /// Record data, while this family is left out.
    pub(super) fn records(&self, left_out: Option<Family>) -> &[Box<[u8]>] {
        let [whole, without_v4, without_v6] = &self.variants;
        match left_out {
            None => whole,
            Some(Family::V4) => without_v4,
            Some(Family::V6) => without_v6,
        }
    }
}

/// A record as it is right at another owner, whose addresses are `answered`.
fn rewritten(record: &ServiceRecord, answered: &[IpAddr], takes_keys: bool) -> Option<Box<[u8]>> {
    let (priority, rest) = record.rdata.split_first_chunk::<2>()?;
    let target = super::rdata::name_at(rest)?;
    let is_own = target == [0] || target.eq_ignore_ascii_case(&record.owner);
    if !is_own {
        return None;
    }
    let mut parameters = Vec::new();
    let mut told = Parameters(rest.get(target.len()..)?);
    for (key, value) in &mut told {
        match key {
            // Written anew, of what is left.
            MANDATORY => parameters.push((key, value.to_vec())),
            PORT if value != HTTPS_PORT => return None,
            ECH if !takes_keys => {}
            IPV4HINT | IPV6HINT => {
                let hints = hints(key, answered);
                if !hints.is_empty() {
                    parameters.push((key, hints));
                }
            }
            _ => parameters.push((key, value.to_vec())),
        }
    }
    // Octets that are no parameter.
    if !told.0.is_empty() {
        return None;
    }
    let keys: Vec<u16> = parameters.iter().map(|(key, _)| *key).collect();
    if let Some((MANDATORY, listed)) = parameters.first_mut() {
        let left = listed.as_chunks::<2>().0.iter().filter(|key| keys.contains(&u16::from_be_bytes(**key)));
        *listed = left.flatten().copied().collect();
    }
    parameters.retain(|(key, value)| *key != MANDATORY || !value.is_empty());
    let mut rdata = priority.to_vec();
    rdata.extend_from_slice(if keys.contains(&ECH) { &record.owner } else { &[0] });
    for (key, value) in parameters {
        rdata.extend_from_slice(&key.to_be_bytes());
        rdata.extend_from_slice(&u16::try_from(value.len()).ok()?.to_be_bytes());
        rdata.extend_from_slice(&value);
    }
    Some(rdata.into())
}

fn hints(key: u16, answered: &[IpAddr]) -> Vec<u8> {
    let octets = answered.iter().filter_map(|address| match address {
        IpAddr::V4(address) if key == IPV4HINT => Some(address.octets().to_vec()),
        IpAddr::V6(address) if key == IPV6HINT => Some(address.octets().to_vec()),
        _ => None,
    });
    octets.take(MAX_HINTS).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The owner of the target's records: `t.cdn.`
    const OWNER: &[u8] = b"\x01t\x03cdn\x00";
    const OTHER: &[u8] = b"\x01u\x03cdn\x00";
    const H2: &[u8] = b"\x00\x01\x00\x03\x02h2";
    const KEYS: &[u8] = b"\x00\x05\x00\x02\xaa\xbb";
    const HINT4: &[u8] = b"\x00\x04\x00\x04\xc0\x00\x02\x63";
    const HINT6: &[u8] = b"\x00\x06\x00\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x63";
    /// The addresses of the set: 192.0.2.1, 2001:db8::1.
    const SET4: &[u8] = b"\x00\x04\x00\x04\xc0\x00\x02\x01";
    const SET6: &[u8] = b"\x00\x06\x00\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";

    fn of(priority: u8, parts: &[&[u8]]) -> Vec<u8> {
        [&[0, priority], &*parts.concat()].concat()
    }

    #[test]
    fn an_alias_hides_the_others() {
        let record = |rdata: Vec<u8>| ServiceRecord { owner: OWNER.into(), rdata: rdata.into() };
        let (alias, service) = (record(of(0, &[OTHER])), record(of(1, &[b"\0", H2])));
        assert!(Service::compile(std::slice::from_ref(&service), 60, &[]).is_some());
        assert_eq!(Service::compile(&[service, alias], 60, &[]), None);
    }

    /// The table of the file's head.
    #[test]
    fn records_are_right_at_another_owner() {
        let set = ["192.0.2.1".parse().expect("an address"), "2001:db8::1".parse().expect("an address")];
        let mandatory = |keys: &[u8]| [&[0, 0, 0, keys.len() as u8], keys].concat();
        for (rdata, whole, without_v6) in [
            (of(0, &[OTHER]), None, None),
            (of(0, &[b"\0"]), None, None),
            (of(1, &[OTHER, H2]), None, None),
            (of(1, &[b"\0", b"\x00\x03\x00\x02\x20\xfb"]), None, None),
            (of(1, &[b"\0", b"\x00\x03\x00\x02\x01\xbb"]), Some(of(1, &[b"\0", b"\x00\x03\x00\x02\x01\xbb"])), None),
            (of(1, &[b"\0", H2]), Some(of(1, &[b"\0", H2])), None),
            (of(1, &[b"\x01T\x03cdn\0", H2]), Some(of(1, &[b"\0", H2])), None),
            (
                of(1, &[b"\0", H2, HINT4, KEYS, HINT6]),
                Some(of(1, &[OWNER, H2, SET4, KEYS, SET6])),
                Some(of(1, &[b"\0", H2, SET4])),
            ),
            (
                of(1, &[b"\0", &mandatory(&[0, 5, 0, 6]), KEYS, HINT6]),
                Some(of(1, &[OWNER, &mandatory(&[0, 5, 0, 6]), KEYS, SET6])),
                Some(of(1, &[b"\0"])),
            ),
            (of(1, &[b"\0", b"\x00\x01\x00\x09h2"]), None, None),
        ] {
            let record = ServiceRecord { owner: OWNER.into(), rdata: rdata.clone().into() };
            let service = Service::compile(&[record], 60, &set);
            let records = |left_out| service.as_ref().and_then(|service| service.records(left_out).first().cloned());
            let without_v6 = without_v6.or(whole.clone());
            assert_eq!(records(None).as_deref(), whole.as_deref(), "{rdata:?}");
            assert_eq!(records(Some(Family::V6)).as_deref(), without_v6.as_deref(), "{rdata:?}");
        }
    }
}
