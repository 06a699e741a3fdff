//! Certificate authorities: from the organisation that stands in a certificate to the domains that CAA names it by.
//!
//! The domains are what each authority says in its certification practice statement, section 4.2, as the Common CA
//! Database collects them ("CAA Identifiers"; web.archive.org has its report of June 2025). Each row says what was read
//! for it. An organisation that is not here is not judged; a domain too many only hides a warning.

/// What the issuer's organisation begins with, the domains that allow it, and what the row rests on.
type Issuer = (&'static str, &'static [&'static str], &'static str);

/// A public table made of the database's report and of the practice statements that it links.
const CCADB: &str = "the database's report, by a public table made of it";
/// Sectigo issues for its own names, for those it took over, and for Entrust's customers.
const SECTIGO: &[&str] = &[
    "sectigo.com",
    "usertrust.com",
    "trust-provider.com",
    "comodo.com",
    "comodoca.com",
    "entrust.net",
    "affirmtrust.com",
    "zerossl.com",
];
const SECTIGO_CPS: &str = "Sectigo CPS, section 4.2; ssl247.com, CAA records";
const DIGICERT: &[&str] = &[
    "digicert.com",
    "www.digicert.com",
    "digicert.ne.jp",
    "cybertrust.ne.jp",
    "thawte.com",
    "geotrust.com",
    "rapidssl.com",
    "symantec.com",
    "quovadisglobal.com",
    "pkioverheid.nl",
    "digitalcertvalidation.com",
    "volusion.digitalcertvalidation.com",
    "stratossl.digitalcertvalidation.com",
    "intermediatecertificate.digitalcertvalidation.com",
    "1and1.digitalcertvalidation.com",
    "amazon.com",
    "amazontrust.com",
    "awstrust.com",
    "amazonaws.com",
];
const DIGICERT_CPS: &str = "DigiCert CP/CPS, section 4.2: the CA identifiers that it recognises";
const AMAZON: &[&str] = &["amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com", "aws.amazon.com"];

const ISSUERS: &[Issuer] = &[
    ("Actalis", &["actalis.it"], CCADB),
    ("Amazon", AMAZON, "amazontrust.com/repository, CPS; CAA records that Amazon's customers publish"),
    ("Asseco Data Systems", &["certum.pl", "certum.eu"], CCADB),
    ("Buypass", &["buypass.com", "buypass.no"], CCADB),
    ("COMODO CA", SECTIGO, SECTIGO_CPS),
    ("Certainly", &["certainly.com"], "certainly.com/repository; CAA records that Fastly's customers publish"),
    ("D-Trust", &["d-trust.net", "dtrust.de", "d-trust.de"], CCADB),
    ("Deutsche Telekom Security", &["telesec.de", "pki.dfn.de", "dfn.de"], CCADB),
    ("DigiCert", DIGICERT, DIGICERT_CPS),
    ("Entrust", &["entrust.net", "affirmtrust.com"], CCADB),
    ("GlobalSign", &["globalsign.com"], CCADB),
    ("GoDaddy", &["godaddy.com", "starfieldtech.com"], CCADB),
    ("Google Trust Services", &["pki.goog"], "pki.goog/repository; CAA of google.com, as a public look-up shows it"),
    ("Hellenic Academic and Research Institutions CA", &["harica.gr"], CCADB),
    ("IdenTrust", &["identrust.com"], CCADB),
    ("Internet Security Research Group", &["letsencrypt.org"], CCADB),
    ("Let's Encrypt", &["letsencrypt.org"], "letsencrypt.org/docs/caa; bunny.net checklists ask for it in CAA"),
    ("Microsoft Corporation", &["microsoft.com", "digicert.com"], CCADB),
    ("QuoVadis", DIGICERT, DIGICERT_CPS),
    ("SSL Corp", &["ssl.com", "entrust.net", "affirmtrust.com"], "SSL.com CP/CPS, section 4.2"),
    ("Sectigo", SECTIGO, SECTIGO_CPS),
    ("Starfield", &["starfieldtech.com", "godaddy.com", "amazon.com"], CCADB),
    ("SwissSign", &["swisssign.com", "swisssign.net", "swisssign.ch", "swisssign.li", "swisssign.org"], CCADB),
    ("The USERTRUST Network", SECTIGO, SECTIGO_CPS),
    ("ZeroSSL", SECTIGO, "ZeroSSL's ACME directory, caaIdentities: its certificates come from Sectigo"),
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
            ("The USERTRUST Network", "sectigo.com"),
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
            assert!(!basis.contains("not verified"), "{organisation}");
            assert!(domains.iter().all(|domain| *domain == domain.to_ascii_lowercase() && !domain.ends_with('.')));
        }
    }
}
