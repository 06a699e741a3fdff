//! Certificate authorities: from the organisation that stands in a certificate to the domains that CAA names it by.
//!
//! The domains are what each authority says in its certification practice statement, section 4.2.1, as collected in the
//! Common CA Database ("CAA Identifiers"). From memory of it, and marked where a public page was read beside it. An
//! organisation that is not here is not judged.

/// What the issuer's organisation begins with, the domains that allow it, and what the row rests on.
type Issuer = (&'static str, &'static [&'static str], &'static str);

const ISSUERS: &[Issuer] = &[
    ("Actalis", &["actalis.it"], "not verified"),
    (
        "Amazon",
        &["amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com"],
        "ACM user guide, CAA; not verified",
    ),
    ("Buypass", &["buypass.com", "buypass.no"], "not verified"),
    (
        "COMODO CA",
        &["sectigo.com", "comodo.com", "comodoca.com", "usertrust.com", "trust-provider.com"],
        "not verified",
    ),
    ("Certainly", &["certainly.com"], "Fastly's own authority; not verified"),
    ("DigiCert", &["digicert.com", "symantec.com", "geotrust.com", "rapidssl.com", "thawte.com"], "not verified"),
    ("Entrust", &["entrust.net", "affirmtrust.com"], "not verified"),
    ("GlobalSign", &["globalsign.com"], "not verified"),
    ("GoDaddy", &["godaddy.com", "starfieldtech.com"], "not verified"),
    ("Google Trust Services", &["pki.goog"], "CAA of google.com, as a public look-up shows it"),
    ("Hellenic Academic and Research Institutions CA", &["harica.gr"], "not verified"),
    ("IdenTrust", &["identrust.com"], "not verified"),
    ("Let's Encrypt", &["letsencrypt.org"], "bunny.net checklists ask for it in CAA; letsencrypt.org/docs/caa"),
    ("Microsoft Corporation", &["microsoft.com"], "not verified"),
    ("SSL Corp", &["ssl.com"], "not verified"),
    ("Sectigo", &["sectigo.com", "comodo.com", "comodoca.com", "usertrust.com", "trust-provider.com"], "not verified"),
    ("Starfield", &["starfieldtech.com", "godaddy.com"], "not verified"),
    ("SwissSign", &["swisssign.com", "swisssign.net"], "not verified"),
    ("ZeroSSL", &["sectigo.com", "zerossl.com"], "its certificates come from Sectigo; not verified"),
];

/// Whether we know by which domains CAA names this organisation.
pub fn is_known(organisation: &str) -> bool {
    row(organisation).is_some()
}

/// The domains that CAA may name to allow this organisation; any of them is enough.
pub(super) fn domains_of(organisation: &str) -> impl Iterator<Item = &'static str> {
    row(organisation).into_iter().flat_map(|(_, domains, _)| domains.iter().copied())
}

fn row(organisation: &str) -> Option<&'static Issuer> {
    ISSUERS
        .iter()
        .find(|(known, ..)| organisation.get(..known.len()).is_some_and(|head| head.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organisations_are_found_by_how_they_begin() {
        for (organisation, domain) in [
            ("Let's Encrypt", "letsencrypt.org"),
            ("Google Trust Services LLC", "pki.goog"),
            ("DigiCert Inc", "digicert.com"),
            ("SSL Corporation", "ssl.com"),
        ] {
            assert_eq!(domains_of(organisation).next(), Some(domain), "{organisation}");
        }
        assert!(!is_known("Let") && !is_known("") && !is_known("ÄÖÜ Zertifikate"));
    }

    #[test]
    fn the_table_is_in_order_and_says_what_it_rests_on() {
        assert!(ISSUERS.is_sorted_by_key(|(organisation, ..)| *organisation));
        for (organisation, domains, basis) in ISSUERS {
            assert!(!domains.is_empty() && !basis.is_empty(), "{organisation}");
        }
    }
}
