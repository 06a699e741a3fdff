//! Single cases of the whole core that no scenario can tell: many names, clocks, what is kept and what is forgotten.

use std::sync::Arc;
use std::time::Duration;

use super::areas::PLAIN;
use super::effects::Effects;
use super::fixture::{IDS, NAME, START, candidate, key, seen, steered};
use super::inquiry::{Finding, Inquiry};
use super::judge::CandidateMemory;
use super::observation::{Cause, Family, Observation, Outcome};
use super::overrides::{DrainSubject, Order, Override};
use super::policy::{AreaPolicy, Candidate, Preference, SteeredName, Target};
use super::steering::Steering;
use super::time::Time;
use super::transition::{Change, Standing};

const V4: Option<Family> = Some(Family::V4);
const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> Time {
    START.after(Duration::from_secs(seconds))
}

fn rules(name: &str, count: usize) -> Arc<SteeredName> {
    Arc::new(steered(name, IDS[..count].iter().map(|id| candidate(id, "si", 1)).collect()))
}

/// One name whose candidates have passed; the first has then failed once, which is enough for it to fall.
fn fallen() -> Steering {
    let mut steering = Steering::new();
    steering.install(&[rules(NAME, 3)], START);
    for i in 0..3 {
        steering.observe(&seen(i, V4, Cause::Paced, None, at(1)), at(1));
    }
    steering.observe(&seen(0, V4, Cause::Paced, Some(500), at(2)), at(2));
    steering
}

fn memory(steering: &Steering, at: usize) -> CandidateMemory {
    steering.candidate(&key(at)).unwrap().memory()
}

fn verdicts(effects: &Effects) -> Vec<(Standing, Standing)> {
    let verdict = |change: &Change| match change {
        Change::Verdict { from, to, .. } => Some((*from, *to)),
        _ => None,
    };
    effects.transitions.iter().filter_map(|transition| verdict(&transition.change)).collect()
}

#[test]
fn who_passes_again_and_again_lets_nobody_wait_for_those_that_are_silent() {
    let mut steering = fallen();
    // The third is asked and says nothing: one second from the first pass of the second on.
    for millis in (2_100..=3_100).step_by(200) {
        let now = START.after(Duration::from_millis(millis));
        steering.observe(&seen(1, V4, Cause::Sibling, None, now), now);
        let stays = steering.decision(NAME, PLAIN).unwrap().reasons[0].share > 0.0;
        assert_eq!(stays, millis < 3_100, "{millis}");
    }
}

#[test]
fn what_is_due_is_done_whatever_comes_between() {
    // The window of the first ends at 302 s; others are heard of, and orders placed, before time is told.
    let between: [fn(&mut Steering, Time); 3] = [
        |steering, now| {
            steering.observe(&seen(1, V4, Cause::Paced, None, now), now);
        },
        |steering, now| {
            let order = Order::Drain(DrainSubject::Provider("fastly".into()));
            let (author, reason) = ("anna".to_owned(), "a drill".to_owned());
            steering
                .place(Override { id: 1, order, author, reason, placed: now, until: None, empty: None }, now)
                .unwrap();
        },
        |steering, now| {
            let same = Arc::clone(steering.name(NAME).unwrap());
            steering.install(&[same], now);
        },
    ];
    for between in between {
        let mut steering = fallen();
        // Down for longer than a brief outage; then watched until just before the end of its window.
        for seconds in [100, 390] {
            steering.observe(&seen(0, V4, Cause::Paced, None, at(seconds)), at(seconds));
        }
        assert_eq!(steering.candidate(&key(0)).unwrap().clean_until, Some(at(400)));
        between(&mut steering, at(401));
        steering.tick(at(401));
        assert_eq!(steering.candidate(&key(0)).unwrap().standing, Standing::Up);
        assert_eq!(steering.next_tick(), None);
    }
}

#[test]
fn a_name_that_two_zones_steer_has_the_rules_of_the_deeper_one() {
    let deeper = rules(NAME, 2);
    let mut above = SteeredName::clone(&rules(NAME, 3));
    above.zone = "example.".into();
    let above = Arc::new(above);
    for names in [[Arc::clone(&above), Arc::clone(&deeper)], [Arc::clone(&deeper), above]] {
        let mut steering = Steering::new();
        steering.install(&names, START);
        assert_eq!(steering.name(NAME).unwrap().candidates.len(), 2);
        // Its first round ends, and no tick goes on for ever.
        steering.tick(at(60));
        assert_eq!(steering.next_tick(), None);
    }
    let mut steering = Steering::new();
    steering.install(&[Arc::clone(&deeper), deeper], START);
    steering.tick(at(60));
    assert_eq!(steering.next_tick(), None);
}

/// After all failed alike the first that passes is no better than the one that serves: it is asked, and heard.
#[test]
fn those_that_come_back_with_the_origin_do_not_move_the_name() {
    for (status, moves) in [(None, false), (Some(502), true)] {
        let mut policy = (*rules(NAME, 3)).clone();
        policy.policy.prefer = vec![Preference::Provider(IDS[0].into()), Preference::Any];
        let mut steering = Steering::new();
        steering.install(&[Arc::new(policy)], START);
        for (time, status) in [(1, None), (2, Some(502))] {
            for i in 0..3 {
                steering.observe(&seen(i, V4, Cause::Paced, status, at(time)), at(time));
            }
        }
        // Nobody answers for the anchors, and the failures count.
        steering.tick(at(7));
        steering.tick(at(59));
        let holds = |steering: &Steering| steering.decision(NAME, PLAIN).unwrap().reasons[0].share;
        assert_eq!(holds(&steering), 1.0);
        let effects = steering.observe(&seen(1, V4, Cause::Paced, None, at(60)), at(60));
        assert!(effects.probes.iter().any(|wanted| wanted.candidate == key(0) && wanted.at == at(60)));
        assert_eq!(holds(&steering), 1.0, "it is being asked");
        // Nobody answers for it.
        let mut silent = steering.clone();
        assert_eq!(silent.next_tick(), Some(at(65)));
        silent.tick(at(65));
        assert_eq!(holds(&silent), 0.0);
        steering.observe(&seen(0, V4, Cause::Sibling, status, at(61)), at(61));
        assert_eq!(holds(&steering) == 0.0, moves);
    }
}

#[test]
fn what_is_no_longer_steered_is_forgotten() {
    let other = "img.shop.example.";
    let mut steering = fallen();
    let effects = steering.install(&[rules(NAME, 2), rules(other, 1)], at(3));
    assert!(effects.remembered.contains(&key(2)) && steering.candidate(&key(2)).is_none());
    let effects = steering.install(&[rules(other, 1)], at(4));
    assert_eq!(effects.remembered, [key(0), key(1)]);
    assert_eq!(effects.decided, [Arc::from(NAME)]);
    assert_eq!(steering.last(NAME), None);
}

#[test]
fn what_was_removed_while_stopped_is_forgotten_and_what_did_not_load_is_not() {
    let before = fallen();
    let kept = || (0..3).map(|i| (key(i), memory(&before, i))).collect::<Vec<_>>();
    let mut steering = Steering::new();
    steering.restore(kept(), Vec::new(), Vec::new());
    assert_eq!(steering.install(&[rules(NAME, 2)], at(3)).remembered, [key(2)]);
    let mut steering = Steering::new();
    steering.restore(kept(), Vec::new(), Vec::new());
    assert_eq!(steering.install(&[], at(3)).remembered, []);
    steering.install(&[rules(NAME, 3)], at(4));
    assert_eq!(steering.candidate(&key(0)).unwrap().standing, Standing::Down);
}

#[test]
fn a_verdict_that_a_new_target_ends_is_told() {
    let mut steering = fallen();
    let kept = memory(&steering, 0);
    let mut moved = SteeredName::clone(steering.name(NAME).unwrap());
    let first = &mut moved.candidates[0];
    *first = Candidate { target: Target::Name("new.bunny.example.".into()), ..first.clone() };
    let moved = Arc::new(moved);
    let effects = steering.install(&[Arc::clone(&moved)], at(3));
    assert_eq!(verdicts(&effects), [(Standing::Down, Standing::Unknown)]);
    assert_eq!(verdicts(&steering.install(&[Arc::clone(&moved)], at(4))), []);
    let mut restarted = Steering::new();
    restarted.restore(vec![(key(0), kept)], Vec::new(), Vec::new());
    assert_eq!(verdicts(&restarted.install(&[moved], at(5))), [(Standing::Down, Standing::Unknown)]);
}

#[test]
fn a_clock_that_was_wrong_before_the_restart_keeps_nobody_away() {
    let mut steering = fallen();
    steering.observe(&seen(0, V4, Cause::Paced, None, at(100)), at(100));
    let kept = memory(&steering, 0);
    assert_eq!(kept.standing, Standing::Recovering);
    // It was a year ahead.
    let now = START.before(Duration::from_secs(31_536_000));
    let mut restarted = Steering::new();
    restarted.restore(vec![(key(0), kept)], Vec::new(), Vec::new());
    let effects = restarted.install(&[rules(NAME, 3)], now);
    assert_eq!(effects.remembered, [key(0)]);
    let state = restarted.candidate(&key(0)).unwrap();
    assert!(state.since <= now && state.clean_until <= Some(now.after(HOUR)), "{state:?}");
    // A fall in the future is no brief outage.
    let kept = memory(&fallen(), 0);
    let mut restarted = Steering::new();
    restarted.restore(vec![(key(0), kept)], Vec::new(), Vec::new());
    restarted.install(&[rules(NAME, 3)], now);
    restarted.observe(&seen(0, V4, Cause::Paced, None, now), now);
    let window = Duration::from_secs(300);
    assert_eq!(restarted.candidate(&key(0)).unwrap().clean_until, Some(now.after(window)));
}

#[test]
fn a_slow_pass_does_not_hide_one_that_began_later() {
    let mut steering = fallen();
    let began = |from: u64, observation: Observation| Observation { began: at(from), ..observation };
    // gcore serves a part and falls; fastly's probe began after that, an earlier slow one ends later.
    steering.observe(&seen(1, V4, Cause::Reprobe, None, at(3)), at(3));
    steering.observe(&began(6, seen(2, V4, Cause::Sibling, None, at(6))), at(6));
    steering.observe(&began(4, seen(2, V4, Cause::Paced, None, at(7))), at(7));
    steering.observe(&began(5, seen(1, V4, Cause::Paced, Some(500), at(8))), at(8));
    // Two providers fail at once: what waits for the anchors counts once they have passed.
    assert_eq!(steering.candidate(&key(1)).unwrap().standing, Standing::Up);
    let (inquiry, outcome) = (Inquiry::Anchors(Family::V4), Outcome::Pass { latency: Duration::from_millis(20) });
    steering.found(&Finding { inquiry, began: at(8), ended: at(8), outcome }, at(8));
    assert_eq!(steering.candidate(&key(1)).unwrap().standing, Standing::Down);
    let decision = steering.decision(NAME, PLAIN).unwrap();
    assert!((decision.reasons[2].share - 1.0).abs() < f64::EPSILON, "{decision:?}");
}

/// Three candidates that have passed; what their anchors then say, and two of them fail at once, as the anchors do.
fn two_dark(baseline: bool) -> Steering {
    let mut steering = Steering::new();
    steering.install(&[rules(NAME, 3)], START);
    let mut asked = Vec::new();
    for i in 0..3 {
        asked.extend(steering.observe(&seen(i, V4, Cause::Paced, None, at(1)), at(1)).inquiries);
    }
    assert_eq!(asked, [Inquiry::Anchors(Family::V4)], "they are asked once, at the first pass");
    anchors(&mut steering, baseline, 2);
    for i in 0..2 {
        steering.observe(&seen(i, V4, Cause::Paced, Some(500), at(100)), at(100));
    }
    anchors(&mut steering, false, 102);
    steering
}

fn anchors(steering: &mut Steering, pass: bool, seconds: u64) -> Effects {
    let outcome = seen(0, V4, Cause::Paced, (!pass).then_some(503), at(seconds)).outcome;
    let inquiry = Inquiry::Anchors(Family::V4);
    steering.found(&Finding { inquiry, began: at(seconds), ended: at(seconds), outcome }, at(seconds))
}

#[test]
fn anchors_that_have_never_passed_are_no_evidence() {
    let steering = two_dark(false);
    assert!(steering.vantage().is_empty());
    assert_eq!(steering.anchors_asked_in_vain(Family::V4), 2);
    let down = (0..3).filter(|&i| steering.candidate(&key(i)).unwrap().standing == Standing::Down);
    assert_eq!(down.collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn nothing_has_passed_since_the_start_and_no_anchor_either() {
    let mut steering = Steering::new();
    steering.install(&[rules(NAME, 3)], START);
    for i in 0..2 {
        steering.observe(&seen(i, V4, Cause::Paced, Some(500), at(1)), at(1));
    }
    anchors(&mut steering, false, 2);
    assert_eq!(steering.vantage().len(), 1, "this machine may have started without its network");
    steering.observe(&seen(2, V4, Cause::Paced, None, at(3)), at(3));
    assert!(steering.vantage().is_empty(), "it has one");
}

#[test]
fn a_freeze_ends_when_two_providers_pass_though_no_anchor_does() {
    let mut steering = two_dark(true);
    assert_eq!(steering.vantage().len(), 1);
    let pass = |steering: &mut Steering, i, began, now| {
        let seen = Observation { began: at(began), ..seen(i, V4, Cause::Paced, None, at(now)) };
        steering.observe(&seen, at(now));
        steering.vantage().is_empty()
    };
    assert!(!pass(&mut steering, 0, 99, 103), "its probe began before");
    assert!(!pass(&mut steering, 2, 103, 104), "one alone");
    assert!(!pass(&mut steering, 2, 105, 106));
    assert!(pass(&mut steering, 0, 106, 107));
    // Its probe was under way when the freeze ended; the next was not.
    for (began, standing) in [(106, Standing::Up), (107, Standing::Down)] {
        let late = Observation { began: at(began), ..seen(1, V4, Cause::Paced, Some(500), at(109)) };
        steering.observe(&late, at(109));
        assert_eq!(steering.candidate(&key(1)).unwrap().standing, standing, "{began}");
    }
}

#[test]
fn many_that_are_due_at_once_cost_as_many_steps() {
    const MANY: usize = 20_000;
    let mut steering = Steering::new();
    let names: Vec<Arc<SteeredName>> = (0..MANY).map(|i| rules(&format!("w{i}.shop.example."), 1)).collect();
    steering.install(&names, START);
    for (seconds, status) in [(1, None), (2, Some(500)), (100, None), (395, None)] {
        for rules in &names {
            let mut observation = seen(0, V4, Cause::Paced, status, at(seconds));
            observation.candidate.name = Arc::clone(&rules.name);
            steering.observe(&observation, at(seconds));
        }
    }
    let effects = steering.tick(at(400));
    assert_eq!((effects.remembered.len(), effects.decided.len()), (MANY, MANY));
}

#[test]
fn names_with_equal_policies_and_verdicts_share_one_decision() {
    let mut policy = rules(NAME, 2);
    let us = Some(vec![Preference::Provider("gcore".into())]);
    let areas = [("lab".to_owned(), AreaPolicy { prefer: us.clone(), only: None })];
    Arc::make_mut(&mut policy).policy.areas = areas.into();
    let named = |name: &str| Arc::new(SteeredName { name: name.into(), ..SteeredName::clone(&policy) });
    let mut steering = Steering::new();
    steering.settle([vec![], vec!["lab".into()]].into(), START);
    steering.install(&[named("a.shop.example."), named("b.shop.example.")], START);
    for area in [PLAIN, 1] {
        let decision = |name| steering.decision(name, area).unwrap();
        assert!(Arc::ptr_eq(decision("a.shop.example."), decision("b.shop.example.")));
    }
    let areas = |name| steering.areas(name).unwrap();
    assert!(Arc::ptr_eq(areas("a.shop.example."), areas("b.shop.example.")));
    assert_eq!(steering.without_usable("a.shop.example."), None);
}

#[test]
fn new_places_touch_the_names_whose_rules_they_change() {
    let mut policy = rules(NAME, 2);
    let areas =
        [("lab".to_owned(), AreaPolicy { prefer: Some(vec![Preference::Provider("gcore".into())]), only: None })];
    Arc::make_mut(&mut policy).policy.areas = areas.into();
    let mut steering = Steering::new();
    steering.install(&[policy, rules("img.shop.example.", 2)], START);
    let settle = |steering: &mut Steering, areas: &[&str], seconds| {
        let lab = areas.iter().map(|&area| area.into()).collect();
        steering.settle([vec![], lab].into(), at(seconds)).decided
    };
    assert_eq!(settle(&mut steering, &["lab"], 1), [NAME.into()] as [Arc<str>; 1]);
    assert_eq!(
        steering.decision(NAME, 1).unwrap().rule,
        "first round: what was not probed yet counts as up, level 1 (gcore)"
    );
    assert_eq!(settle(&mut steering, &["lab"], 2), [] as [Arc<str>; 0], "as before");
    assert_eq!(settle(&mut steering, &["lab", "country-de"], 3), [] as [Arc<str>; 0], "its rules are as before");
    // The rules are as before too, but another place leads there.
    let moved = steering.settle([vec![], vec![], vec!["lab".into()]].into(), at(4));
    assert_eq!((moved.decided.len(), moved.transitions.len()), (1, 0));
    assert_eq!(settle(&mut steering, &[], 5).len(), 1);
    assert_eq!(steering.decision(NAME, 1), None);
}
