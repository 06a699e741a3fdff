//! What is looked for in the body of an answer, chunk by chunk: the markers of the rule, and signs that the page is another's.
//!
//! Octets are kept only as long as something is looked for, and no more than the limit. However the body is cut into chunks,
//! what is found is what stands in its first octets as one.

use super::fault::fault;
use super::pages::{self, Recognised};
use crate::steer::observation::{Fault, Stage};
use crate::steer::policy::ProbeRule;

/// Where the search for the markers stands.
pub(super) struct Search<'a> {
    must: Option<&'a str>,
    must_not: Option<&'a str>,
    limit: usize,
    /// Octets of the body so far, at most `limit`.
    pub(super) seen: usize,
    /// Those octets, as long as something is looked for.
    read: Vec<u8>,
    /// The page may be a challenge; one with the owner's own marker is none.
    may_be_a_challenge: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(rule: &'a ProbeRule, limit: usize, may_be_a_challenge: bool) -> Self {
        let (must, must_not) = (rule.body.as_deref(), rule.not_body.as_deref());
        Self { must, must_not, limit, seen: 0, read: Vec::new(), may_be_a_challenge }
    }

    /// Whose page it is, if it is another's.
    pub(super) fn page(&self) -> Option<Recognised> {
        if self.may_be_a_challenge { pages::in_body(&self.read, true) } else { None }
    }

    /// Whether more octets are looked at.
    pub(super) fn has_room(&self) -> bool {
        self.seen < self.limit
    }

    pub(super) fn take(&mut self, octets: &[u8]) -> Result<(), Fault> {
        let octets = octets.get(..self.limit - self.seen).unwrap_or(octets);
        self.seen += octets.len();
        if self.must.is_none() && self.must_not.is_none() && !self.may_be_a_challenge {
            return Ok(());
        }
        let before = self.read.len();
        self.read.extend_from_slice(octets);
        if self.must.is_some_and(|marker| self.has(marker, before)) {
            self.must = None;
            self.may_be_a_challenge = false;
        }
        match self.must_not {
            Some(marker) if self.has(marker, before) => {
                Err(fault(Stage::Body, format!("the body contains `{marker}`")))
            }
            _ => Ok(()),
        }
    }

    /// No more octets come, or no more are looked at.
    pub(super) fn end(&self) -> Result<(), Fault> {
        match self.must {
            None => Ok(()),
            Some(marker) if self.has_room() => Err(fault(Stage::Body, format!("the body does not contain `{marker}`"))),
            Some(marker) => {
                let limit = self.limit / 1024;
                Err(fault(Stage::Body, format!("the first {limit} KiB of the body do not contain `{marker}`")))
            }
        }
    }

    /// Whether a marker stands in what was read, if it did not in the first `before` octets.
    fn has(&self, marker: &str, before: usize) -> bool {
        let marker = marker.as_bytes();
        let from = before.saturating_sub(marker.len());
        marker.is_empty() || self.read.get(from..).is_some_and(|new| new.windows(marker.len()).any(|at| at == marker))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::steer::policy::Scheme;

    fn rule() -> ProbeRule {
        ProbeRule {
            scheme: Scheme::Https,
            port: 443,
            path: "/".to_owned(),
            host: "www.shop.example".to_owned(),
            expect: vec![(200, 399)],
            body: None,
            not_body: None,
            slow: None,
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
        }
    }

    proptest! {
        /// However the body is cut into chunks, the verdict is that over its first octets as one.
        #[test]
        fn chunks_do_not_matter(
            body in proptest::collection::vec(prop_oneof![Just(b'o'), Just(b'k'), Just(b'x')], 0..60),
            cuts in proptest::collection::vec(1_usize..9, 1..60),
            must: bool,
            must_not: bool,
            limit in 1_usize..50,
        ) {
            let mut rule = rule();
            rule.body = must.then(|| "ok".to_owned());
            rule.not_body = must_not.then(|| "kxo".to_owned());
            let head = &body[..body.len().min(limit)];
            let has = |marker: &[u8]| head.windows(marker.len()).any(|at| at == marker);
            let expected = (!must || has(b"ok")) && (!must_not || !has(b"kxo"));

            let mut search = Search::new(&rule, limit, false);
            let mut rest = &body[..];
            let mut cuts = cuts.into_iter().cycle();
            let mut forbidden = false;
            while search.has_room() && !rest.is_empty() && !forbidden {
                let (chunk, tail) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                forbidden = search.take(chunk).is_err();
                rest = tail;
            }
            let passes = !forbidden && search.end().is_ok();
            prop_assert_eq!(passes, expected);
        }
    }
}
