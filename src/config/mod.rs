//! The configuration: one TOML file, all of it optional, turned into each room's own Settings.
//!
//! It is taken as a whole or not at all. Unknown keys are errors, and everything that is wrong is reported at once, with
//! line and column: a section that does not fit is read again without the key at fault, until nothing more is found.
//!
//! The commented file with every default is `deploy/pointsman.toml`; `pointsman config` prints it, and a test holds it
//! against [`Config::default`].

mod drills;
mod schedule;
mod sections;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

pub use self::drills::PlannedDrill;
pub use self::schedule::{InvalidSchedule, Schedule};
pub use self::sections::{
    AnchorsSection, ApiSection, AreasSection, DnsSection, DrillSection, LogFormat, LogSection, ProbeSection,
    ProviderSection, ServerSection, Span, StoreSection, TcpSection,
};

use crate::health::anchors::MAX_ANCHORS;
use crate::image::areas::{Entry, check_name};
use crate::steer::observation::Family;
use crate::steer::provider::{Provider, Providers};
use crate::zone::diagnostic::{Colour, Diagnostic, Severity};
use crate::zone::name::Name;
use crate::zone::steering::defaults::{Defaults, InvalidDefault};

/// The commented configuration with every default.
pub const COMMENTED: &str = include_str!("../../deploy/pointsman.toml");

/// The largest configuration file, in octets.
const MAX_FILE: u64 = 4 << 20;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Config {
    pub server: ServerSection,
    pub dns: DnsSection,
    pub probe: ProbeSection,
    /// Defaults of policy fields, written as in steering records.
    pub steering: BTreeMap<String, String>,
    pub areas: AreasSection,
    /// Providers that are added or changed, by id.
    pub provider: BTreeMap<String, ProviderSection>,
    /// Drills that begin by themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drill: Vec<DrillSection>,
    pub store: StoreSection,
    pub api: ApiSection,
    pub log: LogSection,
}

/// A configuration that is not taken, with everything that is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{}: larger than {MAX_FILE} octets", .0.display())]
    TooLarge(PathBuf),
    #[error("{}", Faults(.0))]
    Wrong(Vec<Diagnostic>),
}

/// Renders diagnostics one below the other.
struct Faults<'a>(&'a [Diagnostic]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in self.0 {
            writeln!(f, "{}", diagnostic.render(Colour::Never))?;
        }
        Ok(())
    }
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::Unreadable { path: path.to_owned(), error };
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE {
            return Err(ConfigError::TooLarge(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a text; `file` is what diagnostics call it.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let mut faults = Vec::new();
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            faults.push((error.span(), error.message().to_owned()));
        }
        let mut root = root.into_inner();
        let mut config = Self {
            server: section(&mut root, "server", &mut faults),
            dns: section(&mut root, "dns", &mut faults),
            probe: section(&mut root, "probe", &mut faults),
            steering: section(&mut root, "steering", &mut faults),
            areas: section(&mut root, "areas", &mut faults),
            provider: BTreeMap::new(),
            drill: Vec::new(),
            store: section(&mut root, "store", &mut faults),
            api: section(&mut root, "api", &mut faults),
            log: section(&mut root, "log", &mut faults),
        };
        if let Some(value) = root.remove("provider") {
            config.provider = provider_sections(value, &mut faults);
        }
        let mut places = Vec::new();
        if let Some(value) = root.remove("drill") {
            (config.drill, places) = drills::sections(value, &mut faults);
        }
        for (key, _) in root {
            let message = format!(
                "unknown section `{}`, expected one of `server`, `dns`, `probe`, `steering`, `areas`, `provider`, `drill`, `store`, `api`, `log`",
                key.get_ref()
            );
            faults.push((Some(key.span()), message));
        }
        config.find_faults(text, &mut faults);
        config.find_faults_of_drills(&places, &mut faults);
        if faults.is_empty() {
            return Ok(config);
        }
        faults.sort_by_key(|(span, _)| span.as_ref().map_or(0, |span| span.start));
        let diagnose = |(span, message)| diagnostic(text, file, span, message);
        Err(ConfigError::Wrong(faults.into_iter().map(diagnose).collect()))
    }

    /// What no single key can tell: limits, and providers that lack a home.
    fn find_faults(&self, text: &str, faults: &mut Vec<Fault>) {
        let at = |key: &str| text.find(key).map(|start| start..start + key.len());
        let mut limit = |fine: bool, key: &str, message: &str| {
            if !fine {
                faults.push((at(key), format!("`{key}` {message}")));
            }
        };
        limit(!self.dns.listen.is_empty(), "listen", "is empty: give at least one address");
        limit(self.dns.threads <= 256, "threads", "is above 256");
        limit(
            (4_096..=1 << 30).contains(&self.dns.receive_buffer),
            "receive_buffer",
            "is not within 4096 and 1073741824 octets",
        );
        limit(self.dns.nsid.len() <= 128, "nsid", "is longer than 128 octets");
        limit((1..=1_000_000).contains(&self.dns.tcp.connections), "connections", "is not within 1 and 1000000");
        limit((1..=1_000_000).contains(&self.dns.tcp.per_client), "per_client", "is not within 1 and 1000000");
        limit(self.probe.in_flight <= 100_000, "in_flight", "is above 100000");
        limit(self.probe.browser_every <= 10_000, "browser_every", "is above 10000");
        limit((100..=10_000_000).contains(&self.store.events), "events", "is not within 100 and 10000000");
        limit((1..=3_650).contains(&self.store.days), "days", "is not within 1 and 3650");
        let spans = [
            // A store that has no time to open would be taken for a damaged one.
            ("open_limit", self.store.open_limit, 1, 3_600),
            ("idle", self.dns.tcp.idle, 1, 3_600),
            ("timeout", self.probe.anchors.timeout, 1, 60),
            ("linger", self.server.linger, 0, 600),
            ("grace", self.server.grace, 0, 600),
        ];
        for (key, span, least, most) in spans {
            let fits = (Duration::from_secs(least)..=Duration::from_secs(most)).contains(&span.0);
            limit(fits, key, &format!("is not within {least}s and {most}s"));
        }
        let every = self.probe.authoritative_every.0;
        limit(
            every.is_zero() || (Duration::from_secs(10)..=Duration::from_secs(86_400)).contains(&every),
            "authoritative_every",
            "is neither 0s nor within 10s and 86400s",
        );
        self.find_faults_of_anchors(text, faults);
        self.find_faults_of_sets(text, faults);
        if let Err(wrong) = self.defaults() {
            for fault in wrong {
                faults.push((at(&fault.field), format!("[steering] {fault}")));
            }
        }
        let mut limit = |fine: bool, key: &str, message: &str| {
            if !fine {
                faults.push((at(key), format!("`{key}` {message}")));
            }
        };
        let known = Providers::known();
        for (id, section) in &self.provider {
            limit(
                section.home.is_some() || known.find(id).is_some(),
                &format!("provider.{id}"),
                "has no `home`: give `eu` or the two-letter code of the country whose law it answers to",
            );
        }
    }

    /// Anchors that are too many, too few, or at a provider.
    fn find_faults_of_anchors(&self, text: &str, faults: &mut Vec<Fault>) {
        let section = text.find("anchors").unwrap_or(0);
        let AnchorsSection { tcp, https, least, .. } = &self.probe.anchors;
        let mut fault = |key: &str, message: String| faults.push((place_of_key(text, section, key), message));
        for (key, count) in [("tcp", tcp.len()), ("https", https.len())] {
            if count > MAX_ANCHORS {
                fault(key, format!("`{key}` has more than {MAX_ANCHORS} anchors"));
            }
        }
        for family in Family::ALL {
            let count = tcp.iter().filter(|anchor| Family::of(anchor.ip()) == family).count() + https.len();
            if *least < 1 || (count > 0 && count < *least) {
                fault("least", format!("`least` is not within 1 and {count}, the number of {family} anchors"));
            }
        }
        let providers = self.providers();
        for host in https {
            let name = format!(".{}.", host.trim_end_matches('.').to_ascii_lowercase());
            let carrier = providers
                .iter()
                .find(|provider| provider.targets.iter().any(|suffix| name.ends_with(&format!(".{suffix}"))));
            if let Some(provider) = carrier {
                fault(
                    "https",
                    format!(
                        "`{host}` stands at {}, which is a provider: its fault would look like the vantage's",
                        provider.id
                    ),
                );
            } else if Name::from_text(host.as_bytes(), &Name::root()).is_err() || host.parse::<IpAddr>().is_ok() {
                fault("https", format!("`{host}` is no host name"));
            }
        }
    }

    /// Names and entries of named sets.
    fn find_faults_of_sets(&self, text: &str, faults: &mut Vec<Fault>) {
        let section = text.find("areas.sets").or_else(|| text.find("[areas]")).unwrap_or(0);
        for (name, entries) in &self.areas.sets {
            let mut place = place_of_key(text, section, name);
            if let Err(message) = check_name(name) {
                faults.push((place.clone(), message));
            }
            if entries.is_empty() {
                faults.push((place.clone(), format!("`{name}` has no entries")));
            }
            for entry in entries {
                let from = place.as_ref().map_or(section, |place| place.end);
                let quoted = text.get(from..).and_then(|rest| rest.find(entry.as_str())).map(|at| from + at);
                place = quoted.map(|start| start..start + entry.len()).or(place);
                if let Err(message) = entry.parse::<Entry>() {
                    faults.push((place.clone(), format!("`{name}`: {message}")));
                }
            }
        }
    }

    /// The defaults of policy fields for the whole installation.
    pub fn defaults(&self) -> Result<Defaults, Vec<InvalidDefault>> {
        let fields = self.steering.iter().map(|(field, value)| (field.as_str(), value.as_str()));
        Defaults::parse(fields, &self.providers(), &self.area_names())
    }

    /// The known providers with those of the configuration added or changed.
    pub fn providers(&self) -> Providers {
        let mut providers = Providers::known();
        for (id, section) in &self.provider {
            let known = providers.find(id).cloned();
            // `find_faults` has seen that one of the two gives a home.
            let Some(home) = section.home.or(known.as_ref().map(|provider| provider.home)) else { continue };
            let name = section.name.clone().or(known.as_ref().map(|provider| provider.name.clone()));
            let targets = section.targets.clone().or(known.as_ref().map(|provider| provider.targets.clone()));
            providers.insert(Provider {
                id: id.as_str().into(),
                name: name.unwrap_or_else(|| id.clone()),
                home,
                targets: targets.unwrap_or_default().iter().map(|suffix| suffix.to_ascii_lowercase()).collect(),
                step: section.step.or(known.as_ref().and_then(|provider| provider.step)),
                status_page: section.status_page.clone().or(known.and_then(|provider| provider.status_page)),
            });
        }
        providers
    }
}

/// A configuration file, and what it said at the start.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    pub at_start: Config,
}

impl ConfigFile {
    /// Reads the file again: `current` with what can change while running, and a line for each section that needs a
    /// restart, or for what is wrong.
    pub fn reread(&self, current: &Config) -> (Config, Vec<String>) {
        let read = match Config::load(&self.path) {
            Ok(read) => read,
            // A line for each fault, as for those of zones.
            Err(ConfigError::Wrong(faults)) => {
                return (current.clone(), faults.iter().map(Diagnostic::to_string).collect());
            }
            Err(error) => return (current.clone(), vec![error.to_string()]),
        };
        let start = &self.at_start;
        let changed = [
            ("server", read.server != start.server),
            ("dns", read.dns != start.dns),
            ("probe", read.probe != start.probe),
            ("store", read.store != start.store),
            ("api", read.api != start.api),
            ("log", read.log != start.log),
        ];
        let restart = changed.iter().filter(|(_, changed)| *changed);
        let lines = restart.map(|(section, _)| {
            format!("{}: [{section}] has changed and takes effect with the next start", self.path.display())
        });
        let lines = lines.collect();
        let Config { steering, areas, provider, drill, .. } = read;
        (Config { steering, areas, provider, drill, ..current.clone() }, lines)
    }
}

/// Where something is wrong, and what.
type Fault = (Option<Range<usize>>, String);
type Value<'i> = toml::Spanned<DeValue<'i>>;

/// Where a key of a table stands that begins somewhere after `from`.
fn place_of_key(text: &str, from: usize, key: &str) -> Option<Range<usize>> {
    let rest = text.get(from..)?;
    let is_key = |at: usize| {
        let before = rest.get(..at).and_then(|before| before.chars().next_back());
        let after = rest.get(at + key.len()..).map(|after| after.trim_start_matches(['"', '\'']).trim_start());
        before.is_none_or(|before| "\n\r\t \"'{,.".contains(before))
            && after.is_some_and(|after| after.starts_with('='))
    };
    let (at, _) = rest.match_indices(key).find(|(at, _)| is_key(*at))?;
    Some(from + at..from + at + key.len())
}

/// One section; the default where it is missing or wrong.
fn section<T: DeserializeOwned + Default>(root: &mut DeTable<'_>, name: &str, faults: &mut Vec<Fault>) -> T {
    root.remove(name).map(|value| fitting(value, name, faults)).unwrap_or_default()
}

fn provider_sections(value: Value<'_>, faults: &mut Vec<Fault>) -> BTreeMap<String, ProviderSection> {
    let span = value.span();
    let DeValue::Table(table) = value.into_inner() else {
        faults.push((Some(span), "`provider` is not a table: write `[provider.ID]`".to_owned()));
        return BTreeMap::new();
    };
    let sections = table.into_iter().map(|(id, value)| {
        let id = id.into_inner().into_owned();
        let section = fitting(value, &format!("provider.{id}"), faults);
        (id, section)
    });
    sections.collect()
}

/// Reads a value as `T`. Where a key is at fault, it is taken out and the rest read again, so that every fault is found.
fn fitting<T: DeserializeOwned + Default>(value: Value<'_>, name: &str, faults: &mut Vec<Fault>) -> T {
    let mut value = value;
    loop {
        let error = match T::deserialize(toml::de::ValueDeserializer::from(value.clone())) {
            Ok(fitting) => return fitting,
            Err(error) => error,
        };
        let span = error.span();
        faults.push((span.clone(), format!("[{name}] {}", error.message())));
        let removed = span.is_some_and(|span| remove_key_at(&mut value, &span));
        if !removed {
            return T::default();
        }
    }
}

/// Takes the innermost key whose name or value holds `span` out of a table. The span of a table is its header alone, so
/// all of them are looked into.
fn remove_key_at(value: &mut Value<'_>, span: &Range<usize>) -> bool {
    let DeValue::Table(table) = value.get_mut() else { return false };
    if table.iter_mut().any(|(_, value)| remove_key_at(value, span)) {
        return true;
    }
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let found = table.iter().find(|(key, value)| holds(key.span()) || holds(value.span()));
    let Some(key) = found.map(|(key, _)| key.clone()) else { return false };
    table.remove(&key).is_some()
}

/// A fault with its place in the text.
fn diagnostic(text: &str, file: &str, span: Option<Range<usize>>, message: String) -> Diagnostic {
    let span = span.unwrap_or(0..0);
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Diagnostic {
        severity: Severity::Error,
        file: file.to_owned(),
        line: number(before.matches('\n').count() + 1),
        column: number(before.get(line_start..).map_or(0, |start| start.chars().count()) + 1),
        length: number(
            text.get(span).map_or(1, |fault| fault.lines().next().unwrap_or_default().chars().count()).max(1),
        ),
        message,
        help: None,
        text: line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::provider::Pace;

    fn faults(text: &str) -> Vec<(u32, u32, String)> {
        match Config::parse(text, "pointsman.toml") {
            Ok(_) => Vec::new(),
            Err(ConfigError::Wrong(faults)) => {
                faults.into_iter().map(|fault| (fault.line, fault.column, fault.message)).collect()
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_commented_file_is_the_default() {
        assert_eq!(Config::parse(COMMENTED, "deploy/pointsman.toml").expect("it parses"), Config::default());
    }

    #[test]
    fn the_commented_file_has_every_key() {
        fn keys(prefix: &str, value: &serde_json::Value, found: &mut Vec<String>) {
            if let serde_json::Value::Object(map) = value {
                for (key, value) in map {
                    found.push(format!("{prefix}{key}"));
                    keys(&format!("{prefix}{key}."), value, found);
                }
            }
        }
        let written: toml::Table = COMMENTED.parse().expect("it parses");
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        keys("", &serde_json::to_value(Config::default()).expect("plain values"), &mut expected);
        keys("", &serde_json::to_value(written).expect("plain values"), &mut found);
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn anchors_that_cannot_be_are_told() {
        for (anchors, expected) in [
            ("least = 5", ""),
            ("tcp = []", ""),
            ("tcp = []\nhttps = [\"status.example.net\", \"www.example.org\"]", ""),
            ("least = 6", "`least` is not within 1 and 5, the number of v4 anchors"),
            ("least = 0", "`least` is not within 1 and 5, the number of v4 anchors"),
            ("tcp = [\"192.0.2.1:53\"]", "`least` is not within 1 and 1, the number of v4 anchors"),
            (
                "https = [\"shop.B-CDN.net\"]",
                "`shop.B-CDN.net` stands at bunny, which is a provider: its fault would look like the vantage's",
            ),
            ("https = [\"192.0.2.1\"]", "`192.0.2.1` is no host name"),
            ("timeout = \"2m\"", "`timeout` is not within 1s and 60s"),
        ] {
            let found = faults(&format!("[probe.anchors]\n{anchors}\n"));
            assert_eq!(found.first().map_or("", |(_, _, message)| message), expected, "{anchors}");
        }
    }

    #[test]
    fn every_fault_is_found_with_its_place() {
        let found = faults(
            "[dns]\nthread = 3\nlisten = [\"nowhere\"]\n[dns.tcp]\nidle = \"soon\"\n[serve]\n[provider.x]\nname = \"X\"\n[store]\ndays = 0\n",
        );
        let places: Vec<_> = found.iter().map(|(line, column, _)| (*line, *column)).collect();
        assert_eq!(places, [(2, 1), (3, 11), (5, 8), (6, 2), (7, 2), (10, 1)], "{found:#?}");
    }

    #[test]
    fn every_fault_of_a_set_is_found_with_its_place() {
        let found = faults(
            "[areas]\ndatabase = \"x.mmdb\"\n[areas.sets]\noffice = [\"192.0.2.0/24\", \"country-de\"]\n\
             Bad = [\"192.0.2.0/24\"]\neea = [\"country-uk\", \"192.0.2.0/33\"]\ncountry-de = []\nodd = [1]\n",
        );
        let places: Vec<_> = found.iter().map(|(line, column, _)| (*line, *column)).collect();
        assert_eq!(places, [(5, 1), (6, 1), (6, 9), (6, 23), (7, 1), (7, 1), (8, 8)], "{found:#?}");
        assert_eq!(faults("areas.sets.office = [\"198.51.100.0/24\", \"2001:db8::/32\", \"continent-eu\"]\n"), []);
        assert_eq!(faults("[areas]\nsets = { a = [\"country-de\"], b = [\"none\"] }\n")[0].1, 36);
    }

    #[test]
    fn named_sets_may_stand_in_defaults() {
        let office = "[areas.sets]\noffice = [\"192.0.2.0/24\"]\n";
        let steering = "[steering]\n\"prefer.office\" = \"us\"\n";
        assert_eq!(faults(&format!("{office}{steering}")), []);
        assert_eq!(faults(steering).len(), 1);
    }

    #[test]
    fn a_broken_text_is_an_error_with_its_line() {
        assert_eq!(faults("[dns]\nthreads = \n")[0].0, 2);
    }

    #[test]
    fn providers_are_added_and_changed() {
        let text = "[provider.mine]\nhome = \"de\"\n[provider.bunny]\nname = \"Bunny\"\nstep = \"20%/min\"\n";
        let providers = Config::parse(text, "x").expect("it parses").providers();
        assert_eq!(providers.find("mine").map(|p| p.home.to_string()).as_deref(), Some("de"));
        let bunny = providers.find("bunny").expect("it is known");
        assert_eq!((bunny.name.as_str(), bunny.home.as_str()), ("Bunny", "si"));
        assert_eq!(bunny.step.map(Pace::percent), Some(20));
        assert_eq!(providers.find("mine").and_then(|provider| provider.step), None);
    }

    #[test]
    fn a_step_is_percent_per_minute() {
        for wrong in ["20%", "0%/min", "200%/min", "20%/s"] {
            let found = faults(&format!("[provider.bunny]\nstep = \"{wrong}\"\n"));
            assert_eq!((found.len(), found[0].0, found[0].1), (1, 2, 8), "{found:#?}");
            assert!(found[0].2.contains("`1%/min` to `100%/min`"), "{found:#?}");
        }
    }
}
