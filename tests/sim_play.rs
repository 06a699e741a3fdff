//! The demo's story before stand-ins for Pointsman, of which one does everything right and others one thing wrong.

#[path = "support/sim.rs"]
mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record};
use pointsman::sim::internet::Internet;
use pointsman::sim::mode::{Mode, Modes};
use pointsman::sim::play::{Outcome, Stage, Told, play};
use pointsman::sim::story::{Act, Must, Story};
use pointsman::steer::policy::{Shape, SteeredName};
use pointsman::steer::provider::Providers;
use serde_json::json;
use support::{steered, to};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::task::AbortOnDropHandle;

const NAME: &str = "www.shop.example.";
/// How long the stand-in needs to see a fault.
const TO_SEE: Duration = Duration::from_millis(200);
const CLEAN: Duration = Duration::from_millis(800);

/// What a stand-in does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    NeverMoves,
    ReturnsAtOnce,
    MovesEverybody,
    WritesNothing,
    DoesNotAnswer,
}

fn shop() -> Arc<SteeredName> {
    let mut name = steered(NAME, "open", &[("bunny", to("shop.b-cdn.net.")), ("fastly", to("shop.fastly.net."))]);
    for candidate in &mut Arc::make_mut(&mut name).candidates {
        candidate.judgement.clean = CLEAN;
    }
    name
}

/// The story with limits that suit a test.
fn story(names: &[Arc<SteeredName>]) -> Story {
    let mut story = Story::with(names).expect("it can be told");
    for must in story.steps.iter_mut().flat_map(|step| &mut step.must) {
        match must {
            Must::Serve { within, .. } => *within = Duration::from_secs(2),
            Must::BeReady { within } | Must::BeDown { within } => *within = Duration::from_secs(2),
            _ => {}
        }
    }
    story
}

async fn perform(wrong: Wrong) -> (Outcome, Vec<Told>) {
    let names = [shop()];
    let internet = Internet::start(&names, &Providers::known()).await.expect("it starts");
    let (dns, _dns_task) = stand_in_dns(internet.modes.clone(), wrong).await;
    let (api, _api_task) = stand_in_api(internet.modes.clone(), wrong).await;
    let mut told = Vec::new();
    let outcome = play(&story(&names), Stage { dns, api, internet: &internet }, |line| told.push(line)).await;
    (outcome, told)
}

#[tokio::test]
async fn the_story_comes_true_where_everything_is_right() {
    let (outcome, told) = perform(Wrong::Nothing).await;
    assert_eq!(outcome, Outcome::CameTrue, "{told:#?}");
    assert_eq!(told.iter().filter(|line| matches!(line, Told::Step { .. })).count(), 6);
    let saw = |part: &str| told.iter().any(|line| matches!(line, Told::Saw { what, .. } if what.contains(part)));
    assert!(saw("edge: https://www.shop.example/ through fastly: 500"), "{told:#?}");
    assert!(saw("/edge-test through fastly: 200"), "{told:#?}");
    assert!(saw("40 of 40 clients hear CNAME shop.b-cdn.net. (TTL 30)"), "{told:#?}");
}

#[tokio::test]
async fn the_story_fails_where_one_thing_is_wrong() {
    for (wrong, why) in [
        (Wrong::NeverMoves, "not so within 2 s"),
        (Wrong::ReturnsAtOnce, "it is back too early"),
        (Wrong::MovesEverybody, "clients of the others were moved too"),
        (Wrong::WritesNothing, "no word of how www.shop.example./fastly fell"),
        (Wrong::DoesNotAnswer, "does not answer"),
    ] {
        let (outcome, told) = perform(wrong).await;
        assert_eq!(outcome, Outcome::Failed, "{why}");
        assert!(matches!(told.last(), Some(Told::Missed { why: said, .. }) if said.contains(why)), "{why}: {told:#?}");
    }
}

#[test]
fn a_story_needs_both_sides_on_the_first_level() {
    let story = story(&[shop()]);
    assert_eq!(&*story.faller, "fastly");
    assert_eq!(story.serving.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["bunny", "fastly"]);
    assert!(story.steps.iter().any(|step| step.act == Act::Put(Mode::Status(500))));

    let mut levels = shop();
    Arc::make_mut(&mut levels).policy.prefer = vec!["eu", "us"]
        .into_iter()
        .map(|home| pointsman::steer::policy::Preference::Home(home.parse().expect("a home")))
        .collect();
    let mut flat = shop();
    Arc::make_mut(&mut flat).shape = Shape::Flattened;
    let mut ready = shop();
    Arc::make_mut(&mut ready).candidates[1].standby = true;
    assert!(Story::with(&[levels, flat, ready]).is_none());
}

/// Answers by the modes of the simulation, as Pointsman would after looking.
async fn stand_in_dns(modes: Modes, wrong: Wrong) -> (SocketAddr, AbortOnDropHandle<()>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    let serving = async move {
        let mut buffer = [0; 512];
        let mut view = View { modes, wrong, usable: true, differs_since: None };
        loop {
            let (len, client) = socket.recv_from(&mut buffer).await.expect("a question");
            let target = view.target(client);
            if wrong != Wrong::DoesNotAnswer {
                socket.send_to(&answer(&buffer[..len], target), client).await.expect("sent");
            }
        }
    };
    (address, AbortOnDropHandle::new(tokio::spawn(serving)))
}

struct View {
    modes: Modes,
    wrong: Wrong,
    usable: bool,
    /// Since when the edge is not what is believed of it.
    differs_since: Option<Instant>,
}

impl View {
    fn target(&mut self, client: SocketAddr) -> &'static str {
        let right = self.modes.current("fastly") == Ok(Mode::Right);
        let patience = if self.usable || self.wrong == Wrong::ReturnsAtOnce { TO_SEE } else { CLEAN };
        match self.differs_since {
            _ if right == self.usable => self.differs_since = None,
            None => self.differs_since = Some(Instant::now()),
            Some(since) if since.elapsed() > patience => self.usable = right,
            Some(_) => {}
        }
        let number = match client {
            SocketAddr::V4(client) => client.ip().octets()[2],
            SocketAddr::V6(_) => 0,
        };
        let shares = self.usable || self.wrong == Wrong::NeverMoves;
        // While one is down, everybody stays with the other: not so where everybody is moved.
        let to_fastly = if self.differs_since.is_some() && self.wrong == Wrong::MovesEverybody {
            number.is_multiple_of(2)
        } else {
            shares && number.is_multiple_of(3)
        };
        if to_fastly { "shop.fastly.net." } else { "shop.b-cdn.net." }
    }
}

fn answer(question: &[u8], target: &str) -> Vec<u8> {
    let mut message = Message::from_vec(question).expect("a question");
    message.metadata.message_type = MessageType::Response;
    let owner = message.queries[0].name().clone();
    let target = Name::from_ascii(target).expect("a name");
    message.add_answer(Record::from_rdata(owner, 30, RData::CNAME(CNAME(target))));
    message.to_vec().expect("octets")
}

async fn stand_in_api(modes: Modes, wrong: Wrong) -> (SocketAddr, AbortOnDropHandle<()>) {
    let change = |from: &str, to: &str| {
        json!({
            "id": 1, "generation": 1, "at": "2025-12-05T08:47:12Z", "kind": "verdict",
            "subject": "www.shop.example./fastly", "from": from, "to": to, "why": "",
        })
    };
    let events = match wrong {
        Wrong::WritesNothing => json!([]),
        _ => json!([change("recovering", "up"), change("down", "recovering"), change("up", "down")]),
    };
    let page = json!({"events": events, "next": null});
    let router = Router::new()
        .route("/readyz", get(|| async { "{}" }))
        .route("/v1/names/{name}", get(move || async move { axum::Json(name_view(&modes)) }))
        .route("/v1/events", get(move || async move { axum::Json(page) }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let serving = async move { axum::serve(listener, router).await.expect("it serves") };
    (address, AbortOnDropHandle::new(tokio::spawn(serving)))
}

/// As much of the document as the story reads.
fn name_view(modes: &Modes) -> serde_json::Value {
    let candidate = |id: &str| {
        let standing = if modes.current(id) == Ok(Mode::Right) { "up" } else { "down" };
        json!({"id": id, "provider": id, "standing": standing, "reason": ""})
    };
    json!({"name": NAME, "candidates": [candidate("bunny"), candidate("fastly")]})
}
