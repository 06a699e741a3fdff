//! Which `_steer` names a zone has, and what their records say, owner by owner.
//!
//! ```text
//! _steer.www.example.        the statements for www.example.
//! _steer.example.            those for the apex
//! shop._steer.example.       a template: what `use=shop` takes
//! ```

use std::collections::BTreeMap;

use super::fields::{CandidateFields, Known, PolicyFields, Refused};
use super::statement::{FieldText, NoField, Statement};
use crate::zone::log::{Log, Place};
use crate::zone::name::Name;
use crate::zone::reader::Reading;
use crate::zone::record::{Rtype, is_hidden};
use crate::zone::sources::Sources;

/// Candidates of one name, those of its template included.
pub(super) const MAX_CANDIDATES: usize = 100;

/// What the records at one `_steer` name say.
#[derive(Debug)]
pub(super) struct Site {
    /// The first record, in the order of the files.
    pub place: Place,
    pub policy: Option<(PolicyFields, Place)>,
    pub candidates: Vec<(CandidateFields, Place)>,
    /// Errors were reported; what is said is not whole.
    pub broken: bool,
}

/// All of a zone's, by lower-case name.
#[derive(Debug, Default)]
pub(super) struct Sites {
    /// By the owner that is steered.
    pub steered: BTreeMap<Name, Site>,
    /// By what `use` calls them: the part before `_steer`, in wire format without an end.
    pub templates: BTreeMap<Vec<u8>, Site>,
}

enum Role {
    Steered(Name),
    Template(Vec<u8>),
}

/// The records at hidden owners of a zone.
pub(super) fn read(reading: &Reading, origin: &Name, known: Known<'_>, log: &mut Log) -> Sites {
    let mut sites = Sites::default();
    let Reading { records, places, sources, .. } = reading;
    for (number, range) in records.ranges().filter(|(number, _)| records.is_hidden(*number)) {
        let owner = records.name_of(number);
        for at in range {
            let rtype = records.rtype(at);
            let Some(place) = places.of(at, sources).filter(|_| !matches!(rtype, Rtype::RRSIG | Rtype::NSEC)) else {
                continue;
            };
            if rtype != Rtype::TXT {
                log.error(place, format!("only TXT records stand at `_steer` names, this is one of type {rtype}"));
                continue;
            }
            let site = match role(&owner, origin) {
                Ok(Role::Steered(owner)) => sites.steered.entry(owner).or_insert_with(|| Site::new(place)),
                Ok(Role::Template(name)) => sites.templates.entry(name).or_insert_with(|| Site::new(place)),
                Err(message) => {
                    log.error(place, message);
                    continue;
                }
            };
            take(site, records.rdata(at), place, sources, known, log);
        }
    }
    sites
}

impl Site {
    fn new(place: Place) -> Self {
        Self { place, policy: None, candidates: Vec::new(), broken: false }
    }
}

/// What the records at a hidden name are for.
fn role(owner: &Name, origin: &Name) -> Result<Role, String> {
    let owner = owner.to_lowercase();
    let apex = origin.to_lowercase();
    if is_hidden(origin) {
        return Err(format!("the zone {origin} is itself below `_steer`: nothing in it can be steered"));
    }
    let below = owner.as_wire().strip_prefix(b"\x06_steer").and_then(|rest| Name::from_wire(rest).ok());
    if let Some(below) = below {
        return if is_hidden(&below) {
            Err("`_steer` stands in this name twice".to_owned())
        } else {
            Ok(Role::Steered(below))
        };
    }
    let base = [b"\x06_steer", apex.as_wire()].concat();
    match owner.as_wire().strip_suffix(base.as_slice()) {
        Some(name) if Name::from_wire(&[name, &[0]].concat()).is_ok_and(|name| !is_hidden(&name)) => {
            Ok(Role::Template(name.to_vec()))
        }
        _ => Err(format!(
            "`_steer` is the first label (`_steer.www`), or stands right above the apex in a template (`NAME._steer.{apex}`)"
        )),
    }
}

/// One record.
fn take(site: &mut Site, rdata: &[u8], place: Place, sources: &Sources, known: Known<'_>, log: &mut Log) {
    let errors = log.errors();
    match Statement::new(rdata, place, sources.octets(place.file)) {
        None => log.error(place, "the statement is no UTF-8"),
        Some(statement) => site.statement(&statement, known, log),
    }
    site.broken |= log.errors() > errors;
}

impl Site {
    fn statement(&mut self, statement: &Statement, known: Known<'_>, log: &mut Log) {
        let mut fields = statement.fields();
        match fields.next() {
            Some(Ok(first)) if first.key == "v" => self.policy(&first, fields, statement.place, known, log),
            Some(Ok(first)) if first.key == "cdn" => self.candidate(&first, fields, statement.place, known, log),
            Some(Ok(FieldText { place, .. }) | Err(NoField { place, .. })) => {
                log.error_with_help(
                    place,
                    "a statement begins with `v=steer1` or `cdn=`",
                    "a policy is `v=steer1 ...`, a candidate `cdn=PROVIDER to=TARGET ...`",
                );
            }
            None => log.error(statement.place, "the statement is empty"),
        }
    }

    fn policy<'a>(
        &mut self,
        first: &FieldText<'_>,
        rest: impl Iterator<Item = Result<FieldText<'a>, NoField<'a>>>,
        place: Place,
        known: Known<'_>,
        log: &mut Log,
    ) {
        if first.value != "steer1" {
            let message = format!("version `{}` is not known: expected `v=steer1`", first.value);
            if first.value.starts_with("steer1") {
                let help = "the strings of a TXT record are joined without a space: put the whole statement in quotes";
                log.error_with_help(first.value_place, message, help);
            } else {
                log.error(first.value_place, message);
            }
            return;
        }
        let mut policy = PolicyFields::default();
        for field in rest {
            take_field(field, log, |field| match field.key {
                "v" => Err(Refused::Field("`v` is given twice".into())),
                key => policy.take(key, field.value, Some(field.place), known),
            });
        }
        match &self.policy {
            Some(_) => log.error_with_help(
                place,
                "a second policy for one name",
                "one TXT record begins with `v=steer1`, each other one with `cdn=`",
            ),
            None => self.policy = Some((policy, place)),
        }
    }

    fn candidate<'a>(
        &mut self,
        first: &FieldText<'a>,
        rest: impl Iterator<Item = Result<FieldText<'a>, NoField<'a>>>,
        place: Place,
        known: Known<'_>,
        log: &mut Log,
    ) {
        let mut candidate = CandidateFields::default();
        let mut has_target = false;
        for field in std::iter::once(Ok(first.clone())).chain(rest) {
            has_target |= field.as_ref().is_ok_and(|field| field.key == "to");
            take_field(field, log, |field| candidate.take(field.key, field.value, Some(field.place), known));
        }
        if !has_target {
            log.error_with_help(
                place,
                "the candidate has no `to`",
                "write `to=` and one absolute name, or addresses separated by commas",
            );
        }
        if self.candidates.len() >= MAX_CANDIDATES {
            log.error(place, format!("a name has at most {MAX_CANDIDATES} candidates"));
            return;
        }
        self.candidates.push((candidate, place));
    }
}

fn take_field(
    field: Result<FieldText<'_>, NoField<'_>>,
    log: &mut Log,
    take: impl FnOnce(&FieldText<'_>) -> Result<(), Refused>,
) {
    let field = match field {
        Ok(field) => field,
        Err(NoField { text, place }) => {
            let help = "a field is `key=value`; a space in a value is written `%20`";
            log.error_with_help(place, format!("`{text}` is no field"), help);
            return;
        }
    };
    let (place, wrong) = match take(&field) {
        Ok(()) => return,
        Err(Refused::Field(wrong)) => (field.place, wrong),
        Err(Refused::Value(wrong)) => (field.value_place, wrong),
    };
    match wrong.help {
        Some(help) => log.error_with_help(place, wrong.message, help),
        None => log.error(place, wrong.message),
    }
}
