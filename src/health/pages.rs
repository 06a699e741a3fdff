//! Pages that are not the customer's: a challenge for bots, a block, "unknown domain". Told by markers in the headers and
//! in the first octets of the body.
//!
//! | marker | the status | is |
//! | --- | --- | --- |
//! | in a header, decisive | whatever | a failure |
//! | in the body, decisive | passes, and the owner's own `body` marker was not found | a failure |
//! | in the body, decisive or not | fails | the name of that failure |
//!
//! Decisive is only what stands on no page of a customer's: Cloudflare writes `/cdn-cgi/challenge-platform/` into
//! ordinary pages too, Fastly its challenge's script, and DataDome its header. All texts of a row must be there. What each
//! row rests on stands beside it; each has a page in `tests/pages/`, as it was seen in public. For Gcore and the challenge
//! of bunny Shield no marker is known that is good enough, and for the pages that other providers show for unknown
//! hostnames none is known at all.

use memchr::memmem;
use reqwest::header::HeaderMap;

use crate::steer::observation::PageFault;

use Looks::{Body, Header, Whole};
use PageFault::{Blocked, Challenge, Unclaimed};

/// One row.
struct Marker {
    whose: &'static str,
    fault: PageFault,
    looks: Looks,
    decisive: bool,
    /// What it rests on: for people, and for a test.
    #[cfg_attr(not(test), expect(dead_code, reason = "it stands beside its row for who reads the table"))]
    basis: &'static str,
}

/// Where the marker is.
enum Looks {
    /// A header with this value.
    Header(&'static str, &'static str),
    /// All of these texts in the body. The first one names the marker.
    Body(&'static [&'static str]),
    /// The body is this text, but for white space around it.
    Whole(&'static str),
}

/// A page that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    pub fault: PageFault,
    /// `a challenge page of Cloudflare (header cf-mitigated)`.
    pub what: String,
}

const fn marker(whose: &'static str, fault: PageFault, looks: Looks, decisive: bool, basis: &'static str) -> Marker {
    Marker { whose, fault, looks, decisive, basis }
}

#[rustfmt::skip]
const MARKERS: &[Marker] = &[
    marker("Cloudflare", Challenge, Header("cf-mitigated", "challenge"), true, "developers.cloudflare.com, challenges, detect a challenge page response"),
    marker("AWS WAF", Challenge, Header("x-amzn-waf-action", "challenge"), true, "docs.aws.amazon.com, WAF, CAPTCHA and Challenge action behaviour: status 202"),
    marker("AWS WAF", Challenge, Header("x-amzn-waf-action", "captcha"), true, "the same: status 405"),
    marker("Vercel", Challenge, Header("x-vercel-mitigated", "challenge"), true, "github.com/glizzykingdreko/Vercel-Attack-Mode-Solver, and open bot detectors: status 403 or 429"),
    marker("Cloudflare", Challenge, Body(&["<title>Just a moment...</title>", "_cf_chl_opt"]), true, "pages seen by many: title and script variable, in open bot detectors"),
    marker("Cloudflare", Challenge, Body(&["/cdn-cgi/challenge-platform/h/"]), false, "the path of the challenge's scripts, in pages seen by many"),
    marker("Cloudflare", Blocked, Body(&["Attention Required! | Cloudflare"]), false, "the title of its block page: FlareSolverr, ACCESS_DENIED_TITLES"),
    marker("Cloudflare", Unclaimed, Body(&["Cloudflare is currently unable to resolve your requested domain", "DNS resolution error"]), false, "its page of error 1001, seen by many; without the second text it is 1016, an origin that does not resolve"),
    marker("Cloudflare", Unclaimed, Whole("error code: 1001"), false, "developers.cloudflare.com, error 1001; alone in the body for clients that ask for no HTML, as 1016 is seen by many"),
    marker("Imperva", Challenge, Body(&["_Incapsula_Resource", "Incapsula incident ID"]), true, "wafw00f, plugin incapsula: either; here both, as ordinary pages may load the first"),
    marker("Imperva", Blocked, Body(&["Incapsula incident ID"]), false, "wafw00f, plugin incapsula"),
    marker("DataDome", Challenge, Body(&["captcha-delivery.com"]), false, "the host of its challenge, which is in a frame or a script: 2captcha's examples, open bot detectors"),
    marker("Akamai", Blocked, Body(&["<TITLE>Access Denied</TITLE>", "Reference&#32;&#35;"]), false, "its block page, so encoded, as seen by many"),
    marker("Akamai", Unclaimed, Body(&["<TITLE>Invalid URL</TITLE>", "&#91;no&#32;URL&#93;"]), false, "its page for a host that it has no configuration of: intrigue-ident, check `Akamai Missing Uri`"),
    marker("Akamai", Challenge, Body(&["sec-if-cpt-container"]), false, "its crypto challenge: the element's id, in open bot detectors"),
    marker("Fastly", Challenge, Body(&["/_fs-ch-"]), false, "fastly.com/documentation, embedding challenges in pages: the path of the script, on ordinary pages too"),
    marker("Fastly", Unclaimed, Body(&["Fastly error: unknown domain"]), true, "the page of an edge that does not know the name, status 500: github.com/LinZiyuu/DVAHunter, fingerprints"),
    marker("HUMAN", Challenge, Body(&["px-captcha"]), false, "the element of its challenge, in open bot detectors"),
    marker("bunny.net", Unclaimed, Body(&["Domain suspended or not configured"]), false, "status 403: github.com/LinZiyuu/DVAHunter, fingerprints; users' reports"),
    marker("CloudFront", Blocked, Body(&["Generated by cloudfront (CloudFront)", "Request blocked."]), false, "CloudFront's error page where WAF refuses; its other errors have other words"),
    marker("CloudFront", Blocked, Body(&["Generated by cloudfront (CloudFront)", "configured to block access from your country"]), false, "the same where a geographic restriction refuses"),
    marker("Azure Front Door", Unclaimed, Body(&["find your Azure Front Door Service configuration"]), false, "its page for a host that no route has, status 404, in users' guides"),
];

/// The page that a header tells.
pub fn in_headers(headers: &HeaderMap) -> Option<Recognised> {
    let found = MARKERS.iter().find(|marker| match marker.looks {
        Header(name, value) => {
            headers.get(name).is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
        }
        Body(_) | Whole(_) => false,
    });
    found.map(Marker::recognised)
}

/// The page that the body tells. Where the status passes only decisive markers count.
pub fn in_body(body: &[u8], passes: bool) -> Option<Recognised> {
    let has = |text: &&str| memmem::find(body, text.as_bytes()).is_some();
    let found = MARKERS.iter().filter(|marker| marker.decisive || !passes).find(|marker| match marker.looks {
        Header(..) => false,
        Body(texts) => texts.iter().all(has),
        Whole(text) => body.trim_ascii() == text.as_bytes(),
    });
    found.map(Marker::recognised)
}

/// Statuses that pages of the table come with: the body is worth reading for a name.
pub fn is_named_by_its_body(status: u16) -> bool {
    matches!(status, 400 | 403..=406 | 409 | 421 | 428 | 429 | 500 | 503 | 530)
}

impl Marker {
    fn recognised(&self) -> Recognised {
        let what = match self.fault {
            Challenge => "a challenge page of",
            Blocked => "a block page of",
            Unclaimed => "the hostname is not claimed at",
        };
        let by = match self.looks {
            Header(name, _) => format!("header {name}"),
            Body(texts) => format!("`{}` in the body", texts.first().copied().unwrap_or_default()),
            Whole(text) => format!("`{text}` is all of the body"),
        };
        Recognised { fault: self.fault, what: format!("{what} {} ({by})", self.whose) }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    /// What `tests/pages/` says of a page in its first line, its status, its headers and its body.
    struct Page {
        file: String,
        expected: String,
        status: u16,
        headers: HeaderMap,
        body: String,
    }

    fn page(file: &std::path::Path) -> Page {
        let text = std::fs::read_to_string(file).expect("read");
        let (expected, response) = text.split_once('\n').expect("a first line");
        let (head, body) = response.split_once("\n\n").expect("a head and a body");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        };
        let expected = expected.strip_prefix("# ").expect("a comment").to_owned();
        let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Page { file, expected, status, headers: lines.map(header).collect(), body: body.to_owned() }
    }

    fn pages() -> Vec<Page> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).expect("the pages").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files.iter().map(|file| page(file)).collect()
    }

    /// As `http.rs` looks: the headers, then, unless the status passes, the body of those that are named by it.
    fn recognised(page: &Page) -> Option<Recognised> {
        let passes = (200..400).contains(&page.status);
        let reads_body = passes || is_named_by_its_body(page.status);
        let in_body = || if reads_body { in_body(page.body.as_bytes(), passes) } else { None };
        in_headers(&page.headers).or_else(in_body)
    }

    #[test]
    fn pages_as_they_were_seen_are_told_and_each_row_has_one() {
        let pages = pages();
        for page in &pages {
            let found = recognised(page).map_or_else(|| "nobody's".to_owned(), |found| found.what);
            assert_eq!(found, page.expected, "{}", page.file);
        }
        for row in MARKERS {
            let what = row.recognised().what;
            let is_of_row = |page: &&Page| page.expected == what && row.is_on(&page.headers, page.body.as_bytes());
            assert!(pages.iter().any(|page| is_of_row(&page)), "no page for `{what}` ({})", row.basis);
        }
        assert!(pages.iter().any(|page| page.expected == "nobody's"), "ordinary pages");
    }

    impl Marker {
        fn is_on(&self, headers: &HeaderMap, body: &[u8]) -> bool {
            match self.looks {
                Header(name, value) => headers.get(name).is_some_and(|found| found == value),
                Body(texts) => texts.iter().all(|text| memmem::find(body, text.as_bytes()).is_some()),
                Whole(text) => body.trim_ascii() == text.as_bytes(),
            }
        }
    }

    #[test]
    fn every_row_is_found_by_its_own_marker_and_says_what_it_rests_on() {
        for row in MARKERS {
            assert!(!row.basis.is_empty() && !row.basis.contains("not verified"), "{}", row.whose);
            let found = match row.looks {
                Header(name, value) => {
                    let mut headers = HeaderMap::new();
                    headers.insert(name, HeaderValue::from_static(value));
                    assert_eq!(in_headers(&headers).map(|found| found.fault), Some(row.fault));
                    headers.insert(name, HeaderValue::from_static("other"));
                    assert_eq!(in_headers(&headers), None);
                    continue;
                }
                Body(texts) => in_body(texts.join(" and ").as_bytes(), false),
                Whole(text) => in_body(format!("{text}\n").as_bytes(), false),
            };
            assert_eq!(found, Some(row.recognised()), "{}", row.whose);
        }
    }

    #[test]
    fn a_status_that_passes_fails_only_by_what_stands_on_no_ordinary_page() {
        for (body, passing, failing) in [
            ("<title>Just a moment...</title>", None, None),
            ("<title>Just a moment...</title> _cf_chl_opt", Some(Challenge), Some(Challenge)),
            ("<script src=/cdn-cgi/challenge-platform/h/b/jsd>", None, Some(Challenge)),
            ("Fastly error: unknown domain: x", Some(Unclaimed), Some(Unclaimed)),
            ("a page about captcha-delivery.com", None, Some(Challenge)),
            ("error code: 1001", None, Some(Unclaimed)),
            ("error code: 10010", None, None),
            ("ok", None, None),
        ] {
            let fault = |passes| in_body(body.as_bytes(), passes).map(|found| found.fault);
            assert_eq!((fault(true), fault(false)), (passing, failing), "{body}");
        }
    }

    #[test]
    fn reasons_name_whose_page_it_is() {
        let found = in_body(b"Fastly error: unknown domain", true).expect("found");
        assert_eq!(found.what, "the hostname is not claimed at Fastly (`Fastly error: unknown domain` in the body)");
    }
}
