//! What the core wants to know, as the prober is asked for it.

use tracing::warn;

use super::task::Task;
use crate::health::check::Check;
use crate::health::inquire;
use crate::health::message::{Asked, Command, Question};
use crate::steer::inquiry::{Finding, Inquiry};
use crate::steer::observation::Outcome;

impl Task {
    /// Has the prober ask. An origin that is gone by now is not asked; what a busy prober has no room for is counted.
    pub(super) fn inquire(&self, inquiries: Vec<Inquiry>) {
        let asked: Vec<Asked> = inquiries.into_iter().filter_map(|inquiry| self.asked(inquiry)).collect();
        if asked.is_empty() {
            return;
        }
        if let Err(refused) = self.commands.try_send(Command::Inquire(asked))
            && let Command::Inquire(asked) = refused.into_inner()
        {
            asked.iter().for_each(|asked| inquire::count(&asked.question, "dropped"));
        }
    }

    /// The first failure of anchors that have never passed is told: they cannot tell this machine's faults from others'.
    pub(super) fn warn_of_anchors(&self, finding: &Finding) {
        if let (Inquiry::Anchors(family), Outcome::Fail(fault)) = (&finding.inquiry, &finding.outcome)
            && self.steering.anchors_asked_in_vain(*family) == 1
        {
            let reason = &fault.reason;
            warn!(%family, reason, "no anchors answer: a fault of this machine's own network will look like the providers'");
        }
    }

    fn asked(&self, inquiry: Inquiry) -> Option<Asked> {
        let question = match &inquiry {
            Inquiry::Origin(name) => Question::Origin(Check::of_origin(self.steering.name(name)?)?),
            Inquiry::Anchors(family) => Question::Anchors(*family),
        };
        Some(Asked { inquiry, question })
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::Site;
    use super::*;
    use crate::steer::effects::Effects;
    use crate::steer::observation::Family;
    use crate::steer::policy::Target;

    #[tokio::test]
    async fn inquiries_go_to_the_prober_with_what_they_need() {
        let mut site = Site::new().await;
        let origin = |name: &str| Inquiry::Origin(name.into());
        // One that is no longer steered, and one that has no origin.
        let gone = [origin("gone.shop.example."), origin("www2.shop.example.")];
        let wanted = [origin("www1.shop.example."), Inquiry::Anchors(Family::V6)];
        let inquiries = gone.iter().chain(&wanted).cloned().collect();
        site.task.apply(Effects { inquiries, ..Effects::default() });
        let Some(Command::Inquire(asked)) = site.commanded().await else { panic!("nothing is asked") };
        assert!(asked.iter().map(|asked| &asked.inquiry).eq(&wanted));
        let Question::Origin(check) = &asked[0].question else { panic!("no origin") };
        assert_eq!(check.target, Target::Name("origin.shop.example.".into()));
        assert_eq!((check.probe.host.as_str(), check.probe.path.as_str()), ("origin.shop.example", "/up"));
        assert_eq!(asked[1].question, Question::Anchors(Family::V6));
    }
}
