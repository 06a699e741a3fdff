//! BIND, NSD and Knot on free ports of 127.0.0.1, with one zone; ended when dropped.
#![allow(clippy::panic)] // A test that cannot be set up has failed.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time to start and load a small zone.
const START: Duration = Duration::from_secs(30);

/// One running server.
pub struct Peer {
    pub name: &'static str,
    pub address: SocketAddr,
    child: Child,
    log: PathBuf,
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Which of the programs is missing, with the package that has it.
pub fn missing() -> Option<&'static str> {
    let programs =
        [("named", "named (Debian: bind9)"), ("nsd", "nsd (Debian: nsd)"), ("knotd", "knotd (Debian: knot)")];
    programs.into_iter().find(|(program, _)| find(program).is_none()).map(|(_, needs)| needs)
}

/// Starts all three and waits until they answer `probe`.
pub fn start(folder: &Path, origin: &str, zone: &Path, probe: &[u8]) -> Vec<Peer> {
    let peers = vec![named(folder, origin, zone), nsd(folder, origin, zone), knot(folder, origin, zone)];
    for peer in &peers {
        wait(peer, probe);
    }
    peers
}

fn named(folder: &Path, origin: &str, zone: &Path) -> Peer {
    let (folder, port) = (fresh(folder, "bind"), free_port());
    let configuration = format!(
        "options {{ directory \"{0}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;\n\
         minimal-responses yes; pid-file none; session-keyfile none; check-names primary ignore; check-integrity no;\n\
         dnssec-validation no; empty-zones-enable no; notify no; server-id none; allow-transfer {{ none; }}; }};\n\
         controls {{ }};\nlogging {{ category default {{ null; }}; }};\n\
         zone \"{origin}\" {{ type primary; file \"{1}\"; }};\n",
        folder.display(),
        zone.display()
    );
    spawn("named", &folder, port, &configuration, &["-4", "-f", "-n", "1", "-c"])
}

fn nsd(folder: &Path, origin: &str, zone: &Path) -> Peer {
    let (folder, port) = (fresh(folder, "nsd"), free_port());
    let configuration = format!(
        "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{0}\"\n database: \"\"\n\
         \x20pidfile: \"{0}/pid\"\n xfrdfile: \"{0}/xfrd\"\n zonelistfile: \"{0}/zones\"\n xfrdir: \"{0}\"\n\
         \x20server-count: 1\n minimal-responses: yes\n rrl-ratelimit: 0\n\
         remote-control:\n control-enable: no\nzone:\n name: \"{origin}\"\n zonefile: \"{1}\"\n",
        folder.display(),
        zone.display()
    );
    spawn("nsd", &folder, port, &configuration, &["-d", "-c"])
}

fn knot(folder: &Path, origin: &str, zone: &Path) -> Peer {
    let (folder, port) = (fresh(folder, "knot"), free_port());
    let configuration = format!(
        "server:\n  rundir: \"{0}\"\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         database:\n  storage: \"{0}\"\nlog:\n  - target: stderr\n    any: warning\n\
         template:\n  - id: default\n    semantic-checks: off\n    journal-content: none\n    zonefile-sync: -1\n\
         zone:\n  - domain: \"{origin}\"\n    file: \"{1}\"\n",
        folder.display(),
        zone.display()
    );
    spawn("knotd", &folder, port, &configuration, &["-c"])
}

fn spawn(program: &'static str, folder: &Path, port: u16, configuration: &str, arguments: &[&str]) -> Peer {
    let file = folder.join("configuration");
    fs::write(&file, configuration).expect("a writable folder");
    let log = folder.join("log");
    let out = fs::File::create(&log).expect("a writable folder");
    let child = Command::new(find(program).expect("looked for before"))
        .args(arguments)
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("a handle"))
        .stderr(out)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    Peer { name: program, address: (Ipv4Addr::LOCALHOST, port).into(), child, log }
}

fn wait(peer: &Peer, probe: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
    let start = Instant::now();
    let mut answer = [0; 512];
    while start.elapsed() < START {
        drop(socket.send_to(probe, peer.address));
        if matches!(socket.recv(&mut answer), Ok(len) if len > 12 && answer[3] & 0x0f == 0) {
            return;
        }
    }
    panic!("{} does not answer: {}", peer.name, fs::read_to_string(&peer.log).unwrap_or_default());
}

/// A port that UDP and TCP both have free at this moment.
fn free_port() -> u16 {
    let try_one = || -> io::Result<u16> {
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        let port = udp.local_addr()?.port();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(|_| port)
    };
    (0..100).find_map(|_| try_one().ok()).expect("a free port")
}

fn fresh(folder: &Path, name: &str) -> PathBuf {
    let folder = folder.join(name);
    fs::create_dir_all(&folder).expect("a writable folder");
    folder
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian keeps servers where an ordinary user's PATH does not lead.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}
