//! Budgets: `errors<30s,flips<=2`, held against the means of a replay.
//!
//! | word | takes | is about |
//! | --- | --- | --- |
//! | `errors` | a span, or a percentage of the incident | seconds lost by a visitor of a name that was hit |
//! | `worst-errors` | the same | the same, of the worst name and seed |
//! | `flips` | a number | changes of who answers, a ramp counting as one |
//! | `worst-flips` | a number | the same, of the worst name and seed |
//! | `stray` | a number | flips of names that were not hit |
//! | `early` | a number | flips back to what still failed |
//! | `detected` | a span | from the fault to the first changed answer |
//! | `back` | a span | from the end of the fault to the answer of before; missed if a name did not come back |
//! | `first5m` | a percentage | the part of its clients that a ramp gives back in its first five minutes, at the worst |

use std::fmt;
use std::str::FromStr;

use super::report::{Report, Spread};

/// The most conditions of one budget.
const MAX_CONDITIONS: usize = 32;

/// Conditions, all of which must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget(Vec<Condition>);

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    metric: Metric,
    strictly: bool,
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Errors,
    WorstErrors,
    Flips,
    WorstFlips,
    Stray,
    Early,
    Detected,
    Back,
    FirstMinutes,
}

/// A limit with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Seconds(f64),
    /// 0 to 1.
    Part(f64),
    Number(f64),
}

/// A condition that holds or does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub condition: String,
    pub held: bool,
    /// What it is, in words.
    pub is: String,
}

/// Why a text is no budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    #[error("the budget is empty: write `errors<30s,flips<=2`")]
    Empty,
    #[error("the budget has more than {MAX_CONDITIONS} conditions")]
    TooMany,
    #[error("`{0}` has no `<` or `<=`: write `errors<30s`")]
    NoComparison(String),
    #[error("`{word}` is no figure of a replay: expected {}", WORDS.map(|(word, _)| format!("`{word}`")).join(", "))]
    NoMetric { word: String },
    #[error("`{condition}`: `{limit}` is not {expected}")]
    NoLimit { condition: String, limit: String, expected: &'static str },
}

const WORDS: [(&str, Metric); 9] = [
    ("errors", Metric::Errors),
    ("worst-errors", Metric::WorstErrors),
    ("flips", Metric::Flips),
    ("worst-flips", Metric::WorstFlips),
    ("stray", Metric::Stray),
    ("early", Metric::Early),
    ("detected", Metric::Detected),
    ("back", Metric::Back),
    ("first5m", Metric::FirstMinutes),
];

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        if text.trim().is_empty() {
            return Err(BudgetError::Empty);
        }
        let conditions: Vec<Condition> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        if conditions.len() > MAX_CONDITIONS { Err(BudgetError::TooMany) } else { Ok(Self(conditions)) }
    }
}

impl FromStr for Condition {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let Some((word, rest)) = text.split_once('<') else { return Err(BudgetError::NoComparison(text)) };
        let Some((_, metric)) = WORDS.iter().find(|(known, _)| *known == word) else {
            return Err(BudgetError::NoMetric { word: word.to_owned() });
        };
        let (strictly, limit) = rest.strip_prefix('=').map_or((true, rest), |limit| (false, limit));
        let Some(parsed) = metric.limit(limit) else {
            let (condition, limit, expected) = (text.clone(), limit.to_owned(), metric.expects());
            return Err(BudgetError::NoLimit { condition, limit, expected });
        };
        Ok(Self { metric: *metric, strictly, limit: parsed, text })
    }
}

impl Budget {
    /// Each condition in its order.
    pub fn check(&self, report: &Report) -> Vec<Held> {
        self.0.iter().map(|condition| condition.check(report)).collect()
    }
}

impl Condition {
    fn check(&self, report: &Report) -> Held {
        let total = &report.total;
        let seconds = |spread: Spread| (spread.count > 0).then_some(spread.mean);
        let value = match self.metric {
            Metric::Errors => seconds(total.errors),
            Metric::WorstErrors => Some(total.errors.worst),
            Metric::Flips => Some(total.flips.mean),
            Metric::WorstFlips => Some(total.flips.worst),
            Metric::Stray => Some(total.stray.mean),
            Metric::Early => Some(total.early.mean),
            Metric::Detected => seconds(total.detected),
            Metric::Back => seconds(total.back),
            Metric::FirstMinutes => Some(total.first_minutes.worst),
        };
        if self.metric == Metric::Back && total.away > 0 {
            return self.held(false, format!("{} of {} did not come back", total.away, total.hit.max(1)));
        }
        // What never happened cannot have taken too long.
        let Some(value) = value else { return self.held(true, "nothing to measure".to_owned()) };
        let (value, limit, is) = match self.limit {
            Limit::Seconds(limit) => (value, limit, format!("{value:.1}s")),
            Limit::Number(limit) => (value, limit, format!("{value:.2}")),
            Limit::Part(limit) if self.metric == Metric::FirstMinutes => {
                (value, limit, format!("{:.1}%", value * 100.0))
            }
            Limit::Part(limit) => {
                let part = value / report.trouble_seconds().max(1.0);
                (part, limit, format!("{:.2}%", part * 100.0))
            }
        };
        self.held(if self.strictly { value < limit } else { value <= limit }, is)
    }

    fn held(&self, held: bool, is: String) -> Held {
        Held { condition: self.text.clone(), held, is }
    }
}

impl Metric {
    fn limit(self, text: &str) -> Option<Limit> {
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        match self {
            Self::Flips | Self::WorstFlips | Self::Stray | Self::Early => number(text).map(Limit::Number),
            Self::FirstMinutes => number(text.strip_suffix('%')?).map(|percent| Limit::Part(percent / 100.0)),
            Self::Errors | Self::WorstErrors if text.ends_with('%') => {
                number(text.strip_suffix('%')?).map(|percent| Limit::Part(percent / 100.0))
            }
            _ => span(text).map(Limit::Seconds),
        }
    }

    fn expects(self) -> &'static str {
        match self {
            Self::Flips | Self::WorstFlips | Self::Stray | Self::Early => "a number: `2`, `0.1`",
            Self::FirstMinutes => "a percentage: `25%`",
            Self::Errors | Self::WorstErrors => "a span or a percentage: `30s`, `2m30s`, `0.5%`",
            Self::Detected | Self::Back => "a span: `30s`, `1h30m`",
        }
    }
}

/// `30s`, `1.5s`, `1h30m`, in seconds.
fn span(text: &str) -> Option<f64> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    Some(span.as_secs_f64()).filter(|seconds| *seconds >= 0.0)
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", if self.held { "held" } else { "missed" }, self.condition, self.is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_budgets_or_say_why_not() {
        let table: [(&str, Result<usize, &str>); 14] = [
            ("errors<30s,flips<=2", Ok(2)),
            (" errors <= 2m30s , back < 90m ", Ok(2)),
            ("errors<0.5%,worst-errors<1h,worst-flips<=4", Ok(3)),
            ("stray<=0.1,early<=0,detected<20s,first5m<=25%", Ok(4)),
            ("", Err("the budget is empty")),
            ("errors<30s,", Err("`` has no `<`")),
            ("errors=30s", Err("has no `<`")),
            ("errors>30s", Err("has no `<`")),
            ("error<30s", Err("`error` is no figure of a replay: expected `errors`, `worst-errors`")),
            ("errors<30", Err("`30` is not a span or a percentage")),
            ("flips<2s", Err("`2s` is not a number")),
            ("flips<-1", Err("`-1` is not a number")),
            ("back<50%", Err("`50%` is not a span")),
            ("first5m<25", Err("`25` is not a percentage")),
        ];
        for (text, expected) in table {
            match (text.parse::<Budget>(), expected) {
                (Ok(budget), Ok(count)) => assert_eq!(budget.0.len(), count, "{text}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
