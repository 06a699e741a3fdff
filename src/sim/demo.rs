//! The whole demo in one process: the simulated internet, and the real server before it.
//!
//! Zone files are served as they are written for production. What would take minutes there is shortened by defaults of
//! the configuration ([`SHORTENED`]), and said so.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::control::{self, Control, ControlError};
use super::internet::{Internet, InternetError};
use super::{examples, play};
use crate::config::Config;
use crate::server::{self, Server};
use crate::steer::policy::SteeredName;
use crate::zone::diagnostic::Diagnostic;
use crate::zone::folder::load_folder;

/// Policy fields with the demo's default and the usual one.
pub const SHORTENED: [(&str, &str, &str); 3] = [("every", "1s", "10s"), ("clean", "10s", "20m"), ("ramp", "0s", "20m")];

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder of zone files; none means the examples.
    pub zones: Option<PathBuf>,
    /// Where the DNS answers; another port where this one is taken.
    pub listen: SocketAddrV4,
    /// Where the API listens; another port where this one is taken.
    pub api: SocketAddrV4,
    /// Where orders are taken; none means the usual place.
    pub socket: Option<PathBuf>,
}

/// The running demo.
pub struct Demo {
    pub internet: Internet,
    pub names: Vec<Arc<SteeredName>>,
    pub control: Control,
    server: Server,
    folder: Folder,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("the folder for data: {0}")]
    Folder(io::Error),
    #[error("{} of the zone files cannot be served", .0.len())]
    Zones(Vec<Diagnostic>),
    #[error("the zone files in {} steer no name", .0.display())]
    NothingSteered(PathBuf),
    #[error("the simulated providers: {0}")]
    Internet(#[from] InternetError),
    #[error("the way in for orders: {0}")]
    Control(#[from] ControlError),
    #[error(transparent)]
    Server(#[from] server::StartError),
}

impl Demo {
    /// Starts everything. Must be called inside a tokio runtime.
    pub async fn start(options: &Options) -> Result<Self, DemoError> {
        let folder = Folder::make().map_err(DemoError::Folder)?;
        let mut config = configuration(options, &folder)?;
        let names = steered_names(&config)?;
        let internet = Internet::start(&names, &config.providers()).await?;
        let authority = folder.path().join("authority.pem");
        fs::write(&authority, internet.authority.pem()).map_err(DemoError::Folder)?;
        config.probe.resolvers = vec![internet.dns.address()];
        config.probe.extra_ca = vec![authority];
        config.probe.ports = internet.ports().collect();
        let control = listen_for_orders(options, &internet)?;
        let server = server::start(config, None).await?;
        Ok(Self { internet, names, control, server, folder })
    }

    /// Where questions are answered.
    pub fn dns_address(&self) -> SocketAddr {
        let bound = self.server.dns_addresses().first().copied().unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        reachable(bound)
    }

    /// Where the API is.
    pub fn api_address(&self) -> SocketAddr {
        reachable(self.server.api_address())
    }

    /// The server's data folder: gone when the demo is.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.data()
    }

    /// What the story needs to be played.
    pub fn stage(&self) -> play::Stage<'_> {
        play::Stage { dns: self.dns_address(), api: self.api_address(), internet: &self.internet }
    }

    /// Stops everything in good order, and removes the data.
    pub async fn stop(mut self) {
        self.server.stop().await;
        self.internet.stop().await;
    }
}

fn configuration(options: &Options, folder: &Folder) -> Result<Config, DemoError> {
    let mut config = Config::default();
    config.server.zones = match &options.zones {
        Some(zones) => zones.clone(),
        None => {
            let zones = folder.path().join("zones");
            fs::create_dir(&zones).and_then(|()| examples::write_to(&zones)).map_err(DemoError::Folder)?;
            zones
        }
    };
    config.server.data = folder.data();
    config.server.vantage = "demo".to_owned();
    config.dns.listen = vec![SocketAddr::V4(free_or_any(options.listen))];
    config.api.listen = SocketAddr::V4(free_or_any(options.api));
    config.probe.allow_private = true;
    // Nothing of the demo leaves this machine.
    config.probe.anchors.tcp.clear();
    config.steering = SHORTENED.iter().map(|(field, ours, _)| ((*field).to_owned(), (*ours).to_owned())).collect();
    Ok(config)
}

/// This address if nobody has it, over UDP or TCP; else with a port that the kernel chooses.
fn free_or_any(wanted: SocketAddrV4) -> SocketAddrV4 {
    let free = UdpSocket::bind(wanted).is_ok() && TcpListener::bind(wanted).is_ok();
    if free { wanted } else { SocketAddrV4::new(*wanted.ip(), 0) }
}

/// An address that a client of this machine can use.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = if bound.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bound.ip() };
    SocketAddr::new(ip, bound.port())
}

/// The names that the server will steer: read beforehand, since the simulated providers must know them.
fn steered_names(config: &Config) -> Result<Vec<Arc<SteeredName>>, DemoError> {
    let folder = &config.server.zones;
    let loaded = load_folder(folder, &config.zone_settings());
    let broken = loaded.zones.iter().filter(|zone| zone.zone.is_none());
    let mut faults = loaded.diagnostics.clone();
    faults.extend(broken.flat_map(|zone| zone.diagnostics.iter().cloned()));
    if !faults.is_empty() {
        return Err(DemoError::Zones(faults));
    }
    let names: Vec<_> =
        loaded.zones.into_iter().filter_map(|loaded| loaded.zone).flat_map(|zone| zone.steered).collect();
    if names.is_empty() { Err(DemoError::NothingSteered(folder.clone())) } else { Ok(names) }
}

/// The usual place, or one of our own where another demo has it.
fn listen_for_orders(options: &Options, internet: &Internet) -> Result<Control, ControlError> {
    if let Some(path) = &options.socket {
        return Control::listen(path, internet.modes.clone());
    }
    let usual = control::default_path();
    match Control::listen(&usual, internet.modes.clone()) {
        Err(ControlError::Taken(_) | ControlError::Socket { .. }) => {
            let own = usual.with_file_name(format!("pointsman-demo-{}.sock", std::process::id()));
            Control::listen(&own, internet.modes.clone())
        }
        other => other,
    }
}

/// A folder that only this user reads, gone when this is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Self> {
        const TRIES: u32 = 100;
        for number in 0..TRIES {
            let path = std::env::temp_dir().join(format!("pointsman-demo-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the folder of temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
