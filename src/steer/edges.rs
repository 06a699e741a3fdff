//! How providers lead clients to an edge near them, where their own documents say so.
//!
//! | by | a flattened name |
//! | --- | --- |
//! | anycast: an address is announced from many places | gives every client an edge near it |
//! | client subnets: their DNS answers by the network that is asked for (RFC 7871) | does so for clients of areas with a network of their own |
//! | neither, or nothing known | gives every client an edge near this server |
//!
//! What stands here has a source, and is no guess. What is not here may be either: `check --online` asks.

/// How clients come to a near edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearness {
    Anycast,
    Subnets,
}

/// What is known of target names with a suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edges {
    /// Lower case, absolute.
    suffix: &'static str,
    pub by: Nearness,
    /// Where the provider says so.
    pub source: &'static str,
}

const KNOWN: &[Edges] = &[
    Edges {
        suffix: "azurefd.net.",
        by: Nearness::Anycast,
        source: "https://learn.microsoft.com/en-us/azure/frontdoor/front-door-traffic-acceleration",
    },
    Edges {
        suffix: "b-cdn.net.",
        by: Nearness::Subnets,
        source: "https://bunny.net/blog/how-aname-dns-records-affect-cdn-routing/",
    },
    Edges {
        suffix: "cdn.cloudflare.net.",
        by: Nearness::Anycast,
        source: "https://www.cloudflare.com/learning/cdn/glossary/anycast-network/",
    },
    Edges {
        suffix: "cloudfront.net.",
        by: Nearness::Subnets,
        source: "https://aws.amazon.com/blogs/aws/improved-cloudfront-performance-with-edns-client-subnet-support/",
    },
];

/// What is known of a target name (lower case, absolute).
pub fn known(target: &str) -> Option<&'static Edges> {
    let is_of =
        |edges: &&Edges| target.strip_suffix(edges.suffix).is_some_and(|head| head.is_empty() || head.ends_with('.'));
    KNOWN.iter().find(is_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::provider::Providers;

    #[test]
    fn what_is_known_is_of_a_shipped_provider_and_has_a_source() {
        for edges in KNOWN {
            let is_shipped =
                Providers::known().iter().any(|one| one.targets.iter().any(|suffix| suffix == edges.suffix));
            assert!(is_shipped && edges.source.starts_with("https://"), "{edges:?}");
        }
    }

    #[test]
    fn names_are_known_by_whole_labels() {
        for (target, by) in [
            ("shop.b-cdn.net.", Some(Nearness::Subnets)),
            ("a.z01.azurefd.net.", Some(Nearness::Anycast)),
            ("shopb-cdn.net.", None),
            ("shop.gcdn.co.", None),
        ] {
            assert_eq!(known(target).map(|edges| edges.by), by, "{target}");
        }
    }
}
