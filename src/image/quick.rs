//! The ordinary answers, by copying: a name that is there, steered or not, one that is not, one without the type that was asked for.
//!
//! One probe finds the name, a second one its parent. What was compiled stands as it is sent, but for two things: the TTL of a steered answer, and
//! the pointers of the SOA in a denial. Those were compiled behind a question for the origin; behind a longer name all that they point at stands
//! so many octets later as the name is longer.
//!
//! Whatever is not that simple (below a zone cut or a DNAME, a wildcard, a CNAME that is to be followed, no room) is the walk's, as if nothing
//! had been tried; where both could answer, both give the same answer.

use super::answer::{Asker, rcode};
use super::node::{Denial, Node, flag};
use super::published::Published;
use super::query::Query;
use super::steered;
use super::walk::{ANY, CNAME, DS, Outcome};

/// No pointer.
const NOWHERE: u16 = u16::MAX;

/// The records behind a question of class IN, and where they end.
#[inline(always)]
pub(super) fn answer(
    published: &Published,
    query: &[u8],
    question: &Query,
    asker: &Asker,
    out: &mut [u8],
) -> Option<(Outcome, usize)> {
    if matches!(question.qtype, DS | ANY) {
        return None;
    }
    let found = published.image.find_near(query, &question.name)?;
    let node = found.node;
    if node.is(flag::BARRIER | flag::BROKEN | flag::NO_COPY) {
        return None;
    }
    if !found.exact {
        if node.is(flag::WILDCARD) {
            return None;
        }
        return denied(node, question, rcode::NXDOMAIN, out);
    }
    if node.is(flag::SLOT) {
        return steered::quick(published, found, question.qtype, question.end, asker, out);
    }
    // A CNAME stands alone, but for types that are asked for at the owner itself.
    if let Some(set) = node.rrset_or(question.qtype, CNAME) {
        if set.rtype() != question.qtype {
            return None;
        }
        let end = question.end + set.records.len();
        out.get_mut(question.end..end)?.copy_from_slice(set.records);
        return Some((Outcome { authoritative: true, answer: set.count, ..Outcome::default() }, end));
    }
    denied(node, question, 0, out)
}

/// The SOA of the name's zone.
fn denied(node: Node<'_>, question: &Query, rcode: u16, out: &mut [u8]) -> Option<(Outcome, usize)> {
    let Denial { record, pointers } = node.zone.denial()?;
    let end = question.end + record.len();
    let place = out.get_mut(question.end..end)?;
    place.copy_from_slice(record);
    let longer = (question.name.end - super::query::HEADER).checked_sub(node.zone.origin().len())? as u16;
    for at in pointers.into_iter().take_while(|at| *at != NOWHERE) {
        let pointer: &mut [u8; 2] = place.get_mut(usize::from(at)..)?.first_chunk_mut()?;
        *pointer = (u16::from_be_bytes(*pointer) + longer).to_be_bytes();
    }
    Some((Outcome { rcode, authoritative: true, authority: 1, ..Outcome::default() }, end))
}
