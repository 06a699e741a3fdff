//! Keys: where an entry stands in the tree.
//!
//! Every key is short, whatever an operator names things: names stand in it as a 128-bit hash, and in full in the
//! value. sled moves a page above 128 KiB into a file of its own, which it never syncs; with keys of at most 21
//! octets and pieces of at most 4 KiB (`value.rs`) no page comes near that.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::steer::observation::CandidateKey;

/// What kind of entry it is: the first octet of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    Candidate = b'c',
    Decision = b'd',
    Event = b'e',
    Override = b'o',
    Drill = b'r',
    Seal = b's',
    Zone = b'z',
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Candidate, Self::Decision, Self::Event, Self::Override, Self::Drill, Self::Seal, Self::Zone];

    /// The kind of a key; none for one that a newer program wrote.
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| key.first() == Some(&(*kind as u8)))
    }
}

/// An entry: its kind and what tells it from others of that kind. Its pieces follow as 4 octets each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryKey(pub(super) Vec<u8>);

impl EntryKey {
    pub(super) fn candidate(key: &CandidateKey) -> Self {
        Self::hashed(Kind::Candidate, &[key.name.as_bytes(), key.candidate.as_bytes()])
    }

    pub(super) fn decision(name: &str) -> Self {
        Self::hashed(Kind::Decision, &[name.as_bytes()])
    }

    pub(super) fn zone(origin: &str) -> Self {
        Self::hashed(Kind::Zone, &[origin.as_bytes()])
    }

    pub(super) fn event(id: u64) -> Self {
        Self::numbered(Kind::Event, id)
    }

    pub(super) fn placed(id: u64) -> Self {
        Self::numbered(Kind::Override, id)
    }

    pub(super) fn drill(id: u64) -> Self {
        Self::numbered(Kind::Drill, id)
    }

    pub(super) fn seal() -> Self {
        Self(vec![Kind::Seal as u8])
    }

    /// The key of one of its pieces.
    pub(super) fn piece(&self, number: u32) -> Vec<u8> {
        [&self.0[..], &number.to_be_bytes()].concat()
    }

    /// The entry and the number of the piece that a key of the tree stands for.
    pub(super) fn of_piece(key: &[u8]) -> Option<(Self, u32)> {
        let (entry, number) = key.split_last_chunk::<4>()?;
        (!entry.is_empty()).then(|| (Self(entry.to_vec()), u32::from_be_bytes(*number)))
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        Kind::of(&self.0)
    }

    /// The id of an event, an override or a drill.
    pub(super) fn number(&self) -> Option<u64> {
        Some(u64::from_be_bytes(self.0.get(1..)?.try_into().ok()?))
    }

    fn hashed(kind: Kind, parts: &[&[u8]]) -> Self {
        let mut hasher = SipHasher13::new();
        for part in parts {
            hasher.write(part);
            // No name holds this octet, so that two parts never read as two others.
            hasher.write_u8(0xff);
        }
        Self([&[kind as u8][..], &hasher.finish128().as_bytes()].concat())
    }

    fn numbered(kind: Kind, id: u64) -> Self {
        Self([&[kind as u8][..], &id.to_be_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_longer_than_21_octets() {
        let long = "a".repeat(2000);
        let key = CandidateKey { name: long.as_str().into(), candidate: long.as_str().into() };
        for entry in [EntryKey::candidate(&key), EntryKey::decision(&long), EntryKey::zone(&long), EntryKey::event(7)] {
            assert!(entry.piece(9).len() <= 21);
            assert_eq!(EntryKey::of_piece(&entry.piece(9)), Some((entry.clone(), 9)));
        }
    }

    #[test]
    fn parts_do_not_run_together() {
        let key = |name: &str, candidate: &str| {
            EntryKey::candidate(&CandidateKey { name: name.into(), candidate: candidate.into() })
        };
        assert_ne!(key("ab", "c"), key("a", "bc"));
    }

    #[test]
    fn events_stand_in_the_order_of_their_ids() {
        assert!(EntryKey::event(255).piece(3) < EntryKey::event(256).piece(0));
        assert_eq!(EntryKey::event(256).number(), Some(256));
    }
}
