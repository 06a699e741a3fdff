//! The one place where time is read: wall clock once, then monotonic.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::steer::time::Time;

/// Times that can be stored and shown, and never run backwards while the program runs.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Time,
    started: Instant,
}

impl Clock {
    /// Reads the wall clock. `at_least` is the latest time that is known to have been (of a stored value): a wall clock
    /// that was set back must not make new events older than old ones.
    pub fn start(at_least: Time) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { wall: Time(0).after(wall).max(at_least), started: Instant::now() }
    }

    pub fn now(&self) -> Time {
        self.wall.after(self.started.elapsed())
    }

    /// When `time` is, for a timer.
    pub fn instant(&self, time: Time) -> Instant {
        self.started + time.since(self.wall)
    }
}

/// A time as the API shows it.
pub fn timestamp(time: Time) -> Timestamp {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}
