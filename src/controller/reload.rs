//! Reading zones and configuration: on a thread of its own, one load at a time, and back in the task what comes of it.
//!
//! Reloads that are asked for while one runs are answered by the next, which begins after them: who writes a file and then
//! asks is told of that file.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::areas::KnownAreas;
use super::message::Reply;
use super::task::Task;
use super::view::{LoadedDatabase, ReloadCounts, ReloadReport};
use super::zones::{Load, LoadOutcome};
use super::{image_settings, timestamp};
use crate::config::Config;
use crate::steer::effects::Effects;
use crate::store::kept::Write;

/// Errors of one load that are logged, a line each.
const LOGGED_ERRORS: usize = 20;

/// Origins, and errors, that a report tells one by one.
const TOLD: usize = 100;
/// How much the threads of a reload stand back behind those that answer: a tenth of a core where these need all of it.
const NICE: i32 = 10;

/// A load on its thread, and who waits for it.
pub(super) struct Loading {
    outcome: oneshot::Receiver<Reloaded>,
    replies: Vec<Reply<ReloadReport>>,
    began: Instant,
}

impl Loading {
    /// How long it has been running.
    pub(super) fn runs_since(&self) -> Duration {
        self.began.elapsed()
    }
}

/// A load that broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("there is no thread for it: {0}")]
    NoThread(#[from] std::io::Error),
    #[error("it broke off; the log says why")]
    BrokeOff,
}

/// What a load comes to.
pub(super) struct Reloaded {
    outcome: LoadOutcome,
    areas: KnownAreas,
    config: Config,
    /// What was wrong with the configuration, or needs a restart.
    errors: Vec<String>,
}

impl Task {
    /// Takes up what was kept, loads the zones and publishes them.
    pub(super) async fn load_first(&mut self) {
        let kept = self.kept.take().unwrap_or_default();
        let ran_until = kept.ledger.runs.last().map_or(self.started, |run| run.until);
        self.resume_drill();
        let last = kept.decisions.into_iter().map(|(name, last)| (name, last.into())).collect();
        self.steering.restore(kept.candidates, last, kept.overrides);
        let load = self.load(&self.config);
        let (config, areas) = (self.config.clone(), self.areas.clone());
        let began = Instant::now();
        let loaded = tokio::task::spawn_blocking(move || (areas.renewed(&config), load.run())).await;
        match loaded {
            Ok((areas, outcome)) => {
                let effects = self.take_areas(areas);
                self.take_up(outcome, effects, Vec::new(), began);
            }
            Err(_) => self.could_not_load(&LoadError::BrokeOff),
        }
        self.take_up_drills(ran_until);
    }

    fn load(&self, config: &Config) -> Load {
        Load {
            folder: config.server.zones.as_path().into(),
            zones: config.zone_settings(),
            image: image_settings(config, self.client_key),
            current: self.zones.clone(),
            kept: self.keeping.texts().clone(),
            now: self.clock.now(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }

    pub(super) fn reload(&mut self, replies: Vec<Reply<ReloadReport>>) {
        if self.loading.is_some() {
            // Who waits no longer is let go of, should a load take for ever.
            self.waiting.retain(|reply| !reply.is_closed());
            self.waiting.extend(replies);
            return;
        }
        let (file, config) = (self.config_file.clone(), self.config.clone());
        // Answers go on meanwhile: half of the cores are theirs.
        let load = self.load(&config);
        let threads = NonZeroUsize::new(load.threads.get() / 2).unwrap_or(NonZeroUsize::MIN);
        let load = Load { threads, ..load };
        let (client_key, areas) = (self.client_key, self.areas.clone());
        let began = Instant::now();
        let outcome = stand_back(move || {
            let (config, errors) = file.map_or((config.clone(), Vec::new()), |file| file.reread(&config));
            let (zones, image) = (config.zone_settings(), image_settings(&config, client_key));
            let areas = areas.renewed(&config);
            Reloaded { outcome: Load { zones, image, ..load }.run(), areas, config, errors }
        });
        match outcome {
            Ok(outcome) => self.loading = Some(Loading { outcome, replies, began }),
            Err(error) => {
                self.could_not_load(&error.into());
                self.reply(replies);
            }
        }
    }

    pub(super) fn finish_loading(&mut self, loaded: Result<Reloaded, LoadError>) {
        let Some(loading) = self.loading.take() else { return };
        match loaded {
            Ok(Reloaded { outcome, areas, config, errors }) => {
                self.config = config;
                let effects = self.take_areas(areas);
                self.take_up(outcome, effects, errors, loading.began);
                self.plan_drills();
            }
            Err(error) => self.could_not_load(&error),
        }
        self.reply(loading.replies);
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.reload(waiting);
        }
    }

    fn reply(&self, replies: Vec<Reply<ReloadReport>>) {
        for reply in replies {
            if let Some(report) = &self.last_reload {
                drop(reply.send(report.clone()));
            }
        }
    }

    /// The load broke off: all goes on as it is.
    fn could_not_load(&mut self, error: &LoadError) {
        tracing::error!(%error, "the zones could not be loaded");
        self.last_reload = Some(ReloadReport {
            at: timestamp(self.clock.now()),
            generation: self.generation,
            ok: false,
            changed: Vec::new(),
            removed: Vec::new(),
            errors: vec![format!("the zones could not be loaded: {error}")],
            warnings: 0,
            counts: ReloadCounts { errors: 1, ..ReloadCounts::default() },
            seconds: 0.0,
        });
    }

    /// Areas that the next publication carries, and what follows for the names there are.
    fn take_areas(&mut self, areas: KnownAreas) -> Effects {
        self.database.send_replace(areas.file.clone());
        let mut effects = Effects::default();
        if !Arc::ptr_eq(&areas.areas, &self.areas.areas) {
            let places = areas.areas.places().iter().map(|place| place.areas.clone()).collect();
            effects = self.steering.settle(places, self.clock.now());
            let view = areas.view();
            let (ranges, octets) = (view.ipv4_ranges + view.ipv6_ranges, view.octets);
            match &view.loaded {
                Some(LoadedDatabase { file, kind, built, prefixes }) => {
                    tracing::info!(file, kind, %built, prefixes, places = view.places, ranges, octets, "areas");
                }
                None => tracing::info!(places = view.places, ranges, octets, "areas, without a database of countries"),
            }
        }
        self.areas = areas;
        self.settle_networks();
        effects
    }

    /// What was loaded is served from now on.
    fn take_up(&mut self, outcome: LoadOutcome, mut effects: Effects, config_errors: Vec<String>, began: Instant) {
        let now = self.clock.now();
        // Zones that nothing else holds are freed with the image that they were in, not here.
        let before = std::mem::replace(&mut self.zones, Arc::new(outcome.zones));
        self.retired.add(before, Instant::now().into());
        let targets = self.resolved_targets();
        effects.append(self.steering.install(&outcome.steered, now));
        self.forget_sets_of_others(&targets);
        self.publish_image(outcome.image);
        self.retired.load_is_over(Instant::now().into());
        self.plan_due = true;
        let mut writes = vec![Write::Generation(self.generation)];
        self.follow_up(effects, &mut writes);
        self.keeping.post(writes);
        let served = outcome.folder_read.then(|| self.zones.keys().map(|origin| &**origin));
        let (mut changed, mut removed) = (outcome.changed, outcome.removed);
        self.keeping.post_texts(outcome.fresh, removed.clone(), served);
        self.forget_what_left();
        let of_areas = self.areas.error.clone();
        let mut errors: Vec<String> = config_errors.into_iter().chain(of_areas).chain(outcome.errors).collect();
        for error in errors.iter().take(LOGGED_ERRORS) {
            tracing::error!("{error}");
        }
        if let Some(more) = errors.len().checked_sub(LOGGED_ERRORS).filter(|more| *more > 0) {
            tracing::error!("{more} more errors: `pointsman check` tells them all");
        }
        for zone in removed.iter().take(LOGGED_ERRORS) {
            tracing::warn!(zone, "the zone is served no more: its file is gone");
        }
        let counts =
            ReloadCounts { read: outcome.read, changed: changed.len(), removed: removed.len(), errors: errors.len() };
        [&mut changed, &mut removed, &mut errors].into_iter().for_each(|list| list.truncate(TOLD));
        let (ok, seconds) = (counts.errors == 0, began.elapsed().as_secs_f64());
        let (zones, names) = (self.zones.len(), self.steering.names().count());
        tracing::info!(
            zones,
            names,
            read = counts.read,
            changed = counts.changed,
            removed = counts.removed,
            ok,
            seconds,
            "zones loaded"
        );
        let (at, generation, warnings) = (timestamp(now), self.generation, outcome.warnings);
        let report = ReloadReport { at, generation, ok, changed, removed, errors, warnings, counts, seconds };
        self.last_reload = Some(report);
    }

    /// What names and zones that left have in the store.
    fn forget_what_left(&mut self) {
        let broken = self.zones.iter().filter(|(_, entry)| entry.zone.is_none());
        let broken: HashSet<&str> = broken.map(|(origin, _)| &**origin).collect();
        let steering = &self.steering;
        let is_broken = |name: &str| ancestors(name).any(|above| broken.contains(above));
        self.keeping.forget_others(
            |key| steering.candidate(key).is_some() || is_broken(&key.name),
            |name| steering.name(name).is_some() || is_broken(name),
        );
    }
}

/// Runs a load on a thread of its own, of low priority, which those that it starts inherit.
fn stand_back(load: impl FnOnce() -> Reloaded + Send + 'static) -> std::io::Result<oneshot::Receiver<Reloaded>> {
    let (done, outcome) = oneshot::channel();
    std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
        // Refused at worst: then it loads as fast as others answer.
        let _ = rustix::process::nice(NICE);
        // Nobody waits for it where the server stops.
        let _ = done.send(load());
    })?;
    Ok(outcome)
}

/// Waits for the load that runs; for ever, where none does.
pub(super) async fn loaded(loading: &mut Option<Loading>) -> Result<Reloaded, LoadError> {
    match loading {
        Some(loading) => (&mut loading.outcome).await.map_err(|_| LoadError::BrokeOff),
        None => std::future::pending().await,
    }
}

/// What may be the origin of a name: itself, and all above it. A dot inside a label adds some that are none.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| {
        let (_, above) = name.split_once('.')?;
        let above = if above.is_empty() { "." } else { above };
        (above != *name).then_some(above)
    })
}
