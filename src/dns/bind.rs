//! Opening the sockets: UDP and TCP of one address on one port, or an error that says which address and why.
//!
//! Our own UDP sockets share a port (SO_REUSEPORT), but nobody else's may: a share of the queries would go to a program that forgot to end, and
//! nobody would know. The kernel lets a socket join a port only if all that are there allow it. So the first of ours binds without
//! leave to share, which fails wherever another socket overlaps, wildcards and dual-stack ones too; only then it gives leave, and ours follow. At no
//! moment is the port free. A second Pointsman begins the same way, so of two that start at once one always fails.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::counters::Shared;
use super::{Settings, TcpSettings, sys};

/// Tries at a port that is free for both UDP and TCP.
const FREE_PORT_TRIES: usize = 64;
/// Connections that the system holds until they are taken.
const BACKLOG: i32 = 1024;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "{protocol} {address} is in use by another program: `ss -{}lpn 'sport = :{}'` shows which", protocol_letter(protocol), address.port()
    )]
    InUse { protocol: &'static str, address: SocketAddr },
    #[error(
        "no permission for {protocol} {address}: ports below 1024 need root or CAP_NET_BIND_SERVICE \
         (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
    )]
    Permission { protocol: &'static str, address: SocketAddr },
    #[error("{protocol} {address} is no address of this machine")]
    NotHere { protocol: &'static str, address: SocketAddr },
    #[error("cannot listen on {protocol} {address}: {source}")]
    Other { protocol: &'static str, address: SocketAddr, source: io::Error },
    #[error("{address} and {other} overlap: one of them is enough")]
    Twice { address: SocketAddr, other: SocketAddr },
    #[error("no address to listen on")]
    Nothing,
}

/// Open sockets that nobody reads yet.
#[derive(Debug)]
pub struct Bound {
    /// For each address as many as there are threads.
    pub(super) udp: Vec<Arc<UdpSocket>>,
    /// The core of each UDP thread; none: wherever there is time.
    pub(super) cores: Vec<Option<usize>>,
    pub(super) shared: Arc<Shared>,
    /// By thread: a listener for each address.
    pub(super) tcp: Vec<Vec<TcpListener>>,
    pub(super) tcp_settings: TcpSettings,
    addresses: Vec<SocketAddr>,
}

impl Bound {
    /// The addresses in the order of the settings, free ports filled in.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }
}

/// Opens all sockets.
///
/// # Errors
/// The first address that cannot be listened on, and why.
pub fn bind(settings: &Settings) -> Result<Bound, BindError> {
    if settings.listen.is_empty() {
        return Err(BindError::Nothing);
    }
    find_overlap(&settings.listen)?;
    let threads = settings.threads.max(1);
    let (mut udp, mut addresses) = (Vec::new(), Vec::new());
    let mut tcp: Vec<Vec<TcpListener>> = (0..threads).map(|_| Vec::new()).collect();
    for address in &settings.listen {
        let (sockets, listeners, address) = bind_address(*address, settings)?;
        udp.extend(sockets);
        tcp.iter_mut().zip(listeners).for_each(|(thread, listener)| thread.push(listener));
        addresses.push(address);
    }
    tell_small_buffers(&udp, settings.receive_buffer);
    let udp: Vec<_> = udp.into_iter().map(|(socket, _)| Arc::new(socket)).collect();
    let cores = cores(settings, udp.len());
    let shared = Arc::new(Shared::new(&udp, threads));
    Ok(Bound { udp, cores, shared, tcp, tcp_settings: settings.tcp.clone(), addresses })
}

/// An open socket, and the octets of its receive buffer.
type Sized = (UdpSocket, usize);

/// The UDP sockets and the listeners of all threads at one address, and which address it is.
fn bind_address(
    wanted: SocketAddr,
    settings: &Settings,
) -> Result<(Vec<Sized>, Vec<TcpListener>, SocketAddr), BindError> {
    let mut tries = if wanted.port() == 0 { FREE_PORT_TRIES } else { 1 };
    let other = |source| cause("UDP", wanted, source);
    let (first, listener, address) = loop {
        tries -= 1;
        let first = udp_socket(wanted, settings.receive_buffer, false)?;
        let address = first.0.local_addr().map_err(other)?;
        match tcp_socket(address, false) {
            Ok(listener) => break (first, listener, address),
            Err(BindError::InUse { .. }) if tries > 0 => {}
            Err(error) => return Err(error),
        }
    };
    let further = settings.threads.max(1) - 1;
    if further > 0 {
        // Only now: what was bound alone has the port for itself, and lets none but its own in.
        SockRef::from(&first.0).set_reuse_port(true).map_err(other)?;
        listener.set_reuse_port(true).map_err(|source| cause("TCP", address, source))?;
    }
    let mut sockets = vec![first];
    let mut listeners = vec![listen(listener, address)?];
    for _ in 0..further {
        sockets.push(udp_socket(address, settings.receive_buffer, true)?);
        listeners.push(listen(tcp_socket(address, true)?, address)?);
    }
    Ok((sockets, listeners, address))
}

fn udp_socket(address: SocketAddr, receive_buffer: usize, joins: bool) -> Result<Sized, BindError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(joins)?;
        let granted = sys::size_receive_buffer(&socket, receive_buffer)?;
        sys::ignore_path_mtu(&socket, address.is_ipv6())?;
        if address.ip().is_unspecified() {
            sys::tell_destinations(&socket, address.is_ipv6())?;
        }
        socket.bind(&address.into())?;
        Ok((socket.into(), granted))
    };
    open().map_err(|source| cause("UDP", address, source))
}

/// One line, however many sockets: all have the same limit.
fn tell_small_buffers(sockets: &[Sized], wanted: usize) {
    let Some(granted) = sockets.iter().map(|(_, granted)| *granted).min().filter(|granted| *granted < wanted) else {
        return;
    };
    tracing::warn!(
        wanted,
        granted,
        "the system gives UDP sockets less than `dns.receive_buffer`: `sysctl -w net.core.rmem_max={wanted}` raises its limit"
    );
}

/// The core of each thread: those of one address each get one of their own, as far as there are enough.
fn cores(settings: &Settings, sockets: usize) -> Vec<Option<usize>> {
    let cores = if settings.pin { sys::cores() } else { Ok(Vec::new()) };
    let cores = cores.unwrap_or_else(|error| {
        tracing::warn!(%error, "the cores are not known: UDP threads are not pinned");
        Vec::new()
    });
    let thread = |socket: usize| socket % settings.threads.max(1);
    (0..sockets).map(|socket| cores.get(thread(socket).checked_rem(cores.len())?).copied()).collect()
}

/// Two addresses of the settings that take each other's queries.
fn find_overlap(listen: &[SocketAddr]) -> Result<(), BindError> {
    for (at, address) in listen.iter().enumerate().filter(|(_, address)| address.port() != 0) {
        let overlaps = |other: &&SocketAddr| {
            let wildcard = other.ip().is_unspecified() || address.ip().is_unspecified();
            other.port() == address.port() && other.is_ipv6() == address.is_ipv6() && (wildcard || other == &address)
        };
        if let Some(other) = listen.iter().take(at).find(overlaps) {
            return Err(BindError::Twice { address: *address, other: *other });
        }
    }
    Ok(())
}

fn listen(socket: Socket, address: SocketAddr) -> Result<TcpListener, BindError> {
    let listen = || {
        // Connections inherit it.
        socket.set_tcp_nodelay(true)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)
    };
    listen().map_err(|source| cause("TCP", address, source))?;
    Ok(socket.into())
}

fn tcp_socket(address: SocketAddr, shared: bool) -> Result<Socket, BindError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Connections of a server before this one may still linger on the port.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    open().map_err(|source| cause("TCP", address, source))
}

fn cause(protocol: &'static str, address: SocketAddr, source: io::Error) -> BindError {
    match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { protocol, address },
        io::ErrorKind::PermissionDenied => BindError::Permission { protocol, address },
        io::ErrorKind::AddrNotAvailable => BindError::NotHere { protocol, address },
        _ => BindError::Other { protocol, address, source },
    }
}

/// The letter of `ss` for it.
fn protocol_letter(protocol: &str) -> &'static str {
    if protocol == "UDP" { "u" } else { "t" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(address: &str) -> Settings {
        Settings { listen: vec![address.parse().expect("an address")], threads: 2, ..Settings::default() }
    }

    #[test]
    fn a_free_port_is_the_same_for_both() {
        let bound = bind(&on("127.0.0.1:0")).expect("loopback is free");
        let address = bound.addresses()[0];
        assert_eq!((bound.udp.len(), bound.tcp.len()), (2, 2));
        assert!(bound.udp.iter().all(|socket| socket.local_addr().expect("bound") == address));
        let listeners = bound.tcp.iter().flatten();
        assert!(listeners.map(|listener| listener.local_addr().expect("bound")).eq([address; 2]));
    }

    #[test]
    fn an_error_says_which_address_and_why() {
        let first = bind(&on("127.0.0.1:0")).expect("loopback is free");
        let address = first.addresses()[0];
        let error = bind(&on(&address.to_string())).expect_err("the port is taken");
        assert_eq!(
            error.to_string(),
            format!("UDP {address} is in use by another program: `ss -ulpn 'sport = :{}'` shows which", address.port())
        );
        let error = bind(&on("192.0.2.1:0")).expect_err("a documentation address");
        assert_eq!(error.to_string(), "UDP 192.0.2.1:0 is no address of this machine");
        let none = Settings { listen: Vec::new(), ..Settings::default() };
        assert_eq!(bind(&none).expect_err("nothing to do").to_string(), "no address to listen on");
    }
}
