//! From a name and a type to records: RFC 1034, section 4.3.2, with RFC 4592 (wildcards), RFC 6672 (DNAME) and RFC 9471 (glue).
//!
//! Each step looks one name up. It ends the walk, or gives the next name: the target of a CNAME, a DNAME's substitution.
//!
//! | found | step |
//! | --- | --- |
//! | no zone of ours | first: REFUSED; later: what stands so far |
//! | a zone cut on the way, or at the name (DS aside) | referral |
//! | a DNAME on the way | DNAME, CNAME, go on at the substituted name |
//! | the name, or else the wildcard of its closest encloser | its data: steered, of the type, CNAME and go on, or NODATA |
//! | nothing | NXDOMAIN |

use super::answer::{Asker, Transport, rcode};
use super::node::{Node, Rrset, flag};
use super::published::Published;
use super::query::{HEADER, LowerName};
use super::tally::Cell;
use super::writer::{Full, Writer};
use super::{Found, Image};
use crate::zone::record::Rtype;

/// CNAMEs of one answer, at most: loops aside nobody needs as many.
const MAX_CHAIN: usize = 16;

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
const SOA: u16 = 6;
pub(super) const AAAA: u16 = 28;
const DNAME: u16 = 39;
pub(super) const DS: u16 = 43;
pub(super) const SVCB: u16 = 64;
pub(super) const HTTPS: u16 = 65;
pub(super) const ANY: u16 = 255;

/// Not Ready and Not Authoritative (RFC 8914, sections 4.15 and 4.21).
const NOT_READY: u16 = 14;
pub(super) const NOT_AUTHORITATIVE: u16 = 20;

/// Who wants to know the steps.
pub(super) trait Observer {
    /// One step, in a sentence.
    fn step(&mut self, tell: impl FnOnce() -> String);
    /// A steered name answered, with this candidate.
    fn steered(&mut self, slot: usize, candidate: Option<u16>);
}

/// Nobody.
pub(super) struct Unobserved;

impl Observer for Unobserved {
    fn step(&mut self, _: impl FnOnce() -> String) {}
    fn steered(&mut self, _: usize, _: Option<u16>) {}
}

/// What the header says of the records that were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) rcode: u16,
    pub(super) authoritative: bool,
    pub(super) truncated: bool,
    pub(super) answer: u16,
    pub(super) authority: u16,
    pub(super) additional: u16,
    pub(super) extended_error: Option<u16>,
    /// How many bits of the client's address the answer depends on.
    pub(super) scope: u8,
    /// What it counts for.
    pub(super) cell: Option<Cell>,
}

impl Outcome {
    /// The scope that is told: what is negative holds for everyone (RFC 7871, section 7.4).
    #[inline]
    pub(super) fn told_scope(&self) -> u8 {
        if self.answer > 0 { self.scope } else { 0 }
    }
}

/// One question on its way.
pub(super) struct Walk<'a, O> {
    pub(super) published: &'a Published,
    pub(super) image: &'a Image,
    pub(super) qtype: u16,
    pub(super) asker: &'a Asker,
    pub(super) writer: Writer<'a>,
    pub(super) observer: &'a mut O,
    pub(super) outcome: Outcome,
    /// Where in the message the CNAMEs of the chain begin, with their owners.
    chain: [u16; MAX_CHAIN],
    links: usize,
}

/// How the walk goes on.
#[expect(clippy::large_enum_variant, reason = "it stays on the stack; a box would allocate")]
pub(super) enum Next {
    Done,
    Name(LowerName),
}

impl<'a, O: Observer> Walk<'a, O> {
    pub(super) fn new(
        published: &'a Published,
        qtype: u16,
        asker: &'a Asker,
        writer: Writer<'a>,
        observer: &'a mut O,
    ) -> Self {
        let image = &*published.image;
        let outcome = Outcome::default();
        Self { published, image, qtype, asker, writer, observer, outcome, chain: [0; MAX_CHAIN], links: 0 }
    }

    /// Writes the answer. Returns what the header says of it, and where it ends.
    pub(super) fn run(mut self, mut name: LowerName) -> (Outcome, usize) {
        let empty = self.writer.mark();
        loop {
            match self.step(&name) {
                Ok(Next::Name(next)) => name = next,
                Ok(Next::Done) => break,
                Err(Full) if self.asker.transport == Transport::Tcp => {
                    self.observer.step(|| "the answer has more octets than any message: SERVFAIL".to_owned());
                    self.writer.reset(empty);
                    self.outcome = Outcome { rcode: rcode::SERVFAIL, ..Outcome::default() };
                    break;
                }
                Err(Full) => {
                    self.outcome.truncated = true;
                    break;
                }
            }
        }
        (self.outcome, self.writer.position())
    }

    fn step(&mut self, name: &LowerName) -> Result<Next, Full> {
        let octets = name.as_message();
        let Some(found) = self.image.find(octets, HEADER, octets.len()) else {
            return Ok(self.outside(rcode::REFUSED, NOT_AUTHORITATIVE));
        };
        let found = self.parent_side(found);
        let node = found.node;
        if node.is(flag::BROKEN) {
            return Ok(self.outside(rcode::SERVFAIL, NOT_READY));
        }
        if let Some(barrier) = node.barrier() {
            let at_it = found.exact && barrier.at == node.at;
            match barrier.is(flag::CUT) {
                true if !(at_it && self.qtype == DS) => return self.referral(barrier, name),
                true => {}
                false if !at_it => return self.dname(barrier, name),
                false => {}
            }
        }
        self.outcome.authoritative = true;
        if found.exact {
            return self.data(found, name);
        }
        match node.wildcard() {
            Some(wildcard) => {
                self.observer.step(|| format!("{} does not exist; {} does", text(name.as_wire()), wildcard.name()));
                self.data(Found { node: wildcard, ..found }, name)
            }
            None => {
                self.observer.step(|| format!("{} does not exist: NXDOMAIN", text(name.as_wire())));
                self.outcome.rcode = rcode::NXDOMAIN;
                self.negative(node, u32::MAX)
            }
        }
    }

    /// No zone of ours, or one of which nothing is known: said of the question's own name, not of one that a chain led to.
    fn outside(&mut self, rcode: u16, info: u16) -> Next {
        if self.links == 0 {
            self.outcome.rcode = rcode;
            self.outcome.extended_error = Some(info);
            self.observer.step(|| {
                if info == NOT_READY { "the zone is broken: SERVFAIL" } else { "no zone of ours: REFUSED" }.to_owned()
            });
        } else {
            self.observer.step(|| "the chain leaves what is served here".to_owned());
        }
        Next::Done
    }

    /// DS of a zone's apex is data of the zone above, where that is ours too (RFC 4035, section 3.1.4.1).
    fn parent_side(&self, found: Found<'a>) -> Found<'a> {
        if self.qtype != DS || !found.exact || !found.node.is(flag::APEX) {
            return found;
        }
        let above = self.image.parent_sides.get(&found.zone);
        let node = above.and_then(|place| Some((place.zone, self.image.node(*place)?)));
        node.map_or(found, |(zone, node)| Found { zone, node, ..found })
    }

    fn data(&mut self, found: Found<'a>, name: &LowerName) -> Result<Next, Full> {
        match found.node.slot() {
            Some(slot) => self.steered(found, slot, name),
            None => self.own_data(found.node, name, u32::MAX),
        }
    }

    /// The owner's own records. `cap` limits the TTLs of what steering would otherwise replace.
    pub(super) fn own_data(&mut self, node: Node<'a>, name: &LowerName, cap: u32) -> Result<Next, Full> {
        // One RRset is enough for ANY (RFC 8482, section 4.1).
        let set = if self.qtype == ANY { node.rrsets().next() } else { node.rrset(self.qtype) };
        if let Some(set) = set {
            self.observer.step(|| format!("{} has {} records", text(name.as_wire()), Rtype(set.rtype())));
            self.append_answer(name.as_wire(), set, cap)?;
            return Ok(Next::Done);
        }
        if let Some(set) = node.rrset(CNAME) {
            let Some((target, _)) = set.rdatas().next().and_then(|rdata| rdata.name(0)) else { return Ok(Next::Done) };
            self.observer.step(|| format!("{} is a CNAME to {}", text(name.as_wire()), text(target.as_wire())));
            let at = self.writer.position();
            self.append_answer(name.as_wire(), set, cap)?;
            return Ok(self.follow(at, LowerName::new(target.as_wire())));
        }
        self.observer.step(|| format!("{} has no such records: NODATA", text(name.as_wire())));
        self.negative(node, cap)
    }

    fn append_answer(&mut self, owner: &[u8], set: Rrset<'a>, cap: u32) -> Result<(), Full> {
        let ttl = if matches!(set.rtype(), A | AAAA | CNAME | SVCB | HTTPS) { set.ttl().min(cap) } else { set.ttl() };
        self.outcome.answer += self.writer.compiled(owner, set, ttl)?;
        Ok(())
    }

    /// Goes on at the target of a CNAME that was written at `at`, if the chain is no loop.
    fn follow(&mut self, at: usize, target: LowerName) -> Next {
        let known = self.chain.get(..self.links).unwrap_or_default();
        let loops = known.iter().any(|owner| self.writer.equals(usize::from(*owner), target.as_wire()));
        let Some(link) = self.chain.get_mut(self.links) else { return Next::Done };
        let (Ok(owner), false) = (u16::try_from(at), loops || self.writer.equals(at, target.as_wire())) else {
            self.observer.step(|| "the chain is a loop, and ends".to_owned());
            return Next::Done;
        };
        *link = owner;
        self.links += 1;
        Next::Name(target)
    }

    /// NS of a cut, and the addresses of ours among its name servers. Not authoritative, unless a chain led here.
    fn referral(&mut self, cut: Node<'a>, name: &LowerName) -> Result<Next, Full> {
        self.observer.step(|| format!("{} is delegated: referral", cut.name()));
        let Some(set) = cut.rrset(NS) else { return Ok(Next::Done) };
        self.outcome.authority += self.writer.compiled(end_of(name, cut), set, set.ttl())?;
        for glue in cut.glue() {
            let owner = glue.set.owner;
            let Some(owner) = LowerName::joined(owner.labels(), owner.zone.origin()) else { continue };
            match self.writer.compiled(owner.as_wire(), glue.set, glue.set.ttl()) {
                Ok(count) => self.outcome.additional += count,
                Err(Full) if glue.required => return Err(Full),
                Err(Full) => break,
            }
        }
        Ok(Next::Done)
    }

    /// RFC 6672, section 3.2: the DNAME, and a CNAME made of it.
    fn dname(&mut self, dname: Node<'a>, name: &LowerName) -> Result<Next, Full> {
        self.outcome.authoritative = true;
        let set = dname.rrset(DNAME);
        let Some((set, target)) = set.and_then(|set| Some((set, set.rdatas().next()?.octets))) else {
            return Ok(Next::Done);
        };
        self.observer.step(|| format!("{} is a DNAME to {}", dname.name(), text(target)));
        let owner = end_of(name, dname);
        self.append_answer(owner, set, u32::MAX)?;
        let labels = name.as_wire().len().saturating_sub(owner.len());
        let Some(next) = LowerName::joined(name.as_wire().get(..labels).unwrap_or_default(), target) else {
            self.observer.step(|| "the substituted name is too long: YXDOMAIN".to_owned());
            self.outcome.rcode = rcode::YXDOMAIN;
            return Ok(Next::Done);
        };
        let at = self.writer.position();
        let rdatas = std::iter::once(next.as_wire());
        self.outcome.answer += self.writer.rrset(name.as_wire(), CNAME, set.ttl(), rdatas)?;
        Ok(if self.qtype == CNAME { Next::Done } else { self.follow(at, next) })
    }

    /// The SOA of a negative answer, its TTL min(TTL, MINIMUM) (RFC 2308, section 3) and at most `cap`.
    pub(super) fn negative(&mut self, node: Node<'a>, cap: u32) -> Result<Next, Full> {
        let set = node.zone.apex().and_then(|apex| apex.rrset(SOA));
        let (Some(set), Some(denial)) = (set, node.zone.denial()) else { return Ok(Next::Done) };
        self.outcome.authority += self.writer.compiled(node.zone.origin(), set, denial.ttl().min(cap))?;
        Ok(Next::Done)
    }
}

/// The end of a name: that of the node at it or above it.
fn end_of<'n>(name: &'n LowerName, node: Node<'_>) -> &'n [u8] {
    let wire = name.as_wire();
    wire.get(wire.len().saturating_sub(node.name_len())..).unwrap_or_default()
}

/// A wire name in presentation format, for sentences.
pub(super) fn text(wire: &[u8]) -> String {
    crate::zone::name::Name::from_wire(wire).map_or_else(|_| "?".to_owned(), |name| name.to_string())
}
