//! Subjects of overrides, from what an operator writes.
//!
//! | text | subject |
//! | --- | --- |
//! | `bunny` | a provider |
//! | `www.shop.example/bunny` | a candidate: the name is made absolute and lower case |
//! | `*.shop.example./bunny`, `*/bunny` | a glob over `NAME/CANDIDATE`: `*` any run of characters, `?` any one |
//! | `www.shop.example`, `shop.example` | a steered name or a zone, whichever there is (a dot tells it from a provider) |
//! | `name:shop.example`, `zone:shop.example` | one of them, where both are there |
//! | `everything`, or none | what a freeze is about |

use std::sync::Arc;

use crate::steer::observation::CandidateKey;
use crate::steer::overrides::{DrainSubject, Scope};
use crate::zone::name::{InvalidName, Name};

/// The subject of a freeze.
pub const EVERYTHING: &str = "everything";

/// The longest glob, in octets: a name, a candidate, and the slash between.
const LONGEST_GLOB: usize = 1_100;
/// The longest id of a provider or candidate, in octets.
const LONGEST_ID: usize = 63;

/// A text that is no subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubject {
    #[error("the subject is empty")]
    Empty,
    #[error("`{0}` is not an id: 1 to 63 lower-case letters, digits, `-` and `_`")]
    Id(String),
    #[error("`{text}` is not a domain name: {why}")]
    Name { text: String, why: InvalidName },
    #[error("`{0}` is not a candidate: write NAME/CANDIDATE")]
    NoCandidate(String),
    #[error("the pattern is longer than 1,100 octets or holds spaces or control characters")]
    Glob,
}

/// What a drain is about.
pub fn parse_drain(text: &str) -> Result<DrainSubject, InvalidSubject> {
    if text.is_empty() {
        return Err(InvalidSubject::Empty);
    }
    if text.starts_with("name:") || text.starts_with("zone:") {
        return parse_scope(text).map(DrainSubject::In);
    }
    if text.contains(['*', '?']) {
        return parse_glob(text).map(DrainSubject::Glob);
    }
    if text.contains('/') {
        return parse_candidate(text).map(DrainSubject::Candidate);
    }
    if text.contains(['.', ':']) {
        return parse_scope(text).map(DrainSubject::In);
    }
    parse_id(text).map(|id| DrainSubject::Provider(id.into()))
}

/// A name, a zone, or what is either.
pub fn parse_scope(text: &str) -> Result<Scope, InvalidSubject> {
    let scope: (fn(Arc<str>) -> Scope, &str) = match text.split_once(':') {
        Some(("name", name)) => (Scope::Name, name),
        Some(("zone", origin)) => (Scope::Zone, origin),
        _ => (Scope::Domain, text),
    };
    if scope.1.is_empty() {
        return Err(InvalidSubject::Empty);
    }
    Ok(scope.0(parse_name(scope.1)?.into()))
}

/// `NAME/CANDIDATE`. The last slash parts them, since names may hold slashes (RFC 2317) and ids may not.
pub fn parse_candidate(text: &str) -> Result<CandidateKey, InvalidSubject> {
    let (name, candidate) = text.rsplit_once('/').ok_or_else(|| InvalidSubject::NoCandidate(text.to_owned()))?;
    Ok(CandidateKey { name: parse_name(name)?.into(), candidate: parse_id(candidate)?.into() })
}

/// A domain name as the core writes it: presentation format, absolute, lower case.
pub fn parse_name(text: &str) -> Result<String, InvalidSubject> {
    let name = Name::from_text(text.as_bytes(), &Name::root());
    let name = name.map_err(|why| InvalidSubject::Name { text: text.to_owned(), why })?;
    Ok(name.to_lowercase().to_string())
}

/// A subject as it stands in `OverrideView::subject`, from what an operator writes.
pub fn canonical(text: &str) -> Result<String, InvalidSubject> {
    if text == EVERYTHING {
        return Ok(text.to_owned());
    }
    // A pin on a wildcard's candidate reads like a glob, and both are written back alike.
    Ok(match parse_drain(text)? {
        DrainSubject::Provider(id) => id.to_string(),
        DrainSubject::Candidate(key) => key.to_string(),
        DrainSubject::Glob(glob) => glob,
        DrainSubject::In(scope) => scope.to_string(),
    })
}

fn parse_glob(text: &str) -> Result<String, InvalidSubject> {
    if text.len() > LONGEST_GLOB || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(InvalidSubject::Glob);
    }
    let glob = text.to_ascii_lowercase();
    // Names end with a dot; a pattern that spells the end of one out, but for the dot, would match nothing.
    Ok(match glob.rsplit_once('/') {
        Some((name, candidate)) if !name.ends_with(['.', '*', '?']) => format!("{name}./{candidate}"),
        _ => glob,
    })
}

fn parse_id(text: &str) -> Result<&str, InvalidSubject> {
    let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-' || octet == b'_';
    let good = (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(fits);
    if good { Ok(text) } else { Err(InvalidSubject::Id(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn subjects_are_told_apart() {
        for (text, canonical_text) in [
            ("bunny", "bunny"),
            ("everything", "everything"),
            ("WWW.shop.example/bunny", "www.shop.example./bunny"),
            ("0/25.2.0.192.in-addr.arpa./bunny", "0/25.2.0.192.in-addr.arpa./bunny"),
            ("*.Shop.example./bunny", "*.shop.example./bunny"),
            ("*.shop.example/bunny", "*.shop.example./bunny"),
            ("*/bunny?", "*/bunny?"),
            ("WWW.shop.example", "www.shop.example."),
            ("zone:Shop.example", "zone:shop.example."),
            ("name:*.shop.example", "name:*.shop.example."),
            ("zone:0/25.2.0.192.in-addr.arpa", "zone:0/25.2.0.192.in-addr.arpa."),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(canonical_text));
        }
        assert!(matches!(parse_drain("bunny"), Ok(DrainSubject::Provider(_))));
        assert!(matches!(parse_drain("a.example/bunny"), Ok(DrainSubject::Candidate(_))));
        assert!(matches!(parse_drain("*/bunny"), Ok(DrainSubject::Glob(_))));
        assert!(matches!(parse_drain("a.example"), Ok(DrainSubject::In(Scope::Domain(_)))));
        assert!(matches!(parse_drain("name:a.example"), Ok(DrainSubject::In(Scope::Name(_)))));
        assert!(matches!(parse_drain("zone:example"), Ok(DrainSubject::In(Scope::Zone(_)))));
    }

    #[test]
    fn a_wildcard_can_be_pinned() {
        let key = parse_candidate("*.shop.example/bunny").expect("a wildcard is a name");
        assert_eq!(key.to_string(), "*.shop.example./bunny");
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for text in ["", "Bunny", "bunny net", "a..b/bunny", "/bunny", "a.example/", "a.example/B", "* x", "*\u{7}"] {
            assert!(parse_drain(text).is_err(), "{text:?}");
        }
        assert_eq!(parse_candidate("bunny"), Err(InvalidSubject::NoCandidate("bunny".to_owned())));
    }

    proptest! {
        #[test]
        fn a_canonical_text_stays_as_it_is(text in "[a-zA-Z0-9.*/?_-]{1,30}") {
            if let Ok(once) = canonical(&text) {
                prop_assert_eq!(canonical(&once), Ok(once.clone()));
            }
        }
    }
}
