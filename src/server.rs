//! The whole server: opens store and sockets, starts the rooms in order, and stops them in the other.
//!
//! | start | stop |
//! | --- | --- |
//! | 1. the store, so that what was kept is known | 6. the store: flushed, synced, closed |
//! | 2. sockets: a port that is taken is an error before anything is changed | 5. the prober and the API |
//! | 3. the controller: zones are read, the first answers published | 4. the controller |
//! | 4. DNS answers | 3. DNS: queries in flight are answered |
//! | 5. the prober, the API, the watch over files | 2. `linger`: all goes on |
//! | | 1. `/readyz` turns |

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigFile};
use crate::controller::message::{Request, Sender};
use crate::controller::view::Serving;
use crate::controller::{self, Clock};
use crate::image::published::Published;
use crate::steer::time::Time;
use crate::store::{OpenState, Store};
use crate::{api, dns, health, store};

/// Plans and batches of probe requests that may wait for the prober; a batch follows from what came within 5 ms.
const COMMANDS: usize = 4_096;
/// Reports that may wait for the controller; the prober waits when there are more.
const REPORTS: usize = 4_096;

/// How often the values that histograms collect are folded into their buckets.
const FOLD: Duration = Duration::from_secs(10);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the data folder {}: {error}", path.display())]
    Data { path: PathBuf, error: std::io::Error },
    #[error("opening the store broke off: {0}")]
    Store(tokio::task::JoinError),
    #[error("the store in {} is in use by another process: is another server running with this data folder?", .0.display())]
    InUse(PathBuf),
    #[error(transparent)]
    Dns(#[from] dns::BindError),
    #[error("answering cannot begin: {0}")]
    Serve(std::io::Error),
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("the API: {0}")]
    Api(#[from] api::BindError),
    #[error("probing: {0}")]
    Health(#[from] health::StartError),
}

/// A server that runs. [`Server::stop`] stops it in good order; dropping it does not.
pub struct Server {
    dns_addresses: Vec<SocketAddr>,
    api_address: SocketAddr,
    controller: Sender,
    published: Arc<ArcSwap<Published>>,
    serving: watch::Sender<Serving>,
    dns: dns::Running,
    store: Store,
    linger: Duration,
    grace: Duration,
    stop_rooms: CancellationToken,
    stop_controller: CancellationToken,
    rooms: Vec<JoinHandle<()>>,
    controller_task: JoinHandle<()>,
}

/// Starts everything. When this returns, zones are loaded and questions are answered.
pub async fn start(config: Config, config_file: Option<ConfigFile>) -> Result<Server, StartError> {
    dns::keep_large_memory_apart();
    // Before any room begins: what is counted without a recorder is lost.
    let rendered = api::metrics::install()?;
    let data = config.server.data.clone();
    make_folder(&data)?;
    let opened = open_store(&config).await?;
    if opened.state == OpenState::InUse {
        return Err(StartError::InUse(data));
    }
    let bound_dns = dns::bind(&config.dns_settings())?;
    let bound_api = api::bind(&api_settings(&config))?;
    let counters = bound_dns.reader();
    let (dns_addresses, api_address) = (bound_dns.addresses(), bound_api.address());

    let clock = Clock::start(opened.kept.latest());
    let vantage: Arc<str> = config.vantage().into();
    let (commands, prober_commands) = mpsc::channel(COMMANDS);
    let (reports, controller_reports) = mpsc::channel(REPORTS);
    let (serving, serving_now) = watch::channel(Serving::Starting);
    let (stop_rooms, stop_controller) = (CancellationToken::new(), CancellationToken::new());
    let now = Arc::new(move || clock.now());
    let prober =
        health::start(config.health_settings(vantage.clone()), now, prober_commands, reports, stop_rooms.clone())?;

    let store = opened.store.clone();
    let (linger, grace) = (config.server.linger.0, config.server.grace.0);
    let config_path = config_file.as_ref().map(|file| file.path.clone());
    let (database, database_now) = watch::channel(None);
    let watch = controller::Watch::begin(config.server.zones.clone(), config_path, data.clone(), database_now);
    let (routes, behind) = (prober.routes(), prober.behind());
    let (dropped, open) = (counters.clone(), counters.clone());
    let running = controller::start(controller::Parts {
        config,
        config_file,
        vantage,
        client_key: client_key(&data),
        clock,
        opened,
        commands,
        reports: controller_reports,
        families_without_route: Arc::new(move || routes.missing()),
        probes_behind: Arc::new(move || behind.borrow().as_ref().map(ToString::to_string)),
        udp_dropped: Arc::new(move || dropped().udp_dropped),
        tcp_connections: Arc::new(move || open().tcp_open),
        threads: bound_dns.threads(),
        serving: serving_now,
        database,
        stop: stop_controller.clone(),
    })
    .await;
    let dns = bound_dns.serve(running.published.clone()).map_err(StartError::Serve)?;
    serving.send_replace(Serving::Serving);
    let render = Arc::new(move || {
        record_dns(&counters());
        rendered()
    });
    let rooms = vec![
        tokio::spawn(prober.ended()),
        tokio::spawn(fold_metrics(stop_rooms.clone())),
        bound_api.serve(running.sender.clone(), render, stop_rooms.clone()),
        tokio::spawn(watch.run(running.sender.clone(), stop_rooms.clone())),
    ];
    Ok(Server {
        dns_addresses,
        api_address,
        controller: running.sender,
        published: running.published,
        serving,
        dns,
        store,
        linger,
        grace,
        stop_rooms,
        stop_controller,
        rooms,
        controller_task: running.task,
    })
}

impl Server {
    /// The addresses that questions are answered on, over UDP and TCP.
    pub fn dns_addresses(&self) -> &[SocketAddr] {
        &self.dns_addresses
    }

    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// The way to the controller.
    pub fn controller(&self) -> &Sender {
        &self.controller
    }

    /// What is answered with at this moment.
    pub fn published(&self) -> &Arc<ArcSwap<Published>> {
        &self.published
    }

    /// Has configuration and zones read again, and waits for nothing: the controller logs how it went.
    pub fn ask_for_reload(&self) {
        let (reply, _) = tokio::sync::oneshot::channel();
        if let Err(error) = self.controller.try_send(Request::Reload(reply)) {
            tracing::warn!(%error, "the controller takes no reload");
        }
    }

    /// Stops in good order: answers what is in flight, keeps what is to be kept.
    pub async fn stop(self) {
        self.serving.send_replace(Serving::Stopping);
        // Load balancers see `/readyz` and go elsewhere, while those who do not know yet are still answered.
        tokio::time::sleep(self.linger).await;
        self.dns.stop(self.grace).await;
        self.stop_controller.cancel();
        log_end("controller", self.controller_task.await);
        self.stop_rooms.cancel();
        for room in self.rooms {
            log_end("room", room.await);
        }
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store did not close well");
        }
    }
}

fn api_settings(config: &Config) -> api::Settings {
    api::Settings {
        listen: config.api.listen,
        hosts: config.api.hosts.clone(),
        ..api::Settings::in_folder(&config.server.data)
    }
}

fn log_end(room: &str, end: Result<(), tokio::task::JoinError>) {
    if let Err(error) = end {
        tracing::error!(room, %error, "ended badly");
    }
}

async fn fold_metrics(stop: CancellationToken) {
    let mut often = tokio::time::interval(FOLD);
    while stop.run_until_cancelled(often.tick()).await.is_some() {
        api::metrics::fold();
    }
}

fn make_folder(path: &Path) -> Result<(), StartError> {
    std::fs::create_dir_all(path).map_err(|error| StartError::Data { path: path.to_owned(), error })
}

/// The key of the hash that brings clients to their candidates: kept, so that a restart moves nobody.
fn client_key(data: &Path) -> [u8; 16] {
    let file = data.join("client-key");
    if let Some(key) = std::fs::read(&file).ok().and_then(|octets| octets.try_into().ok()) {
        return key;
    }
    let mut key = [0; 16];
    // Without randomness or a disk the key is another one after a restart: some clients move then, nothing worse.
    if let Err(error) = getrandom::fill(&mut key) {
        tracing::warn!(%error, "no random key");
    }
    if let Err(error) = write_key(&file, &key) {
        tracing::warn!(%error, file = %file.display(), "the key of the client hash is not kept");
    }
    key
}

/// Whole or not at all, and for the owner alone: who knows the key can choose a candidate.
fn write_key(file: &Path, key: &[u8]) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    new.write_all(key)?;
    new.sync_all()?;
    std::fs::rename(&beside, file)
}

/// Opens the store on a thread that may block for as long as that takes: a signal is heard meanwhile.
async fn open_store(config: &Config) -> Result<store::Opened, StartError> {
    let settings = config.store_settings();
    let opening = tokio::task::spawn_blocking(|| store::open(settings, Clock::start(Time(0)).now()));
    opening.await.map_err(StartError::Store)
}

/// Folds the counters of the DNS threads into the metrics.
fn record_dns(counters: &dns::Counters) {
    metrics::counter!("pointsman_queries_total", "transport" => "udp").absolute(counters.udp);
    metrics::counter!("pointsman_queries_total", "transport" => "tcp").absolute(counters.tcp);
    for (rcode, answers) in counters.rcodes.iter().enumerate().filter(|(_, answers)| **answers > 0) {
        metrics::counter!("pointsman_responses_total", "rcode" => rcode.to_string()).absolute(*answers);
    }
    metrics::counter!("pointsman_responses_truncated_total").absolute(counters.truncated);
    metrics::counter!("pointsman_queries_dropped_total").absolute(counters.dropped);
    metrics::counter!("pointsman_responses_unsent_total").absolute(counters.unsent);
    metrics::counter!("pointsman_udp_dropped_total").absolute(counters.udp_dropped);
    metrics::counter!("pointsman_tcp_refused_total").absolute(counters.tcp_refused);
    metrics::counter!("pointsman_tcp_evicted_total").absolute(counters.tcp_evicted);
    metrics::gauge!("pointsman_tcp_connections").set(counters.tcp_open as f64);
}
