//! The simulated edges, asked over real TLS: each mode is what it promises to be.

#[path = "support/sim.rs"]
mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use pointsman::sim::ask::{FetchError, Page, fetch_http, fetch_https};
use pointsman::sim::edge::{SLOW, TEST_PAGE};
use pointsman::sim::internet::Internet;
use pointsman::sim::mode::Mode;
use pointsman::steer::policy::Target;
use pointsman::steer::provider::Providers;
use support::{steered, to};

const HOST: &str = "www.shop.example";

async fn internet() -> Internet {
    let names = [steered(
        "www.shop.example.",
        "shop-is-open",
        &[("bunny", to("shop.b-cdn.net.")), ("fastly", to("shop.map.fastly.net."))],
    )];
    Internet::start(&names, &Providers::known()).await.expect("it starts")
}

fn edge(internet: &Internet, provider: &str) -> SocketAddr {
    let player = internet.cast.player(provider).expect("it plays");
    (player.addresses[0], internet.edges.https_port()).into()
}

async fn get(internet: &Internet, provider: &str, host: &str, path: &str) -> Result<Page, FetchError> {
    let tls = internet.authority.client_config().expect("a configuration");
    fetch_https(edge(internet, provider), host, path, tls).await
}

async fn get_in(internet: &Internet, mode: Mode) -> Result<Page, FetchError> {
    internet.modes.put("bunny", mode).expect("it plays");
    get(internet, "bunny", HOST, "/").await
}

#[tokio::test]
async fn every_address_serves_the_customers_page() {
    let internet = internet().await;
    let tls = internet.authority.client_config().expect("a configuration");
    for player in &internet.cast.players {
        assert_eq!(player.addresses.len(), 2);
        for address in &player.addresses {
            let at = SocketAddr::from((*address, internet.edges.https_port()));
            let page = fetch_https(at, HOST, "/any/path?x=1", tls.clone()).await.expect("a page");
            assert_eq!(page.status, 200);
            assert!(page.body.contains("shop-is-open"), "{}", page.body);
            assert!(page.body.contains(&format!("Served by {} at {address}", player.id)), "{}", page.body);
            let plain = SocketAddr::from((*address, internet.edges.http_port()));
            assert_eq!(fetch_http(plain, HOST, "/").await.expect("a page").status, 200);
        }
        assert_eq!(internet.edges.pages(&player.id), 4);
        assert_eq!(internet.edges.test_pages(&player.id), 0);
    }
}

#[tokio::test]
async fn statuses_reach_customers_while_the_test_page_stays_green() {
    let internet = internet().await;
    for status in [500, 503, 429] {
        assert_eq!(get_in(&internet, Mode::Status(status)).await.expect("a page").status, status);
        let test = get(&internet, "bunny", HOST, TEST_PAGE).await.expect("a page");
        assert_eq!(test.status, 200);
        assert!(test.body.contains("status=ok"));
        // A neighbour is not touched.
        assert_eq!(get(&internet, "fastly", HOST, "/").await.expect("a page").status, 200);
    }
    assert_eq!(internet.edges.test_pages("bunny"), 3);
    assert_eq!(get_in(&internet, Mode::Right).await.expect("a page").status, 200);
}

#[tokio::test]
async fn bodies_can_be_empty_or_foreign() {
    let internet = internet().await;
    let empty = get_in(&internet, Mode::EmptyBody).await.expect("a page");
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    let foreign = get_in(&internet, Mode::NoMarker).await.expect("a page");
    assert_eq!(foreign.status, 200);
    assert!(!foreign.body.is_empty() && !foreign.body.contains("shop-is-open"));
}

#[tokio::test]
async fn certificates_can_be_wrong() {
    let internet = internet().await;
    for (mode, reason) in [(Mode::WrongCert, "not valid for name"), (Mode::ExpiredCert, "expired")] {
        let error = get_in(&internet, mode).await.expect_err("no session");
        assert!(matches!(error, FetchError::Tls(_)), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    // A host that is no customer meets the provider's own certificate.
    internet.modes.put("bunny", Mode::Right).expect("it plays");
    let error = get(&internet, "bunny", "www.stranger.example", "/").await.expect_err("no session");
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn connections_can_be_refused_and_come_back() {
    let internet = internet().await;
    assert_eq!(get_in(&internet, Mode::Right).await.expect("a page").status, 200);
    internet.modes.put("bunny", Mode::Refuse).expect("it plays");
    let refused = until(async || matches!(get(&internet, "bunny", HOST, "/").await, Err(FetchError::Connect(_)))).await;
    assert!(refused, "connections are still taken");
    internet.modes.put("bunny", Mode::Right).expect("it plays");
    let back = until(async || matches!(get(&internet, "bunny", HOST, "/").await, Ok(Page { status: 200, .. }))).await;
    assert!(back, "the edge did not come back");
}

#[tokio::test]
async fn a_black_hole_says_nothing_until_it_is_healed() {
    let internet = internet().await;
    internet.modes.put("bunny", Mode::Blackhole).expect("it plays");
    let silent = tokio::time::timeout(Duration::from_millis(300), get(&internet, "bunny", HOST, "/")).await;
    assert!(silent.is_err(), "it answered: {silent:?}");
    // Healing closes the connections that hang in it.
    let hanging = get(&internet, "bunny", HOST, "/");
    let heal = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        internet.modes.put("bunny", Mode::Right).expect("it plays");
    };
    let (hung, ()) = tokio::join!(hanging, heal);
    drop(hung);
    assert_eq!(get(&internet, "bunny", HOST, "/").await.expect("a page").status, 200);
}

#[tokio::test]
async fn slow_is_right_but_late() {
    let internet = internet().await;
    let began = Instant::now();
    let page = get_in(&internet, Mode::Slow).await.expect("a page");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("shop-is-open"));
    assert!(began.elapsed() >= SLOW);
}

#[tokio::test]
async fn address_candidates_on_loopback_are_edges_too() {
    let own: Ipv4Addr = "127.54.1.77".parse().expect("an address");
    let far = "192.0.2.10".parse().expect("an address");
    let names = [steered(
        "api.shop.example.",
        "api",
        &[
            ("bunny", to("api.b-cdn.net.")),
            ("google", Target::Addresses(vec![own.into()])),
            ("azure", Target::Addresses(vec![far])),
        ],
    )];
    let internet = Internet::start(&names, &Providers::known()).await.expect("it starts");
    let tls = internet.authority.client_config().expect("a configuration");
    let at = SocketAddr::from((own, internet.edges.https_port()));
    let page = fetch_https(at, "api.shop.example", "/", tls).await.expect("a page");
    assert!(page.body.contains("Served by google"));
    assert_eq!(internet.cast.left_out, ["api.shop.example./azure"]);
    assert_eq!(internet.ports().collect::<Vec<_>>(), [(443, internet.edges.https_port())]);
}

#[tokio::test]
async fn stopping_closes_every_listener() {
    let mut internet = internet().await;
    internet.stop().await;
    assert!(matches!(get(&internet, "bunny", HOST, "/").await, Err(FetchError::Connect(_))));
}

/// Whether something becomes true within five seconds.
async fn until(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let limit = Instant::now() + Duration::from_secs(5);
    while Instant::now() < limit {
        if holds().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}
