//! Providers: the CDN companies that candidates stand at.
//!
//! Known ones ship with the program; the configuration adds or changes one with `[provider.ID]`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use super::home::Home;

/// One CDN company.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provider {
    /// What steering records call it: `bunny`.
    pub id: Arc<str>,
    /// What people call it: `bunny.net`.
    pub name: String,
    /// The jurisdiction it answers to.
    pub home: Home,
    /// Suffixes of its target names, lower case, absolute: `b-cdn.net.`.
    pub targets: Vec<String>,
    /// Where it tells of its own faults; shown, never trusted.
    pub status_page: Option<String>,
    /// How fast its load may return; none: as fast as the ramps of its names.
    pub step: Option<Pace>,
}

/// How much of the traffic of a provider's names may come back to it within a minute: `20%/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Pace(u8);

impl Pace {
    /// In percent, 1 to 100.
    pub fn percent(self) -> u8 {
        self.0
    }
}

impl FromStr for Pace {
    type Err = InvalidPace;

    fn from_str(text: &str) -> Result<Self, InvalidPace> {
        let digits = text.strip_suffix("%/min").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let percent = digits.and_then(|digits| digits.parse().ok()).filter(|percent| (1..=100).contains(percent));
        percent.map(Self).ok_or_else(|| InvalidPace(text.to_owned()))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%/min", self.0)
    }
}

impl From<Pace> for String {
    fn from(pace: Pace) -> Self {
        pace.to_string()
    }
}

/// A text that is no `step`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a step: expected whole percent per minute, `1%/min` to `100%/min`")]
pub struct InvalidPace(String);

/// All providers that steering records may name, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Providers(BTreeMap<Arc<str>, Provider>);

/// id, name, home, target suffixes, status page.
type Known = (&'static str, &'static str, &'static str, &'static [&'static str], &'static str);

const KNOWN: &[Known] = &[
    ("akamai", "Akamai", "us", &["edgekey.net.", "edgesuite.net.", "akamaized.net."], "https://www.akamaistatus.com/"),
    ("azure", "Azure Front Door", "us", &["azurefd.net."], "https://azure.status.microsoft/"),
    ("bunny", "bunny.net", "si", &["b-cdn.net."], "https://status.bunny.net/"),
    ("cdn77", "CDN77", "gb", &["rsc.cdn77.org."], "https://status.cdn77.com/"),
    ("cloudflare", "Cloudflare", "us", &["cdn.cloudflare.net."], "https://www.cloudflarestatus.com/"),
    ("cloudfront", "Amazon CloudFront", "us", &["cloudfront.net."], "https://health.aws.amazon.com/"),
    ("fastly", "Fastly", "us", &["fastly.net.", "fastlylb.net."], "https://www.fastlystatus.com/"),
    ("gcore", "Gcore", "lu", &["gcdn.co."], "https://status.gcore.com/"),
    ("google", "Google Cloud CDN", "us", &[], "https://status.cloud.google.com/"),
    ("keycdn", "KeyCDN", "ch", &["kxcdn.com."], "https://status.keycdn.com/"),
    ("myra", "Myra Security", "de", &["ax4z.com."], "https://status.myrasecurity.com/"),
    ("ovh", "OVHcloud CDN", "fr", &["cdn.anycast.me."], "https://www.status-ovhcloud.com/"),
    ("scaleway", "Scaleway Edge Services", "fr", &["svc.edge.scw.cloud."], "https://status.scaleway.com/"),
];

impl Providers {
    /// The providers that ship with the program.
    pub fn known() -> Self {
        let known = KNOWN.iter().filter_map(|&(id, name, home, targets, status_page)| {
            // A test keeps every home of the table parseable.
            let home = home.parse().ok()?;
            Some(Provider {
                id: id.into(),
                name: name.to_owned(),
                home,
                targets: targets.iter().map(|&suffix| suffix.to_owned()).collect(),
                status_page: Some(status_page.to_owned()),
                step: None,
            })
        });
        Self(known.map(|provider| (provider.id.clone(), provider)).collect())
    }

    /// The provider with this id.
    pub fn find(&self, id: &str) -> Option<&Provider> {
        self.0.get(id)
    }

    /// Adds a provider, or puts it in the place of the one with the same id.
    pub fn insert(&mut self, provider: Provider) {
        self.0.insert(provider.id.clone(), provider);
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_are_percent_per_minute() {
        for good in ["1%/min", "20%/min", "100%/min"] {
            assert_eq!(good.parse::<Pace>().map(|pace| pace.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "20", "20%", "20%/h", "0%/min", "101%/min", "+5%/min", "2.5%/min", " 5%/min", "%/min"] {
            assert_eq!(bad.parse::<Pace>(), Err(InvalidPace(bad.to_owned())));
        }
    }

    #[test]
    fn every_known_provider_has_a_home() {
        assert_eq!(Providers::known().iter().count(), KNOWN.len());
    }
}
