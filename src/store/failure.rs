//! What can be wrong with a store, told apart by what is to be done about it.

use std::io;
use std::time::Duration;

/// Why a store did not open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another process holds it. Nothing is wrong with it.
    InUse,
    /// It will not open the next time either: set it aside.
    Damaged(String),
    /// The machine does not let us, now: the disk is full or read-only, there are no descriptors left. A new store
    /// would fare no better.
    Unable(String),
}

impl Failure {
    /// The same failure in other words.
    pub(super) fn named(self, words: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::InUse => Self::InUse,
            Self::Damaged(why) => Self::Damaged(words(&why)),
            Self::Unable(why) => Self::Unable(words(&why)),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(why: io::Error) -> Self {
        use io::ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let machine = matches!(why.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem | OutOfMemory)
            || matches!(why.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN));
        if machine { Self::Unable(why.to_string()) } else { Self::Damaged(why.to_string()) }
    }
}

impl From<sled::Error> for Failure {
    fn from(why: sled::Error) -> Self {
        match why {
            sled::Error::Io(why) if why.to_string().starts_with("could not acquire lock") => Self::InUse,
            sled::Error::Io(why) => why.into(),
            // sled's own text ends with a backtrace, which it does not take.
            other => Self::Damaged(other.to_string().trim_end_matches(" backtrace ()").to_owned()),
        }
    }
}

/// Why something was not kept, or not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("there is no store: {0}")]
    Gone(String),
    #[error("the store is closed")]
    Closed,
    #[error("another one is being made; ask again")]
    Busy,
    #[error("{0} batches wait for the store already, which is the limit")]
    Full(usize),
    #[error("{what} takes {size} octets, and {limit} is the limit")]
    TooLarge { what: String, size: usize, limit: usize },
    #[error("{what} cannot be encoded: {why}")]
    Unencodable { what: String, why: String },
    #[error("the store did not answer within {0:?}; whether this is kept is not known")]
    Late(Duration),
}
