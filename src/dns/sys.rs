//! The system calls that std and socket2 do not offer. All unsafe code of the program stands here.
//!
//! The larger part is [`Batch`]: the memory that `recvmmsg` fills and `sendmmsg` empties. It is one allocation, zeroed once, whose headers point
//! into it; nothing but raw pointers outlives a call, so a slice that [`Batch::next`] gives is the only way to its octets while it lives.
//!
//! ```text
//!   received   32 headers --> name, query, control        set up once; the system changes lengths, and those are set back
//!   answered   32 headers --> name, answer, control       an answer goes to the name that its query came from, as it came
//!   answers    one behind the other, as long as they are, so that a batch of small ones stays within a page
//! ```
#![allow(unsafe_code)] // Each block says why it is sound.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;

use socket2::Socket;
use tokio::io::unix::AsyncFd;

use crate::image::MAX_UDP;

/// Datagrams that are received or sent with one call, at most. More gain nothing: at 32 the call itself is a hundredth of its datagrams.
pub(super) const BATCH: usize = 32;
/// The most octets of a query over UDP. As much as Ethernet carries in one piece, and more than any query needs. An odd number of cache lines, so
/// that the queries of a batch do not compete for the same ones.
///
/// Of a longer one the system keeps so many octets. What they say is not what was asked, so nothing but the header is taken for its query: the answer
/// is FORMERR, at once, where silence would have the client ask again until its patience ends. It is smaller than what came.
pub(super) const MAX_QUERY: usize = 1472;
/// Octets of a header (RFC 1035, section 4.1.1).
const HEADER: usize = 12;
/// Answers begin at multiples of this.
const GRAIN: usize = 16;
/// What one answer may take of the room for answers.
const ROOM: usize = MAX_UDP.next_multiple_of(GRAIN);
/// Octets for control messages: one `in6_pktinfo` (20) behind its header (16), filled up to a multiple of 8.
const CONTROL: usize = 40;

/// Datagrams that were received together, and the answers that are sent together.
pub(super) struct Batch {
    /// Owned. Every pointer inside of it points into it.
    memory: NonNull<Memory>,
    /// What a client's name is long.
    name_len: libc::socklen_t,
    /// [`CONTROL`] where the system tells destinations, else 0.
    control_len: usize,
    /// Datagrams that were received, at most [`BATCH`].
    received: usize,
    /// The first of them that was not looked at; at most `received`.
    next: usize,
    /// Answers that wait to be sent, at most `next`.
    answers: usize,
    /// Octets that they take, at most [`ROOM`] each.
    filled: usize,
}

/// All zeros is a valid value of it.
#[repr(C, align(64))]
struct Memory {
    received: [libc::mmsghdr; BATCH],
    answered: [libc::mmsghdr; BATCH],
    received_in: [libc::iovec; BATCH],
    answered_in: [libc::iovec; BATCH],
    /// `sockaddr_in` too: it is shorter, and its address stands where the flow information of this one does.
    names: [libc::sockaddr_in6; BATCH],
    controls: [Control; BATCH],
    queries: [[u8; MAX_QUERY]; BATCH],
    answers: [u8; ROOM * BATCH],
}

/// Aligned as a control message's header must be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl Batch {
    /// For a socket of IPv6 (else IPv4) that is bound to a wildcard address, and so told destinations, or to one of its own.
    pub(super) fn new(v6: bool, wildcard: bool) -> Self {
        let layout = Layout::new::<Memory>();
        // SAFETY: the layout is not of size zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory.cast::<Memory>()) else { handle_alloc_error(layout) };
        let name = if v6 { mem::size_of::<libc::sockaddr_in6>() } else { mem::size_of::<libc::sockaddr_in>() };
        let control_len = if wildcard { CONTROL } else { 0 };
        let name_len = name as libc::socklen_t;
        let batch = Self { memory, name_len, control_len, received: 0, next: 0, answers: 0, filled: 0 };
        (0..BATCH).for_each(|index| batch.link(index));
        batch
    }

    /// Sets what stays as it is in the headers of one datagram and one answer.
    fn link(&self, index: usize) {
        let memory = self.memory.as_ptr();
        // SAFETY: `memory` is ours and large enough, indices are checked, and no reference to it is alive.
        unsafe {
            let octets = (&raw mut (*memory).queries[index]).cast();
            (*memory).received_in[index] = libc::iovec { iov_base: octets, iov_len: MAX_QUERY };
            let received = &raw mut (*memory).received[index].msg_hdr;
            let answered = &raw mut (*memory).answered[index].msg_hdr;
            (*received).msg_iov = &raw mut (*memory).received_in[index];
            (*answered).msg_iov = &raw mut (*memory).answered_in[index];
            (*received).msg_name = (&raw mut (*memory).names[index]).cast();
            if self.control_len > 0 {
                (*received).msg_control = (&raw mut (*memory).controls[index]).cast();
            }
            for header in [received, answered] {
                (*header).msg_iovlen = 1;
                (*header).msg_namelen = self.name_len;
            }
            (*received).msg_controllen = self.control_len;
        }
    }

    /// Whether all datagrams were looked at.
    pub(super) fn is_over(&self) -> bool {
        self.next == self.received
    }

    /// Waits for a datagram, as long as the socket's time limit says, and takes those that have come with it: never waits for a second one.
    /// Answers that were not sent are forgotten.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let memory = self.memory.as_ptr();
        for index in 0..self.received {
            // SAFETY: `memory` is ours, the index is checked, and no reference to it is alive.
            let header = unsafe { &mut (*memory).received[index].msg_hdr };
            header.msg_namelen = self.name_len;
            header.msg_controllen = self.control_len;
        }
        (self.received, self.next, self.answers, self.filled) = (0, 0, 0, 0);
        // SAFETY: there are `BATCH` headers; their pointers are to `memory`, which outlives the call, with the lengths that are there, and
        // no reference to it is alive.
        let received = unsafe {
            let headers = (&raw mut (*memory).received).cast();
            libc::recvmmsg(socket.as_raw_fd(), headers, BATCH as libc::c_uint, libc::MSG_WAITFORONE, ptr::null_mut())
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        self.received = received.min(BATCH);
        Ok(self.received)
    }

    /// The next datagram: its octets, its client, and room for [`MAX_UDP`] octets of its answer.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(&[u8], IpAddr, &mut [u8])> {
        if self.is_over() {
            return None;
        }
        let (memory, index) = (self.memory.as_ptr(), self.next);
        self.next += 1;
        // SAFETY: `memory` is ours and was zeroed, so all of it is initialised; the index is checked, and `len` is at most what is there.
        // Fewer than `BATCH` answers wait, each took at most `ROOM`, so `MAX_UDP` octets are left behind `filled`. The two slices
        // do not overlap, and both borrow `self`, so nothing else reads or writes there while they live.
        unsafe {
            let header = &raw const (*memory).received[index];
            let was_cut = (*header).msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            let len = if was_cut { HEADER } else { ((*header).msg_len as usize).min(MAX_QUERY) };
            let query = slice::from_raw_parts((&raw const (*memory).queries[index]).cast(), len);
            let client = client(&(*memory).names[index]);
            let room = (&raw mut (*memory).answers).cast::<u8>().add(self.filled);
            Some((query, client, slice::from_raw_parts_mut(room, MAX_UDP)))
        }
    }

    /// The room that [`Self::next`] gave last holds an answer of `len` octets. Without this, its datagram gets none.
    #[inline]
    pub(super) fn answer(&mut self, len: usize) {
        // One answer for a datagram: `next` relies on it.
        if self.answers >= self.next {
            return;
        }
        let (memory, index, from) = (self.memory.as_ptr(), self.answers, self.next - 1);
        let len = len.min(MAX_UDP);
        // SAFETY: `memory` is ours, indices are checked, `filled` is within `answers` as in `next`, and no reference to it is alive.
        unsafe {
            let octets = (&raw mut (*memory).answers).cast::<u8>().add(self.filled);
            (*memory).answered_in[index] = libc::iovec { iov_base: octets.cast(), iov_len: len };
            let header = &raw mut (*memory).answered[index].msg_hdr;
            (*header).msg_name = (&raw mut (*memory).names[from]).cast();
            if self.control_len > 0 {
                let told = (*memory).received[from].msg_hdr.msg_controllen;
                let control = &raw mut (*memory).controls[from];
                (*header).msg_controllen = (*control).make_ready(told);
                (*header).msg_control = if (*header).msg_controllen > 0 { control.cast() } else { ptr::null_mut() };
            }
        }
        self.filled += len.next_multiple_of(GRAIN);
        self.answers += 1;
    }

    /// Sends all answers that wait. One that the system does not take is passed over and holds up no other; gives how many those were.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> u64 {
        let memory = self.memory.as_ptr();
        let (mut at, mut unsent) = (0, 0);
        while at < self.answers {
            // SAFETY: `at` is below `answers`, which is at most `BATCH`; the headers from there on point into `memory`, which outlives the
            // call, with the lengths that are there, and no reference to it is alive.
            let sent = unsafe {
                let headers = (&raw mut (*memory).answered).cast::<libc::mmsghdr>().add(at);
                libc::sendmmsg(socket.as_raw_fd(), headers, (self.answers - at) as libc::c_uint, 0)
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => at += sent,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // An error is always one of the first: those before it were told as sent.
                _ => (at, unsent) = (at + 1, unsent + 1),
            }
        }
        (self.answers, self.filled) = (0, 0);
        unsent
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, nobody else has it, and nothing in it needs to be dropped.
        unsafe { dealloc(self.memory.as_ptr().cast(), Layout::new::<Memory>()) }
    }
}

fn client(name: &libc::sockaddr_in6) -> IpAddr {
    if libc::c_int::from(name.sin6_family) == libc::AF_INET {
        Ipv4Addr::from(name.sin6_flowinfo.to_ne_bytes()).into()
    } else {
        Ipv6Addr::from(name.sin6_addr.s6_addr).into()
    }
}

impl Control {
    /// Makes the control message of a datagram ready to be sent with its answer, a header and then `in_pktinfo` or `in6_pktinfo`; gives its
    /// length, 0 where there is none.
    ///
    /// IPv4 tells the address that the question went to as the last four octets (`ipi_addr`), and takes the one to send from in the four before
    /// (`ipi_spec_dst`), which it has filled with the right one already. The interface is left open, so that the answer takes its own route, but
    /// for IPv6 link-local addresses, which need it.
    fn make_ready(&mut self, len: usize) -> usize {
        let octets = &mut self.0;
        let level = i32::from_ne_bytes([octets[8], octets[9], octets[10], octets[11]]);
        let kind = i32::from_ne_bytes([octets[12], octets[13], octets[14], octets[15]]);
        let header = mem::size_of::<libc::cmsghdr>();
        if level == libc::IPPROTO_IP && kind == libc::IP_PKTINFO && len >= header + 12 {
            octets[16..20].fill(0);
        } else if level == libc::IPPROTO_IPV6 && kind == libc::IPV6_PKTINFO && len >= header + 20 {
            if octets[16] != 0xfe || octets[17] & 0xc0 != 0x80 {
                octets[32..36].fill(0);
            }
        } else {
            return 0;
        }
        len.min(CONTROL)
    }
}

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

/// Sizes the receive buffer, above the system's limit where we may (CAP_NET_ADMIN); gives the octets that the system granted.
pub(super) fn size_receive_buffer(socket: &Socket, octets: usize) -> io::Result<usize> {
    let wanted = libc::c_int::try_from(octets).unwrap_or(libc::c_int::MAX / 2);
    set_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, wanted)
        .or_else(|_| set_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, wanted))?;
    // The system doubles what it is asked for, to have room for its own records beside the octets (socket(7)).
    Ok(socket.recv_buffer_size()? / 2)
}

fn set_int(socket: &Socket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `socket` lives; the pointer is to an integer of the length that is given.
    let status = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), len) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams that the system dropped since the socket was opened, mostly because its receive buffer was full. Counts modulo 2^32.
pub(super) fn drops(socket: &UdpSocket) -> io::Result<u32> {
    // `SK_MEMINFO_DROPS` of linux/sock_diag.h, and how many numbers there are.
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    const VARS: usize = 9;
    let mut info = [0_u32; VARS];
    let mut len = mem::size_of_val(&info) as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `socket` lives; the system writes at most `len` octets to `info`.
    let status = unsafe {
        let info = (&raw mut info).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, info, &raw mut len)
    };
    if status == 0 { Ok(info[DROPS]) } else { Err(io::Error::last_os_error()) }
}

/// The cores that this thread may run on, lowest first.
pub(super) fn cores() -> io::Result<Vec<usize>> {
    // SAFETY: a set of zeros is an empty one, and the system writes at most its size. `CPU_ISSET` reads within the set, since the number is
    // below its size.
    unsafe {
        let mut set: libc::cpu_set_t = MaybeUninit::zeroed().assume_init();
        if libc::sched_getaffinity(0, mem::size_of_val(&set), &raw mut set) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((0..mem::size_of_val(&set) * 8).filter(|core| libc::CPU_ISSET(*core, &set)).collect())
    }
}

/// Keeps this thread on one core.
pub(super) fn pin(core: usize) -> io::Result<()> {
    // SAFETY: a set of zeros is an empty one; `CPU_SET` checks its index, and the system reads no more than the set's size.
    let status = unsafe {
        let mut set: libc::cpu_set_t = MaybeUninit::zeroed().assume_init();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, mem::size_of_val(&set), &raw const set)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Octets from which on an allocation has a mapping of its own.
const LARGE: libc::c_int = 1 << 18;

/// Has the allocator map large pieces each for itself, so that they go back to the system when they are freed: once, before
/// there are threads that allocate.
///
/// By itself it moves that bound up to 32 MiB as large pieces are freed. The next ones then lie in the heaps of the threads
/// that load, of which [`give_back_memory`] does not reach the ends: each reload of a million names left 10 MiB more there.
pub fn keep_large_memory_apart() {
    // SAFETY: it sets a number.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// The descriptor with its readiness told by the runtime. Needs one.
pub fn told_when_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and the same descriptor, for as long as it lives, and it lives in what is returned.
    let registered = unsafe { AsyncFd::register(descriptor) };
    Ok(registered?)
}

/// Gives back what a load needed and what runs now does not: memory that the allocator holds free, and code that ran for it.
///
/// The allocator keeps what was freed for the next who asks, and after a load nobody asks: after two reloads of a million
/// names it held 130 MiB. And a page of the program counts for as long as it is mapped, though it ran once: of a server
/// that has just started half of the memory is such pages. They are never written, so the system has them from the file
/// or its cache again when one runs, 16 with each fault; answering, probing and the API have theirs back within a second.
/// Slow, up to some 10 ms: for a thread that may block.
pub fn give_back_memory() {
    // SAFETY: it moves nothing that is allocated, and locks what it looks at.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    // SAFETY: the function has the signature that is asked for, and needs no data.
    unsafe {
        libc::dl_iterate_phdr(Some(unmap_unwritten), ptr::null_mut());
    }
}

/// Unmaps the pages of the segments of one object that are never written; 1, for the first object, the program, is all.
unsafe extern "C" fn unmap_unwritten(
    object: *mut libc::dl_phdr_info,
    _: libc::size_t,
    _: *mut libc::c_void,
) -> libc::c_int {
    const PAGE: usize = 4096;
    // SAFETY: the linker hands over a valid object with its segments, which stay for as long as the program runs.
    let (base, segments) = unsafe {
        let object = &*object;
        (object.dlpi_addr as usize, slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)))
    };
    let unwritten = |segment: &&libc::Elf64_Phdr| segment.p_type == libc::PT_LOAD && segment.p_flags & libc::PF_W == 0;
    for segment in segments.iter().filter(unwritten) {
        let start = (base + segment.p_vaddr as usize) & !(PAGE - 1);
        let end = base + segment.p_vaddr as usize + segment.p_memsz as usize;
        // SAFETY: these pages hold what the file holds, since nothing may write them, and are read from it again.
        unsafe { libc::madvise(ptr::without_provenance_mut(start), end - start, libc::MADV_DONTNEED) };
    }
    1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A server's socket with queries of these octets from as many clients, received in one batch.
    fn received(queries: &[&[u8]]) -> (UdpSocket, Batch, Vec<UdpSocket>) {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = server.local_addr().expect("bound");
        let asks = |query: &&[u8]| {
            let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
            client.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
            client.send_to(query, to).expect("sent");
            client
        };
        let clients = queries.iter().map(asks).collect();
        let mut batch = Batch::new(false, false);
        assert_eq!(batch.receive(&server).expect("they are there"), queries.len());
        (server, batch, clients)
    }

    fn answer_all(batch: &mut Batch, answer: impl Fn(&[u8]) -> Vec<u8>) {
        while let Some((query, client, out)) = batch.next() {
            assert_eq!(client, IpAddr::V4(Ipv4Addr::LOCALHOST));
            let octets = answer(query);
            out[..octets.len()].copy_from_slice(&octets);
            batch.answer(octets.len());
        }
    }

    fn got(client: &UdpSocket) -> Vec<u8> {
        let mut octets = vec![0; 2 * MAX_UDP];
        let len = client.recv(&mut octets).expect("an answer");
        octets.truncate(len);
        octets
    }

    #[test]
    fn a_batch_is_received_and_sent_again_and_again() {
        let whole = [7; MAX_QUERY + 9];
        let queries: Vec<&[u8]> = (0..BATCH).map(|len| if len == 9 { &whole[..] } else { &whole[..len] }).collect();
        let (server, mut batch, clients) = received(&queries);
        for round in 0..3 {
            let mut seen = Vec::new();
            while let Some((query, _, out)) = batch.next() {
                assert_eq!(out.len(), MAX_UDP);
                out.fill(round);
                seen.push(query.len());
                // The longest answers fit too.
                batch.answer(MAX_UDP);
            }
            assert!(batch.is_over());
            let heard = |len: usize| if len > MAX_QUERY { HEADER } else { len };
            let expected: Vec<usize> = queries.iter().map(|query| heard(query.len())).collect();
            assert_eq!(seen, expected);
            assert_eq!(batch.send(&server), 0);
            assert!(clients.iter().all(|client| got(client) == [round; MAX_UDP]));
            for (client, query) in clients.iter().zip(&queries) {
                client.send_to(query, server.local_addr().expect("bound")).expect("sent");
            }
            assert_eq!(batch.receive(&server).expect("they are there"), BATCH);
        }
    }

    #[test]
    fn an_answer_that_the_system_refuses_holds_up_no_other_and_doubles_none() {
        for refused in [&[0][..], &[3], &[7], &[0, 1, 5], &[2, 3, 6, 7], &[0, 1, 2, 3, 4, 5, 6, 7]] {
            let queries: Vec<[u8; 1]> = (0..8).map(|number| [number]).collect();
            let queries: Vec<&[u8]> = queries.iter().map(|query| &query[..]).collect();
            let (server, mut batch, clients) = received(&queries);
            answer_all(&mut batch, <[u8]>::to_vec);
            for index in refused {
                // Broadcasts need leave (SO_BROADCAST).
                // SAFETY: nothing else reads or writes the batch meanwhile.
                unsafe { (*batch.memory.as_ptr()).names[*index].sin6_flowinfo = u32::MAX };
            }
            assert_eq!(batch.send(&server), refused.len() as u64);
            for (number, client) in clients.iter().enumerate().filter(|(number, _)| !refused.contains(number)) {
                assert_eq!(got(client), [number as u8]);
            }
            // Nothing waits any more, neither here nor for the clients.
            assert_eq!(batch.send(&server), 0);
            for client in &clients {
                client.set_nonblocking(true).expect("an option");
                assert!(client.recv(&mut [0; 9]).is_err());
            }
        }
    }

    #[test]
    fn one_datagram_has_one_answer_at_most() {
        let (server, mut batch, clients) = received(&[b"ab", b"c"]);
        batch.answer(9);
        assert_eq!(batch.send(&server), 0, "none before the first was seen");
        batch.next().expect("two are there").2[0] = 1;
        batch.answer(1);
        batch.answer(1);
        batch.next().expect("one more is there");
        assert_eq!(batch.send(&server), 0);
        assert_eq!(got(&clients[0]), [1]);
        assert!(batch.next().is_none());
    }

    #[test]
    fn the_control_messages_of_others_are_no_destination() {
        let mut control = Control([0xff; CONTROL]);
        assert_eq!(control.make_ready(CONTROL), 0);
        let header = mem::size_of::<libc::cmsghdr>();
        control.0[8..12].copy_from_slice(&libc::IPPROTO_IP.to_ne_bytes());
        control.0[12..16].copy_from_slice(&libc::IP_PKTINFO.to_ne_bytes());
        assert_eq!(control.make_ready(header + 11), 0, "cut short");
        assert_eq!(control.make_ready(header + 12), header + 12);
        assert_eq!((control.0[16..20].to_vec(), control.0[20]), (vec![0; 4], 0xff), "the interface is open");
    }
}
