//! Steered names from what their records say: `use` resolved, defaults filled in, what does not fit together reported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::defaults::Defaults;
use super::fields::{CandidateFields, Known, PolicyFields, ProbeFields, Said};
use super::limits;
use super::own;
use super::renewals;
use super::sites::{self, MAX_CANDIDATES, Site, Sites};
use super::values;
use crate::steer::home::Home;
use crate::steer::policy::{
    AreaPolicy, Candidate, Empty, JudgementRule, Policy, Preference, ProbeRule, ProviderStep, Scheme, Shape,
    SteeredName, Sticky, Target,
};
use crate::zone::log::{Log, Place};
use crate::zone::name::Name;
use crate::zone::names::{Names, ancestors};
use crate::zone::reader::Reading;
use crate::zone::record::Rtype;
use crate::zone::suggestion::suggestion;

/// A steered name with what later checks need.
#[derive(Debug)]
pub(in crate::zone) struct Draft {
    pub name: SteeredName,
    /// Lower case.
    pub owner: Name,
    /// Where the target of each candidate stands.
    pub targets: Vec<Place>,
}

/// What steering records are read against.
#[derive(Clone, Copy, Debug)]
pub(in crate::zone) struct Rules<'a> {
    pub known: Known<'a>,
    pub defaults: &'a Defaults,
}

/// Reads all steering records of a zone, whose records have been read and checked. A zone without any hidden owner costs
/// nothing.
pub(in crate::zone) fn read(reading: &mut Reading, origin: &Name, rules: Rules<'_>) -> Vec<Draft> {
    if !reading.hidden {
        return Vec::new();
    }
    let mut log = std::mem::take(&mut reading.log);
    let sites = sites::read(reading, origin, rules.known, &mut log);
    let zone = Zone { reading, names: reading.names(), origin, rules };
    zone.templates(&sites, &mut log);
    let drafts: Vec<Draft> =
        sites.steered.iter().filter_map(|(owner, site)| zone.assemble(owner, site, &sites, &mut log)).collect();
    renewals::check(&drafts, &mut log);
    reading.log = log;
    drafts
}

pub(super) struct Zone<'a> {
    pub reading: &'a Reading,
    pub names: Names<'a>,
    pub origin: &'a Name,
    pub rules: Rules<'a>,
}

impl<'a> Zone<'a> {
    /// The records of an owner as they were read: place, type, data.
    pub(super) fn at(&self, owner: &Name) -> Vec<(Place, Rtype, &'a [u8])> {
        let Reading { records, places, sources, .. } = self.reading;
        let mut all: Vec<usize> = self.names.at(owner.as_wire()).collect();
        all.sort_by_key(|at| places.start(*at));
        all.into_iter().filter_map(|at| Some((places.of(at, sources)?, records.rtype(at), records.rdata(at)))).collect()
    }
}

/// One candidate with its id and where it is written.
struct Given<'a> {
    id: Arc<str>,
    fields: &'a CandidateFields,
    place: Place,
}

impl Zone<'_> {
    /// Templates use no others; one that nobody uses is told.
    fn templates(&self, sites: &Sites, log: &mut Log) {
        let uses = sites.steered.values().filter_map(|site| site.policy.as_ref()?.0.uses.as_ref());
        let used: BTreeSet<Vec<u8>> = uses.filter_map(|uses| template_key(&uses.value)).collect();
        for (key, site) in &sites.templates {
            if let Some(uses) = site.policy.as_ref().and_then(|(policy, _)| policy.uses.as_ref()) {
                log.error(uses.place.unwrap_or(site.place), "a template uses no other");
            }
            if !used.contains(key) {
                log.warning(site.place, "no name uses this template");
            }
            ids(&site.candidates, log);
        }
    }

    fn assemble(&self, owner: &Name, site: &Site, sites: &Sites, log: &mut Log) -> Option<Draft> {
        self.is_ours(owner, site.place, log);
        let none = (PolicyFields::default(), site.place);
        let (own, place) = site.policy.as_ref().unwrap_or(&none);
        if site.policy.is_none() && !site.broken {
            log.error_with_help(
                site.place,
                format!("{owner} has candidates and no policy"),
                "add a TXT record with `v=steer1`",
            );
        }
        let template = own.uses.as_ref().and_then(|uses| self.template(uses, sites, *place, log));
        let broken = site.broken
            || template.is_some_and(|template| template.broken)
            || (own.uses.is_some() && template.is_none());
        let inherited = template
            .and_then(|template| template.policy.as_ref())
            .map(|(policy, _)| policy.clone())
            .unwrap_or_default();
        let fields = own.or(&inherited).or(&self.rules.defaults.0);
        let mut given = ids(&site.candidates, log);
        if let Some(template) = template {
            let others: Vec<Given<'_>> =
                given_of(&template.candidates).filter(|theirs| given.iter().all(|ours| ours.id != theirs.id)).collect();
            given.extend(others);
        }
        if given.len() > MAX_CANDIDATES {
            log.error(*place, format!("a name has at most {MAX_CANDIDATES} candidates, `use` included"));
        }
        let candidates = self.candidates(owner, &fields, &given, *place, log);
        if candidates.is_empty() {
            if !broken {
                log.error_with_help(
                    *place,
                    format!("{owner} has no candidate"),
                    "add a TXT record `cdn=PROVIDER to=TARGET`",
                );
            }
            return None;
        }
        let policy = policy(&fields);
        let shape = self.shape(owner, &candidates);
        let targets = given.iter().filter(|given| given.fields.to.is_some() && given.fields.cdn.is_some());
        let targets =
            targets.map(|given| given.fields.to.as_ref().and_then(|to| to.place).unwrap_or(given.place)).collect();
        let name = SteeredName {
            name: owner.to_string().into(),
            zone: self.origin.to_lowercase().to_string().into(),
            policy,
            candidates,
            shape,
        };
        if !broken {
            limits::check(&name, &fields, *place, log);
            limits::unmatched(&name, own, log);
            own::check(self, owner, &name, *place, log);
            own::https(self, owner, &name, log);
        }
        Some(Draft { name, owner: owner.clone(), targets })
    }

    /// A steered name is in the zone, and no cut or DNAME hides it.
    fn is_ours(&self, owner: &Name, place: Place, log: &mut Log) {
        if !owner.is_within(self.origin) {
            log.error(place, format!("{owner} is not in the zone {}", self.origin));
            return;
        }
        let apex = self.origin.as_wire().len();
        for above in ancestors(owner.as_wire()).take_while(|above| above.len() >= apex) {
            let is_owner = above.len() == owner.as_wire().len();
            if above.len() > apex && self.names.has(above, Rtype::NS) {
                log.error(place, format!("{owner} is delegated at {}: it cannot be steered here", shown(above)));
                return;
            }
            if self.names.has(above, Rtype::DNAME) && !is_owner {
                log.error(
                    place,
                    format!("{owner} is below the DNAME record at {}: it cannot be steered", shown(above)),
                );
                return;
            }
        }
    }

    fn template<'s>(&self, uses: &Said<String>, sites: &'s Sites, place: Place, log: &mut Log) -> Option<&'s Site> {
        let found = template_key(&uses.value).and_then(|key| sites.templates.get(&key));
        if found.is_none() {
            let place = uses.place.unwrap_or(place);
            let message = format!("there are no records at {}._steer.{}", uses.value, self.origin);
            let known: Vec<String> = sites.templates.keys().map(|key| template_name(key)).collect();
            match suggestion(&uses.value, known.iter().map(String::as_str)) {
                Some(near) => log.error_with_help(place, message, format!("did you mean `{near}`?")),
                None => log.error(place, message),
            }
        }
        found
    }

    fn candidates(
        &self,
        owner: &Name,
        fields: &PolicyFields,
        given: &[Given<'_>],
        place: Place,
        log: &mut Log,
    ) -> Vec<Candidate> {
        let own_host = (!owner.is_wildcard()).then(|| values::host(&owner.to_string()).ok()).flatten();
        let mut hostless = false;
        let mut hints = Hints::default();
        let mut all = Vec::with_capacity(given.len());
        for one in given {
            let (Some(cdn), Some(to)) = (&one.fields.cdn, &one.fields.to) else { continue };
            let probe = one.fields.probe.or(&fields.probe);
            let host = probe.host.as_ref().map(|host| host.value.clone()).or_else(|| own_host.clone());
            hostless |= host.is_none();
            let (provider, home) = cdn.value.clone();
            let home = one.fields.home.as_ref().map_or(home, |home| home.value);
            let rule = probe_rule(&probe, host.unwrap_or_default());
            hints.of(&probe, &rule);
            self.foreign(&provider, to, one.place, log);
            let pace = self.rules.known.providers.find(&provider).and_then(|known| known.step);
            let step = pace.map(|pace| ProviderStep::of(pace.percent(), &owner.to_string(), &provider));
            all.push(Candidate {
                id: one.id.clone(),
                provider,
                home,
                target: to.value.clone(),
                weight: value(one.fields.weight.as_ref(), 1),
                max: one.fields.max.as_ref().map(|max| max.value),
                standby: value(one.fields.standby.as_ref(), false),
                probe: rule,
                judgement: judgement_rule(&probe, step),
            });
        }
        if hostless {
            let what = if owner.is_wildcard() { "a wildcard" } else { "no host name" };
            log.error_with_help(
                place,
                format!("{owner} is {what}: probes need a `host`"),
                "add `host=NAME`, the name for SNI and `Host`",
            );
        }
        hints.tell(log);
        all
    }

    /// A target that looks like another provider's.
    fn foreign(&self, provider: &str, to: &Said<Target>, place: Place, log: &mut Log) {
        let Target::Name(name) = &to.value else { return };
        let owns = |suffix: &String| {
            name.strip_suffix(suffix.as_str()).is_some_and(|head| head.is_empty() || head.ends_with('.'))
        };
        let owner = self.rules.known.providers.iter().find(|known| known.targets.iter().any(owns));
        if let Some(owner) = owner.filter(|owner| &*owner.id != provider) {
            log.warning(
                to.place.unwrap_or(place),
                format!("this target looks like one of {}, not of {provider}", owner.id),
            );
        }
    }

    fn shape(&self, owner: &Name, candidates: &[Candidate]) -> Shape {
        let names = candidates.iter().filter(|candidate| matches!(candidate.target, Target::Name(_))).count();
        let is_apex = owner.as_wire().len() == self.origin.as_wire().len();
        if names == 0 {
            Shape::Addresses
        } else if names < candidates.len() || is_apex || own::has_other_data(self, owner) {
            Shape::Flattened
        } else {
            Shape::Cname
        }
    }
}

fn shown(wire: &[u8]) -> String {
    Name::from_wire(wire).map_or_else(|error| error.to_string(), |name| name.to_string())
}

/// The value of `use` as templates are kept by.
fn template_key(value: &str) -> Option<Vec<u8>> {
    let name = Name::from_text(value.as_bytes(), &Name::root()).ok()?.to_lowercase();
    name.as_wire().strip_suffix(&[0]).map(<[u8]>::to_vec)
}

fn template_name(key: &[u8]) -> String {
    let name = shown(&[key, &[0]].concat());
    name.trim_end_matches('.').to_owned()
}

fn given_of(candidates: &[(CandidateFields, Place)]) -> impl Iterator<Item = Given<'_>> {
    candidates.iter().filter_map(|(fields, place)| {
        let id =
            fields.id.as_ref().map(|id| id.value.clone()).or_else(|| Some(fields.cdn.as_ref()?.value.0.clone()))?;
        Some(Given { id, fields, place: *place })
    })
}

/// The candidates of one `_steer` name, each id once.
fn ids<'a>(candidates: &'a [(CandidateFields, Place)], log: &mut Log) -> Vec<Given<'a>> {
    let mut all: Vec<Given<'a>> = Vec::new();
    for given in given_of(candidates) {
        if all.iter().any(|other| other.id == given.id) {
            let said = given.fields.id.as_ref().and_then(|id| id.place);
            let place = said.or_else(|| given.fields.cdn.as_ref().and_then(|cdn| cdn.place)).unwrap_or(given.place);
            let message = format!("a second candidate with the id `{}`", given.id);
            log.error_with_help(place, message, "where one provider appears twice, `id=NAME` tells them apart");
        } else {
            all.push(given);
        }
    }
    all
}

fn value<T: Clone>(said: Option<&Said<T>>, default: T) -> T {
    said.map_or(default, |said| said.value.clone())
}

fn policy(fields: &PolicyFields) -> Policy {
    let areas = fields.areas.iter().map(|(area, fields)| {
        let value = |said: &Option<Said<Vec<Preference>>>| said.as_ref().map(|said| said.value.clone());
        (area.clone(), AreaPolicy { prefer: value(&fields.prefer), only: value(&fields.only) })
    });
    let homes = ["eu", "us"].into_iter().filter_map(|home| home.parse::<Home>().ok());
    Policy {
        prefer: value(fields.prefer.as_ref(), homes.map(Preference::Home).collect()),
        only: fields.only.as_ref().map(|only| only.value.clone()),
        areas: areas.collect::<BTreeMap<_, _>>(),
        ttl: value(fields.ttl.as_ref(), 30),
        sticky: value(fields.sticky.as_ref(), Sticky::Yes),
        empty: value(fields.empty.as_ref(), Empty::Last),
        origin: fields.origin.as_ref().map(|origin| origin.value.clone()),
    }
}

fn probe_rule(fields: &ProbeFields, host: String) -> ProbeRule {
    let (scheme, port, path) = value(fields.probe.as_ref(), (Scheme::Https, 443, "/".to_owned()));
    ProbeRule {
        scheme,
        port,
        path,
        host,
        expect: value(fields.expect.as_ref(), vec![(200, 399)]),
        body: fields.body.as_ref().map(|body| body.value.clone()),
        not_body: fields.not_body.as_ref().map(|body| body.value.clone()),
        slow: fields.slow.as_ref().map(|slow| slow.value),
        every: value(fields.every.as_ref(), Duration::from_secs(10)),
        timeout: value(fields.timeout.as_ref(), Duration::from_secs(3)),
    }
}

fn judgement_rule(fields: &ProbeFields, step: Option<ProviderStep>) -> JudgementRule {
    let (share_percent, share_of) = value(fields.share.as_ref(), (30, 20));
    JudgementRule {
        fall: value(fields.fall.as_ref(), 3),
        share_percent,
        share_of,
        clean: value(fields.clean.as_ref(), Duration::from_secs(1_200)),
        ramp: value(fields.ramp.as_ref(), Duration::from_secs(1_200)),
        step,
    }
}

/// Probe fields that can have no effect; each told once, though many candidates share it.
#[derive(Debug, Default)]
struct Hints {
    useless: BTreeMap<Place, &'static str>,
    used: BTreeSet<Place>,
    late: BTreeSet<Place>,
}

impl Hints {
    fn of(&mut self, fields: &ProbeFields, rule: &ProbeRule) {
        let place = |place: Option<Option<Place>>| place.flatten();
        let http = [
            ("expect", place(fields.expect.as_ref().map(|said| said.place))),
            ("body", place(fields.body.as_ref().map(|said| said.place))),
            ("not-body", place(fields.not_body.as_ref().map(|said| said.place))),
        ];
        for (key, place) in http {
            let Some(place) = place else { continue };
            match rule.scheme {
                Scheme::Tcp => drop(self.useless.insert(place, key)),
                Scheme::Http | Scheme::Https => drop(self.used.insert(place)),
            }
        }
        if let Some(slow) = fields.slow.as_ref().filter(|slow| slow.value >= rule.timeout) {
            self.late.extend(slow.place);
        }
    }

    fn tell(self, log: &mut Log) {
        for (place, key) in self.useless.iter().filter(|(place, _)| !self.used.contains(place)) {
            log.warning(*place, format!("`{key}` has no effect on a tcp probe"));
        }
        for place in self.late {
            log.warning(place, "`slow` has no effect: it is not below the timeout");
        }
    }
}
