//! `pointsman check --online`: what can be told of the targets of zones by asking for them.
//!
//! | found | told as |
//! | --- | --- |
//! | a resolver says that the target has no addresses | an error: nobody could be sent there |
//! | the target resolves to an address that probes must not go to | an error: it would always be down |
//! | it could not be resolved from here | a warning |
//! | the target of a flattened name: its DNS tells no clients apart, and its provider does not say that it is anycast | a warning |
//! | ... it could not be told whether it does | a warning, unless its provider says so |
//!
//! Equal addresses for networks far from each other are told, and are no proof: anycast looks like that, and so does an answer for who asks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::health::online::{Examined, MAX_TARGETS, Unresolved};
use crate::health::reach::special_kind;
use crate::steer::edges::{Edges, Nearness, known};
use crate::steer::policy::{Shape, Target};
use crate::zone::diagnostic::{Diagnostic, Severity};
use crate::zone::folder::Folder;

/// Candidates of a target that are named; the others are counted.
const NAMED: usize = 3;

/// A target of zones, and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    pub target: Arc<str>,
    /// `news.example./bunny`
    candidates: Vec<String>,
    /// The file of the first.
    file: String,
    /// Whether any of their names is flattened.
    pub is_flattened: bool,
}

/// What was found of a target; a part of the JSON document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetReport {
    pub target: String,
    pub candidates: Vec<String>,
    /// Whether this server resolves it for its clients, since a name of it is flattened.
    pub flattened: bool,
    pub addresses: Vec<IpAddr>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unresolved: Option<String>,
    /// None: it could not be told.
    pub honours_subnets: Option<bool>,
    /// Whether all networks get the same addresses; none where fewer than two answers came.
    pub same_for_all: Option<bool>,
    pub networks: Vec<NetworkReport>,
    /// What its provider says.
    pub provider_says: Option<ProviderSays>,
}

/// What the target's DNS has for one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkReport {
    pub network: String,
    pub addresses: Vec<IpAddr>,
    /// Above 0 where they depend on the network.
    pub scope: u8,
}

/// How a provider leads clients to an edge near them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderSays {
    /// `anycast`, `subnets`
    pub by: &'static str,
    pub source: &'static str,
}

/// The targets of all good zones, by name.
pub fn targets_of(folder: &Folder) -> Vec<Used> {
    let mut all: BTreeMap<Arc<str>, Used> = BTreeMap::new();
    for loaded in &folder.zones {
        for name in loaded.zone.iter().flat_map(|zone| &zone.steered) {
            for candidate in &name.candidates {
                let Target::Name(target) = &candidate.target else { continue };
                let used = all.entry(target.clone()).or_insert_with(|| Used {
                    target: target.clone(),
                    candidates: Vec::new(),
                    file: loaded.path.display().to_string(),
                    is_flattened: false,
                });
                used.candidates.push(format!("{}/{}", name.name, candidate.id));
                used.is_flattened |= name.shape == Shape::Flattened;
            }
        }
    }
    all.into_values().collect()
}

/// Targets of flattened names of which it is not known offline that clients far away are led to near edges.
pub fn unknown_flattened(targets: &[Used]) -> usize {
    targets.iter().filter(|used| used.is_flattened && known(&used.target).is_none()).count()
}

/// What was found, and what is wrong with it. `examined` is as long as `targets`.
pub fn report(
    targets: &[Used],
    examined: &[Option<Examined>],
    allow_private: bool,
) -> (Vec<TargetReport>, Vec<Diagnostic>) {
    let (mut reports, mut diagnostics) = (Vec::new(), Vec::new());
    let mut not_asked = Vec::new();
    for (used, examined) in targets.iter().zip(examined) {
        match examined {
            Some(examined) => {
                diagnostics.extend(faults(used, examined, allow_private));
                reports.push(told(used, examined));
            }
            None => not_asked.push(used),
        }
    }
    if let Some(first) = not_asked.first() {
        let (count, target) = (not_asked.len(), &first.target);
        let message = format!(
            "{count} targets were not asked for, {target} the first: no time was left, or there are more than {MAX_TARGETS}"
        );
        diagnostics.push(Diagnostic::of_file(Severity::Warning, &first.file, message));
    }
    (reports, diagnostics)
}

fn told(used: &Used, examined: &Examined) -> TargetReport {
    let networks = examined.networks.iter().filter_map(|(network, answer)| {
        let answer = answer.as_ref()?;
        Some(NetworkReport { network: network.to_string(), addresses: answer.addresses.clone(), scope: answer.scope })
    });
    let (addresses, unresolved) = match &examined.addresses {
        Ok(addresses) => (addresses.clone(), None),
        Err(Unresolved::Told(why) | Unresolved::Unheard(why)) => (Vec::new(), Some(why.clone())),
    };
    let says = |edges: &Edges| ProviderSays { by: word(edges.by), source: edges.source };
    TargetReport {
        target: used.target.to_string(),
        candidates: used.candidates.clone(),
        flattened: used.is_flattened,
        addresses,
        unresolved,
        honours_subnets: examined.honours_subnets(),
        same_for_all: examined.is_same_for_all(),
        networks: networks.collect(),
        provider_says: known(&used.target).map(says),
    }
}

fn word(by: Nearness) -> &'static str {
    match by {
        Nearness::Anycast => "anycast",
        Nearness::Subnets => "subnets",
    }
}

/// The table of the file's head.
fn faults(used: &Used, examined: &Examined, allow_private: bool) -> Vec<Diagnostic> {
    let whose = used.whose();
    let told = |severity, message: String, help: Option<String>| Diagnostic {
        help,
        ..Diagnostic::of_file(severity, &used.file, message)
    };
    let addresses = match &examined.addresses {
        Ok(addresses) => addresses,
        Err(Unresolved::Told(why)) => {
            return vec![told(Severity::Error, format!("{whose} does not resolve: {why}"), None)];
        }
        Err(Unresolved::Unheard(why)) => {
            let message = format!("{whose} could not be resolved from here: {why}");
            return vec![told(Severity::Warning, message, None)];
        }
    };
    let mut all = Vec::new();
    let special = addresses.iter().find_map(|address| Some((address, special_kind(*address)?)));
    if let Some((address, kind)) = special.filter(|_| !allow_private) {
        let message = format!("{whose} resolves to {address}, which is {kind}: no probe is sent there");
        let help = "`[probe] allow_private = true` lets probes go to such addresses".to_owned();
        all.push(told(Severity::Error, message, Some(help)));
    }
    let by = known(&used.target).map(|edges| edges.by);
    match (used.is_flattened, examined.honours_subnets(), by) {
        (true, Some(false), None | Some(Nearness::Subnets)) => {
            let message = format!(
                "{whose} is flattened, its DNS does not honour client subnets (ECS), and it is not known to be anycast: clients far from \
                 this server would get addresses near it"
            );
            let help = examined.is_same_for_all().filter(|same| *same).map(|_| {
                "networks far from each other get the same addresses: anycast looks like that, and so does an answer for who asks"
                    .to_owned()
            });
            all.push(told(Severity::Warning, message, help));
        }
        (true, None, None) => {
            let message = format!(
                "{whose} is flattened, and its authoritative servers did not tell whether they honour client subnets (ECS): clients far from this server \
                 may get addresses near it"
            );
            all.push(told(Severity::Warning, message, None));
        }
        _ => {}
    }
    all
}

impl Used {
    /// `the target shop.b-cdn.net. (news.example./bunny and 2 more)`
    fn whose(&self) -> String {
        let more = match self.candidates.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named: Vec<&str> = self.candidates.iter().take(NAMED).map(String::as_str).collect();
        format!("the target {} ({}{more})", self.target, named.join(", "))
    }
}

/// A line for each target, for people.
pub fn text(reports: &[TargetReport]) -> String {
    let mut text = String::new();
    for report in reports {
        let resolves = match (&report.unresolved, report.addresses.as_slice()) {
            (Some(why), _) => format!("no addresses ({why})"),
            (None, [one]) => format!("resolves to {one}"),
            (None, [first, others @ ..]) => format!("resolves to {first} and {} more", others.len()),
            (None, []) => "no addresses".to_owned(),
        };
        let subnets = match report.honours_subnets {
            Some(true) => "honours client subnets",
            Some(false) => "does not honour client subnets",
            None => "not known whether it honours client subnets",
        };
        let anycast = match (&report.provider_says, report.same_for_all) {
            (Some(ProviderSays { by: "anycast", source }), _) => format!("anycast, says its provider ({source})"),
            (_, Some(true)) => "the same addresses for networks far from each other".to_owned(),
            (_, Some(false)) => "other addresses for networks far from each other".to_owned(),
            (_, None) => "not known whether it is anycast".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {resolves}; {subnets}; {anycast}", report.target);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::health::cold::{DISTANT, ForNetwork};

    fn used(target: &str, is_flattened: bool) -> Used {
        let candidates = ["a", "b", "c", "d"].map(|name| format!("{name}.example./x")).into();
        Used { target: target.into(), candidates, file: "a.zone".to_owned(), is_flattened }
    }

    fn examined(address: &str, scope: Option<u8>) -> Examined {
        let address: IpAddr = address.parse().expect("an address");
        let answer = scope.map(|scope| ForNetwork { addresses: vec![address], ttl: Duration::from_secs(20), scope });
        let networks = DISTANT.into_iter().map(|network| (network, answer.clone())).collect();
        Examined { addresses: Ok(vec![address]), networks }
    }

    /// The table of the file's head.
    #[test]
    fn what_is_found_is_told_as_the_table_says() {
        let unresolved = |why| Examined { addresses: Err(why), networks: Vec::new() };
        let (good, other) = ("1.1.1.1", "a.cdn.example.");
        for (target, flattened, examined, expected) in [
            (other, false, unresolved(Unresolved::Told("NXDOMAIN".to_owned())), "error"),
            (other, true, unresolved(Unresolved::Unheard("resolver timed out".to_owned())), "warning"),
            (other, false, examined("10.0.0.1", Some(24)), "error"),
            (other, true, examined("10.0.0.1", Some(0)), "error warning"),
            (other, true, examined(good, Some(24)), ""),
            (other, true, examined(good, Some(0)), "warning"),
            (other, true, examined(good, None), "warning"),
            (other, false, examined(good, Some(0)), ""),
            ("a.azurefd.net.", true, examined(good, Some(0)), ""),
            ("a.azurefd.net.", true, examined(good, None), ""),
            ("a.b-cdn.net.", true, examined(good, Some(0)), "warning"),
            ("a.b-cdn.net.", true, examined(good, None), ""),
        ] {
            let faults = faults(&used(target, flattened), &examined, false);
            let word = |fault: &Diagnostic| if fault.severity == Severity::Error { "error" } else { "warning" };
            let told: Vec<&str> = faults.iter().map(word).collect();
            assert_eq!(told.join(" "), expected, "{target} {flattened} {examined:?}");
            let whose = format!("the target {target} (a.example./x, b.example./x, c.example./x and 1 more)");
            assert!(faults.iter().all(|fault| fault.message.starts_with(&whose)), "{faults:?}");
        }
        assert_eq!(faults(&used(other, false), &examined("10.0.0.1", Some(24)), true), []);
    }

    #[test]
    fn who_was_not_asked_is_told_so() {
        let targets = [used("a.cdn.example.", false), used("b.cdn.example.", false)];
        let (reports, diagnostics) = report(&targets, &[Some(examined("1.1.1.1", Some(0))), None], false);
        assert_eq!((reports.len(), diagnostics.len()), (1, 1));
        assert!(diagnostics[0].message.starts_with("1 targets were not asked for, b.cdn.example. the first"));
    }
}
