//! What many servers say of one name, as one step of a look.
//!
//! | servers asked | the step |
//! | --- | --- |
//! | any gives addresses | those; the others are a warning |
//! | else any an alias | there; the others are a warning |
//! | else any a referral | to those servers |
//! | all are wrong or empty | it fails: `authoritative servers of akamaiedge.net say SERVFAIL (4 of 4)` |
//!
//! A family has addresses if any server gives some. One server of four that is wrong is no failure: resolvers ask the
//! next one too.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_resolver::proto::rr::Name;

use super::said::{Referral, Said, Wrong};

/// What one server says of A and AAAA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement(pub [Said; 2]);

impl Statement {
    /// Whether it can be believed alone: nothing is wrong, and no family that had addresses is gone.
    pub fn is_good(&self, had: [bool; 2]) -> bool {
        let is_alias = self.0.iter().any(|said| matches!(said, Said::Alias(_) | Said::Referral(_)));
        let wrong = self.0.iter().any(|said| matches!(said, Said::Wrong(_)));
        let gone = self.0.iter().zip(had).any(|(said, had)| had && *said == Said::NoData);
        !wrong && self.wrong().is_none() && (is_alias || !gone)
    }

    /// What makes it of no use, if it is.
    pub fn wrong(&self) -> Option<Wrong> {
        let mut worst = Wrong::Empty;
        for said in &self.0 {
            match said {
                Said::Addresses(_) | Said::Alias(_) | Said::Referral(_) => return None,
                Said::NoData => {}
                Said::Wrong(wrong) => worst = worst.max(wrong.clone()),
            }
        }
        Some(worst)
    }
}

/// What a step comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Addresses { families: [Result<IpAddr, String>; 2], warning: Option<String> },
    Alias { to: Name, warning: Option<String> },
    Referral(Referral),
    Fails { reason: String, is_silence: bool },
}

/// What these statements, of servers of `zone`, come to. There is at least one.
pub fn step(zone: &str, statements: &[Statement]) -> Step {
    let wrong: Vec<Wrong> = statements.iter().filter_map(Statement::wrong).collect();
    let told = |wrongs: &[Wrong]| (!wrongs.is_empty()).then(|| words(zone, wrongs, statements.len()));
    let families = [0, 1].map(|family| addresses(zone, statements, family));
    if families.iter().any(Result::is_ok) {
        return Step::Addresses { families, warning: told(&wrong) };
    }
    let all = || statements.iter().flat_map(|statement| &statement.0);
    if let Some(to) = all().find_map(|said| if let Said::Alias(to) = said { Some(to.clone()) } else { None }) {
        return Step::Alias { to, warning: told(&wrong) };
    }
    if let Some(to) = all().find_map(|said| if let Said::Referral(to) = said { Some(to.clone()) } else { None }) {
        return Step::Referral(to);
    }
    let is_silence = wrong.iter().all(|wrong| matches!(wrong, Wrong::Silent | Wrong::Nowhere));
    Step::Fails { reason: words(zone, &wrong, statements.len()), is_silence }
}

/// An address that any server gives for a family, or what they say in its place.
fn addresses(zone: &str, statements: &[Statement], family: usize) -> Result<IpAddr, String> {
    let said = || statements.iter().filter_map(|statement| statement.0.get(family));
    let address = said().find_map(|said| match said {
        Said::Addresses(addresses) => addresses.first().copied(),
        _ => None,
    });
    let instead = || said().map(|said| if let Said::Wrong(wrong) = said { wrong.clone() } else { Wrong::Empty });
    address.ok_or_else(|| words(zone, &instead().collect::<Vec<_>>(), statements.len()))
}

/// `authoritative servers of akamaiedge.net say SERVFAIL (4 of 4)`
fn words(zone: &str, wrongs: &[Wrong], of: usize) -> String {
    let mut counts: BTreeMap<&Wrong, usize> = BTreeMap::new();
    for wrong in wrongs {
        *counts.entry(wrong).or_default() += 1;
    }
    // The worst is told first.
    let said: Vec<String> = counts.iter().rev().map(|(wrong, count)| format!("{wrong} ({count} of {of})")).collect();
    format!("authoritative servers of {zone} say {}", said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        match text {
            "-" => Said::NoData,
            "servfail" => Said::Wrong(Wrong::ServFail),
            "nxdomain" => Said::Wrong(Wrong::NxDomain),
            "silent" => Said::Wrong(Wrong::Silent),
            "lame" => Said::Wrong(Wrong::Lame),
            alias if alias.ends_with('.') => Said::Alias(Name::from_ascii(alias).expect("a name")),
            address => Said::Addresses(vec![address.parse().expect("an address")]),
        }
    }

    fn statements(text: &str) -> Vec<Statement> {
        let pair = |pair: &str| {
            let (v4, v6) = pair.split_once(',').unwrap_or((pair, pair));
            Statement([said(v4), said(v6)])
        };
        text.split_whitespace().map(pair).collect()
    }

    #[test]
    fn the_table_holds() {
        for (servers, expected) in [
            ("192.0.2.1,2001:db8::1", "192.0.2.1 2001:db8::1"),
            ("192.0.2.1,-", "192.0.2.1 -"),
            ("servfail 192.0.2.1,- 192.0.2.2,-", "192.0.2.1 - warning: say SERVFAIL (1 of 3)"),
            ("a.example. lame", "-> a.example. warning: say that they are no authority (1 of 2)"),
            ("servfail servfail servfail servfail", "say SERVFAIL (4 of 4)"),
            ("nxdomain nxdomain", "say NXDOMAIN (2 of 2)"),
            ("- -", "say no addresses (2 of 2)"),
            ("silent silent", "silence: say nothing (2 of 2)"),
            ("silent servfail servfail", "say SERVFAIL (2 of 3), nothing (1 of 3)"),
            ("servfail,-", "say SERVFAIL (1 of 1)"),
        ] {
            let shown = match step("cdn.example", &statements(servers)) {
                Step::Addresses { families, warning } => {
                    let [v4, v6] = families.map(|family| family.map_or("-".to_owned(), |address| address.to_string()));
                    format!("{v4} {v6}{}", warning.map(|text| format!(" warning: {text}")).unwrap_or_default())
                }
                Step::Alias { to, warning } => format!("-> {to} warning: {}", warning.unwrap_or_default()),
                Step::Referral(_) => "referral".to_owned(),
                Step::Fails { reason, is_silence } => format!("{}{reason}", if is_silence { "silence: " } else { "" }),
            };
            assert_eq!(shown.replace("authoritative servers of cdn.example ", ""), expected, "{servers}");
        }
    }

    #[test]
    fn one_server_is_believed_where_nothing_is_odd() {
        for (text, had, good) in [
            ("192.0.2.1,2001:db8::1", [true, true], true),
            ("192.0.2.1,-", [true, false], true),
            ("192.0.2.1,-", [true, true], false),
            ("192.0.2.1,servfail", [true, false], false),
            ("a.example.", [true, true], true),
            ("-", [false, false], false),
            ("silent", [false, false], false),
        ] {
            assert_eq!(statements(text)[0].is_good(had), good, "{text} {had:?}");
        }
    }
}
