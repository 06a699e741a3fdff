//! Performing the story, and looking at each step with the eyes of clients.
//!
//! Forty clients in forty networks ask the DNS over UDP, from loopback addresses of their own: a share kept by a hash of
//! the client's prefix shows only to many. What they hear decides whether a step came true; nothing is taken from inside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::ask::{self, AnswerRecord, AskError, FetchError, Page};
use super::edge::TEST_PAGE;
use super::internet::Internet;
use super::mode::{Mode, UnknownProvider};
use super::story::{Act, Must, Step, Story};
use crate::controller::view::{EventPage, EventView};
use crate::steer::transition::Standing;

/// How many clients ask, each from a /24 of its own.
const CLIENTS: u8 = 40;
/// The pause between two rounds of questions.
const POLL: Duration = Duration::from_millis(100);
/// How many of the latest events are looked through.
const EVENTS: usize = 100;

/// Where the story is played.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    /// Pointsman's DNS; an IPv4 address of this machine.
    pub dns: SocketAddr,
    /// Pointsman's API.
    pub api: SocketAddr,
    pub internet: &'a Internet,
}

/// What is told while the story is played, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A step begins.
    Step { at: Duration, says: String },
    /// Something was seen. What stands on a second line explains the first.
    Saw { at: Duration, what: String },
    /// What had to be seen was not.
    Missed { at: Duration, why: String },
}

/// How the story went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    CameTrue,
    Failed,
}

/// Plays all steps, or up to the first that does not come true. `tell` hears of everything at once.
pub async fn play(story: &Story, stage: Stage<'_>, mut tell: impl FnMut(Told)) -> Outcome {
    let mut play = Play::new(story, stage, &mut tell);
    for step in &story.steps {
        if let Err(missed) = play.step(step).await {
            let at = play.at();
            (play.tell)(Told::Missed { at, why: missed.to_string() });
            return Outcome::Failed;
        }
    }
    Outcome::CameTrue
}

/// The latest events that the API tells of, oldest first; an error is the reason for people.
pub async fn events(api: SocketAddr) -> Result<Vec<EventView>, String> {
    let page = document::<EventPage>(api, &format!("/v1/events?limit={EVENTS}")).await;
    page.map(|page| page.events.into_iter().rev().collect()).map_err(|missed| missed.to_string())
}

/// One event in two lines: what, and why.
pub fn describe(event: &EventView) -> String {
    let at = event.at.strftime("%H:%M:%S");
    format!("{at} {}: {} -> {}\n{}", event.subject, event.from, event.to, event.why)
}

/// The reason, once the time is over.
fn give_up_after(limit: Instant, missed: Missed) -> Result<(), Missed> {
    if Instant::now() > limit { Err(missed) } else { Ok(()) }
}

async fn document<T: DeserializeOwned>(server: SocketAddr, path: &str) -> Result<T, Missed> {
    let body = api(server, path).await?;
    serde_json::from_str(&body).map_err(|source| Missed::ApiDocument { path: path.to_owned(), source })
}

async fn api(server: SocketAddr, path: &str) -> Result<String, Missed> {
    let Page { status, body } = ask::fetch_http(server, &server.to_string(), path).await.map_err(Missed::Api)?;
    if status == 200 { Ok(body) } else { Err(Missed::ApiStatus { path: path.to_owned(), status, body }) }
}

/// Why a step did not come true.
#[derive(Debug, thiserror::Error)]
enum Missed {
    #[error("the DNS: {0}")]
    Dns(#[from] AskError),
    #[error("the edge: {0}")]
    Edge(FetchError),
    #[error("the API: {0}")]
    Api(FetchError),
    #[error("the API says {status} to {path}: {body}")]
    ApiStatus { path: String, status: u16, body: String },
    #[error("the API answers {path} with something else: {source}")]
    ApiDocument { path: String, source: serde_json::Error },
    #[error(transparent)]
    Provider(#[from] UnknownProvider),
    #[error("no TLS for the edge: {0}")]
    Tls(#[from] super::certificates::CertificateError),
    #[error("{0}")]
    NotSeen(String),
}

struct Play<'a> {
    story: &'a Story,
    stage: Stage<'a>,
    began: Instant,
    /// When the last act was.
    acted: Instant,
    /// Who was where at the start.
    first: Option<Census>,
    /// Clients who were not with the faller at the start, and were seen elsewhere since.
    strays: BTreeSet<Ipv4Addr>,
    /// The lines about the DNS that were told last.
    told: Vec<String>,
    tell: &'a mut dyn FnMut(Told),
}

impl<'a> Play<'a> {
    fn new(story: &'a Story, stage: Stage<'a>, tell: &'a mut dyn FnMut(Told)) -> Self {
        let now = Instant::now();
        Self { story, stage, began: now, acted: now, first: None, strays: BTreeSet::new(), told: Vec::new(), tell }
    }

    async fn step(&mut self, step: &Step) -> Result<(), Missed> {
        let at = self.at();
        (self.tell)(Told::Step { at, says: step.says.clone() });
        if let Act::Put(mode) = step.act {
            self.stage.internet.modes.put(&self.story.faller, mode)?;
            self.acted = Instant::now();
        }
        for must in &step.must {
            self.see(must).await?;
        }
        Ok(())
    }

    async fn see(&mut self, must: &Must) -> Result<(), Missed> {
        match must {
            Must::BeReady { within } => self.be_ready(*within).await,
            Must::Serve { who, within } => self.serve(who, *within).await,
            Must::BeDown { within } => self.be_down(*within).await,
            Must::StayAway { span } => self.stay_away(*span).await,
            Must::EdgeSays { page, test_page } => self.edge_says(*page, *test_page).await,
            Must::NobodyElseMoved => self.nobody_else_moved(),
            Must::SameAsBefore => self.same_as_before().await,
            Must::BeWrittenDown => self.be_written_down().await,
        }
    }

    async fn be_ready(&mut self, within: Duration) -> Result<(), Missed> {
        let limit = Instant::now() + within;
        while let Err(missed) = self.readiness().await {
            give_up_after(limit, missed)?;
            sleep(POLL).await;
        }
        self.saw(format!("API: every candidate of {} was probed and is up", self.story.name));
        Ok(())
    }

    async fn readiness(&self) -> Result<(), Missed> {
        api(self.stage.api, "/readyz").await?;
        let candidates = self.candidates().await?;
        match candidates.iter().find(|candidate| candidate.standing != Standing::Up) {
            Some(other) => Err(Missed::NotSeen(format!("{} is {}: {}", other.id, other.standing, other.reason))),
            None => Ok(()),
        }
    }

    async fn be_down(&mut self, within: Duration) -> Result<(), Missed> {
        let limit = self.acted + within;
        loop {
            let candidates = self.candidates().await?;
            let faller = candidates.iter().find(|candidate| candidate.provider == *self.story.faller);
            let (standing, reason) = faller.map_or((Standing::Unknown, ""), |it| (it.standing, it.reason.as_str()));
            let line = format!("API: {}: {reason}", self.story.faller);
            if standing == Standing::Down {
                self.saw(line);
                return Ok(());
            }
            give_up_after(limit, Missed::NotSeen(line))?;
            sleep(POLL).await;
        }
    }

    async fn candidates(&self) -> Result<Vec<Candidate>, Missed> {
        let view: Name = document(self.stage.api, &format!("/v1/names/{}", self.story.name)).await?;
        Ok(view.candidates)
    }

    async fn serve(&mut self, who: &BTreeSet<Arc<str>>, within: Duration) -> Result<(), Missed> {
        let limit = self.acted + within;
        loop {
            let census = self.take_census().await?;
            self.tell_news(&census);
            if census.who() == *who {
                self.first.get_or_insert(census);
                self.tell_how_long();
                return Ok(());
            }
            give_up_after(limit, Missed::NotSeen(format!("not so within {} s", within.as_secs())))?;
            sleep(POLL).await;
        }
    }

    /// What the DNS says, where it says something new.
    fn tell_news(&mut self, census: &Census) {
        let lines = census.lines();
        if self.told != lines {
            lines.iter().for_each(|line| self.saw(line.clone()));
            self.told = lines;
        }
    }

    fn tell_how_long(&mut self) {
        let mode = self.stage.internet.modes.current(&self.story.faller);
        let what = match mode {
            Ok(Mode::Right) => "ended",
            _ => "began",
        };
        if self.acted != self.began {
            self.saw(format!("{:.1} s after the fault {what}", self.acted.elapsed().as_secs_f64()));
        }
    }

    async fn stay_away(&mut self, span: Duration) -> Result<(), Missed> {
        let end = self.acted + span;
        let mut rounds = 0;
        while Instant::now() < end {
            let census = self.take_census().await?;
            if census.who().contains(&self.story.faller) {
                return Err(Missed::NotSeen(format!("it is back too early: {}", census.lines().join(", "))));
            }
            rounds += 1;
            sleep(POLL).await;
        }
        self.saw(format!("DNS: {} questions later it was not named once", rounds * u32::from(CLIENTS)));
        Ok(())
    }

    async fn edge_says(&mut self, page: u16, test_page: u16) -> Result<(), Missed> {
        let (host, path) = &self.story.page;
        for (path, status) in [(path.as_str(), page), (TEST_PAGE, test_page)] {
            let answer = self.fetch(host, path).await?;
            self.saw(format!("edge: https://{host}{path} through {}: {}", self.story.faller, answer.status));
            if answer.status != status {
                return Err(Missed::NotSeen(format!("it should have been {status}")));
            }
        }
        Ok(())
    }

    async fn fetch(&self, host: &str, path: &str) -> Result<Page, Missed> {
        let internet = self.stage.internet;
        let player = internet.cast.player(&self.story.faller);
        let address = player.and_then(|player| player.addresses.first()).copied().unwrap_or(Ipv4Addr::LOCALHOST);
        let server = SocketAddr::from((address, internet.edges.https_port()));
        let tls = internet.authority.client_config()?;
        ask::fetch_https(server, host, path, tls).await.map_err(Missed::Edge)
    }

    fn nobody_else_moved(&mut self) -> Result<(), Missed> {
        if !self.strays.is_empty() {
            return Err(Missed::NotSeen(format!("{} clients of the others were moved too", self.strays.len())));
        }
        self.saw(format!("DNS: only the clients of {} moved", self.story.faller));
        Ok(())
    }

    async fn same_as_before(&mut self) -> Result<(), Missed> {
        let census = self.take_census().await?;
        let same = self.first.as_ref().is_some_and(|first| first.clients == census.clients);
        if !same {
            return Err(Missed::NotSeen(format!(
                "some clients are elsewhere than at the start: {}",
                census.lines().join(", ")
            )));
        }
        self.saw("DNS: every client is back where it was".to_owned());
        Ok(())
    }

    async fn be_written_down(&mut self) -> Result<(), Missed> {
        let path = format!("/v1/events?subject={}&limit={EVENTS}", self.story.name);
        let page: EventPage = document(self.stage.api, &path).await?;
        let candidate = format!("{}/{}", self.story.name, self.story.faller);
        let verdict = |event: &&EventView| event.kind == "verdict" && event.subject == candidate;
        let fell = page.events.iter().filter(verdict).any(|event| event.to == Standing::Down.as_str());
        let rose = page
            .events
            .iter()
            .filter(verdict)
            .any(|event| event.from == Standing::Recovering.as_str() && event.to == Standing::Up.as_str());
        for event in page.events.iter().rev() {
            self.saw(describe(event));
        }
        if fell && rose {
            Ok(())
        } else {
            Err(Missed::NotSeen(format!("no word of how {candidate} fell and came back")))
        }
    }

    /// Asks for all clients, and notes who was moved without need.
    async fn take_census(&mut self) -> Result<Census, Missed> {
        let mut census = Census::default();
        for number in 1..=CLIENTS {
            let client = Ipv4Addr::new(127, 60, number, 1);
            let answer = ask::ask(self.stage.dns, client.into(), &self.story.name, RecordType::A).await?;
            let Some(record) = answer.records.first() else {
                return Err(Missed::NotSeen(format!(
                    "the DNS answers {client} with {} and nothing else",
                    answer.rcode
                )));
            };
            let target = record.data.to_ascii_lowercase();
            let provider = self.story.targets.get(target.as_str()).cloned().unwrap_or_else(|| target.into());
            census.samples.entry(provider.clone()).or_insert_with(|| record.clone());
            census.clients.insert(client, provider);
        }
        self.note_strays(&census);
        Ok(census)
    }

    fn note_strays(&mut self, census: &Census) {
        let Some(first) = &self.first else { return };
        let strayed = first.clients.iter().filter(|(client, provider)| {
            **provider != self.story.faller && census.clients.get(*client) != Some(*provider)
        });
        self.strays.extend(strayed.map(|(client, _)| *client));
    }

    fn saw(&mut self, what: String) {
        let at = self.at();
        (self.tell)(Told::Saw { at, what });
    }

    fn at(&self) -> Duration {
        self.began.elapsed()
    }
}

/// What the story needs of `/v1/names/{name}`, as any client would read it.
#[derive(Deserialize)]
struct Name {
    candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
struct Candidate {
    id: String,
    provider: String,
    standing: Standing,
    reason: String,
}

/// What the DNS said to each client.
#[derive(Clone, Debug, Default)]
struct Census {
    clients: BTreeMap<Ipv4Addr, Arc<str>>,
    /// One record for each provider that was named.
    samples: BTreeMap<Arc<str>, AnswerRecord>,
}

impl Census {
    fn who(&self) -> BTreeSet<Arc<str>> {
        self.samples.keys().cloned().collect()
    }

    /// What each provider's clients heard, a line for each.
    fn lines(&self) -> Vec<String> {
        let line = |(provider, record): (&Arc<str>, &AnswerRecord)| {
            let count = self.clients.values().filter(|at| *at == provider).count();
            format!("DNS: {count:2} of {} clients hear CNAME {} (TTL {})", self.clients.len(), record.data, record.ttl)
        };
        self.samples.iter().map(line).collect()
    }
}
