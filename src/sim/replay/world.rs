//! The world of one replay with one seed: who fails whom, and when.

use std::collections::HashMap;
use std::sync::Arc;

use super::draw::keyed;
use super::faults::Faults;
use super::incident::{ALL, Incident, PREFERRED, Span, Subject};
use crate::steer::observation::Family;
use crate::steer::policy::{Candidate, SteeredName};
use crate::steer::time::Time;

/// What every place meets.
#[derive(Clone, Debug)]
pub struct World {
    pub begin: Time,
    pub end: Time,
    pub families: Vec<Family>,
    /// By name and candidate.
    pub candidates: Vec<Vec<Faults>>,
    /// The origin of each name.
    pub origins: Vec<Faults>,
    /// What the vantage itself loses.
    pub vantage: Faults,
    /// By operator of name servers.
    pub operators: Vec<Faults>,
}

impl World {
    /// For these names. `preferred` is the provider that most of them prefer.
    pub fn new(incident: &Incident, names: &[Arc<SteeredName>], preferred: &str, seed: u64) -> Self {
        let mut vantage = Faults::default();
        for span in &incident.spans {
            if let Subject::Vantage(families) = &span.subject {
                let faults = Faults::new([(span, "vantage")].into_iter(), seed).of_families(families);
                vantage = vantage.and(faults);
            }
        }
        let mut ranks = Ranks { names, preferred, seed, known: HashMap::new() };
        let candidates = (0..names.len())
            .map(|at| names[at].candidates.iter().map(|one| ranks.faults(incident, at, one)).collect())
            .collect();
        let of_origin = |name: &SteeredName| {
            let spans = incident.spans.iter().filter(|span| is_origin(span, name));
            Faults::new(spans.map(|span| (span, "origin")), seed)
        };
        let of_operator = |operator: &String| {
            let meant = |span: &&Span| span.subject == Subject::Nameservers(operator.clone());
            Faults::new(incident.spans.iter().filter(meant).map(|span| (span, operator.as_str())), seed)
        };
        Self {
            begin: incident.begin,
            end: incident.end,
            families: incident.families.clone(),
            candidates,
            origins: names.iter().map(|name| of_origin(name)).collect(),
            vantage,
            operators: incident.operators.iter().map(of_operator).collect(),
        }
    }

    /// Whole seconds that are replayed.
    pub fn length(&self) -> f64 {
        self.end.since(self.begin).as_secs_f64()
    }
}

/// Whether an incident has anything to do with a name.
pub fn concerns(incident: &Incident, name: &SteeredName, preferred: &str) -> bool {
    incident.spans.iter().any(|span| match &span.subject {
        Subject::Vantage(_) | Subject::Nameservers(_) => true,
        _ => is_origin(span, name) || name.candidates.iter().any(|one| is_candidate(span, name, one, preferred)),
    })
}

fn is_origin(span: &Span, name: &SteeredName) -> bool {
    matches!(&span.subject, Subject::Origin(origin) if origin == ALL || **origin == *name.name)
}

fn is_candidate(span: &Span, name: &SteeredName, one: &Candidate, preferred: &str) -> bool {
    match &span.subject {
        Subject::Provider(id) if id == PREFERRED => *one.provider == *preferred,
        Subject::Provider(id) => id == ALL || **id == *one.provider,
        Subject::Candidate { name: of, candidate } => **of == *name.name && **candidate == *one.id,
        _ => false,
    }
}

/// Which names of a provider are hit where only a part is: the same ones in all spans, so that a name which was hit stays hit.
struct Ranks<'a> {
    names: &'a [Arc<SteeredName>],
    preferred: &'a str,
    seed: u64,
    /// By provider: the place of each name in the order of being hit, and how many have the provider.
    known: HashMap<Arc<str>, (HashMap<usize, usize>, usize)>,
}

impl Ranks<'_> {
    fn faults(&mut self, incident: &Incident, at: usize, one: &Candidate) -> Faults {
        let name = &self.names[at];
        let hit: Vec<(&Span, String)> = incident
            .spans
            .iter()
            .filter_map(|span| match &span.subject {
                _ if is_origin(span, name) => Some((span, "origin".to_owned())),
                _ if !is_candidate(span, name, one, self.preferred) => None,
                Subject::Provider(_) => {
                    self.is_hit(span.part, at, &one.provider).then(|| (span, one.provider.to_string()))
                }
                _ => Some((span, format!("{}/{}", name.name, one.id))),
            })
            .collect();
        Faults::new(hit.iter().map(|(span, key)| (*span, key.as_str())), self.seed)
    }

    fn is_hit(&mut self, part: f64, at: usize, provider: &Arc<str>) -> bool {
        let (names, seed) = (self.names, self.seed);
        let (ranks, of) = self.known.entry(Arc::clone(provider)).or_insert_with(|| {
            let has = |&number: &usize| names[number].candidates.iter().any(|one| one.provider == *provider);
            let mut order: Vec<usize> = (0..names.len()).filter(has).collect();
            order.sort_by_key(|&number| keyed(seed, &["part", provider, &names[number].name], 0));
            (order.iter().enumerate().map(|(rank, &number)| (number, rank)).collect(), order.len())
        });
        let count = (part * *of as f64).round().max(1.0);
        part > 0.0 && ranks.get(&at).is_some_and(|&rank| (rank as f64) < count)
    }
}
