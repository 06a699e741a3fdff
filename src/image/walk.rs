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
use super::node::{self, Kind, Node, Rrset};
use super::published::Published;
use super::query::LowerName;
use super::writer::{Full, Writer};
use super::{Found, Image};
use crate::zone::record::Rtype;

/// CNAMEs of one answer, at most: loops aside nobody needs as many.
const MAX_CHAIN: usize = 16;

pub(super) const A: u16 = 1;
const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
const SOA: u16 = 6;
pub(super) const AAAA: u16 = 28;
const DNAME: u16 = 39;
pub(super) const DS: u16 = 43;
pub(super) const HTTPS: u16 = 65;
pub(super) const ANY: u16 = 255;

/// Not Ready and Not Authoritative (RFC 8914, sections 4.15 and 4.21).
const NOT_READY: u16 = 14;
const NOT_AUTHORITATIVE: u16 = 20;

/// Who wants to know the steps.
pub(super) trait Observer {
    /// Whether anybody looks; if not, short cuts are taken.
    fn watches(&self) -> bool;
    /// One step, in a sentence.
    fn step(&mut self, tell: impl FnOnce() -> String);
    /// A steered name answered, with this candidate.
    fn steered(&mut self, slot: usize, candidate: Option<u16>);
}

/// Nobody.
pub(super) struct Unobserved;

impl Observer for Unobserved {
    fn watches(&self) -> bool {
        false
    }
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
        let Some(found) = self.image.find(name.as_wire()) else {
            return Ok(self.outside(rcode::REFUSED, NOT_AUTHORITATIVE));
        };
        let found = self.parent_side(found);
        let image = self.image;
        let Some(node) = image.nodes.get(found.node) else { return Ok(Next::Done) };
        if node.kind == Kind::Broken {
            return Ok(self.outside(rcode::SERVFAIL, NOT_READY));
        }
        let barrier = node::index(node.barrier).and_then(|at| Some((at, image.nodes.get(at)?)));
        if let Some((at, barrier)) = barrier {
            let at_it = found.exact && at == found.node;
            match barrier.kind {
                Kind::Cut if !(at_it && self.qtype == DS) => return self.referral(barrier),
                Kind::Cut => {}
                _ if !at_it => return self.dname(barrier, name),
                _ => {}
            }
        }
        self.outcome.authoritative = true;
        if found.exact {
            return self.data(node, name, true);
        }
        match node::index(node.wildcard).and_then(|at| image.nodes.get(at)) {
            Some(wildcard) => {
                self.observer
                    .step(|| format!("{} does not exist; {} does", text(name.as_wire()), text(&wildcard.name)));
                self.data(wildcard, name, false)
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
    fn parent_side(&self, found: Found) -> Found {
        if self.qtype != DS || !found.exact {
            return found;
        }
        let above = self.image.nodes.get(found.node).and_then(|node| node::index(node.parent_side));
        above.map_or(found, |node| Found { node, ..found })
    }

    fn data(&mut self, node: &'a Node, name: &LowerName, exact: bool) -> Result<Next, Full> {
        match node.slot() {
            Some(slot) => self.steered(node, slot, name, exact),
            None => self.own_data(node, name, u32::MAX),
        }
    }

    /// The owner's own records. `cap` limits the TTLs of what steering would otherwise replace.
    pub(super) fn own_data(&mut self, node: &'a Node, name: &LowerName, cap: u32) -> Result<Next, Full> {
        let image = self.image;
        // One RRset is enough for ANY (RFC 8482, section 4.1).
        let set = if self.qtype == ANY { image.rrsets(node).first() } else { image.rrset(node, self.qtype) };
        if let Some(set) = set {
            self.observer.step(|| format!("{} has {} records", text(name.as_wire()), Rtype(set.rtype)));
            self.append_answer(name.as_wire(), set, cap)?;
            return Ok(Next::Done);
        }
        if let Some(set) = image.rrset(node, CNAME) {
            let Some(target) = image.rdatas(set).next() else { return Ok(Next::Done) };
            self.observer.step(|| format!("{} is a CNAME to {}", text(name.as_wire()), text(target)));
            let at = self.writer.position();
            self.append_answer(name.as_wire(), set, cap)?;
            return Ok(self.follow(at, LowerName::new(target)));
        }
        self.observer.step(|| format!("{} has no such records: NODATA", text(name.as_wire())));
        self.negative(node, cap)
    }

    fn append_answer(&mut self, owner: &[u8], set: &Rrset, cap: u32) -> Result<(), Full> {
        let ttl = if matches!(set.rtype, A | AAAA | CNAME) { set.ttl.min(cap) } else { set.ttl };
        self.outcome.answer += self.writer.rrset(owner, set.rtype, ttl, self.image.rdatas(set))?;
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
    fn referral(&mut self, cut: &'a Node) -> Result<Next, Full> {
        let image = self.image;
        self.observer.step(|| format!("{} is delegated: referral", text(&cut.name)));
        let Some(set) = image.rrset(cut, NS) else { return Ok(Next::Done) };
        self.outcome.authority += self.writer.rrset(&cut.name, NS, set.ttl, image.rdatas(set))?;
        let start = cut.glue as usize;
        let glue = image.glue.get(start..start + usize::from(cut.glue_count)).unwrap_or_default();
        for glue in glue {
            let (Some(owner), Some(set)) =
                (image.nodes.get(glue.owner as usize), image.rrsets.get(glue.rrset as usize))
            else {
                continue;
            };
            match self.writer.rrset(&owner.name, set.rtype, set.ttl, image.rdatas(set)) {
                Ok(count) => self.outcome.additional += count,
                Err(Full) if glue.required => return Err(Full),
                Err(Full) => break,
            }
        }
        Ok(Next::Done)
    }

    /// RFC 6672, section 3.2: the DNAME, and a CNAME made of it.
    fn dname(&mut self, dname: &'a Node, name: &LowerName) -> Result<Next, Full> {
        let image = self.image;
        self.outcome.authoritative = true;
        let Some((set, target)) = image.rrset(dname, DNAME).and_then(|set| Some((set, image.rdatas(set).next()?)))
        else {
            return Ok(Next::Done);
        };
        self.observer.step(|| format!("{} is a DNAME to {}", text(&dname.name), text(target)));
        self.append_answer(&dname.name, set, u32::MAX)?;
        let labels = name.as_wire().len().saturating_sub(dname.name.len());
        let Some(next) = LowerName::joined(name.as_wire().get(..labels).unwrap_or_default(), target) else {
            self.observer.step(|| "the substituted name is too long: YXDOMAIN".to_owned());
            self.outcome.rcode = rcode::YXDOMAIN;
            return Ok(Next::Done);
        };
        let at = self.writer.position();
        let rdatas = std::iter::once(next.as_wire());
        self.outcome.answer += self.writer.rrset(name.as_wire(), CNAME, set.ttl, rdatas)?;
        Ok(if self.qtype == CNAME { Next::Done } else { self.follow(at, next) })
    }

    /// The SOA of a negative answer, its TTL min(TTL, MINIMUM) (RFC 2308, section 3) and at most `cap`.
    pub(super) fn negative(&mut self, node: &Node, cap: u32) -> Result<Next, Full> {
        let image = self.image;
        let Some(zone) = image.zone_nodes.get(node.zone as usize) else { return Ok(Next::Done) };
        let Some(set) = node::index(zone.soa).and_then(|soa| image.rrsets.get(soa)) else { return Ok(Next::Done) };
        let ttl = zone.negative_ttl.min(cap);
        self.outcome.authority += self.writer.rrset(zone.origin.as_wire(), SOA, ttl, image.rdatas(set))?;
        Ok(Next::Done)
    }
}

/// A wire name in presentation format, for sentences.
pub(super) fn text(wire: &[u8]) -> String {
    crate::zone::name::Name::from_wire(wire).map_or_else(|_| "?".to_owned(), |name| name.to_string())
}
