//! Area rules: what `prefer.<area>` and `only.<area>` come to for the clients of each place.
//!
//! A place is all addresses that are in the same areas, the most specific area first. For each place, `prefer` comes from
//! the first of its areas that has a `prefer.<area>`, else the plain one; `only` likewise, by itself. So a country's
//! `prefer` never switches off a continent's `only`. This table is the test's table too. The policy: `prefer=any`,
//! `prefer.country-de=bunny`, `only.country-de=any`, `prefer.eu27=eu`, `only.continent-eu=eu`, `only.lab=us`.
//!
//! | the areas of the place | prefer | only | for clients in |
//! | --- | --- | --- | --- |
//! | | any | | all others |
//! | country-us continent-na | any | | all others |
//! | country-no continent-eu | any | eu | continent-eu |
//! | eu27 country-fr continent-eu | eu | eu | eu27 and continent-eu |
//! | eu27 country-de continent-eu | eu | any | eu27 and country-de |
//! | country-de continent-eu | bunny | any | country-de |
//! | lab eu27 country-fr continent-eu | eu | us | eu27 and lab |
//! | lab country-us continent-na | any | us | lab |
//!
//! Every distinct pair of `prefer` and `only` that some place leads to is one area rule of the name. The plain one is
//! number 0 and is always there; most names have no other.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::policy::{Candidate, Policy, Preference};

/// The number of the plain area rule.
pub const PLAIN: usize = 0;
/// The areas that one policy may name. Every pair of them may make an area rule, so there are at most 33 x 33.
pub const MAX_AREAS: usize = 32;

/// The areas of each place, the most specific first. Place 0 is everywhere that nothing is known of.
pub type Places = [Vec<Arc<str>>];

/// What holds for the clients of some places: levels and limit of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaRule {
    /// Levels, best first.
    pub prefer: Vec<Preference>,
    pub only: Option<Vec<Preference>>,
    /// Whose clients these are: `continent-eu`, `eu27 and country-de`. One for each pair of areas that leads here.
    pub clients: Vec<String>,
}

/// The area rules of a name beside the plain one, and which place leads to which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AreaRules {
    /// From number 1.
    rules: Box<[AreaRule]>,
    /// The number of the rule by place, for all places that there are; empty where all are under the plain one.
    by_place: Box<[u16]>,
}

/// `prefer` and `only` of one area rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms<'a> {
    pub prefer: &'a [Preference],
    pub only: Option<&'a [Preference]>,
}

impl AreaRules {
    /// What a policy comes to in these places.
    pub fn of(policy: &Policy, places: &Places) -> Self {
        let mut rules: Vec<AreaRule> = Vec::new();
        let by_place = places.iter().map(|areas| {
            let (terms, clients) = terms_in(policy, areas);
            if terms == Terms::plain(policy) {
                return 0;
            }
            let known = rules.iter().position(|rule| rule.terms() == terms);
            let at = known.unwrap_or(rules.len());
            if known.is_none() {
                let (prefer, only) = (terms.prefer.to_vec(), terms.only.map(<[_]>::to_vec));
                rules.push(AreaRule { prefer, only, clients: Vec::new() });
            }
            let listed = &mut rules[at].clients;
            if !listed.contains(&clients) {
                listed.push(clients);
            }
            // There are at most (MAX_AREAS + 1)^2 pairs; a policy that names more areas is not taken.
            u16::try_from(at + 1).unwrap_or(0)
        });
        let by_place: Box<[u16]> = by_place.collect();
        if rules.is_empty() {
            return Self::default();
        }
        for rule in &mut rules {
            rule.clients.sort_unstable();
        }
        Self { rules: rules.into(), by_place }
    }

    /// The number of the area rule for the clients of a place; the plain one of a place that they were not made for.
    pub fn at(&self, place: u16) -> usize {
        self.of_place(place).unwrap_or(PLAIN)
    }

    /// The same; none for a place that they were not made for, since an `only` may hang on it.
    #[inline]
    pub fn of_place(&self, place: u16) -> Option<usize> {
        match self.by_place.get(usize::from(place)) {
            Some(&rule) => Some(usize::from(rule)),
            None => self.is_plain().then_some(PLAIN),
        }
    }

    /// A place that leads to this area rule.
    pub(super) fn place_of(&self, number: usize) -> Option<u16> {
        let at = self.by_place.iter().position(|&rule| usize::from(rule) == number)?;
        u16::try_from(at).ok()
    }

    /// How many area rules the name has, the plain one counted.
    pub fn count(&self) -> usize {
        self.rules.len() + 1
    }

    /// Whether all clients are under the plain rule.
    pub fn is_plain(&self) -> bool {
        self.rules.is_empty()
    }

    /// One of them by its number; none for the plain one.
    pub fn rule(&self, number: usize) -> Option<&AreaRule> {
        self.rules.get(number.checked_sub(1)?)
    }

    /// All but the plain one, with their numbers.
    pub fn others(&self) -> impl Iterator<Item = (usize, &AreaRule)> {
        (1..).zip(&self.rules)
    }

    /// What one of them says.
    pub fn terms<'a>(&'a self, number: usize, policy: &'a Policy) -> Terms<'a> {
        self.rule(number).map_or(Terms::plain(policy), AreaRule::terms)
    }

    /// Whose clients are meant: `clients in continent-eu and all others`. None where it is all, or there is one rule.
    pub fn whose(&self, numbers: &[usize]) -> Option<String> {
        if numbers.len() >= self.count() || self.is_plain() {
            return None;
        }
        let areas: Vec<&str> = numbers
            .iter()
            .filter_map(|&number| self.rule(number))
            .flat_map(|rule| &rule.clients)
            .map(|clients| &**clients)
            .collect();
        Some(match (areas.is_empty(), numbers.contains(&PLAIN)) {
            (true, _) => "all other clients".to_owned(),
            (false, false) => format!("clients in {}", areas.join(", ")),
            (false, true) => format!("clients in {}, and all others", areas.join(", ")),
        })
    }
}

impl AreaRule {
    pub fn terms(&self) -> Terms<'_> {
        Terms { prefer: &self.prefer, only: self.only.as_deref() }
    }
}

impl<'a> Terms<'a> {
    /// Those that hold where no area says otherwise.
    pub fn plain(policy: &'a Policy) -> Self {
        Self { prefer: &policy.prefer, only: policy.only.as_deref() }
    }

    /// Whether `only` lets this candidate answer.
    pub fn allow(&self, candidate: &Candidate) -> bool {
        self.only.is_none_or(|only| only.iter().any(|entry| entry.matches(candidate)))
    }

    /// The level of `prefer` that this candidate is on; what none matches forms the last.
    pub fn level(&self, candidate: &Candidate) -> usize {
        self.prefer.iter().position(|preference| preference.matches(candidate)).unwrap_or(self.prefer.len())
    }
}

/// As steering records write it: `prefer=bunny,any only=eu`. Equal terms have equal text, over restarts too.
impl std::fmt::Display for Terms<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "prefer={}", listed(self.prefer))?;
        match self.only {
            Some(only) => write!(f, " only={}", listed(only)),
            None => Ok(()),
        }
    }
}

fn listed(preferences: &[Preference]) -> String {
    preferences.iter().map(Preference::to_string).collect::<Vec<_>>().join(",")
}

/// What a policy says for the clients of a place, and which of its areas say so.
fn terms_in<'a>(policy: &'a Policy, areas: &[Arc<str>]) -> (Terms<'a>, String) {
    let mut terms = Terms::plain(policy);
    let said = |area: &'_ Arc<str>| policy.areas.get(&**area);
    let prefer = areas.iter().find_map(|area| Some((area, said(area)?.prefer.as_deref()?)));
    let only = areas.iter().find_map(|area| Some((area, said(area)?.only.as_deref()?)));
    terms.prefer = prefer.map_or(terms.prefer, |(_, prefer)| prefer);
    terms.only = only.map_or(terms.only, |(_, only)| Some(only));
    let clients = match (prefer, only) {
        (Some((one, _)), Some((other, _))) if one != other => format!("{one} and {other}"),
        (Some((area, _)), _) | (None, Some((area, _))) => area.to_string(),
        (None, None) => String::new(),
    };
    (terms, clients)
}

/// Area rules made from policies: equal policies share one.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    places: &'a Places,
    plain: Arc<AreaRules>,
    known: HashMap<&'a Policy, Arc<AreaRules>, FixedState>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(places: &'a Places) -> Self {
        Self { places, plain: Arc::default(), known: HashMap::default() }
    }

    pub(super) fn resolve(&mut self, policy: &'a Policy) -> Arc<AreaRules> {
        if policy.areas.is_empty() {
            return Arc::clone(&self.plain);
        }
        Arc::clone(self.known.entry(policy).or_insert_with(|| Arc::new(AreaRules::of(policy, self.places))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NAME, candidate, steered};
    use super::super::policy::AreaPolicy;
    use super::*;

    fn preferences(words: &str) -> Vec<Preference> {
        let one = |word: &str| match word {
            "any" => Preference::Any,
            word if word.len() == 2 => Preference::Home(word.parse().unwrap()),
            provider => Preference::Provider(provider.into()),
        };
        words.split(',').map(one).collect()
    }

    fn policy(areas: &[(&str, Option<&str>, Option<&str>)]) -> Policy {
        let mut policy = steered(NAME, vec![candidate("bunny", "si", 1)]).policy;
        for (area, prefer, only) in areas {
            let said = AreaPolicy { prefer: prefer.map(preferences), only: only.map(preferences) };
            policy.areas.insert((*area).to_owned(), said);
        }
        policy
    }

    fn place(areas: &str) -> Vec<Arc<str>> {
        areas.split_whitespace().map(Arc::from).collect()
    }

    #[test]
    fn the_table_holds() {
        let policy = policy(&[
            ("country-de", Some("bunny"), Some("any")),
            ("eu27", Some("eu"), None),
            ("continent-eu", None, Some("eu")),
            ("lab", None, Some("us")),
        ]);
        let rows: Vec<[&str; 4]> = include_str!("areas.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|row| !row.starts_with("the areas") && !row.starts_with("---"))
            .map(|row| {
                let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
                cells.try_into().unwrap()
            })
            .collect();
        assert_eq!(rows.len(), 8);
        let places: Vec<Vec<Arc<str>>> = rows.iter().map(|row| place(row[0])).collect();
        let rules = AreaRules::of(&policy, &places);
        for (number, row) in (0_u16..).zip(&rows) {
            let rule = rules.at(number);
            let only = if row[2].is_empty() { String::new() } else { format!(" only={}", row[2]) };
            assert_eq!(rules.terms(rule, &policy).to_string(), format!("prefer={}{only}", row[1]), "{row:?}");
            match rules.rule(rule) {
                None => assert_eq!(row[3], "all others"),
                Some(rule) => assert!(rule.clients.iter().any(|clients| clients == row[3]), "{row:?}: {rule:?}"),
            }
        }
        assert_eq!(rules.count(), 7);
        assert_eq!(rules.of_place(1000), None, "a place that nobody knows");
        assert_eq!(AreaRules::default().of_place(1000), Some(PLAIN), "all places are under the plain rule");
    }

    #[test]
    fn places_with_equal_terms_share_a_rule_and_those_of_the_plain_one_have_none() {
        let policy =
            policy(&[("country-de", Some("us"), None), ("country-fr", Some("us"), None), ("lab", Some("any"), None)]);
        let places = ["", "country-de", "country-fr", "lab country-de", "country-us"].map(place);
        let rules = AreaRules::of(&policy, &places);
        assert_eq!([0, 1, 2, 3, 4].map(|place| rules.at(place)), [0, 1, 1, 0, 0]);
        assert_eq!(rules.whose(&[1]).unwrap(), "clients in country-de, country-fr");
        assert_eq!(rules.whose(&[0]).unwrap(), "all other clients");
        assert_eq!(rules.whose(&[0, 1]), None);
        assert_eq!(AreaRules::of(&policy, &places[3..]), AreaRules::default(), "all in the plain one is no map at all");
    }

    #[test]
    fn names_with_equal_policies_share_their_rules() {
        let places = ["", "lab"].map(place);
        let (plain, area) = (policy(&[]), policy(&[("lab", Some("us"), None)]));
        let (same, other_plain) = (area.clone(), policy(&[]));
        let mut resolver = Resolver::new(&places);
        let rules = resolver.resolve(&area);
        assert!(Arc::ptr_eq(&rules, &resolver.resolve(&same)));
        assert!(Arc::ptr_eq(&resolver.resolve(&plain), &resolver.resolve(&other_plain)));
        assert!(!Arc::ptr_eq(&rules, &resolver.resolve(&plain)));
    }
}
