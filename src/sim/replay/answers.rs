//! What a name answers over time, and what counts as a flip.
//!
//! A flip is a change of who answers. A whole ramp counts as one: changes go on with a flip as long as nobody who gained
//! in it loses, and nobody who lost gains.

use std::time::Duration;

use crate::steer::shares::Shares;
use crate::steer::time::Time;

/// After so long everyone has passed once and answers stand as they would for ever: what is preferred is known.
pub const SETTLED: Duration = Duration::from_secs(120);

/// What is answered from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub at: Time,
    pub shares: Shares,
    /// Seconds.
    pub ttl: u32,
}

/// The answers of one name, in order; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers(Vec<Answer>);

/// One change of who answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Flip {
    pub from: Time,
    /// When its last change was made.
    pub until: Time,
    /// By candidate: the share before, and after.
    pub before: Vec<f64>,
    pub after: Vec<f64>,
}

impl Answers {
    pub fn new(first: Answer) -> Self {
        Self(vec![first])
    }

    /// What is answered from now on; nothing is added where it is as before.
    pub fn push(&mut self, answer: Answer) {
        if self.last().shares == answer.shares && self.last().ttl == answer.ttl {
            return;
        }
        if self.last().at == answer.at && self.0.len() > 1 {
            self.0.pop();
        }
        self.0.push(answer);
    }

    pub fn last(&self) -> &Answer {
        // There is a first one, and none is taken away but to be followed.
        &self.0[self.0.len() - 1]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Answer> {
        self.0.iter()
    }

    /// What is answered at a moment, its place, and when the next answer comes.
    pub fn at(&self, at: Time) -> (&Answer, Option<Time>) {
        let next = self.0.partition_point(|answer| answer.at <= at).max(1);
        (&self.0[next - 1], self.0.get(next).map(|answer| answer.at))
    }

    /// The flips from a moment on, of a name with so many candidates.
    pub fn flips(&self, from: Time, candidates: usize) -> Vec<Flip> {
        let parts = |shares: &Shares| (0..candidates).map(|at| shares.share(number(at))).collect::<Vec<f64>>();
        let mut before = parts(&self.at(from).0.shares);
        let mut flips: Vec<Flip> = Vec::new();
        for answer in self.0.iter().filter(|answer| answer.at > from) {
            let after = parts(&answer.shares);
            if after == before {
                continue;
            }
            match flips.last_mut().filter(|flip| flip.goes_on(&after)) {
                Some(flip) => (flip.until, flip.after) = (answer.at, after.clone()),
                None => flips.push(Flip { from: answer.at, until: answer.at, before, after: after.clone() }),
            }
            before = after;
        }
        flips
    }
}

impl Flip {
    fn goes_on(&self, after: &[f64]) -> bool {
        let directions = self.before.iter().zip(&self.after).zip(after);
        directions.into_iter().all(|((before, until_now), after)| {
            let (was, is) = (until_now - before, after - until_now);
            was * is > 0.0 || is.abs() < 1e-9 || was.abs() < 1e-9
        })
    }

    /// How much of the clients these candidates gained; negative where they lost.
    pub fn gained(&self, candidates: &[usize]) -> f64 {
        candidates.iter().map(|&at| self.after[at] - self.before[at]).sum()
    }
}

/// An index as shares have it; there are never so many candidates that it does not fit.
pub fn number(candidate: usize) -> u16 {
    u16::try_from(candidate).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(parts: &[[u64; 3]]) -> Answers {
        let answer = |(at, weights): (usize, &[u64; 3])| Answer {
            at: Time(at as u64 * 1000),
            shares: Shares::build(weights, None).expect("shares"),
            ttl: 30,
        };
        let mut all = parts.iter().enumerate().map(answer);
        let mut answers = Answers::new(all.next().expect("one"));
        all.for_each(|answer| answers.push(answer));
        answers
    }

    #[test]
    fn a_ramp_is_one_flip() {
        let table: [(&[[u64; 3]], usize); 7] = [
            (&[[1, 0, 0]], 0),
            (&[[1, 0, 0], [1, 0, 0]], 0),
            (&[[1, 0, 0], [0, 1, 0], [1, 0, 0]], 2),
            (&[[1, 0, 0], [0, 1, 1], [1, 19, 19], [1, 1, 1], [1, 0, 0]], 2),
            (&[[1, 0, 0], [0, 1, 0], [1, 3, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]], 4),
            (&[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], 3),
            (&[[1, 1, 0], [0, 1, 0], [0, 0, 1]], 2),
        ];
        for (parts, flips) in table {
            assert_eq!(answers(parts).flips(Time(0), 3).len(), flips, "{parts:?}");
        }
    }
}
