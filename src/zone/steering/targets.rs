//! Targets that lead back: a candidate's target inside the zones read together must not be steered itself, nor lead to a
//! steered name by CNAMEs.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::assemble::Draft;
use crate::steer::policy::Target;
use crate::zone::diagnostic::Severity;
use crate::zone::log::{Log, Place};
use crate::zone::name::Name;
use crate::zone::names::{Names, ancestors};
use crate::zone::record::{Record, Rtype};

/// CNAMEs followed from a target.
const MAX_CHAIN: usize = 16;

/// What is looked at of one zone.
#[derive(Debug)]
pub(in crate::zone) struct Site<'a> {
    pub origin: Name,
    pub records: &'a [Record],
    pub steered: &'a [Draft],
    names: OnceCell<Names<'a>>,
}

/// One finding, for the log of the zone with this index.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::zone) struct Finding {
    pub zone: usize,
    pub place: Place,
    pub message: String,
    pub severity: Severity,
}

impl<'a> Site<'a> {
    pub(in crate::zone) fn new(origin: &Name, records: &'a [Record], steered: &'a [Draft]) -> Self {
        Self { origin: origin.to_lowercase(), records, steered, names: OnceCell::new() }
    }

    fn names(&self) -> &Names<'a> {
        self.names.get_or_init(|| Names::new(self.records, &[]))
    }
}

/// Follows every target of every zone.
pub(in crate::zone) fn check(sites: &[Site<'_>]) -> Vec<Finding> {
    let origins = sites.iter().enumerate().map(|(at, site)| (site.origin.as_wire(), at)).collect();
    let steered = sites.iter().flat_map(|site| site.steered).map(|draft| (draft.owner.as_wire(), ())).collect();
    let all = All { sites, origins, steered };
    let mut findings = Vec::new();
    for (zone, site) in sites.iter().enumerate() {
        for draft in site.steered {
            for (candidate, place) in draft.name.candidates.iter().zip(&draft.targets) {
                if let Target::Name(target) = &candidate.target
                    && let Ok(target) = Name::from_text(target.as_bytes(), &Name::root())
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
    origins: BTreeMap<&'s [u8], usize>,
    steered: BTreeMap<&'s [u8], ()>,
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
            match lead(site, &name) {
                Lead::End => return None,
                Lead::Nothing if step == 0 => {
                    return Some((
                        Severity::Warning,
                        format!("nothing stands at {target}, though it is in the zone {}", site.origin),
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
        if self.steered.contains_key(name.as_wire()) {
            return true;
        }
        let stands = site.names().contains(name.as_wire());
        let covering = covering(site, name);
        !stands && covering.is_some_and(|wildcard| self.steered.contains_key(wildcard.as_slice()))
    }
}

fn lead(site: &Site<'_>, name: &Name) -> Lead {
    let names = site.names();
    let apex = site.origin.as_wire().len();
    let mut above = ancestors(name.as_wire()).take_while(|above| above.len() > apex);
    if above.any(|above| names.has(above, Rtype::NS)) {
        return Lead::End;
    }
    for above in ancestors(name.as_wire()).skip(1).take_while(|above| above.len() >= apex) {
        if let Some(dname) = names.of_type(above, Rtype::DNAME).next() {
            let head = name.as_wire().get(..name.as_wire().len() - above.len()).unwrap_or_default();
            return Name::from_wire(&[head, &dname.rdata].concat()).map_or(Lead::End, Lead::Alias);
        }
    }
    let owner = if names.contains(name.as_wire()) { Some(name.as_wire().to_vec()) } else { covering(site, name) };
    let Some(owner) = owner.filter(|owner| names.contains(owner)) else { return Lead::Nothing };
    match names.of_type(&owner, Rtype::CNAME).next() {
        Some(cname) => Name::from_wire(&cname.rdata).map_or(Lead::End, Lead::Alias),
        None if names.has_address(&owner) => Lead::End,
        None => Lead::Nothing,
    }
}

/// The wildcard below the closest encloser (RFC 4592, section 3.3.1), whether it stands or only has steering records.
fn covering(site: &Site<'_>, name: &Name) -> Option<Vec<u8>> {
    let names = site.names();
    let apex = site.origin.as_wire().len();
    for above in ancestors(name.as_wire()).skip(1).take_while(|above| above.len() >= apex) {
        let wildcard = [b"\x01*", above].concat();
        if names.contains(&wildcard) || names.is_steered(&wildcard) {
            return Some(wildcard);
        }
        if names.contains(above) {
            return None;
        }
    }
    None
}
