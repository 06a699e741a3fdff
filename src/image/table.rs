//! Names hashed to nodes: open addressing, keyed, made once and never changed.
//!
//! An entry is eight octets, a part of the hash and the node's index, so eight of them share a cache line and a miss seldom looks at a node.

use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// A hash table from lower-case wire names to indices of nodes.
#[derive(Debug)]
pub(super) struct Table {
    state: SeedableRandomState,
    /// A power of two of them, at most half in use.
    entries: Box<[Entry]>,
    max_labels: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    tag: u32,
    /// The node's index plus one; zero where the entry is free.
    node: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl Table {
    /// A table for at most `names` names.
    pub(super) fn new(names: usize, seed: u64) -> Self {
        let size = (names * 2).next_power_of_two().max(2);
        let state = SeedableRandomState::with_seed(seed, SharedSeed::global_random());
        Self { state, entries: vec![Entry::default(); size].into(), max_labels: 0 }
    }

    /// Adds a name that is not in it.
    pub(super) fn insert(&mut self, lower: &[u8], node: usize) {
        let hash = self.hash(lower);
        let Ok(stored) = u32::try_from(node + 1) else { return };
        let mask = self.entries.len() - 1;
        let mut at = hash as usize & mask;
        for _ in 0..self.entries.len() {
            if let Some(entry) = self.entries.get_mut(at).filter(|entry| entry.node == 0) {
                *entry = Entry { tag: tag(hash), node: stored };
                break;
            }
            at = (at + 1) & mask;
        }
        self.max_labels = self.max_labels.max(super::count_labels(lower));
    }

    /// The node of exactly this name; `name_of` tells the name of a node.
    #[inline]
    pub(super) fn find<'a>(&self, lower: &[u8], name_of: impl Fn(usize) -> Option<&'a [u8]>) -> Option<usize> {
        let hash = self.hash(lower);
        let mask = self.entries.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let entry = self.entries.get(at)?;
            if entry.node == 0 {
                return None;
            }
            let node = entry.node as usize - 1;
            if entry.tag == tag(hash) && name_of(node) == Some(lower) {
                return Some(node);
            }
            at = (at + 1) & mask;
        }
    }

    /// The most labels that a name in the table has.
    pub(super) fn max_labels(&self) -> usize {
        self.max_labels
    }

    #[inline]
    fn hash(&self, lower: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(lower);
        hasher.finish()
    }
}

/// The half of the hash that does not choose the entry.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in_and_nothing_else() {
        let names: Vec<Vec<u8>> = (0..1000).map(|i| format!("\x04{i:04}\0").into_bytes()).collect();
        let mut table = Table::new(names.len(), 7);
        for (node, name) in names.iter().enumerate() {
            table.insert(name, node);
        }
        let name_of = |node: usize| names.get(node).map(Vec::as_slice);
        for (node, name) in names.iter().enumerate() {
            assert_eq!(table.find(name, name_of), Some(node));
        }
        assert_eq!(table.find(b"\x04abcd\0", name_of), None);
        assert_eq!(table.max_labels(), 1);
    }
}
