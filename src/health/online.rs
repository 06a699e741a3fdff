//! What can be told of targets by asking once, without a server: whether they resolve, and what their DNS has for clients far from each other.
//!
//! Bounded in all: targets at once, time for each, time for all. Who is not asked in time is told as not asked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::cold::{Cold, DISTANT, ForNetwork, Way, answer_for};
use super::prober::Clock;
use super::reach::Routes;
use super::resolve::Targets;
use super::settings::{Settings, StartError};
use crate::steer::time::Time;

/// The most targets that are asked for.
pub const MAX_TARGETS: usize = 1_000;
/// Targets that are asked for at once.
const AT_ONCE: usize = 16;
/// For resolving one.
const RESOLVE: Duration = Duration::from_secs(5);
/// For what its DNS has for one network.
const ASK: Duration = Duration::from_secs(10);
/// For all.
const ALL: Duration = Duration::from_secs(120);

/// What was found of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    pub addresses: Result<Vec<IpAddr>, Unresolved>,
    /// For each network that was asked for; none where nothing came.
    pub networks: Vec<(IpNet, Option<ForNetwork>)>,
}

/// Why a target has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// A resolver has said that there are none.
    Told(String),
    /// It could not be told.
    Unheard(String),
}

impl Examined {
    /// Whether its DNS honours client subnets: a scope says yes; answers for two networks at least, without, say no.
    pub fn honours_subnets(&self) -> Option<bool> {
        let answers = || self.networks.iter().filter_map(|(_, answer)| answer.as_ref());
        match (answers().any(|answer| answer.scope > 0), answers().count()) {
            (true, _) => Some(true),
            (false, 2..) => Some(false),
            (false, _) => None,
        }
    }

    /// Whether all networks get the same addresses; none where fewer than two are known.
    pub fn is_same_for_all(&self) -> Option<bool> {
        let answers: Vec<_> = self.networks.iter().filter_map(|(_, answer)| answer.as_ref()).collect();
        let (first, others) = answers.split_first().filter(|(_, others)| !others.is_empty())?;
        Some(others.iter().all(|other| other.addresses == first.addresses))
    }
}

/// Asks for targets, [`MAX_TARGETS`] at most. None: it was not asked in time. Blocks, for two minutes at most.
pub fn examine(settings: Settings, targets: &[Arc<str>]) -> Result<Vec<Option<Examined>>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let examined = runtime.block_on(async {
        let asker = Asker {
            targets: Targets::new(&settings.resolvers)?,
            // Nothing is looked at in a pace.
            cold: Cold::new(Duration::ZERO),
            routes: Routes::checked(),
            clock: Arc::new(now),
            places: Semaphore::new(AT_ONCE),
            settings,
        };
        Ok(Arc::new(asker).examine_all(targets).await)
    });
    runtime.shutdown_background();
    examined
}

struct Asker {
    settings: Settings,
    targets: Targets,
    cold: Cold,
    routes: Routes,
    clock: Clock,
    places: Semaphore,
}

impl Asker {
    async fn examine_all(self: Arc<Self>, targets: &[Arc<str>]) -> Vec<Option<Examined>> {
        let mut asking = JoinSet::new();
        for (at, target) in targets.iter().take(MAX_TARGETS).enumerate() {
            let (this, target) = (Arc::clone(&self), Arc::clone(target));
            asking.spawn(async move {
                let _place = this.places.acquire().await.ok()?;
                Some((at, this.examine(&target).await))
            });
        }
        let mut all = vec![None; targets.len()];
        let ended = async {
            while let Some(ended) = asking.join_next().await {
                // One that broke off was not asked.
                let Some((at, examined)) = ended.ok().flatten() else { continue };
                if let Some(place) = all.get_mut(at) {
                    *place = Some(examined);
                }
            }
        };
        // What is there by then is told.
        let _ = tokio::time::timeout(ALL, ended).await;
        all
    }

    async fn examine(&self, target: &str) -> Examined {
        let addresses = match self.targets.find(target, &[], RESOLVE).await {
            Ok(found) => Ok(found.addresses),
            Err(nothing) if nothing.is_told() => Err(Unresolved::Told(nothing.to_string())),
            Err(nothing) => Err(Unresolved::Unheard(nothing.to_string())),
        };
        let ask = |network| async move {
            let asked = answer_for(self.way(), target, network, 0);
            (network, tokio::time::timeout(ASK, asked).await.ok().flatten())
        };
        let [first, second, third] = DISTANT;
        let networks = if addresses.is_ok() {
            let (first, second, third) = tokio::join!(ask(first), ask(second), ask(third));
            vec![first, second, third]
        } else {
            Vec::new()
        };
        Examined { addresses, networks }
    }

    fn way(&self) -> Way<'_> {
        Way {
            settings: &self.settings,
            targets: &self.targets,
            cold: &self.cold,
            routes: &self.routes,
            clock: &self.clock,
        }
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_what_tells() {
        let answer = |last: u8, scope| {
            Some(ForNetwork { addresses: vec![[192, 0, 2, last].into()], ttl: Duration::from_secs(20), scope })
        };
        for (answers, honours, same) in [
            ([answer(1, 0), answer(1, 0), answer(1, 0)], Some(false), Some(true)),
            ([answer(1, 0), answer(2, 0), None], Some(false), Some(false)),
            ([answer(1, 24), answer(1, 0), answer(1, 0)], Some(true), Some(true)),
            ([answer(1, 24), None, None], Some(true), None),
            ([answer(1, 0), None, None], None, None),
            ([None, None, None], None, None),
        ] {
            let networks = DISTANT.into_iter().zip(answers).collect();
            let examined = Examined { addresses: Ok(Vec::new()), networks };
            assert_eq!((examined.honours_subnets(), examined.is_same_for_all()), (honours, same), "{examined:?}");
        }
    }
}
