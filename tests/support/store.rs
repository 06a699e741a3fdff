//! What the store's tests share: values to keep, and a store opened, asked and closed from a test without a runtime
//! of its own.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a test ends that way")]

use std::path::Path;

use pointsman::steer::judge::CandidateMemory;
use pointsman::steer::observation::CandidateKey;
use pointsman::steer::overrides::{DrainSubject, Order, Override};
use pointsman::steer::time::Time;
use pointsman::steer::transition::{Change, Standing, Transition};
use pointsman::store::kept::{Event, LastDecision};
use pointsman::store::{OpenState, Opened, Settings};
use pointsman::zone::texts::Texts;
use tokio::runtime::Runtime;

/// The time that tests open their stores at.
pub const NOW: Time = Time(1_764_921_600_000);

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn open(folder: &Path) -> Opened {
    pointsman::store::open(Settings::new(folder), NOW)
}

/// Opens a store that must be fine.
pub fn open_fine(folder: &Path) -> Opened {
    let opened = open(folder);
    assert_eq!(opened.state, OpenState::Fine);
    assert_eq!(opened.unreadable, []);
    opened
}

pub fn candidate(name: &str, candidate: &str) -> CandidateKey {
    CandidateKey { name: name.into(), candidate: candidate.into() }
}

pub fn drain(id: u64, reason: &str) -> Override {
    Override {
        id,
        order: Order::Drain(DrainSubject::Provider("bunny".into())),
        author: "anna".to_owned(),
        reason: reason.to_owned(),
        placed: NOW,
        until: Some(Time(NOW.0 + 60_000)),
        empty: None,
    }
}

/// A memory that differs with `since`, whatever else a memory holds.
#[allow(clippy::needless_update, reason = "a memory may hold more")]
pub fn memory(since: u64) -> CandidateMemory {
    CandidateMemory { standing: Standing::Down, since: Time(since), ..CandidateMemory::default() }
}

pub fn decision(share: u32) -> LastDecision {
    LastDecision { intervals: vec![(share, "bunny".to_owned()), (65_536, "gcore".to_owned())], areas: Vec::new() }
}

/// A decision of so many octets.
pub fn large(octet: u8, length: usize) -> LastDecision {
    LastDecision {
        intervals: vec![(65_536, char::from(b'a' + octet % 26).to_string().repeat(length))],
        ..LastDecision::default()
    }
}

pub fn texts(octets: Vec<u8>) -> Texts {
    Texts { main: "shop.example".to_owned(), files: [("shop.example".to_owned(), octets)].into() }
}

/// A verdict of a candidate.
pub fn event(id: u64, at: u64, name: &str, provider: &str) -> Event {
    let change =
        Change::Verdict { subject: candidate(name, provider), from: Standing::Up, to: Standing::Down, fault: None };
    let why = "3 failures in a row, last: status 500".into();
    Event { id, generation: id, transition: Transition { at: Time(at), change, why } }
}
