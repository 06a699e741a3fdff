//! Where the targets of NS, MX, SRV and CNAME records lead, as far as the zone can tell.

use super::{Zone, shown};
use crate::zone::diagnostic::Severity;
use crate::zone::log::Log;
use crate::zone::name::Name;
use crate::zone::names::ancestors;
use crate::zone::record::Rtype;

/// Where a name leads inside the zone.
#[derive(Debug, PartialEq, Eq)]
enum Lead<'a> {
    Outside,
    Address,
    Alias,
    /// Below a cut at this name, with or without an address beside the cut's NS records.
    Delegated(&'a [u8], Glue),
    Nothing,
}

#[derive(Debug, PartialEq, Eq)]
enum Glue {
    Given,
    Missing,
}

impl Zone<'_> {
    pub(super) fn targets(&self, log: &mut Log) {
        for at in 0..self.records().len() {
            match self.records().rtype(at) {
                Rtype::NS => self.nameserver(at, log),
                Rtype::MX | Rtype::SRV => self.exchange(at, log),
                Rtype::CNAME => self.alias(at, log),
                _ => {}
            }
        }
    }

    fn lead<'n>(&self, name: &'n [u8]) -> Lead<'n> {
        if !self.is_within(name) {
            return Lead::Outside;
        }
        if let Some(cut) = self.cuts.then(|| self.above(name).filter(|above| self.is_cut(above)).last()).flatten() {
            return Lead::Delegated(cut, if self.names.has_address(name) { Glue::Given } else { Glue::Missing });
        }
        if self.dname_above(name).is_some() {
            return Lead::Alias;
        }
        self.lead_of(name).or_else(|| self.wildcard(name)).unwrap_or(Lead::Nothing)
    }

    fn is_within(&self, name: &[u8]) -> bool {
        let apex = self.origin.as_wire();
        let tail = name.len().checked_sub(apex.len()).and_then(|at| name.get(at..));
        // Most targets lead elsewhere: whether the suffix begins a label is asked of the others alone.
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(apex))
            && ancestors(name).any(|above| above.len() == apex.len())
    }

    /// What stands at the name itself; none where nothing does.
    fn lead_of<'n>(&self, name: &[u8]) -> Option<Lead<'n>> {
        if self.names.has_address(name) || self.names.is_steered(name) {
            return Some(Lead::Address);
        }
        if self.names.has(name, Rtype::CNAME) {
            return Some(Lead::Alias);
        }
        self.names.contains(name).then_some(Lead::Nothing)
    }

    /// What the wildcard that covers the name gives (RFC 4592, section 3.3.1).
    fn wildcard<'n>(&self, name: &[u8]) -> Option<Lead<'n>> {
        let apex = self.origin.as_wire().len();
        for above in ancestors(name).skip(1).take_while(|above| above.len() >= apex) {
            let lead = self.lead_of(&[b"\x01*", above].concat());
            if lead.is_some() || self.names.contains(above) {
                return lead;
            }
        }
        None
    }

    fn nameserver(&self, at: usize, log: &mut Log) {
        let name = self.records().rdata(at);
        match self.lead(name) {
            Lead::Outside | Lead::Address | Lead::Delegated(_, Glue::Given) => {}
            Lead::Alias => {
                let target = shown(name);
                log.warning(self.place(at), format!("the nameserver {target} is an alias (RFC 2181, section 10.3)"));
            }
            Lead::Nothing => {
                let message = format!("the nameserver {} has no address in this zone", shown(name));
                log.told(Severity::Error, self.place(at), message, self.missing_dot(name));
            }
            Lead::Delegated(cut, Glue::Missing) => {
                let needed = self.records().owner_of(at) == 0;
                let message = format!(
                    "the nameserver {} is below the delegation at {}, and has no glue (A or AAAA) here",
                    shown(name),
                    shown(cut)
                );
                if needed { log.error(self.place(at), message) } else { log.warning(self.place(at), message) }
            }
        }
    }

    /// MX and SRV.
    fn exchange(&self, at: usize, log: &mut Log) {
        let rtype = self.records().rtype(at);
        let skip = if rtype == Rtype::MX { 2 } else { 6 };
        let name = self.records().rdata(at).get(skip..).unwrap_or_default();
        // A lone dot says that there is none (RFC 7505, RFC 2782).
        if name == [0] {
            return;
        }
        match self.lead(name) {
            Lead::Outside | Lead::Address | Lead::Delegated(..) => {}
            Lead::Alias => {
                log.warning(
                    self.place(at),
                    format!("the {rtype} target {} is an alias (RFC 2181, section 10.3)", shown(name)),
                );
            }
            Lead::Nothing => {
                let message = format!("the {rtype} target {} has no address in this zone", shown(name));
                log.told(Severity::Warning, self.place(at), message, self.missing_dot(name));
            }
        }
    }

    fn alias(&self, at: usize, log: &mut Log) {
        let name = self.records().rdata(at);
        let nothing = self.lead(name) == Lead::Nothing && !self.names.contains(name) && self.wildcard(name).is_none();
        if nothing {
            let message = format!("the CNAME target {} does not exist in this zone", shown(name));
            log.told(Severity::Warning, self.place(at), message, self.missing_dot(name));
        }
    }

    /// What was meant, where a target in the zone looks like one outside whose last dot is missing.
    fn missing_dot(&self, target: &[u8]) -> Option<String> {
        let head = target.get(..target.len().checked_sub(self.origin.as_wire().len())?)?;
        let meant = Name::from_wire(&[head, &[0]].concat()).ok()?;
        (meant.labels().count() > 1)
            .then(|| format!("if it is outside the zone, write `{meant}` with a dot at its end"))
    }
}
