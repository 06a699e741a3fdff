//! Standby readiness as an operator sees it: what would break at the moment of need, over real TLS and real DNS, in each
//! place that tells of it, and over a restart.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/scripted_resolver.rs"]
mod scripted_resolver;
#[path = "support/server.rs"]
mod support;

use std::net::IpAddr;

use certificates::Authority;
use fault_target::FaultTarget;
use scripted_resolver::{Says, ScriptedResolver};
use serde_json::Value;
use support::{Server, Site, eventually, own_address};
use tokio::runtime::Runtime;

const NAME: &str = "www.shop.example.";

/// Two targets on one port, one for each candidate of a name.
struct Pair {
    first: FaultTarget,
    second: FaultTarget,
    scheme: &'static str,
}

impl Pair {
    /// With certificates of these kinds.
    fn https(runtime: &Runtime, authority: &Authority, kinds: [&str; 2]) -> Self {
        let tls = kinds.map(|kind| Some(authority.server(kind)));
        let [first, second] = runtime.block_on(start(["200"; 2], tls));
        Self { first, second, scheme: "https" }
    }

    fn http(runtime: &Runtime, modes: [&str; 2]) -> Self {
        let [first, second] = runtime.block_on(start(modes, [None, None]));
        Self { first, second, scheme: "http" }
    }

    fn addresses(&self) -> [IpAddr; 2] {
        [self.first.address.ip(), self.second.address.ip()]
    }

    /// A name over both: a provider for each, and what else their records say.
    fn records(&self, owner: &str, policy: &str, candidates: [&str; 2]) -> String {
        let ([first, second], (scheme, port)) = (self.addresses(), (self.scheme, self.first.address.port()));
        let [one, other] = candidates.map(|candidate| candidate.split_once(' ').unwrap_or((candidate, "")));
        format!(
            "{owner} 60 IN A {first}\n\
             _steer.{owner} 60 IN TXT \"v=steer1 probe={scheme}:{port}:/ every=300ms timeout=5s {policy}\"\n\
             _steer.{owner} 60 IN TXT \"cdn={} to={first} {}\"\n_steer.{owner} 60 IN TXT \"cdn={} to={second} {}\"\n",
            one.0, one.1, other.0, other.1
        )
    }
}

async fn start(modes: [&str; 2], tls: [Option<std::sync::Arc<rustls::ServerConfig>>; 2]) -> [FaultTarget; 2] {
    let ([first, second], [tls, other]) = ([own_address(), own_address()], tls);
    let one = FaultTarget::start(&format!("{first}:0"), modes[0], tls).await;
    let at = format!("{second}:{}", one.address.port());
    [one, FaultTarget::start(&at, modes[1], other).await]
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// What the API says of a candidate of a name.
fn candidate(server: &Server, name: &str, id: &str) -> Value {
    let view = server.document(&format!("/v1/names/{name}"));
    let found = view["candidates"].as_array().and_then(|all| all.iter().find(|one| one["id"] == id).cloned());
    found.expect("it is one of the name's")
}

/// Waits until a candidate is at just these risks; `DAY` in them stands for any day.
fn wait_risks(server: &Server, name: &str, id: &str, expected: &[&str]) {
    let readiness = if expected.is_empty() { "ready" } else { "at-risk" };
    let mut last = Value::Null;
    eventually(&format!("{id} is at risk: {expected:?}"), || {
        last = candidate(server, name, id);
        let empty = Vec::new();
        let risks = last["risks"].as_array().unwrap_or(&empty);
        let same =
            |(risk, expected): (&Value, &&str)| risk.as_str().is_some_and(|risk| without_day(risk) == **expected);
        last["readiness"] == readiness && risks.len() == expected.len() && risks.iter().zip(expected).all(same)
    });
}

/// `2026-12-13` as `DAY`.
fn without_day(text: &str) -> String {
    let is_day = |word: &str| word.len() == 10 && word.bytes().all(|octet| octet == b'-' || octet.is_ascii_digit());
    let tail = |word: &str| word.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit()).to_owned();
    let words = text.split(' ').map(|word| match word.get(..10) {
        Some(day) if is_day(day) => format!("DAY{}", tail(word)),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Events of the kind `readiness`, newest first.
fn told(server: &Server) -> Vec<Value> {
    let page = server.document(&format!("/v1/events?kind=readiness&subject={NAME}"));
    page["events"].as_array().cloned().unwrap_or_default()
}

fn with_authority(site: &Site, authority: &Authority, more: &str) {
    site.configure(&format!("extra_ca = ['{}']\n{more}", authority.file.display()));
}

#[test]
fn a_candidate_at_risk_is_told_everywhere_and_used_last() {
    let (runtime, authority, site) = (runtime(), Authority::new(), Site::new());
    let pair = Pair::https(&runtime, &authority, ["ending", "good"]);
    let [first, second] = pair.addresses();
    pair.second.set("hsts:max-age=1");
    with_authority(&site, &authority, "");
    site.zone("shop.example", &pair.records("www", "", ["bunny", "cloudflare"]));
    let server = site.start();
    server.wait_ready();

    // Bunny is in Europe and up, and would be preferred.
    server.wait_for(NAME, second);
    assert_eq!((server.standing(NAME, "bunny"), server.standing(NAME, "cloudflare")), ("up".into(), "up".into()));
    let bunny = candidate(&server, NAME, "bunny");
    assert_eq!(bunny["readiness"], "at-risk", "{bunny}");
    assert!(bunny["risks"][0].as_str().is_some_and(|why| why.contains("its certificate ends on 20")), "{bunny}");
    assert!(bunny["at_risk_since"].as_str().is_some_and(|since| since.starts_with("20")), "{bunny}");
    assert!(bunny["reason"].as_str().is_some_and(|why| why.contains("at risk: its certificate ends on")), "{bunny}");
    assert_eq!(bunny["certificate"]["issuer"], "test authority");
    wait_risks(&server, NAME, "cloudflare", &[]);
    // What clients would see at the one that does not serve is compared with what they see now.
    let other_hsts = "Strict-Transport-Security none, cloudflare has max-age=1";
    wait_risks(&server, NAME, "bunny", &["its certificate ends on DAY: used last", other_hsts]);
    assert!(server.document("/v1/names").to_string().contains("\"readiness\":\"at-risk\""), "/v1/names");

    let health = server.document("/health");
    let check = &health["checks"][format!("name:{NAME}")][0];
    assert_eq!(check["status"], "warn", "{check}");
    assert!(check["output"].as_str().is_some_and(|why| why.contains("bunny is at risk: its certificate")), "{check}");
    let labels = |id: &str| format!("{{name=\"{NAME}\",candidate=\"{id}\",provider=\"{id}\"}}");
    assert_eq!(server.metric(&format!("pointsman_candidate_ready{}", labels("bunny"))), Some(0.0));
    assert_eq!(server.metric(&format!("pointsman_candidate_ready{}", labels("cloudflare"))), Some(1.0));
    eventually("the event is there", || {
        told(&server).iter().any(|event| event["from"] == "unknown" && event["to"] == "at risk")
    });
    for words in [&["status"][..], &["status", NAME], &["explain", "www.shop.example"]] {
        let said = support::said(&site.run(words));
        assert!(said.contains("at risk"), "{words:?}: {said}");
    }

    // When nothing better is left it serves: at risk is not down.
    pair.second.set("500");
    server.wait_for(NAME, first);
    server.stop();
}

#[test]
fn a_restart_forgets_no_risk_and_tells_none_again() {
    let (runtime, authority, site) = (runtime(), Authority::new(), Site::new());
    let pair = Pair::https(&runtime, &authority, ["ending", "good"]);
    let [_, second] = pair.addresses();
    with_authority(&site, &authority, "");
    site.zone("shop.example", &pair.records("www", "", ["bunny", "cloudflare"]));
    let server = site.start();
    server.wait_ready();
    server.wait_for(NAME, second);
    wait_risks(&server, NAME, "bunny", &["its certificate ends on DAY: used last"]);
    eventually("the event is there", || told(&server).len() == 1);
    let before = candidate(&server, NAME, "bunny");
    server.stop();

    // Nobody can be probed.
    pair.first.set("silent-at-once");
    pair.second.set("silent-at-once");
    let server = site.start();
    server.wait_ready();
    let after = candidate(&server, NAME, "bunny");
    assert_eq!(server.look(NAME), [second.to_string()], "not even for a moment");
    for field in ["readiness", "risks", "at_risk_since"] {
        assert_eq!(after[field], before[field], "{after}");
    }
    assert_eq!((&after["last_pass"], &after["certificate"]), (&Value::Null, &Value::Null), "nothing was seen yet");
    let health = server.document("/health");
    assert_eq!(health["checks"][format!("name:{NAME}")][0]["status"], "warn");

    pair.first.set("200");
    pair.second.set("200");
    eventually("both pass", || {
        ["bunny", "cloudflare"].iter().all(|id| candidate(&server, NAME, id)["certificate"].is_object())
    });
    let after = candidate(&server, NAME, "bunny");
    assert_eq!((&after["risks"], &after["at_risk_since"]), (&before["risks"], &before["at_risk_since"]));
    assert_eq!((told(&server).len(), server.look(NAME)), (1, vec![second.to_string()]), "it is no news");
    server.stop();
}

/// What DNS says of the next certificate, as an authority would see it.
#[test]
fn dns_that_stops_a_renewal_is_told_of_each_candidate_that_it_concerns() {
    const CHALLENGE: &str = "_acme-challenge.www.shop.example.";
    const CLOUDFLARE: &str = "www.shop.example.abc.dcv.cloudflare.com.";
    let leads = |to| (CHALLENGE, Says::Alias(to, 60));
    let caa = |to| ("shop.example.", Says::Caa(to));
    let forbids = "its certificate is from Let's Encrypt, and CAA allows only digicert.com";
    let nobody = "its certificate is from Let's Encrypt, and CAA allows nobody to issue";
    let taken = "its provider wants `_acme-challenge` to lead to .fastly-validations.com., it leads to \
                 www.shop.example.abc.dcv.cloudflare.com.";
    let wanted = "`_acme-challenge` leads to its provider (www.shop.example.abc.dcv.cloudflare.com.), and fastly wants it \
                  too: only one can renew";
    let all_is_well = [caa("LetsEncrypt.org; accounturi=https://ca.example/acct/1"), leads(CLOUDFLARE)];
    let runtime = runtime();
    for (candidates, script, risks) in [
        (["bunny", "cloudflare"], &all_is_well[..], [&[][..], &[]]),
        (["bunny", "cloudflare"], &[caa("digicert.com")], [&[forbids][..], &[forbids]]),
        (["bunny", "cloudflare"], &[caa(";")], [&[nobody][..], &[nobody]]),
        (["bunny", "fastly"], &[leads(CLOUDFLARE)], [&[][..], &[taken]]),
        (["cloudflare", "fastly"], &[leads(CLOUDFLARE)], [&[wanted][..], &[taken]]),
        (["cloudflare", "fastly"], &[leads("www.acme.shop.example.")], [&[][..], &[]]),
    ] {
        let (authority, site) = (Authority::called("Let's Encrypt"), Site::new());
        let pair = Pair::https(&runtime, &authority, ["good", "good"]);
        let resolver = runtime.block_on(ScriptedResolver::start());
        for (name, says) in script {
            resolver.says(name, says.clone());
        }
        with_authority(&site, &authority, &format!("resolvers = ['{}']\n", resolver.address));
        site.zone("shop.example", &pair.records("www", "", candidates));
        let server = site.start();
        server.wait_ready();
        // The challenge, then CAA at the name and above it.
        eventually("DNS was asked", || resolver.questions() >= 3);
        let asked = [pair.first.requests(), pair.second.requests()];
        eventually("its answer is known", || {
            pair.first.requests() > asked[0] + 3 && pair.second.requests() > asked[1] + 3
        });
        for (id, risks) in candidates.iter().zip(risks) {
            wait_risks(&server, NAME, id, risks);
        }
        server.stop();
    }
}

/// HTTP-01 needs the name to lead to the provider: the certificate of a standby is not renewed, that of who serves is.
#[test]
fn an_old_certificate_on_a_standby_that_renews_by_http_is_told_before_it_ends() {
    let (runtime, site) = (runtime(), Site::new());
    let authority = Authority::called("Let's Encrypt");
    let pair = Pair::https(&runtime, &authority, ["old", "old"]);
    let resolver = runtime.block_on(ScriptedResolver::start());
    with_authority(&site, &authority, &format!("resolvers = ['{}']\n", resolver.address));
    site.zone("shop.example", &pair.records("www", "", ["bunny standby=yes", "gcore"]));
    let server = site.start();
    server.wait_ready();
    let [_, second] = pair.addresses();
    server.wait_for(NAME, second);
    let not_renewed = "its certificate, which ends on DAY, should have been renewed: its provider renews only where the \
                       name leads to it";
    wait_risks(&server, NAME, "bunny", &[not_renewed]);
    wait_risks(&server, NAME, "gcore", &[]);
    let warned = support::said(&site.run(&["check", &site.zone_file("shop.example").display().to_string()]));
    assert!(warned.contains("warning: `bunny` renews the certificate of www.shop.example only where"), "{warned}");
    server.stop();
}

/// The page of a standby is held against the one that clients see now: status, redirect, and the owner's marker.
#[test]
fn another_page_than_where_clients_are_is_told_and_a_missing_marker_is_a_failure() {
    let (runtime, site) = (runtime(), Site::new());
    let pages = Pair::http(&runtime, ["200", "redirect:https://www.shop.example/en"]);
    let marked = Pair::http(&runtime, ["200", "wrong"]);
    site.configure("");
    let records = [
        pages.records("www", "", ["bunny", "cloudflare"]),
        marked.records("img", "body=%22ok%22", ["bunny", "cloudflare"]),
    ];
    site.zone("shop.example", &records.concat());
    let server = site.start();
    server.wait_ready();
    server.wait_for(NAME, pages.addresses()[0]);
    wait_risks(&server, NAME, "cloudflare", &["status 301, bunny has 200"]);
    wait_risks(&server, NAME, "bunny", &[]);
    pages.first.set("redirect:https://www.shop.example/de");
    let elsewhere = "redirects to https://www.shop.example/en, bunny to https://www.shop.example/de";
    wait_risks(&server, NAME, "cloudflare", &[elsewhere]);
    pages.first.set("redirect:https://www.shop.example/en");
    wait_risks(&server, NAME, "cloudflare", &[]);

    let marked_name = "img.shop.example.";
    server.wait_standing(marked_name, "cloudflare", "down");
    let fault = candidate(&server, marked_name, "cloudflare")["last_fault"].to_string();
    assert!(fault.contains("the body does not contain `\\\"ok\\\"`"), "{fault}");
    assert_eq!(server.standing(marked_name, "bunny"), "up");
    server.stop();
}

/// 18 November 2025 gave every visitor bot score 0: no 5xx, but challenges, 403 and 429, to browsers and tools alike.
#[test]
fn a_wave_of_challenges_and_refusals_moves_the_clients() {
    let (runtime, site) = (runtime(), Site::new());
    let waves = ["403", "429", "page:cloudflare-challenge", "page:cloudflare-challenge-200", "page:aws-challenge"];
    let pairs = waves.map(|_| Pair::http(&runtime, ["200", "200"]));
    site.configure("");
    let records = pairs.iter().enumerate();
    let records: String = records.map(|(at, pair)| pair.records(&format!("w{at}"), "", ["bunny", "gcore"])).collect();
    site.zone("shop.example", &records);
    let server = site.start();
    server.wait_ready();
    let name = |at: usize| format!("w{at}.shop.example.");
    for at in 0..pairs.len() {
        eventually("it serves a part", || candidate(&server, &name(at), "bunny")["share"].as_f64() > Some(0.0));
    }
    pairs.iter().zip(waves).for_each(|(pair, wave)| pair.first.set(wave));
    for (at, (wave, pair)) in waves.iter().zip(&pairs).enumerate() {
        let [_, second] = pair.addresses();
        server.wait_for(&name(at), second);
        server.wait_standing(&name(at), "bunny", "down");
        let fault = candidate(&server, &name(at), "bunny")["last_fault"].clone();
        let status = if wave.ends_with("200") { Some(200) } else { wave.parse().ok() };
        assert!(status.is_none() || fault["status"].as_u64() == status, "{wave}: {fault}");
        assert_eq!(fault["page"].as_str(), wave.starts_with("page:").then_some("challenge"), "{wave}: {fault}");
        assert!(pair.first.browsers() > 0, "{wave}: a browser was tried before it was called down");
    }
    server.stop();
}
