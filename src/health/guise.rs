//! The two guises of a probe: as itself, and with a browser's headers. Users are browsers, and bot rules treat a tool that
//! says what it is otherwise than a browser, better or worse.
//!
//! | as itself | as a browser | a browser's has passed before | the probe | bot rules |
//! | --- | --- | --- | --- | --- |
//! | passes | not asked | yes | passes | |
//! | passes | passes | yes | passes | |
//! | passes | passes | no | passes | |
//! | passes | fails | yes | fails as the browser's did | |
//! | passes | fails | no | passes | against browsers |
//! | challenged | passes | yes | passes | against the agent |
//! | challenged | passes | no | passes | against the agent |
//! | challenged | fails | yes | fails as itself | |
//! | challenged | fails | no | fails as itself | |
//! | challenged | not asked | yes | fails as itself | |
//! | fails | not asked | yes | fails as itself | |
//!
//! `challenged` is a challenge or block page, or status 403 or 429. That a browser's probe fails counts only where one has
//! passed before: it comes from a data centre and runs no script, so that bot rules may treat it worse than any user,
//! always; only a change says something. Numbers and reasons: `docs/VERDICTS.md`, "Challenge pages".

use super::fault::Seen;
use crate::steer::observation::{Fault, Outcome, PageFault};
use crate::steer::readiness::BotRules;

/// Rounds for which it is told that bot rules are against the agent, after the last that showed it: 10 minutes at the
/// default pace. Rules that draw lots would come and go with every probe.
const TOLD_ROUNDS: u32 = 60;

/// Headers of a browser, in the order of Chrome. A version that is a few years old looks like many real ones.
pub const BROWSER: [(&str, &str); 8] = [
    (
        "user-agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.9"),
    ("upgrade-insecure-requests", "1"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "none"),
    ("sec-fetch-user", "?1"),
];

/// How a request looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guise {
    Itself,
    Browser,
}

/// What is known of a check's bot rules from round to round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// A browser's probe has passed.
    passed: bool,
    /// Why the last one failed, if it did.
    failing: Option<String>,
    /// Why the honest one was challenged while the browser's passed, and for how many rounds that is told.
    challenged: Option<(String, u32)>,
    /// The last round asked as a browser.
    asked: bool,
}

impl Known {
    /// Whether this round asks as a browser too: each `every`th one, and each one while the last such probe has failed
    /// where one had passed.
    pub fn asks_browser(&self, turn: u32, every: u32) -> bool {
        every > 0 && (turn % every == every - 1 || (self.passed && self.failing.is_some()))
    }

    /// What both saw, as one. `browser` is none where it was not asked.
    pub fn judge(&self, itself: Seen, browser: Option<Seen>) -> (Seen, Self) {
        let mut after = self.clone().a_round_later();
        let Some(Seen::Outcome(as_browser)) = browser else { return (itself, after) };
        after.asked = true;
        let challenge = challenge(&itself).map(str::to_owned);
        let seen = match &as_browser {
            Outcome::Pass { .. } => {
                (after.passed, after.failing) = (true, None);
                match challenge {
                    Some(why) => {
                        after.challenged = Some((why, TOLD_ROUNDS));
                        Seen::Outcome(as_browser)
                    }
                    None => itself,
                }
            }
            Outcome::Fail(fault) => {
                after.failing = Some(fault.reason.clone());
                let counts = self.passed && matches!(itself, Seen::Outcome(Outcome::Pass { .. }));
                let reason = format!("as a browser: {}", fault.reason);
                if counts { Seen::fault(Fault { reason, ..fault.clone() }) } else { itself }
            }
        };
        (seen, after)
    }

    /// Whether a browser's probe has been asked at all.
    pub fn has_asked_browser(&self) -> bool {
        self.passed || self.failing.is_some()
    }

    /// What is told of it.
    pub fn bot_rules(&self) -> Option<BotRules> {
        let against_browsers = || self.failing.clone().filter(|_| !self.passed).map(BotRules::AgainstBrowsers);
        self.challenged.as_ref().map(|(why, _)| BotRules::AgainstTheAgent(why.clone())).or_else(against_browsers)
    }

    /// Takes over what a later round ended with. Rounds may run together: one that did not ask, or did not know yet that a
    /// browser's probe had passed, makes nobody forget it.
    pub fn followed_by(self, later: Self) -> Self {
        if later.asked { Self { passed: self.passed || later.passed, ..later } } else { self.a_round_later() }
    }

    fn a_round_later(self) -> Self {
        let challenged = self.challenged.and_then(|(why, rounds)| Some((why, rounds.checked_sub(1)?)));
        Self { challenged, asked: false, ..self }
    }

    /// Takes over what another probe of the same round learnt: what is worse stays.
    pub fn join(self, other: Self) -> Self {
        Self {
            passed: self.passed || other.passed,
            failing: self.failing.or(other.failing),
            challenged: self.challenged.max(other.challenged),
            asked: self.asked || other.asked,
        }
    }
}

/// Why a probe was turned away as a bot, if it was.
pub fn challenge(seen: &Seen) -> Option<&str> {
    let Seen::Outcome(Outcome::Fail(fault)) = seen else { return None };
    let is_one = matches!(fault.page, Some(PageFault::Challenge | PageFault::Blocked)) || turned_away(fault.status);
    (is_one && fault.page != Some(PageFault::Unclaimed)).then_some(&fault.reason)
}

fn turned_away(status: Option<u16>) -> bool {
    matches!(status, Some(403 | 429))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fault::fault;
    use super::*;
    use crate::steer::observation::Stage;

    fn seen(word: &str, guise: &str) -> Option<Seen> {
        let failed = |status: u16| {
            Some(Seen::fault(Fault { status: Some(status), ..fault(Stage::Status, format!("{guise} {status}")) }))
        };
        match word {
            "passes" => Some(Seen::Outcome(Outcome::Pass { latency: Duration::from_millis(guise.len() as u64) })),
            "challenged" => failed(403),
            "fails" => failed(500),
            "not asked" => None,
            other => unreachable!("`{other}` in the table"),
        }
    }

    #[test]
    fn the_table_holds() {
        let rows: Vec<&str> = include_str!("guise.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|row| !row.starts_with("as itself") && !row.starts_with("---"))
            .collect();
        assert_eq!(rows.len(), 11);
        for row in rows {
            let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
            let known = Known { passed: cells[2] == "yes", ..Known::default() };
            let itself = seen(cells[0], "itself").expect("it is always asked");
            let (verdict, after) = known.judge(itself.clone(), seen(cells[1], "browser"));
            match cells[3] {
                "passes" => assert!(matches!(verdict, Seen::Outcome(Outcome::Pass { .. })), "{row}"),
                "fails as itself" => assert_eq!(verdict, itself, "{row}"),
                _ => {
                    let Seen::Outcome(Outcome::Fail(fault)) = verdict else { unreachable!("{row}") };
                    assert_eq!(fault.reason, "as a browser: browser 500", "{row}");
                }
            }
            let rules = match after.bot_rules() {
                None => "",
                Some(BotRules::AgainstTheAgent(_)) => "against the agent",
                Some(BotRules::AgainstBrowsers(_)) => "against browsers",
            };
            // A browser's probe that fails where the honest one does says nothing of bot rules, whatever was before.
            let expected =
                if cells[0] == "challenged" && cells[1] == "fails" && cells[2] == "no" { rules } else { cells[4] };
            assert_eq!(rules, expected, "{row}");
        }
    }

    #[test]
    fn a_browser_is_asked_now_and_then_and_always_while_it_fails() {
        let fresh = Known::default();
        let asked = |known: &Known, every| (0..12).filter(|turn| known.asks_browser(*turn, every)).count();
        assert_eq!((asked(&fresh, 6), asked(&fresh, 1), asked(&fresh, 0)), (2, 12, 0));
        let pass = || seen("passes", "itself").expect("a pass");
        let (_, passed) = fresh.judge(pass(), seen("passes", "browser"));
        let (_, failing) = passed.judge(pass(), seen("fails", "browser"));
        assert_eq!((asked(&passed, 6), asked(&failing, 6)), (2, 12));
        let (_, never) = fresh.judge(pass(), seen("fails", "browser"));
        assert_eq!(asked(&never, 6), 2, "what never passed is not looked at more often");
        let has_asked = [&fresh, &passed, &failing, &never].map(Known::has_asked_browser);
        assert_eq!(has_asked, [false, true, true, true]);
    }

    #[test]
    fn rounds_that_run_together_make_nobody_forget() {
        let fresh = Known::default();
        let pass = || seen("passes", "itself").expect("a pass");
        let (_, asked) = fresh.judge(pass(), seen("passes", "browser"));
        let (_, not_asked) = fresh.judge(pass(), None);
        let (_, fails) = fresh.judge(pass(), seen("fails", "browser"));
        // They began together, and end one after the other in any order.
        for (first, then) in [(&asked, &not_asked), (&not_asked, &asked), (&asked, &fails), (&fails, &asked)] {
            let known = fresh.clone().followed_by(first.clone()).followed_by(then.clone());
            assert!(known.passed, "{first:?}, {then:?}");
        }
        let known = asked.clone().followed_by(fails.clone()).followed_by(not_asked.clone());
        assert!(known.failing.is_some() && known.asks_browser(0, 6), "it is looked at each time until it passes");
        assert_eq!(known.followed_by(asked).failing, None);
    }

    #[test]
    fn rules_that_draw_lots_are_told_for_a_while() {
        let challenged = seen("challenged", "itself").expect("a fault");
        let (_, mut known) = Known::default().judge(challenged, seen("passes", "browser"));
        let told = BotRules::AgainstTheAgent("itself 403".to_owned());
        for _ in 0..TOLD_ROUNDS {
            assert_eq!(known.bot_rules(), Some(told.clone()));
            known = known.judge(seen("passes", "itself").expect("a pass"), None).1;
        }
        assert_eq!(known.judge(seen("passes", "itself").expect("a pass"), None).1.bot_rules(), None);
    }
}
