//! Opening the sockets: UDP and TCP of one address on one port, or an error that says which address and why.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Settings, TcpSettings, sys};

/// Tries at a port that is free for both UDP and TCP.
const FREE_PORT_TRIES: usize = 64;
/// Connections that the system holds until they are taken.
const BACKLOG: i32 = 1024;
/// Octets of queries that the system holds for each UDP socket; as much of it as the system allows.
const RECEIVE_BUFFER: usize = 1 << 20;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("{protocol} {address} is in use by another program")]
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
    #[error("no address to listen on")]
    Nothing,
}

/// Open sockets that nobody reads yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) udp: Vec<UdpSocket>,
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
    let threads = settings.threads.max(1);
    let (udp, tcp) = (Vec::new(), (0..threads).map(|_| Vec::new()).collect());
    let mut bound = Bound { udp, tcp, tcp_settings: settings.tcp.clone(), addresses: Vec::new() };
    for address in &settings.listen {
        bind_address(*address, threads, &mut bound)?;
    }
    Ok(bound)
}

fn bind_address(wanted: SocketAddr, threads: usize, bound: &mut Bound) -> Result<(), BindError> {
    let mut tries = if wanted.port() == 0 { FREE_PORT_TRIES } else { 1 };
    let address = loop {
        tries -= 1;
        // Without SO_REUSEPORT, so that a port that another program shares is in use all the same.
        let probe = udp_socket(wanted, false)?;
        let address = probe.local_addr().map_err(|source| cause("UDP", wanted, source))?;
        match tcp_socket(address, false) {
            Ok(_) => break address,
            Err(BindError::InUse { .. }) if tries > 0 => {}
            Err(error) => return Err(error),
        }
    };
    for _ in 0..threads {
        bound.udp.push(udp_socket(address, true)?);
    }
    for listeners in &mut bound.tcp {
        listeners.push(tcp_listener(address)?);
    }
    bound.addresses.push(address);
    Ok(())
}

fn udp_socket(address: SocketAddr, shared: bool) -> Result<UdpSocket, BindError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(shared)?;
        // Less is no fault: the system has its own limit.
        drop(socket.set_recv_buffer_size(RECEIVE_BUFFER));
        sys::ignore_path_mtu(&socket, address.is_ipv6())?;
        if address.ip().is_unspecified() {
            sys::tell_destinations(&socket, address.is_ipv6())?;
        }
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    open().map_err(|source| cause("UDP", address, source))
}

fn tcp_listener(address: SocketAddr) -> Result<TcpListener, BindError> {
    let socket = tcp_socket(address, true)?;
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
        assert_eq!(error.to_string(), format!("UDP {address} is in use by another program"));
        let error = bind(&on("192.0.2.1:0")).expect_err("a documentation address");
        assert_eq!(error.to_string(), "UDP 192.0.2.1:0 is no address of this machine");
        let none = Settings { listen: Vec::new(), ..Settings::default() };
        assert_eq!(bind(&none).expect_err("nothing to do").to_string(), "no address to listen on");
    }
}
