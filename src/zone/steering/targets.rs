//! Targets that lead back: a candidate's target inside the zones read together must not be steered itself, nor lead to a
//! steered name by CNAMEs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::assemble::Draft;
use crate::steer::policy::{SteeredName, Target};
use crate::zone::diagnostic::Severity;
use crate::zone::log::{Log, Place};
use crate::zone::name::Name;
use crate::zone::names::{Names, ancestors};
use crate::zone::record::{Rtype, Zone};

/// CNAMEs followed from a target.
const MAX_CHAIN: usize = 16;

/// What is asked of a zone that is compiled already. Names are in wire format and lower case.
pub trait Contents {
    /// In lower case.
    fn origin(&self) -> &Name;

    fn steered(&self) -> &[Arc<SteeredName>];

    /// Whether records stand at this very name.
    fn stands(&self, name: &[u8]) -> bool;

    /// Whether a record of this type stands at this very name.
    fn has(&self, name: &[u8], rtype: Rtype) -> bool;

    /// Where the CNAME or the DNAME of this very name leads.
    fn alias(&self, name: &[u8], rtype: Rtype) -> Option<Name>;
}

/// For who does not compile, as `pointsman check`.
impl Contents for Zone {
    fn origin(&self) -> &Name {
        self.records.origin()
    }

    fn steered(&self) -> &[Arc<SteeredName>] {
        &self.steered
    }

    fn stands(&self, name: &[u8]) -> bool {
        self.records.number_of(name).is_some()
    }

    fn has(&self, name: &[u8], rtype: Rtype) -> bool {
        self.records.number_of(name).is_some_and(|owner| self.records.find(owner, rtype).is_some())
    }

    fn alias(&self, name: &[u8], rtype: Rtype) -> Option<Name> {
        let at = self.records.find(self.records.number_of(name)?, rtype)?;
        Name::from_wire(self.records.rdata(at)).ok()
    }
}

impl<C: Contents> Contents for Arc<C> {
    fn origin(&self) -> &Name {
        self.as_ref().origin()
    }

    fn steered(&self) -> &[Arc<SteeredName>] {
        self.as_ref().steered()
    }

    fn stands(&self, name: &[u8]) -> bool {
        self.as_ref().stands(name)
    }

    fn has(&self, name: &[u8], rtype: Rtype) -> bool {
        self.as_ref().has(name, rtype)
    }

    fn alias(&self, name: &[u8], rtype: Rtype) -> Option<Name> {
        self.as_ref().alias(name, rtype)
    }
}

/// One zone as it is looked at.
pub(in crate::zone) enum Site<'a> {
    /// Read, good or not; its targets are followed.
    Read {
        names: Names<'a>,
        drafts: &'a [Draft],
    },
    Compiled(&'a dyn Contents),
}

impl Site<'_> {
    fn origin(&self) -> &Name {
        match self {
            Self::Read { names, .. } => names.records.origin(),
            Self::Compiled(zone) => zone.origin(),
        }
    }

    fn drafts(&self) -> &[Draft] {
        match self {
            Self::Read { drafts, .. } => drafts,
            Self::Compiled(_) => &[],
        }
    }

    /// Its steered names, in wire format.
    fn steered(&self) -> Vec<Name> {
        match self {
            Self::Read { drafts, .. } => drafts.iter().map(|draft| draft.owner.clone()).collect(),
            Self::Compiled(zone) => zone.steered().iter().filter_map(|steered| wire(&steered.name)).collect(),
        }
    }

    fn stands(&self, name: &[u8]) -> bool {
        match self {
            Self::Read { names, .. } => names.contains(name),
            Self::Compiled(zone) => zone.stands(name),
        }
    }

    fn has(&self, name: &[u8], rtype: Rtype) -> bool {
        match self {
            Self::Read { names, .. } => names.has(name, rtype),
            Self::Compiled(zone) => zone.has(name, rtype),
        }
    }

    fn alias(&self, name: &[u8], rtype: Rtype) -> Option<Name> {
        match self {
            Self::Read { names, .. } => names.first(name, rtype).and_then(|rdata| Name::from_wire(rdata).ok()),
            Self::Compiled(zone) => zone.alias(name, rtype),
        }
    }
}

/// A name in presentation format, absolute.
pub(in crate::zone) fn wire(text: &str) -> Option<Name> {
    Name::from_text(text.as_bytes(), &Name::root()).ok()
}

/// One finding, for the log of the zone with this index.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::zone) struct Finding {
    pub zone: usize,
    pub place: Place,
    pub message: String,
    pub severity: Severity,
}

/// Follows every target of every zone that was read.
pub(in crate::zone) fn check(sites: &[Site<'_>]) -> Vec<Finding> {
    let steered = sites.iter().flat_map(Site::steered).collect();
    let origins = sites.iter().enumerate().map(|(at, site)| (site.origin().as_wire(), at)).collect();
    let all = All { sites, origins, steered };
    let mut findings = Vec::new();
    for (zone, site) in sites.iter().enumerate() {
        for draft in site.drafts() {
            for (candidate, place) in draft.name.candidates.iter().zip(&draft.targets) {
                if let Target::Name(target) = &candidate.target
                    && let Some(target) = wire(target)
                    && let Some((severity, message)) = all.follow(&draft.owner, &target)
                {
                    findings.push(Finding { zone, place: *place, message, severity });
                }
            }
        }
    }
    findings
}

impl Finding {
    pub(in crate::zone) fn tell(self, log: &mut Log) {
        match self.severity {
            Severity::Error => log.error(self.place, self.message),
            Severity::Warning => log.warning(self.place, self.message),
        }
    }
}

struct All<'a, 's> {
    sites: &'s [Site<'a>],
    origins: HashMap<&'s [u8], usize>,
    /// In lower case.
    steered: HashSet<Name>,
}

/// Where a name leads by the records of its zone.
enum Lead {
    /// Out of the zones, to a delegation, or to records that end the chain.
    End,
    Nothing,
    Alias(Name),
}

impl<'a, 's> All<'a, 's> {
    /// What is wrong with a target of `owner`, if anything is.
    fn follow(&self, owner: &Name, target: &Name) -> Option<(Severity, String)> {
        let mut name = target.to_lowercase();
        for step in 0..MAX_CHAIN {
            let through = if step == 0 {
                format!("the target {target}")
            } else {
                format!("the target {target} leads to {name}, which")
            };
            if name == *owner {
                return Some((
                    Severity::Error,
                    if step == 0 {
                        "the target is the steered name itself".to_owned()
                    } else {
                        format!("the target {target} leads back to {owner}")
                    },
                ));
            }
            let site = self.zone_of(&name)?;
            if self.is_steered(site, &name) {
                return Some((Severity::Error, format!("{through} is itself steered")));
            }
            match self.lead(site, &name) {
                Lead::End => return None,
                Lead::Nothing if step == 0 => {
                    return Some((
                        Severity::Warning,
                        format!("nothing stands at {target}, though it is in the zone {}", site.origin()),
                    ));
                }
                Lead::Nothing => {
                    return Some((
                        Severity::Warning,
                        format!("the target {target} leads to {name}, where nothing stands"),
                    ));
                }
                Lead::Alias(next) => name = next.to_lowercase(),
            }
        }
        Some((
            Severity::Error,
            format!("the target {target} leads through more than {MAX_CHAIN} CNAMEs, or in a circle"),
        ))
    }

    /// The zone that a name (lower case) is in.
    fn zone_of(&self, name: &Name) -> Option<&'s Site<'a>> {
        let at = ancestors(name.as_wire()).find_map(|above| self.origins.get(above))?;
        self.sites.get(*at)
    }

    fn is_steered(&self, site: &Site<'_>, name: &Name) -> bool {
        self.steered.contains(name)
            || (!site.stands(name.as_wire())
                && self.covering(site, name).is_some_and(|wild| self.steered.contains(&wild)))
    }

    fn lead(&self, site: &Site<'_>, name: &Name) -> Lead {
        let apex = site.origin().as_wire().len();
        let mut above = ancestors(name.as_wire()).take_while(|above| above.len() > apex);
        if above.any(|above| site.has(above, Rtype::NS)) {
            return Lead::End;
        }
        for above in ancestors(name.as_wire()).skip(1).take_while(|above| above.len() >= apex) {
            if let Some(dname) = site.alias(above, Rtype::DNAME) {
                let head = name.as_wire().get(..name.as_wire().len() - above.len()).unwrap_or_default();
                return Name::from_wire(&[head, dname.as_wire()].concat()).map_or(Lead::End, Lead::Alias);
            }
        }
        let stands = site.stands(name.as_wire());
        let owner = if stands { Some(name.clone()) } else { self.covering(site, name) };
        let Some(owner) = owner.filter(|owner| site.stands(owner.as_wire())) else { return Lead::Nothing };
        match site.alias(owner.as_wire(), Rtype::CNAME) {
            Some(next) => Lead::Alias(next),
            None if [Rtype::A, Rtype::AAAA].into_iter().any(|rtype| site.has(owner.as_wire(), rtype)) => Lead::End,
            None => Lead::Nothing,
        }
    }

    /// The wildcard below the closest encloser (RFC 4592, section 3.3.1), whether it stands or is only steered.
    fn covering(&self, site: &Site<'_>, name: &Name) -> Option<Name> {
        let apex = site.origin().as_wire().len();
        for above in ancestors(name.as_wire()).skip(1).take_while(|above| above.len() >= apex) {
            if let Ok(wildcard) = Name::from_wire(&[b"\x01*", above].concat())
                && (site.stands(wildcard.as_wire()) || self.steered.contains(&wildcard))
            {
                return Some(wildcard);
            }
            if site.stands(above) {
                return None;
            }
        }
        None
    }
}
