//! The system calls that std and socket2 do not offer. All unsafe code of the program stands here.
#![allow(unsafe_code)] // Each block says why it is sound.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::{SockAddr, Socket};

/// Octets for control messages: one `in6_pktinfo` (20) behind its header (16), with room to spare.
const CONTROL: usize = 64;

/// The address and the interface that a datagram came to, as the system told it: handed back for the answer.
#[derive(Clone, Copy)]
pub(super) struct Destination {
    control: Control,
    len: usize,
}

/// Aligned as a control message's header must be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Answers go out whatever a forged ICMP message said of the path's MTU (RFC 9715, section 3.1), and are small enough for all of them.
pub(super) fn ignore_path_mtu(socket: &Socket, v6: bool) -> io::Result<()> {
    if v6 {
        set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT)
    } else {
        set_int(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT)
    }
}

/// Asks the system to tell to which of this machine's addresses each datagram came.
pub(super) fn tell_destinations(socket: &Socket, v6: bool) -> io::Result<()> {
    if v6 {
        set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_int(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

fn set_int(socket: &Socket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `socket` lives; the pointer is to an integer of the length that is given.
    let status = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), len) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Receives one datagram: its length, its sender, and where it came to.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Destination)> {
    let mut control = Control([0; CONTROL]);
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: `try_init` hands out room for an address and its length; `recvmsg` writes no more than that. All pointers in the header are to
    // locals that outlive the call, with their own lengths.
    let ((received, control_len), sender) = unsafe {
        SockAddr::try_init(|name, name_len| {
            let mut header: libc::msghdr = MaybeUninit::zeroed().assume_init();
            header.msg_name = name.cast();
            header.msg_namelen = *name_len;
            header.msg_iov = &raw mut iov;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL;
            let received = libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0);
            let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
            *name_len = header.msg_namelen;
            Ok((received, header.msg_controllen))
        })?
    };
    let sender = sender.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok((received, sender, Destination::told(control, control_len)))
}

/// Sends one datagram from the address that its question came to.
pub(super) fn send(socket: &UdpSocket, octets: &[u8], to: SocketAddr, from: &Destination) -> io::Result<usize> {
    let name = SockAddr::from(to);
    let mut control = from.control;
    let mut iov = libc::iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() };
    // SAFETY: a header of zeros is a valid one; `sendmsg` only reads through the pointers, which are to values that outlive the call, with their
    // own lengths.
    let sent = unsafe {
        let mut header: libc::msghdr = MaybeUninit::zeroed().assume_init();
        header.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_namelen = name.len();
        header.msg_iov = &raw mut iov;
        header.msg_iovlen = 1;
        if from.len > 0 {
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = from.len;
        }
        libc::sendmsg(socket.as_raw_fd(), &raw const header, 0)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

impl Destination {
    /// The control messages of a datagram, made ready to be sent: a header, then `in_pktinfo` or `in6_pktinfo`.
    ///
    /// IPv4 tells the address that the question went to as the last four octets (`ipi_addr`), and takes the one to send from in the four before
    /// (`ipi_spec_dst`), which it has filled with the right one already. The interface is left open, so that the answer takes its own route, but
    /// for IPv6 link-local addresses, which need it.
    fn told(mut control: Control, len: usize) -> Self {
        let octets = &mut control.0;
        let level = i32::from_ne_bytes([octets[8], octets[9], octets[10], octets[11]]);
        let kind = i32::from_ne_bytes([octets[12], octets[13], octets[14], octets[15]]);
        let v4 = level == libc::IPPROTO_IP && kind == libc::IP_PKTINFO;
        let v6 = level == libc::IPPROTO_IPV6 && kind == libc::IPV6_PKTINFO;
        let header = mem::size_of::<libc::cmsghdr>();
        if v4 && len >= header + 12 {
            octets[16..20].fill(0);
        } else if v6 && len >= header + 20 {
            if octets[16] != 0xfe || octets[17] & 0xc0 != 0x80 {
                octets[32..36].fill(0);
            }
        } else {
            return Self { control, len: 0 };
        }
        Self { control, len: len.min(CONTROL) }
    }
}
