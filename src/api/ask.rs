//! Asking the controller: a request in, a reply out, within 2 s.
//!
//! The controller may be busy or gone; the API then says so with a 503 and never hangs with it.

use std::time::Duration;

use tokio::sync::oneshot;

use super::problem::Problem;
use crate::controller::message::{Reply, Request, Sender};

/// How long the controller has for an answer.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long it has for a reload, which reads all zones again.
pub const RELOAD_PATIENCE: Duration = Duration::from_secs(60);
/// How long it has for the ledger, which may read 400 files: the store's own limit, and [`PATIENCE`] for the way.
pub const LEDGER_PATIENCE: Duration = Duration::from_secs(32);

/// Asks, and waits at most [`PATIENCE`] for the way in and the answer together.
///
/// # Errors
///
/// A 503 when the controller is gone or does not answer in time. What was asked may still happen.
pub async fn ask<T>(controller: &Sender, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Problem> {
    ask_within(PATIENCE, controller, request).await
}

/// The same with another limit.
pub async fn ask_within<T>(
    limit: Duration,
    controller: &Sender,
    request: impl FnOnce(Reply<T>) -> Request,
) -> Result<T, Problem> {
    let (reply, answer) = oneshot::channel();
    let gone = || Problem::unavailable("the controller has stopped; what was published last is still answered");
    let exchange = async {
        controller.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    };
    tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
        let detail = format!("the controller did not answer within {} s; ask again", limit.as_secs());
        Err(Problem::unavailable(detail))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::http::StatusCode;
    use tokio::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_controller_that_is_silent_is_given_up_at_the_limit() {
        let (sender, mut receiver) = mpsc::channel(1);
        let began = Instant::now();
        let problem = ask_within(SHORT, &sender, Request::Overview).await.expect_err("nobody answers");
        assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(began.elapsed() >= SHORT);
        assert!(receiver.try_recv().is_ok(), "it was asked");
    }

    #[tokio::test]
    async fn a_full_channel_counts_against_the_same_limit() {
        let (sender, _receiver) = mpsc::channel(1);
        let (reply, _answer) = oneshot::channel();
        sender.try_send(Request::Overview(reply)).expect("there is room for one");
        assert!(ask_within(SHORT, &sender, Request::Overview).await.is_err());
    }

    #[tokio::test]
    async fn a_controller_that_is_gone_is_said_at_once() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let problem = ask(&sender, Request::Overview).await.expect_err("nobody is there");
        assert!(problem.detail.contains("has stopped"), "{}", problem.detail);
    }
}
