//! Visitors behind resolver caches: what they are sent to, second by second, and what they lose by it.
//!
//! A name has so many resolvers, each with its own point on the circle of shares and its own beginning. A resolver asks as
//! soon as its answer has run out, as a busy one does; one that is asked less often has answers that are younger, so this
//! is the worst for its visitors. Between two of its questions its visitors go where its answer leads. A second in which
//! that place fails a part of all requests counts as that part of a second lost.
//!
//! | part of resolvers | TTL that it keeps an answer for | why |
//! | --- | --- | --- |
//! | 92 % | as it was answered | the standard (RFC 1035, 3.2.1; RFC 2181, 8), and what the large public resolvers do |
//! | 4 % | 30 s at the least | home routers and small caches with a floor; 5 s in doubt is lost on them |
//! | 3 % | 60 s at the least | the same; old pages of browsers and run-times that keep a minute of their own |
//! | 1 % | 300 s at the least | providers' resolvers that stretch short TTLs |
//!
//! The parts are assumptions: measurements agree that stretched TTLs are few, not on how few. What is not modelled:
//! connections that are open already and stay where they are, and resolvers that serve what has run out (RFC 8767).

use std::time::Duration;

use super::answers::{Answers, SETTLED};
use super::draw::Draw;
use super::faults::Faults;
use crate::steer::shares::POINTS;
use crate::steer::time::Time;

/// Resolvers of each name: shares are exact to a hundredth, and a ramp's first step of 5 % is five of them.
const RESOLVERS: u32 = 100;
/// So many of them, from the number before, keep an answer at least so long, in seconds.
const FLOORS: [(u32, u32); 4] = [(92, 0), (96, 30), (99, 60), (100, 300)];
/// Takes resolvers with a floor from all over the circle: it and their number share no factor.
const STRIDE: u32 = 37;
/// A question without an answer is asked again after this: what large resolvers keep a failure for (RFC 9520 allows 1 s to
/// 5 min).
const RETRY: Duration = Duration::from_secs(5);

/// Where the visitors of a name are sent, and what fails them there.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    pub begin: Time,
    pub end: Time,
    pub answers: &'a Answers,
    /// By candidate.
    pub candidates: &'a [Faults],
    /// The operators of name servers that the zone is published at; none: it is always answered.
    pub operators: &'a [Faults],
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Visits {
    /// Seconds lost by a visitor, on average.
    pub lost: f64,
    /// By candidate: the part of the visitors in each minute, 0 to 1. What is missing to 1 had no answer.
    pub load: Vec<Vec<f64>>,
}

impl Scene<'_> {
    /// Follows all resolvers.
    pub fn visit(&self, seed: u64, name: &str) -> Visits {
        let minutes = usize::try_from(self.end.since(self.begin).as_secs().div_ceil(60)).unwrap_or(0);
        let mut tally =
            Tally { begin: self.begin, lost: 0.0, steps: vec![vec![0.0; minutes + 2]; self.candidates.len()] };
        let mut draw = Draw::new(seed, name);
        for number in 0..RESOLVERS {
            let place = (f64::from(number) + draw.unit()) / f64::from(RESOLVERS);
            let class = number * STRIDE % RESOLVERS;
            let floor = FLOORS.iter().find(|(until, _)| class < *until).map_or(0, |(_, floor)| *floor);
            self.follow((place * f64::from(POINTS)) as u64, floor, &mut draw, &mut tally);
        }
        tally.visits(minutes)
    }

    /// One resolver from the beginning to the end.
    fn follow(&self, point: u64, floor: u32, draw: &mut Draw, tally: &mut Tally) {
        let (first, _) = self.answers.at(self.begin);
        let mut at = usize::from(first.shares.pick(point));
        let mut since = self.begin;
        // In the first moments answers are in doubt and short: as if each had asked before that, they begin apart.
        let usual = self.answers.at(self.begin.after(SETTLED)).0.ttl;
        let mut asks = self.begin.after(kept(usual, floor).mul_f64(draw.unit()));
        while asks < self.end {
            if let Some(again) = self.unanswered(asks, draw) {
                self.spend(at, since, asks, tally);
                let again = again.min(self.end);
                tally.lost += again.since(asks).as_secs_f64();
                (since, asks) = (again, again);
                continue;
            }
            let (answer, next) = self.answers.at(asks);
            let then = usize::from(answer.shares.pick(point));
            if then != at {
                self.spend(at, since, asks, tally);
                (at, since) = (then, asks);
            }
            asks = self.next_question(asks, kept(answer.ttl, floor), next);
        }
        self.spend(at, since, self.end, tally);
    }

    /// When it asks next; the same answers in between are passed over at once.
    fn next_question(&self, asked: Time, kept: Duration, next_answer: Option<Time>) -> Time {
        let change = self.operators.iter().filter_map(|operator| operator.next_change(asked)).min();
        let failing = self.operators.iter().any(|operator| operator.visitors_at(asked) > 0.0);
        let until = next_answer.unwrap_or(self.end).min(change.unwrap_or(self.end));
        let times = match failing {
            true => 1,
            false => until.since(asked).as_millis().div_ceil(kept.as_millis().max(1)).max(1),
        };
        asked.after(kept.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX)))
    }

    /// Where no operator answers: when it asks again.
    fn unanswered(&self, at: Time, draw: &mut Draw) -> Option<Time> {
        if self.operators.is_empty() {
            return None;
        }
        let fails: f64 = self.operators.iter().map(|operator| operator.visitors_at(at)).product();
        if fails >= 1.0 {
            let changes = self.operators.iter().filter_map(|operator| operator.next_change(at));
            let retry = at.after(RETRY);
            return Some(changes.min().unwrap_or(retry).max(retry));
        }
        (fails > 0.0 && draw.unit() < fails).then(|| at.after(RETRY))
    }

    fn spend(&self, at: usize, from: Time, until: Time, tally: &mut Tally) {
        if until > from && at < self.candidates.len() {
            tally.lost += self.candidates[at].lost(from, until);
            tally.add(at, from, 1.0);
            tally.add(at, until, -1.0);
        }
    }
}

/// How long a resolver keeps an answer.
fn kept(ttl: u32, floor: u32) -> Duration {
    Duration::from_secs(u64::from(ttl.max(floor).max(1)))
}

/// Sums over resolvers. The load is kept as its changes, each shared between its minute and the next one.
struct Tally {
    begin: Time,
    lost: f64,
    steps: Vec<Vec<f64>>,
}

impl Tally {
    fn add(&mut self, at: usize, when: Time, change: f64) {
        let minutes = when.since(self.begin).as_secs_f64() / 60.0;
        let (minute, passed) = (minutes as usize, minutes.fract());
        let steps = &mut self.steps[at];
        if minute + 1 < steps.len() {
            steps[minute] += change * (1.0 - passed);
            steps[minute + 1] += change * passed;
        }
    }

    fn visits(self, minutes: usize) -> Visits {
        let sum = |steps: Vec<f64>| {
            let mut load = 0.0;
            let summed = steps.into_iter().take(minutes).map(|step| {
                load += step;
                (load / f64::from(RESOLVERS)).clamp(0.0, 1.0)
            });
            summed.collect()
        };
        Visits { lost: self.lost / f64::from(RESOLVERS), load: self.steps.into_iter().map(sum).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::replay::answers::Answer;
    use crate::sim::replay::incident::Incident;
    use crate::steer::shares::Shares;

    const BEGIN: Time = Time(1_767_261_600_000);

    fn at(seconds: u64) -> Time {
        BEGIN.after(Duration::from_secs(seconds))
    }

    fn faults(span: &str) -> Faults {
        let head = "title = \"x\"\noperators = [\"one\"]\n[[span]]\nfrom = \"2026-01-01T10:10:00Z\"\nuntil = \"2026-01-01T10:40:00Z\"\n";
        let incident = Incident::parse(&format!("{head}{span}\n"), "x", "x").expect("an incident");
        Faults::new(incident.spans.iter().map(|span| (span, "x")), 1)
    }

    fn moves(ttl: u32, to: &[(u64, u16)]) -> Answers {
        let mut answers = Answers::new(Answer { at: BEGIN, shares: Shares::whole(0), ttl });
        for &(seconds, candidate) in to {
            answers.push(Answer { at: at(seconds), shares: Shares::whole(candidate), ttl });
        }
        answers
    }

    fn visit(answers: &Answers, operators: &[Faults]) -> Visits {
        let candidates =
            [if operators.is_empty() { faults("provider = \"bunny\"") } else { Faults::default() }, Faults::default()];
        Scene { begin: BEGIN, end: at(3600), answers, candidates: &candidates, operators }.visit(1, "www")
    }

    #[test]
    fn a_move_costs_the_time_to_it_and_half_of_what_is_kept() {
        let all = visit(&moves(30, &[]), &[]);
        assert!((all.lost - 1800.0).abs() < 1e-6, "{}", all.lost);
        assert_eq!(all.load[0], vec![1.0; 60]);
        // 12 s until the answer changes; 92 + 4 of a hundred keep an old one for up to 30 s, 3 for 60 s, 1 for 300 s.
        let expected = 12.0 + 0.96 * 15.0 + 0.03 * 30.0 + 0.01 * 150.0;
        let means: Vec<f64> = (0..20)
            .map(|seed| {
                let candidates = [faults("provider = \"bunny\""), Faults::default()];
                let answers = moves(30, &[(612, 1)]);
                let scene =
                    Scene { begin: BEGIN, end: at(3600), answers: &answers, candidates: &candidates, operators: &[] };
                scene.visit(seed, "www").lost
            })
            .collect();
        let mean = means.iter().sum::<f64>() / 20.0;
        assert!((mean - expected).abs() < 1.0, "{mean} instead of {expected}");
    }

    #[test]
    fn the_load_of_a_minute_is_the_time_spent_in_it() {
        let visits = visit(&moves(1, &[(90, 1), (600, 0)]), &[]);
        let load = &visits.load;
        // Half of the minute, and what floors keep in it: half a second of 92, 15 s of 4, 22 s of 3, 28 s of 1 of a hundred.
        assert!((load[0][0] - 1.0).abs() < 1e-6 && (load[0][1] - 0.534).abs() < 0.015, "{load:?}");
        assert!((load[1][5] - 0.99).abs() < 0.02, "one of a hundred keeps its answer for up to five minutes");
        for minute in 0..60 {
            assert!((visits.load[0][minute] + visits.load[1][minute] - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn without_name_servers_answers_run_out() {
        let one = faults("nameservers = \"one\"");
        let lost = visit(&moves(30, &[]), std::slice::from_ref(&one)).lost;
        // 30 min without what is left of the answer, and none begins before it.
        assert!((1775.0..1795.0).contains(&lost), "{lost}");
        assert_eq!(visit(&moves(30, &[]), &[one, Faults::default()]).lost, 0.0);
    }
}
