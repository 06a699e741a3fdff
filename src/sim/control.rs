//! The way from another terminal into the running demo: a Unix socket with one order and one reply a connection.
//!
//! `$XDG_RUNTIME_DIR/pointsman-demo.sock`, else `/tmp/pointsman-demo-UID.sock`, mode 0600. Only the user who runs the
//! demo, and root, are listened to; and a client speaks only to a socket that its own user owns, since anybody may
//! make one in `/tmp`.
//!
//! ```text
//!   order:  break PROVIDER MODE | heal PROVIDER | state
//!   reply:  ok TEXT | error TEXT        (TEXT may have several lines)
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::mode::{Mode, Modes};

const MAX_ORDER: u64 = 1024;
const MAX_REPLY: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Break {
        provider: String,
        mode: Mode,
    },
    Heal {
        provider: String,
    },
    /// What is wrong with whom.
    State,
}

/// The listening socket. It is removed when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    stop: CancellationToken,
}

/// Why an order was not given, or not taken.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no demo is running: there is no socket {0}")]
    NotRunning(PathBuf),
    #[error("{0} belongs to another user")]
    Foreign(PathBuf),
    #[error("another demo listens on {0}")]
    Taken(PathBuf),
    #[error("{path}: {source}")]
    Socket { path: PathBuf, source: io::Error },
    #[error("the demo does not answer on {0}")]
    Silent(PathBuf),
    /// The demo's own words.
    #[error("{0}")]
    Refused(String),
}

/// Where the demo listens unless told otherwise.
pub fn default_path() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(folder) if folder.is_absolute() && folder.is_dir() => folder.join("pointsman-demo.sock"),
        _ => PathBuf::from(format!("/tmp/pointsman-demo-{}.sock", own_user().unwrap_or_default())),
    }
}

impl Control {
    /// Listens on `path`, in the place of a socket that a demo left behind. Must be called inside a tokio runtime.
    pub fn listen(path: &Path, modes: Modes) -> Result<Self, ControlError> {
        remove_left_behind(path)?;
        let failed = |source| ControlError::Socket { path: path.to_owned(), source };
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let control = Self { path: path.to_owned(), stop: CancellationToken::new() };
        tokio::spawn(control.stop.clone().run_until_cancelled_owned(accept_for_ever(listener, modes)));
        Ok(control)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.cancel();
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// Gives an order to the demo that listens on `path`, and returns its reply.
pub async fn give(path: &Path, order: &Order) -> Result<String, ControlError> {
    let failed = |source| ControlError::Socket { path: path.to_owned(), source };
    let owner = match fs::metadata(path) {
        Ok(metadata) => metadata.uid(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ControlError::NotRunning(path.to_owned())),
        Err(error) => return Err(failed(error)),
    };
    if owner != own_user().map_err(failed)? {
        return Err(ControlError::Foreign(path.to_owned()));
    }
    let reply = timeout(PATIENCE, exchange(path, order)).await.map_err(|_| ControlError::Silent(path.to_owned()))?;
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(ControlError::NotRunning(path.to_owned()));
        }
        Err(error) => return Err(failed(error)),
    };
    match reply.split_once(' ') {
        Some(("ok", text)) => Ok(text.trim_end().to_owned()),
        Some(("error", text)) => Err(ControlError::Refused(text.trim_end().to_owned())),
        _ => Err(ControlError::Silent(path.to_owned())),
    }
}

async fn exchange(path: &Path, order: &Order) -> io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("{order}\n").as_bytes()).await?;
    let mut reply = String::new();
    stream.take(MAX_REPLY).read_to_string(&mut reply).await?;
    Ok(reply)
}

/// A socket on which nobody listens is taken away; one that answers is not, nor is anything that is no socket.
fn remove_left_behind(path: &Path) -> Result<(), ControlError> {
    let failed = |source| ControlError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(failed(io::ErrorKind::AlreadyExists.into())),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        _ => Err(ControlError::Taken(path.to_owned())),
    }
}

async fn accept_for_ever(listener: UnixListener, modes: Modes) {
    loop {
        match listener.accept().await {
            // One after the other: orders are short, and each has its limit of time.
            Ok((stream, _)) => drop(timeout(PATIENCE, take(stream, &modes)).await),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn take(mut stream: UnixStream, modes: &Modes) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let reply = if peer != 0 && peer != own_user()? {
        "error only the user who runs the demo may do that\n".to_owned()
    } else {
        let mut line = String::new();
        BufReader::new((&mut stream).take(MAX_ORDER)).read_line(&mut line).await?;
        match line.parse::<Order>().and_then(|order| carry_out(&order, modes)) {
            Ok(text) => format!("ok {text}\n"),
            Err(text) => format!("error {text}\n"),
        }
    };
    stream.write_all(reply.as_bytes()).await
}

fn carry_out(order: &Order, modes: &Modes) -> Result<String, String> {
    let (provider, mode) = match order {
        Order::Break { provider, mode } => (provider, *mode),
        Order::Heal { provider } => (provider, Mode::Right),
        Order::State => return Ok(state(modes)),
    };
    let before = modes.put(provider, mode).map_err(|error| error.to_string())?;
    Ok(format!("{provider}: {before} -> {mode}"))
}

fn state(modes: &Modes) -> String {
    let lines: Vec<_> = modes.iter().map(|(id, mode)| format!("{id}: {mode}")).collect();
    lines.join("\n")
}

/// The user that this process runs as.
fn own_user() -> io::Result<u32> {
    Ok(fs::metadata("/proc/self")?.uid())
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Break { provider, mode } => write!(f, "break {provider} {mode}"),
            Self::Heal { provider } => write!(f, "heal {provider}"),
            Self::State => f.write_str("state"),
        }
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["break", provider, mode] => {
                let mode = mode.parse().map_err(|error: super::mode::UnknownMode| error.to_string())?;
                Ok(Self::Break { provider: (*provider).to_owned(), mode })
            }
            ["heal", provider] => Ok(Self::Heal { provider: (*provider).to_owned() }),
            ["state"] => Ok(Self::State),
            _ => Err("expected `break PROVIDER MODE`, `heal PROVIDER` or `state`".to_owned()),
        }
    }
}
