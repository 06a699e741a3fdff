//! Reading zones and configuration: on a blocking thread, one load at a time, and back in the task what comes of it.
//!
//! Reloads that are asked for while one runs are answered by the next, which begins after them: who writes a file and then
//! asks is told of that file.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::task::{JoinError, JoinHandle};

use super::areas::KnownAreas;
use super::message::Reply;
use super::task::Task;
use super::view::{LoadedDatabase, ReloadReport};
use super::zones::{Load, LoadOutcome};
use super::{image_settings, timestamp};
use crate::config::Config;
use crate::steer::effects::Effects;
use crate::store::kept::Write;
use crate::zone::texts::Texts;

/// Errors of one load that are logged, a line each.
const LOGGED_ERRORS: usize = 20;

/// A load on its blocking thread, and who waits for it.
pub(super) struct Loading {
    task: JoinHandle<Reloaded>,
    replies: Vec<Reply<ReloadReport>>,
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
        let last = kept.decisions.into_iter().map(|(name, last)| (name, last.into())).collect();
        self.steering.restore(kept.candidates, last, kept.overrides);
        let load = self.load(&self.config, kept.zones.into_iter().collect());
        let (config, areas) = (self.config.clone(), self.areas.clone());
        let loaded = tokio::task::spawn_blocking(move || (areas.renewed(&config), load.run())).await;
        match loaded {
            Ok((areas, outcome)) => {
                let effects = self.take_areas(areas);
                self.take_up(outcome, effects, Vec::new());
            }
            Err(error) => self.could_not_load(&error),
        }
    }

    fn load(&self, config: &Config, kept: BTreeMap<String, Texts>) -> Load {
        Load {
            folder: config.server.zones.clone(),
            zones: config.zone_settings(),
            image: image_settings(config, self.client_key),
            current: self.zones.clone(),
            kept,
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
        let load = self.load(&config, BTreeMap::new());
        let threads = NonZeroUsize::new(load.threads.get() / 2).unwrap_or(NonZeroUsize::MIN);
        let load = Load { threads, ..load };
        let (client_key, areas) = (self.client_key, self.areas.clone());
        let task = tokio::task::spawn_blocking(move || {
            let (config, errors) = file.map_or((config.clone(), Vec::new()), |file| file.reread(&config));
            let (zones, image) = (config.zone_settings(), image_settings(&config, client_key));
            let areas = areas.renewed(&config);
            Reloaded { outcome: Load { zones, image, ..load }.run(), areas, config, errors }
        });
        self.loading = Some(Loading { task, replies });
    }

    pub(super) fn finish_loading(&mut self, loaded: Result<Reloaded, JoinError>) {
        let Some(loading) = self.loading.take() else { return };
        match loaded {
            Ok(Reloaded { outcome, areas, config, errors }) => {
                self.config = config;
                let effects = self.take_areas(areas);
                self.take_up(outcome, effects, errors);
            }
            Err(error) => self.could_not_load(&error),
        }
        for reply in loading.replies {
            if let Some(report) = &self.last_reload {
                drop(reply.send(report.clone()));
            }
        }
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.reload(waiting);
        }
    }

    /// The load broke off: all goes on as it is.
    fn could_not_load(&mut self, error: &JoinError) {
        tracing::error!(%error, "the zones could not be loaded");
        self.last_reload = Some(ReloadReport {
            at: timestamp(self.clock.now()),
            generation: self.generation,
            ok: false,
            changed: Vec::new(),
            removed: Vec::new(),
            errors: vec![format!("the zones could not be loaded: {error}")],
            warnings: 0,
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
        effects
    }

    /// What was loaded is served from now on.
    fn take_up(&mut self, outcome: LoadOutcome, mut effects: Effects, config_errors: Vec<String>) {
        let now = self.clock.now();
        self.zones = outcome.zones;
        let targets = self.resolved_targets();
        effects.append(self.steering.install(&outcome.steered, now));
        self.forget_sets_of_others(&targets);
        self.publish_image(outcome.image);
        self.plan_due = true;
        let mut writes = vec![Write::Generation(self.generation)];
        self.follow_up(effects, &mut writes);
        self.keeping.post(writes);
        self.keeping.post_zones(outcome.fresh);
        self.forget_what_left();
        let of_areas = self.areas.error.clone();
        let errors: Vec<String> = config_errors.into_iter().chain(of_areas).chain(outcome.errors).collect();
        for error in errors.iter().take(LOGGED_ERRORS) {
            tracing::error!("{error}");
        }
        if let Some(more) = errors.len().checked_sub(LOGGED_ERRORS).filter(|more| *more > 0) {
            tracing::error!("{more} more errors: `pointsman check` tells them all");
        }
        let report = ReloadReport {
            at: timestamp(now),
            generation: self.generation,
            ok: errors.is_empty(),
            changed: outcome.changed,
            removed: outcome.removed,
            errors,
            warnings: outcome.warnings,
        };
        let (zones, names) = (self.zones.len(), self.steering.names().count());
        tracing::info!(zones, names, changed = report.changed.len(), ok = report.ok, "zones loaded");
        self.last_reload = Some(report);
    }

    /// What names and zones that left have in the store.
    fn forget_what_left(&mut self) {
        let broken = self.zones.iter().filter(|(_, entry)| entry.zone.is_none());
        let broken: Vec<&str> = broken.map(|(origin, _)| origin.as_str()).collect();
        let (steering, zones) = (&self.steering, &self.zones);
        let is_broken = |name: &str| broken.iter().any(|origin| is_within(name, origin));
        self.keeping.forget_others(
            |key| steering.candidate(key).is_some() || is_broken(&key.name),
            |name| steering.name(name).is_some() || is_broken(name),
            |origin| zones.contains_key(origin),
        );
    }
}

/// Waits for the load that runs; for ever, where none does.
pub(super) async fn loaded(loading: &mut Option<Loading>) -> Result<Reloaded, JoinError> {
    match loading {
        Some(loading) => (&mut loading.task).await,
        None => std::future::pending().await,
    }
}

/// Whether a name is an origin or below it; both in presentation format, lower case.
fn is_within(name: &str, origin: &str) -> bool {
    origin == "." || name.strip_suffix(origin).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
