//! Providers: the CDN companies that candidates stand at.
//!
//! Known ones ship with the program; the configuration adds or changes one with `[provider.ID]`.

use std::collections::BTreeMap;
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
}

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
    fn every_known_provider_has_a_home() {
        assert_eq!(Providers::known().iter().count(), KNOWN.len());
    }
}
