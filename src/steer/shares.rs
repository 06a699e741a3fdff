//! Shares: which part of a name's clients each candidate serves.
//!
//! The clients stand on a circle of 65,536 points, each at the point that its number gives (a keyed hash of its prefix,
//! or a draw). A candidate holds intervals of that circle. When candidates leave, their points go to those who stay, and
//! nobody else moves: that is what makes a share sticky over a change.

use serde::Serialize;

/// The number of points.
pub const POINTS: u32 = 1 << 16;

/// Who holds which points. Never empty: every point has a holder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Shares(Box<[Interval]>);

/// The points from the end of the interval before to `end` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
struct Interval {
    end: u32,
    candidate: u16,
}

impl Shares {
    /// All points for one candidate.
    pub fn whole(candidate: u16) -> Self {
        Self(Box::new([Interval { end: POINTS, candidate }]))
    }

    /// The candidate that holds the point of `number`, by its index under the name. A look-up, never a decision.
    pub fn pick(&self, number: u64) -> u16 {
        let point = (number & u64::from(POINTS - 1)) as u32;
        // The last interval ends at POINTS, so one is always found; 0 is never reached.
        self.0.iter().find(|interval| point < interval.end).map_or(0, |interval| interval.candidate)
    }
}
