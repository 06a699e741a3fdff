//! How providers prove to a certificate authority that a name is their customer's, when they renew its certificate.
//!
//! | way | what must hold while the provider is on standby |
//! | --- | --- |
//! | reached by the name: HTTP-01 (RFC 8555, section 8.3), or a look at where its CNAME leads | the name must lead to the provider: for a standby it does not |
//! | delegated DNS-01 | the CNAME at `_acme-challenge` must lead to the provider: only one can have it |
//! | a name of its own | nothing else: its validation record has a name that no other provider uses |
//!
//! A certificate that the customer uploads renews by none of them; then the dates alone tell. The table says what each
//! provider does unless it is told otherwise. Those that nothing public was found of (CDN77, KeyCDN, OVH) are not in it.

/// How a provider proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// By being reached under the name.
    Reached,
    /// The CNAME at `_acme-challenge` leads below this name (absolute, with a leading dot).
    Delegated(&'static str),
    /// By a record whose name is its own.
    OwnName,
}

/// What is known of one provider.
#[derive(Clone, Copy, Debug)]
struct Renewal {
    provider: &'static str,
    validation: Validation,
    /// What this rests on: for people, and for a test.
    #[cfg_attr(not(test), expect(dead_code, reason = "it stands beside its row for who reads the table"))]
    basis: &'static str,
}

const fn renewal(provider: &'static str, validation: Validation, basis: &'static str) -> Renewal {
    Renewal { provider, validation, basis }
}

const RENEWALS: &[Renewal] = &[
    renewal(
        "azure",
        Validation::Reached,
        "learn.microsoft.com, HTTPS on an Azure Front Door custom domain: rotated by itself only while the domain's CNAME \
         leads to Front Door, else its owner validates it again",
    ),
    renewal("bunny", Validation::Reached, "docs.bunny.net/cdn/seamless-migration: HTTP validation for renewals"),
    renewal(
        "cloudflare",
        Validation::Delegated(".dcv.cloudflare.com."),
        "developers.cloudflare.com/ssl/edge-certificates/changing-dcv-method/methods/delegated-dcv: for partial set-ups with \
         advanced certificates",
    ),
    renewal("cloudfront", Validation::OwnName, "docs.aws.amazon.com, ACM, DNS validation: a CNAME of its own"),
    renewal(
        "fastly",
        Validation::Delegated(".fastly-validations.com."),
        "Terraform registry, fastly_tls_subscription, managed_dns_challenges: the default; octodns-fastly, README",
    ),
    renewal(
        "gcore",
        Validation::Reached,
        "gcore.com/docs/cdn/ssl-certificates/configure-lets-encrypt-certificate: HTTP-01 by default, which fails with several \
         CDNs behind one name",
    ),
    renewal(
        "google",
        Validation::Delegated(".authorize.certificatemanager.goog."),
        "cloud.google.com/certificate-manager/docs/dns-authorizations: the default; one per project has a name of its own, \
         `_acme-challenge_TOKEN`",
    ),
    renewal("myra", Validation::Delegated(".ax4z.com."), "a public set-up that delegates `_acme-challenge` there"),
    renewal(
        "scaleway",
        Validation::Reached,
        "github.com/scaleway/docs-content, Edge Services, SSL/TLS certificates: no managed certificate without the CNAME",
    ),
];

/// How a provider validates, by its id; none where that is not known.
pub fn validation_of(provider: &str) -> Option<Validation> {
    RENEWALS.iter().find(|known| known.provider == provider).map(|known| known.validation)
}

/// Whether a CNAME leads to a provider that is known to ask for `_acme-challenge`.
pub(super) fn is_delegation(target: &str) -> bool {
    RENEWALS.iter().any(|known| matches!(known.validation, Validation::Delegated(suffix) if target.ends_with(suffix)))
}

#[cfg(test)]
mod tests {
    use super::super::provider::Providers;
    use super::*;

    #[test]
    fn the_table_is_about_providers_that_ship_in_order_and_says_what_it_rests_on() {
        let providers = Providers::known();
        assert!(RENEWALS.is_sorted_by_key(|known| known.provider));
        for known in RENEWALS {
            assert!(providers.find(known.provider).is_some(), "{}", known.provider);
            assert!(!known.basis.is_empty() && !known.basis.contains("not verified"), "{}", known.provider);
            if let Validation::Delegated(suffix) = known.validation {
                assert!(suffix.starts_with('.') && suffix.ends_with('.'), "{suffix}");
            }
        }
    }

    #[test]
    fn providers_are_found_by_their_id() {
        assert_eq!(validation_of("bunny"), Some(Validation::Reached));
        assert_eq!(validation_of("cloudfront"), Some(Validation::OwnName));
        assert_eq!(validation_of("a provider of one's own"), None);
        assert!(is_delegation("abc.fastly-validations.com.") && !is_delegation("acme.shop.example."));
    }
}
