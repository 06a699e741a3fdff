//! What an order would move, in names, shares and answers a second: told before it is placed.

use super::message::{NewOverride, OverrideError, Reply};
use super::overrides::{order_word, subject_of};
use super::task::Task;
use super::view::{BlastRadius, FlowView, MoveView};
use crate::steer::decision::Source;
use crate::steer::policy::SteeredName;
use crate::steer::rehearsal::{Flow, Move, Rehearsal};
use crate::steer::shares::POINTS;

/// Moves that are told one by one, those of the most answers first; all are counted.
const MOST_MOVES: usize = 1_000;
/// Candidates that are down which are named.
const MOST_NAMED: usize = 20;

impl Task {
    pub(super) fn rehearse(&mut self, new: NewOverride, reply: Reply<Result<BlastRadius, OverrideError>>) {
        drop(reply.send(self.blast_radius(new)));
    }

    pub(super) fn blast_radius(&mut self, new: NewOverride) -> Result<BlastRadius, OverrideError> {
        let now = self.clock.now();
        let order = self.admitted(new)?;
        let rehearsal = self.steering.rehearse(&order, now).map_err(|error| self.not_placed(error, &order.order))?;
        self.measure_rates();
        let mut of: Vec<MoveView> = rehearsal.moves.iter().map(|of| self.move_view(of)).collect();
        let moves = of.len();
        let moved = sum(of.iter().map(|of| of.answers_per_second));
        of.sort_by(|a, b| {
            let (a_rate, b_rate) = (a.answers_per_second.unwrap_or(0.0), b.answers_per_second.unwrap_or(0.0));
            b_rate.total_cmp(&a_rate).then(b.share.total_cmp(&a.share))
        });
        of.truncate(MOST_MOVES);
        Ok(BlastRadius {
            order: order_word(&order.order).to_owned(),
            subject: subject_of(&order.order),
            names: rehearsal.touched.len(),
            moves,
            answers_per_second: sum(rehearsal.touched.iter().map(|name| self.rate_of_name(name))),
            moved_per_second: moved,
            measured_seconds: self.rates_span(),
            of,
            notes: notes(&rehearsal),
        })
    }

    fn move_view(&self, of: &Move) -> MoveView {
        let name = self.steering.name(&of.name);
        let id = |who: Option<usize>| match (who, name) {
            (Some(at), Some(name)) => name.candidates.get(at).map_or_else(String::new, |c| c.id.to_string()),
            _ => "static".to_owned(),
        };
        let flow = |flow: &Flow| FlowView {
            from: id(flow.from),
            to: id(flow.to),
            share: f64::from(flow.points) / f64::from(POINTS),
            answers_per_second: name.and_then(|name| self.rate_of_flow(name, of.rule, flow)),
        };
        let flows: Vec<FlowView> = of.flows.iter().map(flow).collect();
        MoveView {
            name: of.name.to_string(),
            clients: of.whose.clone(),
            from: of.from.clone(),
            to: of.to.clone(),
            why: of.why.clone(),
            usable: of.usable,
            share: flows.iter().map(|flow| flow.share).sum(),
            answers_per_second: sum(flows.iter().map(|flow| flow.answers_per_second)),
            flows,
        }
    }

    /// A candidate's answers go with its points; those at one provider and home are counted together.
    fn rate_of_flow(&self, name: &SteeredName, rule: usize, flow: &Flow) -> Option<f64> {
        let rate = self.rate_of(name, rule, flow.from)?;
        let held = match (&self.steering.decision(&name.name, rule)?.source, flow.from) {
            (Source::Candidates(shares), Some(from)) => {
                let own = name.candidates.get(from)?;
                let alike = name.candidates.iter().zip(0_u16..);
                let alike = alike.filter(|(other, _)| other.provider == own.provider && other.home == own.home);
                alike.map(|(_, at)| shares.points(at)).sum()
            }
            _ => flow.held,
        };
        (held > 0).then(|| rate * f64::from(flow.points) / f64::from(held))
    }
}

/// None where nothing was measured.
fn sum(rates: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    rates.flatten().fold(None, |sum, rate| Some(sum.unwrap_or(0.0) + rate))
}

fn notes(rehearsal: &Rehearsal) -> Vec<String> {
    let mut notes: Vec<String> = rehearsal
        .stuck
        .iter()
        .take(MOST_NAMED)
        .map(|key| format!("it would keep clients on {key}, which is down"))
        .collect();
    let more = rehearsal.stuck.len().saturating_sub(MOST_NAMED);
    if more > 0 {
        notes.push(format!("and on {more} more that are down"));
    }
    let lost = rehearsal.moves.iter().filter(|of| !of.usable).count();
    if lost > 0 {
        notes.push(format!("{lost} of the answers would be given for want of a candidate that is usable"));
    }
    notes
}
