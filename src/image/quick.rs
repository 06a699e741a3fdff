//! The ordinary answers, by copying: a name that is there, steered or not, one that is not, one without the type that was asked for.
//!
//! Records of a wildcard, a CNAME with one step or out of our zones, a referral, a refusal, and that an RRset has no room come so too.
//!
//! One straight way for a question of class IN with at most an OPT behind it. Header and counts are read and written as two words, question and
//! records copied in blocks. What was compiled stands as it is sent, but for two things: the TTL of a steered answer, and the pointers of the SOA in
//! a denial and of all records in a referral. Those were compiled behind a question for the origin or the cut; behind a longer name all that they
//! point at stands so many octets later as the name is longer.
//!
//! Whatever is not that simple (another opcode, other records, below a DNAME, a longer chain, no room for a part) is
//! left to [`super::query`] and [`super::walk`], as if nothing had been tried; where both could answer, both give the same answer.

use super::answer::{Appender, Asker, OPT_FIXED, OPTION_FIXED, Reply, Transport, limit, rcode, reserved};
use super::node::{Denial, FIXED, Node, Referral, Rrset, flag};
use super::published::Published;
use super::query::{Edns, HEADER, LowerName, name_end, read_edns};
use super::subnet::Subnet;
use super::walk::{CNAME, NOT_AUTHORITATIVE, NS, Outcome};
use super::{Image, MAX_UDP, rdata, steered, subnet};

/// No pointer.
const NOWHERE: u16 = u16::MAX;
/// In the first word of a header: id, flags, questions, answers. QR, the opcode, and the counts are looked at.
const LOOKED_AT: u64 = 0x0000_f800_ffff_ffff;
const ORDINARY: u64 = 0x0000_0000_0001_0000;
/// Id, opcode, RD and CD are said again.
const REPEATED: u64 = 0xffff_7910_0000_0000;
const RESPONSE: u64 = 0x8000_0000_0000;
const AUTHORITATIVE: u64 = 0x0400_0000_0000;
const TRUNCATED: u64 = 0x0200_0000_0000;
/// An OPT: the root, its type.
const OPT: [u8; 3] = [0, 0, 41];
/// What may be said besides in an OPT: an extended error.
const EXTENDED_ERROR: usize = OPTION_FIXED + 2;

/// An ordinary question.
#[derive(Clone, Copy)]
pub(super) struct Question<'q> {
    octets: &'q [u8],
    /// The first eight octets.
    head: u64,
    /// Where its name ends.
    name_end: usize,
    pub(super) qtype: u16,
    opt: Option<Opt>,
}

/// The asker's OPT, version 0.
#[derive(Clone, Copy)]
struct Opt {
    payload: u16,
    wants_dnssec: bool,
}

/// What an answer must fit into.
pub(super) struct Room<'o> {
    pub(super) out: &'o mut [u8],
    /// Where the records end at the latest.
    pub(super) most: usize,
}

/// The answer to a message; none where it is not that simple.
#[inline(always)]
pub(super) fn answer(published: &Published, query: &[u8], asker: &Asker, out: &mut [u8]) -> Option<Reply> {
    let (question, options) = Question::read(query)?;
    if options.is_empty() {
        let most = limit(asker.transport, question.opt.map(|opt| opt.payload), out.len());
        let most = most.checked_sub(if question.opt.is_some() { OPT_FIXED + EXTENDED_ERROR } else { 0 })?;
        return found(published, question, None, asker, Room { out, most });
    }
    with_options(published, question, options, asker, out)
}

/// An OPT has options: mostly a cookie, which is nothing to us.
#[inline(never)]
fn with_options(
    published: &Published,
    question: Question<'_>,
    options: &[u8],
    asker: &Asker,
    out: &mut [u8],
) -> Option<Reply> {
    let opt = question.opt?;
    let edns = read_edns(opt.payload, u32::from(opt.wants_dnssec) << 15, options)?.over(asker.transport);
    let most =
        limit(asker.transport, Some(opt.payload), out.len()).checked_sub(reserved(&published.image, Some(edns)))?;
    let client = edns.subnet.and_then(|subnet| subnet.client()).unwrap_or(asker.client);
    let edns = (edns.wants_nsid || edns.wants_keepalive || edns.subnet.is_some()).then_some(&edns);
    found(published, question, edns, &Asker { client, ..*asker }, Room { out, most })
}

#[inline(always)]
fn found(
    published: &Published,
    question: Question<'_>,
    edns: Option<&Edns>,
    asker: &Asker,
    room: Room<'_>,
) -> Option<Reply> {
    let image = &*published.image;
    let Some((zone, node)) = image.named(question.octets, HEADER, question.name_end) else {
        return absent(image, question, edns, room);
    };
    if node.is(flag::BARRIER | flag::BROKEN | flag::NO_COPY | flag::SLOT) {
        return special(published, (zone, node), question, edns, asker, room);
    }
    // A CNAME stands alone, but for types that are asked for at the owner itself.
    let Some(set) = node.rrset_or(question.qtype, CNAME) else { return denied(image, node, 0, question, edns, room) };
    if set.rtype() != question.qtype {
        return alias(image, set, question, edns, room);
    }
    if question.copy(room.out, room.most, set.records).is_none() {
        return cut_short(image, question.octets, edns, asker, room);
    }
    let outcome = Outcome { authoritative: true, answer: set.count, ..Outcome::default() };
    question.close(image, edns, &outcome, set.records.len(), room.out)
}

/// A node that has more to it than its records. One way out of the straight one costs that less than several.
#[inline(never)]
fn special(
    published: &Published,
    (zone, node): (u32, Node<'_>),
    question: Question<'_>,
    edns: Option<&Edns>,
    asker: &Asker,
    room: Room<'_>,
) -> Option<Reply> {
    if node.is(flag::BARRIER) {
        return delegated(&published.image, node, question, edns, room);
    }
    if node.is(flag::BROKEN | flag::NO_COPY) {
        return None;
    }
    steered::quick(published, (zone, node), question, edns, asker, room)
}

/// An RRset that has no room: all of it is left out. One with names may have less octets where it is compressed anew.
/// The question is read again, so that the straight way need not keep it for this.
#[cold]
#[inline(never)]
#[expect(clippy::needless_pass_by_value, reason = "three words, which stay in registers")]
fn cut_short(image: &Image, octets: &[u8], edns: Option<&Edns>, asker: &Asker, room: Room<'_>) -> Option<Reply> {
    let (question, _) = Question::read(octets)?;
    if asker.transport != Transport::Udp || rdata::names(question.qtype).is_some() {
        return None;
    }
    question.copy(room.out, room.most, &[])?;
    let outcome = Outcome { authoritative: true, truncated: true, ..Outcome::default() };
    question.close(image, edns, &outcome, 0, room.out)
}

/// A referral: the NS records of the cut at or above a node, and their glue, if all has room.
#[inline(never)]
#[expect(clippy::needless_pass_by_value, reason = "three words, which stay in registers")]
fn delegated(
    image: &Image,
    node: Node<'_>,
    question: Question<'_>,
    edns: Option<&Edns>,
    room: Room<'_>,
) -> Option<Reply> {
    let cut = node.barrier().filter(|cut| cut.is(flag::CUT))?;
    let (servers, Referral { glue, count, pointers }) = (cut.rrset_or(NS, NS)?, cut.referral()?);
    question.copy(room.out, room.most, servers.records)?;
    let records = room.out.get_mut(question.end()..room.most)?;
    copy(records.get_mut(servers.records.len()..)?.get_mut(..glue.len())?, glue);
    let longer = (question.name_end - HEADER).checked_sub(cut.name_len())? as u16;
    for at in pointers {
        let pointer: &mut [u8; 2] = records.get_mut(usize::from(u16::from_le_bytes(*at))..)?.first_chunk_mut()?;
        *pointer = (u16::from_be_bytes(*pointer) + longer).to_be_bytes();
    }
    let outcome = Outcome { authority: servers.count, additional: count, ..Outcome::default() };
    question.close(image, edns, &outcome, servers.records.len() + glue.len(), room.out)
}

/// A name that is not there.
#[inline(never)]
fn absent(image: &Image, question: Question<'_>, edns: Option<&Edns>, room: Room<'_>) -> Option<Reply> {
    let Some(found) = image.find_above(question.octets, HEADER, question.name_end) else {
        let extended_error = Some(NOT_AUTHORITATIVE);
        let outcome = Outcome { rcode: rcode::REFUSED, extended_error, ..Outcome::default() };
        question.copy(room.out, room.most, &[])?;
        return question.close(image, edns, &outcome, 0, room.out);
    };
    if found.node.is(flag::BARRIER | flag::BROKEN | flag::NO_COPY | flag::WILDCARD) {
        if found.node.is(flag::BARRIER) {
            return delegated(image, found.node, question, edns, room);
        }
        if found.node.is(flag::BROKEN | flag::NO_COPY) {
            return None;
        }
        return wildcard(image, found.node.wildcard()?, question, edns, room);
    }
    denied(image, found.node, rcode::NXDOMAIN, question, edns, room)
}

/// Records of a wildcard (RFC 4592), as long as no name in them could point at its own labels.
fn wildcard(
    image: &Image,
    node: Node<'_>,
    question: Question<'_>,
    edns: Option<&Edns>,
    room: Room<'_>,
) -> Option<Reply> {
    if node.is(flag::BARRIER | flag::SLOT) {
        return None;
    }
    let Some(set) = node.rrset_or(question.qtype, CNAME) else { return denied(image, node, 0, question, edns, room) };
    if set.rtype() != question.qtype || rdata::names(question.qtype).is_some() {
        return None;
    }
    question.copy(room.out, room.most, set.records)?;
    let outcome = Outcome { authoritative: true, answer: set.count, ..Outcome::default() };
    question.close(image, edns, &outcome, set.records.len(), room.out)
}

/// A CNAME, and what its target has of the type: the owner of that is the name that the CNAME's data begins with.
#[inline(never)]
fn alias(
    image: &Image,
    cname: Rrset<'_>,
    question: Question<'_>,
    edns: Option<&Edns>,
    room: Room<'_>,
) -> Option<Reply> {
    let target = cname.rdatas().next()?;
    if *target.octets.first()? >= 0xc0 || cname.count != 1 {
        return None;
    }
    let name = LowerName::new(target.name(0)?.0.as_wire());
    let octets = name.as_message();
    let Some((_, node)) = image.named(octets, HEADER, octets.len()) else {
        let leads_away = image.is_elsewhere(octets, HEADER, octets.len())?;
        return if leads_away { led_away(image, cname, question, edns, room) } else { None };
    };
    if node.is(flag::BARRIER | flag::BROKEN | flag::NO_COPY | flag::SLOT) || rdata::names(question.qtype).is_some() {
        return None;
    }
    let set = node.rrset_or(question.qtype, CNAME).filter(|set| set.rtype() == question.qtype)?;
    question.copy(room.out, room.most, cname.records)?;
    let from = question.end() + cname.records.len();
    let place = room.out.get_mut(from..room.most)?.get_mut(..set.records.len())?;
    copy(place, set.records);
    let owner = (0xc000 | u16::try_from(question.end() + FIXED).ok()?).to_be_bytes();
    let mut rest = place;
    while let Some((head, data)) = rest.split_first_chunk_mut::<FIXED>() {
        let [o0, o1, .., l0, l1] = head;
        [*o0, *o1] = owner;
        rest = data.get_mut(usize::from(u16::from_be_bytes([*l0, *l1]))..)?;
    }
    let outcome = Outcome { authoritative: true, answer: 1 + set.count, ..Outcome::default() };
    question.close(image, edns, &outcome, cname.records.len() + set.records.len(), room.out)
}

/// A CNAME alone: who asks goes on at a name that is not in our zones.
#[expect(clippy::needless_pass_by_value, reason = "three words, which stay in registers")]
fn led_away(
    image: &Image,
    cname: Rrset<'_>,
    question: Question<'_>,
    edns: Option<&Edns>,
    room: Room<'_>,
) -> Option<Reply> {
    question.copy(room.out, room.most, cname.records)?;
    let outcome = Outcome { authoritative: true, answer: 1, ..Outcome::default() };
    question.close(image, edns, &outcome, cname.records.len(), room.out)
}

/// The SOA of the name's zone.
#[inline(never)]
#[expect(clippy::needless_pass_by_value, reason = "three words, which stay in registers")]
fn denied(
    image: &Image,
    node: Node<'_>,
    rcode: u16,
    question: Question<'_>,
    edns: Option<&Edns>,
    room: Room<'_>,
) -> Option<Reply> {
    let Denial { record, pointers } = node.zone.denial()?;
    let place = question.copy(room.out, room.most, record)?;
    let longer = (question.name_end - HEADER).checked_sub(node.zone.origin().len())? as u16;
    for at in pointers.into_iter().take_while(|at| *at != NOWHERE) {
        let pointer: &mut [u8; 2] = place.get_mut(usize::from(at)..)?.first_chunk_mut()?;
        *pointer = (u16::from_be_bytes(*pointer) + longer).to_be_bytes();
    }
    let outcome = Outcome { rcode, authoritative: true, authority: 1, ..Outcome::default() };
    question.close(image, edns, &outcome, record.len(), room.out)
}

impl<'q> Question<'q> {
    /// Reads a question and the options of its OPT; none where it is no ordinary one.
    #[inline(always)]
    fn read(octets: &'q [u8]) -> Option<(Self, &'q [u8])> {
        let &[h0, h1, h2, h3, h4, h5, h6, h7, n0, n1, a0, a1] = octets.first_chunk::<HEADER>()?;
        let head = u64::from_be_bytes([h0, h1, h2, h3, h4, h5, h6, h7]);
        let others = u32::from_be_bytes([n0, n1, a0, a1]);
        if head & LOOKED_AT != ORDINARY || others > 1 {
            return None;
        }
        let name_end = name_end(octets)?;
        let (&[t0, t1, 0, 1], rest) = octets.get(name_end..)?.split_first_chunk()? else { return None };
        let qtype = u16::from_be_bytes([t0, t1]);
        // OPT, DS; TKEY, TSIG, IXFR, AXFR, MAILB, MAILA, ANY.
        if matches!(qtype, 41 | 43 | 249..=255) {
            return None;
        }
        if others == 0 {
            return rest.is_empty().then_some((Self { octets, head, name_end, qtype, opt: None }, rest));
        }
        let (&[o0, o1, o2, p0, p1, _, version, flags, _, l0, l1], options) = rest.split_first_chunk::<OPT_FIXED>()?;
        if [o0, o1, o2] != OPT || version != 0 || options.len() != usize::from(u16::from_be_bytes([l0, l1])) {
            return None;
        }
        let opt = Opt { payload: u16::from_be_bytes([p0, p1]), wants_dnssec: flags & 0x80 != 0 };
        Some((Self { octets, head, name_end, qtype, opt: Some(opt) }, options))
    }

    /// Where the question section ends.
    #[inline(always)]
    pub(super) fn end(&self) -> usize {
        self.name_end + 4
    }

    /// Writes the question and so many records behind it; none where they do not end at `most`.
    #[inline(always)]
    pub(super) fn copy<'o>(&self, out: &'o mut [u8], most: usize, records: &[u8]) -> Option<&'o mut [u8]> {
        let end = self.end();
        let (question, rest) = out.get_mut(..most)?.split_at_mut_checked(end)?;
        let place = rest.get_mut(..records.len())?;
        copy(question, self.octets.get(..end)?);
        copy(place, records);
        Some(place)
    }

    /// Writes the header, and the OPT behind `records` octets.
    #[inline(always)]
    pub(super) fn close(
        &self,
        image: &Image,
        edns: Option<&Edns>,
        outcome: &Outcome,
        records: usize,
        out: &mut [u8],
    ) -> Option<Reply> {
        let mut len = self.end() + records;
        let mut others = u32::from(outcome.authority) << 16 | u32::from(outcome.additional);
        if let Some(opt) = self.opt {
            others += 1;
            if edns.is_some() || outcome.extended_error.is_some() {
                len = full_opt(image, edns, opt, outcome, len, out);
            } else {
                let dnssec = if opt.wants_dnssec { 0x80 } else { 0 };
                let [p0, p1] = (MAX_UDP as u16).to_be_bytes();
                *out.get_mut(len..)?.first_chunk_mut()? = [0, 0, 41, p0, p1, 0, 0, dnssec, 0, 0, 0];
                len += OPT_FIXED;
            }
        }
        let mut head = self.head & REPEATED | RESPONSE | u64::from(outcome.rcode) << 32 | 1 << 16;
        if outcome.authoritative {
            head |= AUTHORITATIVE;
        }
        if outcome.truncated {
            head |= TRUNCATED;
        }
        head |= u64::from(outcome.answer);
        let [h0, h1, h2, h3, h4, h5, h6, h7] = head.to_be_bytes();
        let [n0, n1, a0, a1] = others.to_be_bytes();
        *out.first_chunk_mut()? = [h0, h1, h2, h3, h4, h5, h6, h7, n0, n1, a0, a1];
        Some(Reply::Message { len, rcode: outcome.rcode, truncated: outcome.truncated, cell: outcome.cell })
    }
}

/// An OPT with what was asked for and what there is to say. Returns where it ends.
#[inline(never)]
fn full_opt(image: &Image, edns: Option<&Edns>, opt: Opt, outcome: &Outcome, at: usize, out: &mut [u8]) -> usize {
    if let Some(Edns { wants_nsid: false, wants_keepalive: false, subnet: Some(subnet), .. }) = edns
        && outcome.extended_error.is_none()
        && let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut)
    {
        *place = opt_of_subnet(subnet, opt, outcome.told_scope());
        return at + OPT_FIXED + subnet.len();
    }
    let plain = Edns {
        payload: opt.payload,
        version: 0,
        wants_dnssec: opt.wants_dnssec,
        wants_nsid: false,
        wants_keepalive: false,
        subnet: None,
    };
    let mut appender = Appender { out, at };
    appender.opt(image, edns.copied().unwrap_or(plain), outcome);
    appender.at
}

/// An OPT with the client's subnet and nothing else, and zeros behind it.
#[inline]
fn opt_of_subnet(subnet: &Subnet, opt: Opt, scope: u8) -> [u8; OPT_FIXED + subnet::MOST] {
    let mut octets = [0; OPT_FIXED + subnet::MOST];
    let (head, option) = octets.split_at_mut(OPT_FIXED);
    let dnssec = if opt.wants_dnssec { 0x80 } else { 0 };
    let [p0, p1] = (MAX_UDP as u16).to_be_bytes();
    head.copy_from_slice(&[0, 0, 41, p0, p1, 0, 0, dnssec, 0, 0, subnet.len() as u8]);
    option.copy_from_slice(&subnet.answer(scope));
    octets
}

/// Copies octets into as many. Most are so few that two blocks which may overlap are less work than to ask how many they are.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    if blocks::<16>(to, from) || blocks::<32>(to, from) {
        return;
    }
    if to.len() == from.len() {
        to.copy_from_slice(from);
    }
}

/// Copies `N` to `2 * N` octets; false where they are more or fewer.
#[inline(always)]
fn blocks<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    if from.len() > 2 * N || to.len() != from.len() {
        return false;
    }
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else { return false };
    if let Some(place) = to.first_chunk_mut() {
        *place = *first;
    }
    if let Some(place) = to.last_chunk_mut() {
        *place = *last;
    }
    true
}
