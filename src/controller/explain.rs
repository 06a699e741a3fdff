//! `explain`: what would be answered, and every step why. It asks the very function that answers.

use hickory_proto::rr::{DNSClass, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use ipnet::IpNet;

use super::message::{ExplainError, ExplainQuery};
use super::task::Task;
use super::view::Explanation;
use crate::image;
use crate::zone::name::Name;
use crate::zone::record::Rtype;

/// What stands in the place of a draw, where the policy draws for each query.
const DRAW: u64 = 0;
const REFUSED: u16 = 5;

impl Task {
    pub(super) fn explain(&self, query: &ExplainQuery) -> Result<Explanation, ExplainError> {
        let name = Name::from_text(query.name.as_bytes(), &Name::root())
            .map_err(|_| ExplainError::BadName(query.name.clone()))?;
        let rtype =
            Rtype::from_text(query.rtype.as_bytes()).ok_or_else(|| ExplainError::BadType(query.rtype.clone()))?;
        let published = self.published.load_full();
        let trace = image::explain(&published, &name, rtype, query.client, DRAW);
        if trace.rcode == REFUSED {
            return Err(ExplainError::NotOurs(name.to_string()));
        }
        let slot = trace.steered.and_then(|(slot, candidate)| Some((published.image.slots().get(slot)?, candidate)));
        let answer =
            trace.answer.iter().map(|record| record_text(&record.owner, record.rtype, record.ttl, &record.rdata));
        Ok(Explanation {
            name: name.to_string(),
            rtype: rtype.to_string(),
            client: client_text(query.client),
            rcode: rcode_word(trace.rcode),
            answer: answer.collect(),
            steps: trace.steps,
            candidate: slot.and_then(|(steered, candidate)| {
                steered.candidates.get(usize::from(candidate?)).map(|candidate| candidate.id.to_string())
            }),
            steered: slot.and_then(|(steered, _)| self.steering.name(&steered.name)).map(|name| self.name_view(name)),
        })
    }
}

/// An address, or a prefix with its length.
fn client_text(client: IpNet) -> String {
    let whole = client.prefix_len() == client.max_prefix_len();
    if whole { client.addr().to_string() } else { client.to_string() }
}

/// The mnemonic of a response code (RFC 6895, section 2.3).
fn rcode_word(rcode: u16) -> String {
    match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        REFUSED => "REFUSED",
        6 => "YXDOMAIN",
        other => return format!("RCODE{other}"),
    }
    .to_owned()
}

/// A record in presentation format; RFC 3597's where its type has none here.
fn record_text(owner: &Name, rtype: Rtype, ttl: u32, rdata: &[u8]) -> String {
    let known = || {
        let mut wire = owner.as_wire().to_vec();
        wire.extend_from_slice(&rtype.0.to_be_bytes());
        wire.extend_from_slice(&u16::from(DNSClass::IN).to_be_bytes());
        wire.extend_from_slice(&ttl.to_be_bytes());
        wire.extend_from_slice(&u16::try_from(rdata.len()).ok()?.to_be_bytes());
        wire.extend_from_slice(rdata);
        let record = Record::read(&mut BinDecoder::new(&wire)).ok()?;
        if matches!(record.record_type(), RecordType::Unknown(_)) { None } else { Some(record.data.to_string()) }
    };
    let data = known().unwrap_or_else(|| {
        let hex: String = rdata.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("\\# {} {hex}", rdata.len())
    });
    format!("{owner} {ttl} IN {rtype} {data}")
}
