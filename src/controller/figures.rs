//! What one transition of many names costs the task. `POINTSMAN_NAMES=100000 cargo test --release --lib figures -- --nocapture`
//! gives the figures of the full size.
//!
//! Deciding is told apart from publishing and from what follows (logging, storing). It is what the bar of a provider's fall is about;
//! `cargo bench --bench decide` measures it by itself, for a fall, where this places an order.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::message::Request;
use super::task::Task;
use super::view::Serving;
use super::{Clock, Parts};
use crate::config::Config;
use crate::health::message::{Command, Report};
use crate::steer::effects::Effects;
use crate::steer::overrides::{DrainSubject, Order, Override};
use crate::steer::time::Time;
use crate::store::{EventFilter, Settings};

/// A task with so many steered names, every tenth of them flattened, and the ends of its channels.
pub(super) struct Site {
    pub(super) task: Task,
    names: usize,
    commanded: mpsc::Receiver<Command>,
    _ends: (mpsc::Sender<Request>, mpsc::Sender<Report>, watch::Sender<Serving>),
    _folder: tempfile::TempDir,
}

impl Site {
    pub(super) async fn new() -> Self {
        let names = std::env::var("POINTSMAN_NAMES").map_or(3_000, |names| names.parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.data = folder.path().join("data");
        config.server.zones = folder.path().join("zones");
        std::fs::create_dir(&config.server.zones).unwrap();
        std::fs::write(config.server.zones.join("shop.example.zone"), zone(names)).unwrap();
        let clock = Clock::start(Time(0));
        let settings = Settings { write_limit: Duration::from_secs(600), ..config.store_settings() };
        let (sender, requests) = mpsc::channel(1);
        let (commands, commanded) = mpsc::channel(1_024);
        let (reports, reported) = mpsc::channel(1);
        let (serving, serving_now) = watch::channel(Serving::Serving);
        let parts = Parts {
            config,
            config_file: None,
            vantage: "test".into(),
            client_key: [7; 16],
            clock,
            opened: crate::store::open(settings, clock.now()),
            commands,
            reports: reported,
            families_without_route: Arc::new(Vec::new),
            probes_behind: Arc::new(|| None),
            udp_dropped: Arc::new(|| 0),
            tcp_connections: Arc::new(|| 0),
            threads: 4,
            database: watch::channel(None).0,
            serving: serving_now,
            stop: CancellationToken::new(),
        };
        let mut task = Task::new(parts, requests);
        task.load_first().await;
        let ends = (sender, reports, serving);
        Self { task, names, commanded, _ends: ends, _folder: folder }
    }

    /// What the prober is told next.
    pub(super) async fn commanded(&mut self) -> Option<Command> {
        self.commanded.recv().await
    }

    fn drain(&mut self, id: u64) -> Effects {
        let (now, order) = (self.task.clock.now(), Order::Drain(DrainSubject::Provider("bunny".into())));
        let (author, reason) = ("anna".to_owned(), "it falls".to_owned());
        self.task
            .steering
            .place(Override { id, order, author, reason, placed: now, until: None, empty: None }, now)
            .unwrap()
    }

    /// How many names answer with this candidate first, as published.
    fn serving(&self, candidate: &str) -> usize {
        let published = self.task.published.load();
        let slots = published.image.slots();
        let first = |slot: usize| {
            let share = |at: &usize| published.selection.0[slot].plain.reasons[*at].share;
            let at = (0..slots[slot].candidates.len()).find(|at| share(at) > 0.0);
            at.map(|at| &*slots[slot].candidates[at].id)
        };
        (0..slots.len()).filter(|slot| first(*slot) == Some(candidate)).count()
    }
}

fn zone(names: usize) -> String {
    let mut text = "$TTL 60\n@ IN SOA ns1 hostmaster 1 2h 15m 2w 5m\n@ IN NS ns1\nns1 IN A 192.0.2.53\n".to_owned();
    for name in 0..names {
        // One of them has an origin.
        let origin = if name == 1 { " origin=https://origin.shop.example/up" } else { "" };
        writeln!(text, "_steer.www{name} IN TXT \"v=steer1{origin}\"").unwrap();
        writeln!(text, "_steer.www{name} IN TXT \"cdn=bunny to=shop{name}.b-cdn.net.\"").unwrap();
        writeln!(text, "_steer.www{name} IN TXT \"cdn=fastly to=dualstack.shop{name}.map.fastly.net.\"").unwrap();
        // Other data at the owner has the name flattened.
        let own = if name % 10 == 0 { "IN MX 10 mail.example.net." } else { "IN CNAME shop.b-cdn.net." };
        writeln!(text, "www{name} {own}").unwrap();
    }
    text
}

#[tokio::test]
async fn a_provider_that_all_names_leave_holds_up_the_task_for_a_moment() {
    let mut site = Site::new().await;
    assert_eq!(site.serving("bunny"), site.names);
    let began = Instant::now();
    let effects = site.drain(1);
    let decided = began.elapsed();
    assert!(effects.decided.len() >= site.names && effects.transitions.len() >= site.names);

    let began = Instant::now();
    site.task.publish_decisions(&effects.decided);
    let published = began.elapsed();
    assert_eq!(site.serving("fastly"), site.names);

    let (began, mut writes) = (Instant::now(), Vec::new());
    site.task.follow_up(effects, &mut writes);
    let followed = began.elapsed();
    let (began, count) = (Instant::now(), writes.len());
    site.task.keeping.post(writes);
    let posted = began.elapsed();
    let store = site.task.keeping.store().clone();
    store.write(Vec::new()).await.unwrap();
    eprintln!(
        "{} names: decided in {decided:.1?}; published in {published:.1?}; what follows {followed:.1?}; {count} writes \
         posted in {posted:.1?}, on the disk after {:.1?}",
        site.names,
        began.elapsed()
    );
    let counts = store.health().counts;
    assert_eq!(counts.dropped, 0, "all of it was kept: {counts:?}");
    let newest = store.events(EventFilter { limit: 1, ..EventFilter::default() }).await.unwrap();
    assert!(newest.events[0].id >= site.names as u64);
}

#[tokio::test]
async fn a_set_that_changes_is_published_for_its_name() {
    let mut site = Site::new().await;
    let name: Arc<str> = "www10.shop.example.".into();
    let slot = site.task.slots[&name];
    let key = crate::steer::observation::CandidateKey { name, candidate: "bunny".into() };
    let set = |site: &Site| site.task.published.load().flattened.0[slot].clone();
    assert_eq!(set(&site), [None, None]);
    for address in ["203.0.113.1", "203.0.113.2"] {
        let addresses = vec![address.parse().unwrap()];
        site.task.take_resolved(
            std::slice::from_ref(&key),
            addresses.clone(),
            Duration::from_secs(60),
            site.task.clock.now(),
        );
        let (before, began) = (site.task.published.load_full(), Instant::now());
        site.task.apply(Effects::default());
        eprintln!("{} names: one set published in {:.1?}", site.names, began.elapsed());
        assert_eq!(set(&site)[0].as_ref().unwrap().addresses, addresses);
        let after = site.task.published.load_full();
        assert!(Arc::ptr_eq(&before.selection, &after.selection), "what did not change is not copied");
    }
    let generation = site.task.generation;
    let later = site.task.clock.now().after(Duration::from_secs(4_000));
    site.task.forget_old_sets(later);
    site.task.apply(Effects::default());
    assert_eq!((set(&site), site.task.generation), (vec![None, None], generation + 1));
}
