//! One look: from a target along its CNAMEs, each time asking the authoritative servers of the name that it has come to.
//!
//! The servers of a name are found by the ordinary resolver, which has their NS records in its cache as every user's
//! resolver has: a look is about what they say now, not about the delegation. Where they refer to a zone below, its
//! servers are asked.
//!
//! | the first server, in rotation, | then |
//! | --- | --- |
//! | answers well, and no family is gone | it is believed: two questions a look |
//! | anything else | three more are asked, at once |
//!
//! In doubt all four are asked at once, so that a look ends within the time of a probe though nobody answers.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_resolver::proto::rr::{Name, RecordType};
use metrics::counter;
use tracing::debug;

use super::exchange;
use super::said::{NameServer, Referral, Said, Wrong, read};
use super::verdict::{Statement, Step, step};
use super::way::Servers;
use crate::health::round::Rounds;
use crate::steer::observation::Family;

/// CNAMEs to other zones and referrals that a look follows.
pub const MAX_STEPS: usize = 8;
/// Servers of one zone that are asked beside the first.
const MORE_SERVERS: usize = 3;

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Some server gave addresses.
    Resolves(Resolves),
    /// None of those asked did.
    Fails(Fails),
    /// It says nothing: whom to ask could not be found, or nobody could be asked from here.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolves {
    /// The zone that holds the addresses.
    pub zone: String,
    /// All zones on the way that answered.
    pub zones: Vec<String>,
    /// An address of each family, or what was said in its place.
    pub families: [Result<IpAddr, String>; 2],
    /// What servers said that were of no use, if there were any.
    pub warning: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fails {
    pub zone: String,
    pub reason: String,
    /// Nobody said anything at all.
    pub is_silence: bool,
}

/// How a look goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Where in each zone's list of servers to begin.
    pub server: usize,
    /// Families that had addresses at the last look.
    pub had: [bool; 2],
    /// Nothing is taken from one server alone.
    pub asks_all: bool,
}

/// Looks at a target.
pub async fn look(rounds: &Arc<Rounds>, target: &str, turn: Turn) -> Looked {
    let Ok(mut name) = Name::from_ascii(target) else { return Looked::Unknown(format!("{target} is no name")) };
    let mut referred: Option<Servers> = None;
    let (mut zones, mut warning) = (Vec::new(), None);
    for _ in 0..MAX_STEPS {
        let servers = match referred.take() {
            Some(servers) => servers,
            None => match rounds.way().servers_of(&name).await {
                Ok(servers) => servers,
                Err(why) => return Looked::Unknown(why),
            },
        };
        let zone = servers.zone.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let (statements, not_asked) = rounds.ask_some(&servers, &name, turn).await;
        if statements.is_empty() {
            let why = not_asked.map(|why| format!(": {why}")).unwrap_or_default();
            return Looked::Unknown(format!("no server of {zone} can be asked from here{why}"));
        }
        let came_to = step(&zone, &statements);
        debug!(target, %name, zone, ?came_to, "authoritative servers asked");
        match came_to {
            Step::Addresses { families, warning: more } => {
                zones.push(zone.clone());
                return Looked::Resolves(Resolves { zone, zones, families, warning: warning.or(more) });
            }
            Step::Alias { to, warning: more } => {
                zones.push(zone);
                name = to;
                warning = warning.or(more);
            }
            Step::Referral(Referral { zone, servers }) => referred = Some(Servers { zone, servers }),
            // Those that could not be asked may not be silent.
            Step::Fails { is_silence: true, .. } if not_asked.is_some() => {
                return Looked::Unknown(not_asked.unwrap_or_default());
            }
            Step::Fails { reason, is_silence } => return Looked::Fails(Fails { zone, reason, is_silence }),
        }
    }
    Looked::Unknown(format!("{target} leads through more than {MAX_STEPS} zones"))
}

impl Rounds {
    /// Asks one server, and others if it does not answer well. Servers that cannot be asked from here are left out; where
    /// that is this machine's fault or its resolver's, it says why.
    async fn ask_some(&self, servers: &Servers, name: &Name, turn: Turn) -> (Vec<Statement>, Option<String>) {
        let count = servers.servers.len();
        let server = |step: usize| (step < count).then(|| &servers.servers[turn.server.wrapping_add(step) % count]);
        let ask = |step: usize| async move {
            match server(step) {
                Some(server) => self.ask_one(&servers.zone, server, name).await,
                None => Ok(None),
            }
        };
        const { assert!(MORE_SERVERS == 3) };
        if turn.asks_all {
            let all = tokio::join!(ask(0), ask(1), ask(2), ask(3));
            return sorted([all.0, all.1, all.2, all.3]);
        }
        let first = ask(0).await;
        if let Ok(Some(statement)) = &first
            && statement.is_good(turn.had)
        {
            return sorted([first]);
        }
        let more = tokio::join!(ask(1), ask(2), ask(3));
        sorted([first, more.0, more.1, more.2])
    }

    /// What one server says of both families. None: there is no way from here to it. The error: it could not be asked, for
    /// a reason of this machine's or its resolver's own.
    async fn ask_one(&self, zone: &Name, server: &NameServer, name: &Name) -> Result<Option<Statement>, String> {
        let Some(way) = self.way().to(server).await? else { return Ok(None) };
        let statement = match way {
            Some(at) => {
                let ask = |rtype| async move {
                    let answer = exchange::ask(at, name, rtype).await?;
                    let said = answer.map_or(Said::Wrong(Wrong::Silent), |answer| read(&answer, zone, name, rtype));
                    Ok::<Said, String>(said)
                };
                let (v4, v6) = tokio::try_join!(ask(RecordType::A), ask(RecordType::AAAA))?;
                Statement([v4, v6])
            }
            None => Statement([Said::Wrong(Wrong::Nowhere), Said::Wrong(Wrong::Nowhere)]),
        };
        let word = statement.wrong().map_or("good", |wrong| wrong.word());
        counter!("pointsman_authoritative_answers_total", "outcome" => word).increment(1);
        Ok(Some(statement))
    }
}

/// The statements, and why there is none of a server that was to be asked.
fn sorted<const N: usize>(asked: [Result<Option<Statement>, String>; N]) -> (Vec<Statement>, Option<String>) {
    let (mut statements, mut not_asked) = (Vec::new(), None);
    for one in asked {
        match one {
            Ok(statement) => statements.extend(statement),
            Err(why) => not_asked = Some(why),
        }
    }
    (statements, not_asked)
}

/// The families by their place in pairs.
pub fn family(at: usize) -> Family {
    Family::ALL[at.min(1)]
}
