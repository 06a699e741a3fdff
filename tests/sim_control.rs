//! The demo's control socket: a round trip of each order, and who may not give one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use pointsman::sim::control::{Control, ControlError, Order, give};
use pointsman::sim::mode::{Mode, Modes};
use tempfile::TempDir;

fn scratch() -> (TempDir, PathBuf, Modes) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("demo.sock");
    (folder, path, Modes::all_right(["bunny".into(), "fastly".into()]))
}

#[tokio::test]
async fn orders_are_carried_out_and_answered() {
    let (_folder, path, modes) = scratch();
    let control = Control::listen(&path, modes.clone()).expect("it listens");
    assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o600);

    let order = Order::Break { provider: "bunny".to_owned(), mode: Mode::Status(503) };
    assert_eq!(give(&path, &order).await.expect("a reply"), "bunny: right -> 503");
    assert_eq!(modes.current("bunny"), Ok(Mode::Status(503)));
    assert_eq!(give(&path, &Order::State).await.expect("a reply"), "bunny: 503\nfastly: right");
    let order = Order::Heal { provider: "bunny".to_owned() };
    assert_eq!(give(&path, &order).await.expect("a reply"), "bunny: 503 -> right");
    assert_eq!(modes.current("bunny"), Ok(Mode::Right));

    drop(control);
    assert!(!path.exists());
    assert!(matches!(give(&path, &Order::State).await, Err(ControlError::NotRunning(_))));
}

#[tokio::test]
async fn an_unknown_provider_is_answered_with_those_there_are() {
    let (_folder, path, modes) = scratch();
    let _control = Control::listen(&path, modes).expect("it listens");
    let error = give(&path, &Order::Heal { provider: "edgio".to_owned() }).await.expect_err("refused");
    assert_eq!(error.to_string(), "there is no provider `edgio` here; there are: bunny, fastly");
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_a_living_one_is_not() {
    let (_folder, path, modes) = scratch();
    drop(UnixListener::bind(&path).expect("a socket"));
    assert!(path.exists(), "std leaves it behind");
    assert!(matches!(give(&path, &Order::State).await, Err(ControlError::NotRunning(_))));

    let _control = Control::listen(&path, modes.clone()).expect("in its place");
    assert!(matches!(Control::listen(&path, modes.clone()), Err(ControlError::Taken(_))));
    assert_eq!(give(&path, &Order::State).await.expect("a reply"), "bunny: right\nfastly: right");

    let file = path.with_extension("txt");
    fs::write(&file, "mine").expect("written");
    assert!(matches!(Control::listen(&file, modes), Err(ControlError::Socket { .. })));
    assert_eq!(fs::read_to_string(&file).expect("still there"), "mine");
}

#[test]
fn orders_read_as_they_are_written() {
    for order in [
        Order::Break { provider: "bunny".to_owned(), mode: Mode::ExpiredCert },
        Order::Heal { provider: "bunny".to_owned() },
        Order::State,
    ] {
        assert_eq!(order.to_string().parse(), Ok(order));
    }
    for line in ["", "break", "break bunny", "break bunny dead", "heal", "heal a b", "reboot"] {
        assert!(line.parse::<Order>().is_err(), "{line}");
    }
}
