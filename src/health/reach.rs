//! Which addresses may be probed, and which this machine has a route to.
//!
//! A name in a zone decides where probes go, so a target that resolves to an address inside the operator's own
//! networks would turn the prober into a scanner of them. Such addresses are faults unless `allow_private` is set.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::steer::observation::Family;

/// An address that every machine with a route to the Internet has a route to: a root server of each family. No packet
/// is sent to it.
const FAR_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4));
const FAR_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30));

/// What kind of address this is if it is no global unicast address (IANA special-purpose address registries, RFC 6890):
/// `private`, `loopback`, ...
pub fn special_kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("unspecified"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("private"),
        [100, 64..=127, ..] => Some("shared (carrier-grade NAT)"),
        [127, ..] => Some("loopback"),
        [169, 254, ..] => Some("link-local"),
        [192, 0, 0, _] => Some("reserved"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("for documentation"),
        [198, 18..=19, ..] => Some("for benchmarks"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(v4) = embedded_v4(address) {
        return special_v4(v4).or(Some("IPv4 inside IPv6"));
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff, ..] => Some("private"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("for documentation"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        // Only 2000::/3 is given out (RFC 4291, section 2.4); of it, 2001::/23 for protocols, Teredo among them.
        [0x2001, 0..=0x1ff, ..] => Some("reserved"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("reserved"),
    }
}

/// The IPv4 address in a mapped, 6to4 or NAT64 address: a second way to write a private one.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [high, low] = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [high, low],
        [0x2002, high, low, ..] => [high, low],
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

/// Which families this machine has a route for, checked anew from time to time.
#[derive(Debug, Default)]
pub struct Routes {
    without: [AtomicBool; 2],
}

impl Routes {
    /// As it is now.
    pub fn checked() -> Self {
        let routes = Self::default();
        routes.check();
        routes
    }

    /// Looks again.
    pub fn check(&self) {
        for (family, without) in Family::ALL.into_iter().zip(&self.without) {
            let far = match family {
                Family::V4 => FAR_V4,
                Family::V6 => FAR_V6,
            };
            without.store(!is_routed(far), Ordering::Relaxed);
        }
    }

    /// Families without a route to the Internet.
    pub fn missing(&self) -> Vec<Family> {
        let flags = Family::ALL.into_iter().zip(&self.without);
        flags.filter(|(_, without)| without.load(Ordering::Relaxed)).map(|(family, _)| family).collect()
    }

    /// Whether this address can be probed from here. Where its family has no route to the Internet, a near address
    /// may have one all the same (loopback always has).
    pub fn reach(&self, address: IpAddr) -> bool {
        let [v4, v6] = &self.without;
        let without = match Family::of(address) {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        !without.load(Ordering::Relaxed) || is_routed(address)
    }
}

/// Asks the kernel's routing table by connecting a UDP socket, which sends nothing.
pub fn is_routed(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind(SocketAddr::new(any, 0)).is_ok_and(|socket| socket.connect(SocketAddr::new(address, 53)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_told_from_global_ones() {
        for (address, kind) in [
            ("0.0.0.0", Some("unspecified")),
            ("10.0.0.1", Some("private")),
            ("100.64.0.1", Some("shared (carrier-grade NAT)")),
            ("100.128.0.1", None),
            ("127.0.0.53", Some("loopback")),
            ("169.254.169.254", Some("link-local")),
            ("172.16.0.1", Some("private")),
            ("172.32.0.1", None),
            ("192.0.2.7", Some("for documentation")),
            ("192.168.1.1", Some("private")),
            ("198.19.0.1", Some("for benchmarks")),
            ("203.0.113.9", Some("for documentation")),
            ("224.0.0.1", Some("multicast")),
            ("255.255.255.255", Some("reserved")),
            ("1.1.1.1", None),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("::ffff:10.0.0.1", Some("private")),
            ("::ffff:1.1.1.1", Some("IPv4 inside IPv6")),
            ("64:ff9b::7f00:1", Some("loopback")),
            ("2002:a00:1::", Some("private")),
            ("2001:db8::1", Some("for documentation")),
            ("2001::1", Some("reserved")),
            ("2001:503:ba3e::2:30", None),
            ("2606:4700::1111", None),
            ("fd00::1", Some("private")),
            ("fe80::1", Some("link-local")),
            ("ff02::1", Some("multicast")),
            ("4000::1", Some("reserved")),
        ] {
            assert_eq!(special_kind(address.parse().expect("an address")), kind, "{address}");
        }
    }

    #[test]
    fn loopback_is_reached_even_without_the_internet() {
        let routes = Routes::default();
        for flag in &routes.without {
            flag.store(true, Ordering::Relaxed);
        }
        assert_eq!(routes.missing(), Family::ALL);
        assert!(routes.reach(Ipv4Addr::LOCALHOST.into()));
        assert!(Routes::default().reach(FAR_V6), "a family with a route is not looked up for each address");
    }
}
