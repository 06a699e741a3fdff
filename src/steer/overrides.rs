//! Overrides: an operator's word that outranks verdicts.
//!
//! | override | subject | effect |
//! | --- | --- | --- |
//! | drain | a provider, a candidate, or a glob over `NAME/CANDIDATE` | these candidates do not answer |
//! | pin | one candidate | its name answers with it alone, whatever its verdict |
//! | freeze | everything | decisions stay as they are |
//!
//! Each has an author, a reason and may have an expiry. `only` stands above them: a pin that `only` forbids has no effect.
//! A pin stands above a drain, and of two pins of one name the later one holds.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::observation::CandidateKey;
use super::policy::{Candidate, SteeredName};
use super::time::Time;

/// One override in force, or one that has been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Unique, never used again; given by the controller, counting up from 1.
    pub id: u64,
    #[serde(flatten)]
    pub order: Order,
    pub author: String,
    pub reason: String,
    pub placed: Time,
    /// When it ends by itself; never, if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// What an override orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "order", content = "subject")]
pub enum Order {
    Drain(DrainSubject),
    Pin(CandidateKey),
    Freeze,
}

/// What a drain empties.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainSubject {
    /// All candidates of one provider.
    Provider(Arc<str>),
    /// One candidate.
    Candidate(CandidateKey),
    /// All candidates whose `NAME/CANDIDATE` the pattern matches: `*` any run of characters, `?` any one.
    Glob(String),
}

impl Order {
    /// Whether this order is about this candidate of this name. A freeze is about all.
    pub fn concerns(&self, name: &SteeredName, candidate: &Candidate) -> bool {
        match self {
            Self::Freeze => true,
            Self::Pin(key) => key.name == name.name && key.candidate == candidate.id,
            Self::Drain(subject) => subject.holds(name, candidate),
        }
    }
}

impl DrainSubject {
    fn holds(&self, name: &SteeredName, candidate: &Candidate) -> bool {
        match self {
            Self::Provider(id) => candidate.provider == *id,
            Self::Candidate(key) => key.name == name.name && key.candidate == candidate.id,
            Self::Glob(pattern) => {
                // Most patterns begin with a name, which most names do not: these cost a comparison.
                let head = pattern.bytes().take_while(|c| !b"*?".contains(c));
                let fits = head.zip(name.name.bytes()).all(|(a, b)| a == b);
                fits && glob_matches(pattern, &format!("{}/{}", name.name, candidate.id))
            }
        }
    }
}

/// What an order is about, as people write it: `bunny`, `www.shop.example./bunny`, a glob, `everything`.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain(DrainSubject::Provider(id)) => f.write_str(id),
            Self::Drain(DrainSubject::Candidate(key)) | Self::Pin(key) => key.fmt(f),
            Self::Drain(DrainSubject::Glob(pattern)) => f.write_str(pattern),
            Self::Freeze => f.write_str("everything"),
        }
    }
}

/// Whether the pattern matches the whole text: `*` any run of characters, `?` any one. Names and ids are ASCII, so a
/// character is an octet. Its time grows with the product of both lengths at worst, whatever the pattern.
fn glob_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and up to where it has eaten.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, eaten)) = star else { return false };
                star = Some((at, eaten + 1));
                p = at + 1;
                t = eaten + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{IDS, NAME, candidate, steered};
    use super::*;

    #[test]
    fn a_glob_drains_what_it_matches() {
        let name = steered(NAME, IDS.iter().map(|id| candidate(id, "si", 1)).collect());
        for (pattern, drained) in [
            ("www.shop.example./bunny", 1),
            ("www.shop.example./*", 4),
            ("www.shop.example.", 0),
            ("www.*/b?nny", 1),
            ("w?w.*", 4),
            ("img.*", 0),
            ("*/fastly", 1),
            ("www.shop.example./bunny/", 0),
            ("", 0),
        ] {
            let order = Order::Drain(DrainSubject::Glob(pattern.to_owned()));
            let concerned = name.candidates.iter().filter(|candidate| order.concerns(&name, candidate));
            assert_eq!(concerned.count(), drained, "{pattern}");
        }
    }

    #[test]
    fn globs() {
        let table = [
            ("*", "", true),
            ("*", "www.shop.example./bunny", true),
            ("*/bunny", "www.shop.example./bunny", true),
            ("*/bunny", "www.shop.example./bunny2", false),
            ("*.shop.example./*", "www.shop.example./bunny", true),
            ("*.shop.example./*", "www.shop2.example./bunny", false),
            ("www.*/b?nny", "www.shop.example./bunny", true),
            ("www.*/b?nny", "www.shop.example./bnny", false),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**a**", "bab", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(glob_matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!glob_matches(&"*a".repeat(60), &"a".repeat(59)));
    }
}
