//! How providers prove to a certificate authority that a name is their customer's, when they renew its certificate.
//!
//! | way | what must hold while the provider is on standby |
//! | --- | --- |
//! | HTTP-01 (RFC 8555, section 8.3) | the authority must reach the provider by the name: it cannot, without clients |
//! | delegated DNS-01 | the CNAME at `_acme-challenge` must lead to the provider: only one can have it |
//! | a name of its own | nothing else: its validation record has a name that no other provider uses |
//!
//! A certificate that the customer uploads renews by neither; then the dates alone tell.

/// How a provider proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validation {
    Http01,
    /// The CNAME at `_acme-challenge` leads below this name (absolute, with a leading dot).
    Delegated(&'static str),
    /// By a record whose name is its own.
    OwnName,
}

/// What is known of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Renewal {
    pub(super) provider: &'static str,
    pub(super) validation: Validation,
    /// What this rests on.
    basis: &'static str,
}

const fn renewal(provider: &'static str, validation: Validation, basis: &'static str) -> Renewal {
    Renewal { provider, validation, basis }
}

const RENEWALS: &[Renewal] = &[
    renewal("azure", Validation::OwnName, "TXT at `_dnsauth`; vendor's documentation, not verified"),
    renewal("bunny", Validation::Http01, "users' reports of standby zones whose certificate ran out; not verified"),
    renewal("cdn77", Validation::Http01, "not verified"),
    renewal(
        "cloudflare",
        Validation::Delegated(".dcv.cloudflare.com."),
        "developers.cloudflare.com, SSL, delegated DCV for partial set-ups",
    ),
    renewal("cloudfront", Validation::OwnName, "docs.aws.amazon.com, ACM DNS validation: a CNAME of its own"),
    renewal("fastly", Validation::Delegated(".fastly-validations.com."), "Fastly's TLS guides; not verified"),
    renewal("gcore", Validation::Http01, "not verified"),
    renewal(
        "google",
        Validation::Delegated(".authorize.certificatemanager.goog."),
        "Certificate Manager, DNS authorisation; not verified",
    ),
    renewal("keycdn", Validation::Http01, "not verified"),
    renewal("myra", Validation::Delegated(".ax4z.com."), "a public set-up that delegates `_acme-challenge` there"),
];

/// What is known of a provider, by its id.
pub(super) fn of(provider: &str) -> Option<&'static Renewal> {
    RENEWALS.iter().find(|known| known.provider == provider)
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
            assert!(!known.basis.is_empty(), "{}", known.provider);
            if let Validation::Delegated(suffix) = known.validation {
                assert!(suffix.starts_with('.') && suffix.ends_with('.'), "{suffix}");
            }
        }
    }
}
