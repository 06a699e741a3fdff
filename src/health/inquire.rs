//! Carrying out an inquiry: one probe of an origin, or all anchors of a family.
//!
//! Inquiries have places of their own (`inquiries`), so that they never take the turn of a paced probe. What could not be
//! asked from here (no route, an address that probes must not go to, no file descriptor) is no finding: it is logged and
//! counted, and says nothing of the origin.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::anchors;
use super::check::Check;
use super::fault::{Seen, fault};
use super::message::{Question, Report};
use super::reach;
use super::round::Rounds;
use crate::steer::inquiry::{Finding, Inquiry};
use crate::steer::observation::{Family, Outcome, Stage};
use crate::steer::policy::Target;

/// Asks, and reports what was found to all who asked.
pub async fn carry_out(rounds: &Arc<Rounds>, question: &Question, asked_by: Vec<Inquiry>) {
    let began = (rounds.clock)();
    let seen = match question {
        Question::Origin(check) => rounds.ask_origin(check).await,
        Question::Anchors(family) => anchors::ask(rounds, *family).await,
    };
    let ended = (rounds.clock)();
    let inquiries = asked_by.len();
    match seen {
        Seen::Outcome(outcome) => {
            debug!(?question, inquiries, ?outcome, "inquired");
            count(question, if matches!(outcome, Outcome::Pass { .. }) { "pass" } else { "fail" });
            let found = |inquiry| Finding { inquiry, began, ended, outcome: outcome.clone() };
            rounds.report(Report::Found(asked_by.into_iter().map(found).collect())).await;
        }
        Seen::Nothing(why) => {
            warn!(?question, inquiries, why, "an inquiry could not be carried out");
            count(question, "not-sent");
        }
    }
}

/// Counts what came of a question: `pass`, `fail`, `not-sent`, `dropped`.
pub fn count(question: &Question, outcome: &'static str) {
    let kind = match question {
        Question::Origin(_) => "origin",
        Question::Anchors(Family::V4) => "anchors-v4",
        Question::Anchors(Family::V6) => "anchors-v6",
    };
    counter!("pointsman_inquiries_total", "kind" => kind, "outcome" => outcome).increment(1);
}

impl Rounds {
    /// One address of each family is asked, both at once. An origin works if one of them does: a CDN comes by either.
    async fn ask_origin(&self, check: &Check) -> Seen {
        let (began, limit) = (Instant::now(), check.probe.timeout);
        let addresses = match &check.target {
            Target::Addresses(addresses) => addresses.clone(),
            Target::Name(name) => match self.targets.resolve(name, &[], limit).await {
                Ok(found) => found.addresses,
                Err(reason) => return Seen::fault(fault(Stage::Resolve, reason)),
            },
        };
        let left = limit.saturating_sub(began.elapsed());
        let ask = |family| self.ask_origin_over(family, check, &addresses, left);
        let (v4, v6) = tokio::join!(ask(Family::V4), ask(Family::V6));
        either(v4, v6)
    }

    async fn ask_origin_over(&self, family: Family, check: &Check, addresses: &[IpAddr], limit: Duration) -> Seen {
        let members = addresses.iter().copied().filter(|address| Family::of(*address) == family);
        let mut why = format!("the origin has no {family} address");
        for address in members {
            match reach::special_kind(address).filter(|_| !self.settings.allow_private) {
                Some(kind) => why = format!("address {address} is {kind} and probe.allow_private is off"),
                None if !self.routes.reach(address) => why = format!("no route to {address}"),
                None => return self.ask(&check.probe, address, limit).await,
            }
        }
        Seen::Nothing(why)
    }
}

/// What two families say of one origin: a pass of any, else a failure, else nothing.
fn either(first: Seen, second: Seen) -> Seen {
    let rank = |seen: &Seen| match seen {
        Seen::Outcome(Outcome::Pass { .. }) => 2,
        Seen::Outcome(Outcome::Fail(_)) => 1,
        Seen::Nothing(_) => 0,
    };
    if rank(&second) > rank(&first) { second } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_works_if_one_family_does() {
        let pass = || Seen::Outcome(Outcome::Pass { latency: Duration::ZERO });
        let fail = || Seen::fault(fault(Stage::Status, "status 500"));
        let nothing = || Seen::Nothing("no route".to_owned());
        for (first, second, expected) in [
            (pass(), fail(), pass()),
            (fail(), pass(), pass()),
            (nothing(), pass(), pass()),
            (fail(), nothing(), fail()),
            (nothing(), fail(), fail()),
            (nothing(), nothing(), nothing()),
        ] {
            assert_eq!(either(first, second), expected);
        }
    }
}
