//! Standby readiness as an operator sees it: a certificate that ends in two days, over real TLS.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/server.rs"]
mod support;

use certificates::Authority;
use fault_target::FaultTarget;
use serde_json::Value;
use support::{Site, eventually, own_address};

const NAME: &str = "www.shop.example.";

#[test]
fn a_candidate_at_risk_is_told_everywhere_and_used_last() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let authority = Authority::new();
    let (first, second) = (own_address(), own_address());
    let ending = runtime.block_on(FaultTarget::start(&format!("{first}:0"), "200", Some(authority.server("ending"))));
    let port = ending.address.port();
    let at = format!("{second}:{port}");
    let good = runtime.block_on(FaultTarget::start(&at, "hsts:max-age=1", Some(authority.server("good"))));

    let site = Site::new();
    site.configure(&format!("extra_ca = ['{}']\n", authority.file.display()));
    let policy = format!("v=steer1 probe=https:{port}:/ every=300ms timeout=5s");
    let candidates = format!("\"cdn=bunny to={first}\"\n_steer.www 60 IN TXT \"cdn=cloudflare to={second}\"");
    let records =
        format!("www 60 IN A {first}\n_steer.www 60 IN TXT \"{policy}\"\n_steer.www 60 IN TXT {candidates}\n");
    site.zone("shop.example", &records);
    let server = site.start();
    server.wait_ready();

    // Bunny is in Europe and up, and would be preferred.
    server.wait_for(NAME, second.into());
    assert_eq!((server.standing(NAME, "bunny"), server.standing(NAME, "cloudflare")), ("up".into(), "up".into()));
    let view = server.document(&format!("/v1/names/{NAME}"));
    let of = |view: &Value, id: &str| {
        let found = view["candidates"].as_array().and_then(|all| all.iter().find(|one| one["id"] == id).cloned());
        found.expect("it is one of the name's")
    };
    let bunny = of(&view, "bunny");
    assert_eq!(bunny["readiness"], "at-risk", "{bunny}");
    assert!(bunny["risks"][0].as_str().is_some_and(|why| why.contains("its certificate ends on 20")), "{bunny}");
    assert!(bunny["reason"].as_str().is_some_and(|why| why.contains("at risk: its certificate ends on")), "{bunny}");
    assert_eq!(bunny["certificate"]["issuer"], "test authority");
    assert!(!server.document("/v1/names").to_string().is_empty());
    eventually("the other is ready", || {
        of(&server.document(&format!("/v1/names/{NAME}")), "cloudflare")["readiness"] == "ready"
    });
    // What clients would see at the one that does not serve is compared with what they see now.
    eventually("HSTS is compared", || {
        of(&server.document(&format!("/v1/names/{NAME}")), "bunny")["risks"].to_string().contains("Strict-Transport")
    });

    let health = server.document("/health");
    let check = &health["checks"][format!("name:{NAME}")][0];
    assert_eq!(check["status"], "warn", "{check}");
    assert!(check["output"].as_str().is_some_and(|why| why.contains("bunny is at risk: its certificate")), "{check}");
    let labels = |id: &str| format!("{{name=\"{NAME}\",candidate=\"{id}\",provider=\"{id}\"}}");
    assert_eq!(server.metric(&format!("pointsman_candidate_ready{}", labels("bunny"))), Some(0.0));
    assert_eq!(server.metric(&format!("pointsman_candidate_ready{}", labels("cloudflare"))), Some(1.0));
    eventually("the event is there", || {
        let page = server.document(&format!("/v1/events?kind=readiness&subject={NAME}"));
        let events = page["events"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| event["from"] == "unknown" && event["to"] == "at risk")
    });
    for words in [&["status"][..], &["status", NAME], &["explain", "www.shop.example"]] {
        let said = support::said(&site.run(words));
        assert!(said.contains("at risk"), "{words:?}: {said}");
    }

    // When nothing better is left it serves: at risk is not down.
    good.set("500");
    server.wait_for(NAME, first.into());
    server.stop();
    drop((ending, good));
}
