//! Inquiries that wait, and their pace: a pure table, without clock or sockets.
//!
//! | an inquiry that is asked | is carried out |
//! | --- | --- |
//! | while nothing is known of its question | at once |
//! | while its question waits | together with that |
//! | while its question is under way, or within [`PACE`] of its last beginning | once, when both are over |
//!
//! So nobody is answered by what began before the inquiry did, many names with one origin are one request, and the core
//! may ask as often as it likes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::message::{Asked, Question};
use crate::steer::inquiry::Inquiry;
use crate::steer::time::Time;

/// Between two beginnings of one question. Evidence that is a second old is as good as new, and an origin that struggles
/// is not asked more often than a candidate's re-probes do.
pub const PACE: Duration = Duration::from_secs(1);
/// Questions under way at once, beside all probes. With 3 s for each that hangs, some ten origins a second.
pub const AT_ONCE: usize = 32;
/// Inquiries that may wait; more are not asked.
const MAX_WAITING: usize = 100_000;

/// All that wait, and those that were asked a moment ago.
#[derive(Debug, Default)]
pub struct Inquiries {
    entries: HashMap<Arc<Question>, Entry>,
    /// When each is looked at next: to begin, or to be forgotten.
    queue: BTreeMap<(Time, u64), Arc<Question>>,
    next: u64,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Entry {
    began: Option<Time>,
    is_under_way: bool,
    asked_by: BTreeSet<Inquiry>,
}

impl Inquiries {
    /// Takes one in. False: too many wait.
    pub fn ask(&mut self, asked: Asked, now: Time) -> bool {
        if self.waiting >= MAX_WAITING {
            return false;
        }
        let question = Arc::new(asked.question);
        let is_new = !self.entries.contains_key(&question);
        let entry = self.entries.entry(Arc::clone(&question)).or_default();
        self.waiting += usize::from(entry.asked_by.insert(asked.inquiry));
        if is_new {
            self.look_at(question, now);
        }
        true
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Time> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next question that is due, and who asked it. It is to be given back to [`Inquiries::ended`].
    pub fn take(&mut self, now: Time) -> Option<(Arc<Question>, Vec<Inquiry>)> {
        while self.next_due()? <= now {
            let (_, question) = self.queue.pop_first()?;
            let Some(entry) = self.entries.get_mut(&question) else { continue };
            if entry.is_under_way {
                // It is looked at again when it has ended.
                continue;
            }
            if entry.asked_by.is_empty() {
                self.entries.remove(&question);
                continue;
            }
            entry.is_under_way = true;
            entry.began = Some(now);
            let asked_by = std::mem::take(&mut entry.asked_by);
            self.waiting -= asked_by.len();
            return Some((question, asked_by.into_iter().collect()));
        }
        None
    }

    /// One that was taken has ended.
    pub fn ended(&mut self, question: &Arc<Question>, now: Time) {
        let Some(entry) = self.entries.get_mut(question) else { return };
        entry.is_under_way = false;
        let at = entry.began.map_or(now, |began| began.after(PACE)).max(now);
        self.look_at(Arc::clone(question), at);
    }

    fn look_at(&mut self, question: Arc<Question>, at: Time) {
        self.queue.insert((at, self.next), question);
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::observation::Family;

    fn anchors(family: Family) -> Asked {
        Asked { inquiry: Inquiry::Anchors(family), question: Question::Anchors(family) }
    }

    /// Names that ask the same.
    fn origin(name: &str) -> Asked {
        Asked { inquiry: Inquiry::Origin(name.into()), ..anchors(Family::V4) }
    }

    #[test]
    fn one_question_is_asked_once_a_moment_and_nobody_is_answered_by_one_from_before() {
        let mut inquiries = Inquiries::default();
        for name in ["a.", "b.", "a."] {
            assert!(inquiries.ask(origin(name), Time(1_000)));
        }
        let (question, by) = inquiries.take(Time(1_000)).expect("due");
        assert_eq!(by, [Inquiry::Origin("a.".into()), Inquiry::Origin("b.".into())]);
        // Asked while it is under way: again, later.
        assert!(inquiries.ask(origin("a."), Time(1_100)));
        assert!(inquiries.ask(anchors(Family::V6), Time(1_100)));
        let (other, _) = inquiries.take(Time(1_100)).expect("another question goes its own way");
        assert_eq!((&*other, inquiries.take(Time(5_000)).is_none()), (&Question::Anchors(Family::V6), true));
        inquiries.ended(&question, Time(1_200));
        assert_eq!((inquiries.next_due(), inquiries.take(Time(1_999)).is_none()), (Some(Time(2_000)), true));
        assert_eq!(inquiries.take(Time(2_000)).expect("due").1, [Inquiry::Origin("a.".into())]);
        // It lasted longer than the pace: what was asked meanwhile is due at its end.
        assert!(inquiries.ask(origin("c."), Time(2_500)));
        inquiries.ended(&question, Time(9_000));
        assert_eq!(inquiries.take(Time(9_000)).expect("due").1, [Inquiry::Origin("c.".into())]);
    }

    #[test]
    fn what_nobody_asks_any_more_is_forgotten() {
        let mut inquiries = Inquiries::default();
        inquiries.ask(anchors(Family::V4), Time(0));
        let (question, _) = inquiries.take(Time(0)).expect("due");
        inquiries.ended(&question, Time(10));
        assert!(inquiries.take(Time(5_000)).is_none());
        assert_eq!((inquiries.entries.len(), inquiries.waiting, inquiries.next_due()), (0, 0, None));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut inquiries = Inquiries::default();
        let asked = |number: usize| origin(&format!("n{number}."));
        assert!((0..MAX_WAITING).all(|number| inquiries.ask(asked(number), Time(0))));
        assert!(!inquiries.ask(asked(MAX_WAITING), Time(0)));
        assert_eq!(inquiries.take(Time(0)).expect("due").1.len(), MAX_WAITING);
        assert!(inquiries.ask(asked(MAX_WAITING), Time(0)));
    }
}
