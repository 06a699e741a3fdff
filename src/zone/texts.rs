//! The text of one zone: its main file and what that included, as octets.
//!
//! Between the load and the disk the texts of all zones that changed wait in memory, beside what the zones became. Small ones stand
//! one behind the other on a `Shelf`, not each in memory of its own: of 100,000 of those, each between parts of a zone that stays,
//! the allocator could give nothing back to the system.

use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

/// Octets of a part of a shelf.
const BOARD: usize = 1 << 20;
/// What is larger has memory of its own.
const SMALL: usize = 1 << 16;

/// All that is needed to read a zone again without its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// The path of the main file, relative to the zones folder.
    pub main: String,
    /// Every file read.
    pub files: Files,
}

/// Files by their paths relative to the zones folder, sorted. Octets: RFC 1035 gives no character set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(Vec<(Box<str>, Bytes)>);

impl Files {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, octets)| (&**path, &**octets))
    }

    pub fn get(&self, path: &str) -> Option<&[u8]> {
        let at = self.0.binary_search_by_key(&path, |(path, _)| path).ok()?;
        self.0.get(at).map(|(_, octets)| &**octets)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of several with one path the last stays.
impl<O: Into<Bytes>> FromIterator<(String, O)> for Files {
    fn from_iter<I: IntoIterator<Item = (String, O)>>(files: I) -> Self {
        let mut files: Vec<(Box<str>, Bytes)> =
            files.into_iter().map(|(path, octets)| (path.into(), octets.into())).collect();
        if files.len() > 1 {
            files = files.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        }
        files.shrink_to_fit();
        Self(files)
    }
}

impl<const N: usize> From<[(String, Vec<u8>); N]> for Files {
    fn from(files: [(String, Vec<u8>); N]) -> Self {
        files.into_iter().collect()
    }
}

/// For those who know that it is there.
impl Index<&str> for Files {
    type Output = [u8];

    fn index(&self, path: &str) -> &[u8] {
        self.get(path).unwrap_or_default()
    }
}

/// Where the texts of zones that are loaded together stand.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<BytesMut>);

impl Shelf {
    /// The same octets; small ones behind those that came before.
    pub(super) fn put(&self, octets: Vec<u8>) -> Bytes {
        if octets.len() > SMALL {
            return octets.into();
        }
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if board.capacity() - board.len() < octets.len() {
            *board = BytesMut::with_capacity(BOARD);
        }
        board.extend_from_slice(&octets);
        board.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_their_paths_and_the_last_of_one_path_stays() {
        let file = |path: &str, octets: &[u8]| (path.to_owned(), octets.to_vec());
        let files = Files::from([file("b", b"1"), file("a", b""), file("b", b"2")]);
        assert_eq!(files.iter().collect::<Vec<_>>(), [("a", &b""[..]), ("b", b"2")]);
        assert_eq!((files.get("b"), files.get("c"), files.len()), (Some(&b"2"[..]), None, 2));
    }

    #[test]
    fn what_is_put_on_a_shelf_stays_as_it_is() {
        let shelf = Shelf::default();
        let octets = |number: usize| vec![number as u8; number * 37 % (SMALL + 99)];
        let put: Vec<Bytes> = (0..5_000).map(|number| shelf.put(octets(number))).collect();
        assert!(put.iter().enumerate().all(|(number, there)| **there == octets(number)));
        let neighbours = put.windows(2).filter(|two| two[0].as_ptr_range().end == two[1].as_ptr()).count();
        assert!(neighbours > 4_000, "{neighbours}");
    }
}
