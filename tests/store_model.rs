//! Whatever is written, in whatever batches, over whatever restarts: the store holds what a plain map would.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends that way")]

#[path = "support/store.rs"]
mod support;

use std::collections::BTreeMap;

use pointsman::steer::judge::CandidateMemory;
use pointsman::steer::observation::CandidateKey;
use pointsman::steer::overrides::Override;
use pointsman::store::kept::{Event, Kept, LastDecision, Write};
use pointsman::store::{EventFilter, Settings, Store, StoreError};
use proptest::prelude::*;
use support::*;

/// What a plain map would hold.
#[derive(Default)]
struct Model {
    candidates: BTreeMap<CandidateKey, CandidateMemory>,
    decisions: BTreeMap<String, LastDecision>,
    overrides: BTreeMap<u64, Override>,
    events: BTreeMap<u64, Event>,
    generation: u64,
    last_event: u64,
    last_override: u64,
}

impl Model {
    fn write(&mut self, write: Write) {
        match write {
            Write::Candidate(key, memory) => drop(self.candidates.insert(key, memory)),
            Write::ForgetCandidate(key) => drop(self.candidates.remove(&key)),
            Write::Decision(name, decision) => drop(self.decisions.insert(name, decision)),
            Write::ForgetDecision(name) => drop(self.decisions.remove(&name)),
            Write::Event(event) => {
                self.last_event = self.last_event.max(event.id);
                self.generation = self.generation.max(event.generation);
                self.events.insert(event.id, event);
            }
            Write::Override(placed) => {
                self.last_override = self.last_override.max(placed.id);
                self.overrides.insert(placed.id, placed);
            }
            Write::ForgetOverride(id) => drop(self.overrides.remove(&id)),
            Write::Drill(_) | Write::ForgetDrill(_) | Write::ForgetZone(_) => {}
            Write::Generation(generation) => self.generation = self.generation.max(generation),
        }
    }

    fn assert_is(&self, kept: &Kept) {
        assert_eq!(kept.candidates.iter().cloned().collect::<BTreeMap<_, _>>(), self.candidates);
        assert_eq!(kept.candidates.len(), self.candidates.len());
        assert_eq!(kept.decisions.iter().cloned().collect::<BTreeMap<_, _>>(), self.decisions);
        assert_eq!(kept.overrides, self.overrides.values().cloned().collect::<Vec<_>>(), "in the order of their ids");
        let numbers = (kept.generation, kept.last_event, kept.last_override);
        assert_eq!(numbers, (self.generation, self.last_event, self.last_override));
    }

    async fn assert_events(&self, store: &Store) {
        let page = store.events(EventFilter { limit: 1000, ..EventFilter::default() }).await.unwrap();
        assert_eq!(page.events, self.events.values().rev().cloned().collect::<Vec<_>>());
        assert_eq!(page.next, None);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Write>),
    Post(Vec<Write>),
    /// A batch that is refused: nothing of it may stay.
    TooLarge(Vec<Write>),
    Reopen,
}

/// Octets of a value, which no setting moves.
const LIMIT: usize = 1024 * 1024;

fn write() -> impl Strategy<Value = Write> {
    let name = (0..6_u8).prop_map(|number| format!("n{number}.example."));
    let octets = (prop_oneof![0..100_usize, 4_000..4_200_usize, 8_000..40_000_usize], any::<u8>());
    let long = "long ".repeat(2_000);
    prop_oneof![
        4 => (name.clone(), any::<u32>()).prop_map(|(name, at)| Write::Candidate(candidate(&name, "bunny"), memory(at.into()))),
        1 => name.clone().prop_map(|name| Write::ForgetCandidate(candidate(&name, "bunny"))),
        2 => (name.clone(), 0..65_536_u32).prop_map(|(name, share)| Write::Decision(name, decision(share))),
        1 => name.clone().prop_map(Write::ForgetDecision),
        3 => (1..40_u64, any::<u32>(), name.clone()).prop_map(|(id, at, name)| Write::Event(event(id, NOW.0 + u64::from(at), &name, "gcore"))),
        2 => (1..8_u64).prop_map(move |id| Write::Override(drain(id, if id == 7 { &long } else { "short" }))),
        1 => (1..8_u64).prop_map(Write::ForgetOverride),
        2 => (name, octets).prop_map(|(name, (length, octet))| Write::Decision(name, large(octet, length))),
        1 => (0..1000_u64).prop_map(Write::Generation),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let batch = || prop::collection::vec(write(), 0..8);
    prop_oneof![
        5 => batch().prop_map(Step::Write),
        5 => batch().prop_map(Step::Post),
        1 => batch().prop_map(|mut batch| {
            batch.push(Write::Decision("big.".to_owned(), large(1, LIMIT)));
            Step::TooLarge(batch)
        }),
        2 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn the_store_holds_what_a_map_would(steps in prop::collection::vec(step(), 1..30)) {
        let scratch = tempfile::tempdir().unwrap();
        let settings = Settings::new(scratch.path().join("store"));
        let open = || pointsman::store::open(settings.clone(), NOW);
        let mut model = Model::default();
        runtime().block_on(async {
            let mut store = open().store;
            for step in steps.into_iter().chain([Step::Reopen]) {
                match step {
                    Step::Write(batch) => {
                        store.write(batch.clone()).await.unwrap();
                        batch.into_iter().for_each(|write| model.write(write));
                    }
                    Step::Post(batch) => {
                        store.post(batch.clone()).unwrap();
                        batch.into_iter().for_each(|write| model.write(write));
                    }
                    Step::TooLarge(batch) => {
                        let refused = store.write(batch).await;
                        assert!(matches!(refused, Err(StoreError::TooLarge { limit: LIMIT, .. })));
                    }
                    Step::Reopen => {
                        store.close().await.unwrap();
                        let opened = open();
                        assert_eq!(opened.state, pointsman::store::OpenState::Fine);
                        assert_eq!(opened.unreadable, []);
                        model.assert_is(&opened.kept);
                        store = opened.store;
                        model.assert_events(&store).await;
                    }
                }
            }
            let blobs = std::fs::read_dir(settings.folder.join("blobs")).unwrap().count();
            assert_eq!(blobs, 0, "sled put a page into a file that nobody syncs");
        });
    }
}

#[test]
fn what_is_submitted_is_kept_in_the_order_of_submission() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let store = open_fine(&folder).store;
    runtime().block_on(async {
        let placed = store.submit(vec![Write::Override(drain(1, "slow"))]);
        let released = store.submit(vec![Write::ForgetOverride(1)]);
        // Whoever waits for them does so in any order.
        released.await.unwrap();
        placed.await.unwrap();
        store.close().await.unwrap();
    });
    let kept = open_fine(&folder).kept;
    assert_eq!((kept.overrides, kept.last_override), (vec![], 1));
}
