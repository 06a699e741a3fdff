//! Steering records through the loader: what they become, and every fault with its place.

use std::net::IpAddr;
use std::time::Duration;

use pointsman::steer::policy::{Empty, Preference, Scheme, Shape, SteeredName, Sticky, Target};
use pointsman::steer::provider::{Provider, Providers};
use pointsman::zone::diagnostic::{Diagnostic, Severity};
use pointsman::zone::folder::{Loaded, Settings, read_text};
use pointsman::zone::name::Name;
use pointsman::zone::steering::defaults::Defaults;

const HEAD: &str = "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n";

fn load_with(text: &str, settings: &Settings) -> Loaded {
    let origin = Name::from_text(b"example.", &Name::root()).expect("a good name");
    read_text(&origin, format!("{HEAD}{text}").as_bytes(), settings)
}

fn load(text: &str) -> Loaded {
    load_with(text, &Settings::default())
}

/// `line:column+length severity: message`, lines counted after the head.
fn shown(diagnostic: &Diagnostic) -> String {
    let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    let line = i64::from(diagnostic.line) - 4;
    format!("{line}:{}+{} {severity}: {}", diagnostic.column, diagnostic.length, diagnostic.message)
}

fn faults(text: &str) -> Vec<String> {
    load(text).diagnostics.iter().map(shown).collect()
}

fn steered(text: &str) -> Vec<SteeredName> {
    let loaded = load(text);
    assert!(loaded.zone.is_some(), "{:?}", loaded.diagnostics);
    let zone = loaded.zone.expect("just seen");
    zone.steered.iter().map(|name| name.as_ref().clone()).collect()
}

fn one(text: &str) -> SteeredName {
    let mut all = steered(text);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn the_example_of_the_grammar() {
    let name = one(r#"
WWW         300 IN CNAME shop.b-cdn.net.
_Steer.www      IN TXT   "v=steer1 prefer=eu,us ttl=20 probe=https:/healthz body=o%20k"
                IN TXT   "cdn=bunny  to=Shop.B-CDN.net.  weight=70"
                IN TXT   "cdn=gcore  to=cl-shop.gcdn.co. " "weight=30 max=60 host=Other.example. every=1s"
                IN TXT   "cdn=fastly to=dualstack.shop.map.fastly.net. standby=yes id=f2 home=de"
"#);
    assert_eq!((&*name.name, &*name.zone, name.shape), ("www.example.", "example.", Shape::Cname));
    assert_eq!(name.policy.ttl, 20);
    assert_eq!(name.policy.only, None);
    let [bunny, gcore, fastly] = name.candidates.as_slice() else { panic!() };
    assert_eq!((&*bunny.id, bunny.home.as_str(), bunny.weight), ("bunny", "si", 70));
    assert_eq!(bunny.target, Target::Name("shop.b-cdn.net.".into()));
    assert_eq!((bunny.probe.host.as_str(), bunny.probe.path.as_str()), ("www.example", "/healthz"));
    assert_eq!(bunny.probe.body.as_deref(), Some("o k"));
    assert_eq!((gcore.weight, gcore.max, gcore.probe.host.as_str()), (30, Some(60), "other.example"));
    assert_eq!((gcore.probe.every, bunny.probe.every), (Duration::from_secs(1), Duration::from_secs(10)));
    assert_eq!((&*fastly.id, fastly.standby, fastly.home.as_str()), ("f2", true, "de"));
}

#[test]
fn the_built_in_defaults() {
    let name = one("www CNAME a.b-cdn.net.\n_steer.www TXT v=steer1\n_steer.www TXT \"cdn=bunny to=a.b-cdn.net.\"\n");
    let policy = &name.policy;
    let homes = [Preference::Home("eu".parse().unwrap()), Preference::Home("us".parse().unwrap())];
    assert_eq!(policy.prefer, homes);
    assert_eq!((policy.ttl, policy.sticky, policy.empty), (30, Sticky::Yes, Empty::Last));
    let candidate = &name.candidates[0];
    let probe = &candidate.probe;
    assert_eq!((probe.scheme, probe.port, probe.path.as_str()), (Scheme::Https, 443, "/"));
    assert_eq!((probe.expect.as_slice(), probe.slow), (&[(200, 399)][..], None));
    assert_eq!((probe.every, probe.timeout), (Duration::from_secs(10), Duration::from_secs(3)));
    let rule = &candidate.judgement;
    assert_eq!((rule.fall, rule.share_percent, rule.share_of), (3, 30, 20));
    assert_eq!((rule.clean, rule.ramp), (Duration::from_secs(1200), Duration::from_secs(1200)));
    assert_eq!((candidate.weight, candidate.max, candidate.standby), (1, None, false));
}

#[test]
fn defaults_of_the_configuration_lie_below_the_zone() {
    let providers = Providers::known();
    let fields = [("ttl", "10"), ("every", "5s"), ("only", "eu"), ("empty", "open")];
    let defaults = Defaults::parse(fields, &providers, &[]).unwrap();
    let settings = Settings { defaults, ..Settings::default() };
    let text =
        "www CNAME a.b-cdn.net.\n_steer.www TXT \"v=steer1 every=7s\"\n_steer.www TXT \"cdn=bunny to=a.b-cdn.net.\"\n";
    let zone = load_with(text, &settings).zone.unwrap();
    let name = &zone.steered[0];
    assert_eq!((name.policy.ttl, name.policy.empty), (10, Empty::Open));
    assert!(name.policy.only.is_some());
    assert_eq!(name.candidates[0].probe.every, Duration::from_secs(7));
}

/// A provider's `step` comes to each candidate there, with the name's own turn in the minute.
#[test]
fn steps_of_providers_come_with_their_candidates() {
    let mut providers = Providers::known();
    let bunny = Provider { step: Some("20%/min".parse().unwrap()), ..providers.find("bunny").unwrap().clone() };
    providers.insert(bunny);
    let settings = Settings { providers, ..Settings::default() };
    let text = |owner: &str| {
        format!(
            "{owner} CNAME a.b-cdn.net.\n_steer.{owner} TXT v=steer1\n_steer.{owner} TXT \"cdn=bunny to=a.b-cdn.net.\"\n_steer.{owner} TXT \"cdn=gcore to=a.gcdn.co.\"\n"
        )
    };
    let zone = load_with(&format!("{}{}", text("www"), text("img")), &settings).zone.unwrap();
    let steps: Vec<_> =
        zone.steered.iter().flat_map(|name| name.candidates.iter().map(|candidate| candidate.judgement.step)).collect();
    let [Some(one), None, Some(other), None] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!((one.percent, other.percent), (20, 20));
    assert!(one.turn != other.turn && one.turn.max(other.turn) < Duration::from_secs(60), "{steps:?}");
}

#[test]
fn shapes() {
    let policy = "v=steer1";
    let name = "cdn=bunny to=a.b-cdn.net.";
    let addresses = "cdn=gcore to=192.0.2.7,2001:db8::7";
    for (owner, own, candidates, expected) in [
        ("www", "CNAME a.b-cdn.net.", &[name][..], Shape::Cname),
        ("www", "A 192.0.2.7", &[name], Shape::Cname),
        ("www", "TXT other", &[name], Shape::Flattened),
        ("www", "MX 10 ns1", &[name], Shape::Flattened),
        ("@", "A 192.0.2.7", &[name], Shape::Flattened),
        ("www", "A 192.0.2.7", &[name, addresses], Shape::Flattened),
        ("www", "A 192.0.2.7", &[addresses], Shape::Addresses),
        ("@", "A 192.0.2.7", &[addresses], Shape::Addresses),
        ("*", "CNAME a.b-cdn.net.", &["cdn=bunny to=a.b-cdn.net. host=x.example"], Shape::Cname),
    ] {
        let steer = if owner == "@" { "_steer".to_owned() } else { format!("_steer.{owner}") };
        let mut text = format!("{owner} {own}\n{steer} TXT \"{policy}\"\n");
        for candidate in candidates {
            text += &format!("{steer} TXT \"{candidate}\"\n");
        }
        assert_eq!(one(&text).shape, expected, "{text}");
    }
}

#[test]
fn addresses_are_sorted() {
    let name = one(
        "www A 192.0.2.7\n_steer.www TXT v=steer1\n_steer.www TXT cdn=gcore\\032to=2001:db8::7,192.0.2.7,192.0.2.3\n",
    );
    let expected: Vec<IpAddr> =
        ["192.0.2.3", "192.0.2.7", "2001:db8::7"].iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(name.candidates[0].target, Target::Addresses(expected));
}

#[test]
fn use_takes_fields_and_candidates() {
    let names = steered(
        r#"
shop._steer TXT "v=steer1 ttl=20 every=5s"
shop._steer TXT "cdn=bunny to=a.b-cdn.net. weight=7"
shop._steer TXT "cdn=gcore to=a.gcdn.co."
www         CNAME a.b-cdn.net.
_steer.www  TXT "v=steer1 use=shop ttl=40"
img         CNAME a.b-cdn.net.
_steer.img  TXT "v=steer1 use=SHOP"
_steer.img  TXT "cdn=bunny to=b.b-cdn.net."
_steer.img  TXT "cdn=bunny to=a.b-cdn.net. id=second"
"#,
    );
    let [img, www] = names.as_slice() else { panic!() };
    assert_eq!((www.policy.ttl, img.policy.ttl), (40, 20));
    assert_eq!(www.candidates[0].probe.every, Duration::from_secs(5));
    assert_eq!(www.candidates[0].probe.host, "www.example");
    let ids = |name: &SteeredName| name.candidates.iter().map(|one| one.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(www), ["bunny", "gcore"]);
    assert_eq!(ids(img), ["bunny", "second", "gcore"]);
    assert_eq!((img.candidates[0].weight, img.candidates[0].target.clone()), (1, Target::Name("b.b-cdn.net.".into())));
}

#[test]
fn faults_of_fields_point_at_the_field() {
    for (record, expected) in [
        (r#"_steer.www TXT "v=steer1 tll=3""#, "1:26+5 error: `tll` is no policy field"),
        (r#"_steer.www TXT "v=steer1 ttl=x""#, "1:30+1 error: expected a number from 1 to 86400"),
        (r#"_steer.www TXT "v=steer1 ttl=3 ttl=4""#, "1:32+5 error: `ttl` is given twice"),
        (r#"_steer.www TXT "v=steer1 ttl=""#, "1:26+4 error: `ttl` has no value"),
        (
            r#"_steer.www TXT "v=steer1" " weight=3""#,
            "1:29+8 error: `weight` is a field of candidates, and this record is a policy",
        ),
        (r#"_steer.www TXT "v=steer1 standby""#, "1:26+7 error: `standby` is no field"),
        (r#"_steer.www TXT "v=steer2""#, "1:19+6 error: version `steer2` is not known: expected `v=steer1`"),
        (
            r#"_steer.www TXT "v=steer1 prefer.mars=eu""#,
            "1:26+14 error: `mars` is no area: expected eea, eu27, country-CODE or continent-CODE \
             (the configuration names no other sets)",
        ),
        (r#"_steer.www TXT "v=steer1 body=%zz""#, "1:31+3 error: a `%` is not followed by two hexadecimal digits"),
        (r#"_steer.www TXT v=steer1\032ttl=x"#, "1:32+1 error: expected a number from 1 to 86400"),
        (r#"_steer.www TXT "cdn=bunnny to=a.b-cdn.net.""#, "1:21+6 error: `bunnny` is no known provider"),
        (r#"_steer.www TXT "cdn=bunny to=a.b-cdn.net""#, "1:30+11 error: the target is not absolute"),
        (r#"_steer.www TXT "cdn=bunny""#, "1:1+26 error: the candidate has no `to`"),
        (
            r#"_steer.www TXT "cdn=bunny to=a.b-cdn.net. ttl=3""#,
            "1:43+5 error: `ttl` is a field of the policy, and this record is a candidate",
        ),
        (
            r#"_steer.www TXT "to=a.b-cdn.net. cdn=bunny""#,
            "1:17+15 error: a statement begins with `v=steer1` or `cdn=`",
        ),
        (r#"_steer.www TXT """#, "1:1+17 error: the statement is empty"),
        (r#"_steer.www TXT "\255""#, "1:1+21 error: the statement is no UTF-8"),
        (r#"_steer.www A 192.0.2.1"#, "1:1+22 error: only TXT records stand at `_steer` names, this is one of type A"),
        (
            r#"x._steer.www TXT "v=steer1""#,
            "1:1+27 error: `_steer` is the first label (`_steer.www`), or stands right above the apex in a template (`NAME._steer.example.`)",
        ),
    ] {
        let found = faults(&format!("{record}\nwww A 192.0.2.1\n"));
        assert!(found.iter().any(|fault| fault == expected), "{record}\nexpected {expected}\nfound {found:#?}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let found = faults(
        r#"www CNAME a.b-cdn.net.
_steer.www TXT "v=steer1 ttl=x evry=3s slow=5"
_steer.www TXT "cdn=buny to=a weight=-1"
_steer.www TXT "cdn=gcore to=a.gcdn.co. max=0"
"#,
    );
    assert_eq!(
        found,
        [
            "2:30+1 error: expected a number from 1 to 86400",
            "2:32+7 error: `evry` is no policy field",
            "2:45+1 error: expected a time span",
            "3:21+4 error: `buny` is no known provider",
            "3:29+1 error: the target is not absolute",
            "3:38+2 error: expected a number from 0 to 1000000",
            "4:45+1 error: expected a number from 1 to 100",
        ]
    );
}

#[test]
fn what_does_not_fit_together() {
    let candidate = "_steer.www TXT \"cdn=bunny to=a.b-cdn.net.\"\n";
    let own = "www CNAME a.b-cdn.net.\n";
    for (text, expected) in [
        (format!("{own}{candidate}"), "2:1+42 error: www.example. has candidates and no policy"),
        (format!("{own}_steer.www TXT v=steer1\n"), "2:1+23 error: www.example. has no candidate"),
        (
            format!("{own}_steer.www TXT v=steer1\n_steer.www TXT \"v=steer1 ttl=3\"\n{candidate}"),
            "3:1+31 error: a second policy for one name",
        ),
        (
            format!("{own}_steer.www TXT v=steer1\n{candidate}_steer.www TXT \"cdn=bunny to=b.b-cdn.net.\"\n"),
            "4:17+9 error: a second candidate with the id `bunny`",
        ),
        (
            format!("{own}_steer.www TXT \"v=steer1 only=us\"\n{candidate}"),
            "2:26+7 error: `only` leaves no candidate of www.example.",
        ),
        (
            format!("{own}_steer.www TXT \"v=steer1 only.eea=us\"\n{candidate}"),
            "2:26+11 error: `only.eea` leaves no candidate of www.example.",
        ),
        (
            format!(
                "www CNAME a.fastly.net.\n_steer.www TXT \"v=steer1 only=eu\"\n{candidate}_steer.www TXT \"cdn=fastly to=a.fastly.net.\"\n"
            ),
            "1:1+23 error: www.example.'s own records are those of `fastly` (us), which `only` forbids",
        ),
        (
            format!("www CNAME b.b-cdn.net.\n_steer.www TXT v=steer1\n{candidate}"),
            "1:1+22 warning: www.example.'s own records equal no candidate",
        ),
        (format!("_steer.www TXT v=steer1\n{candidate}"), "1:1+23 warning: www.example. has no records of its own"),
        (
            format!("{own}_steer.www TXT \"v=steer1 use=shop\"\n"),
            "2:26+8 error: there are no records at shop._steer.example.",
        ),
        (
            format!("shop._steer TXT v=steer1\n{own}_steer.www TXT v=steer1\n{candidate}"),
            "1:1+24 warning: no name uses this template",
        ),
        (
            "* CNAME a.b-cdn.net.\n_steer.* TXT v=steer1\n_steer.* TXT \"cdn=bunny to=a.b-cdn.net.\"\n".to_owned(),
            "2:1+21 error: *.example. is a wildcard: probes need a `host`",
        ),
        (
            format!("www NS ns1\n_steer.www TXT v=steer1\n{candidate}"),
            "2:1+23 error: www.example. is delegated at www.example.: it cannot be steered here",
        ),
        (
            "sub NS ns1\n_steer.w.sub TXT v=steer1\n_steer.w.sub TXT \"cdn=bunny to=a.b-cdn.net.\"\n".to_owned(),
            "2:1+25 error: w.sub.example. is delegated at sub.example.: it cannot be steered here",
        ),
        (
            format!("{own}_steer.www TXT \"v=steer1 probe=tcp:443 body=x\"\n{candidate}"),
            "2:40+6 warning: `body` has no effect on a tcp probe",
        ),
        (
            format!("{own}_steer.www TXT \"v=steer1 slow=3s\"\n{candidate}"),
            "2:26+7 warning: `slow` has no effect: it is not below the timeout",
        ),
        (
            format!("{own}_steer.www TXT \"v=steer1 prefer=gcore\"\n{candidate}"),
            "2:26+12 warning: www.example. has no candidate at `gcore`",
        ),
        (
            format!("{own}_steer.www TXT v=steer1\n_steer.www TXT \"cdn=gcore to=a.b-cdn.net.\"\n"),
            "3:27+15 warning: this target looks like one of bunny, not of gcore",
        ),
        (
            "www A 192.0.2.2\nwww HTTPS 1 . ipv4hint=192.0.2.9\n_steer.www TXT v=steer1\n_steer.www TXT \"cdn=bunny to=192.0.2.2\"\n".to_owned(),
            "2:1+32 warning: this HTTPS record leads past the steering of www.example.: it is not answered",
        ),
    ] {
        let found = faults(&text);
        assert!(found.iter().any(|fault| fault == expected), "{text}\nexpected {expected}\nfound {found:#?}");
    }
}

#[test]
fn areas_are_held_against_the_candidates() {
    let two = "_steer.www TXT \"cdn=bunny to=a.b-cdn.net.\"\n_steer.www TXT \"cdn=fastly to=x.fastly.net.\"\n";
    let areas = |count: usize| {
        let codes =
            "ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt";
        codes.split(' ').take(count).map(|code| format!("prefer.country-{code}=us \" \"")).collect::<String>()
    };
    for (policy, expected) in [
        ("only.continent-eu=eu prefer.country-de=us", vec![]),
        (
            "only.eu27=us",
            vec!["1:1+22 error: www.example.'s own records are those of `bunny` (si), which `only.eu27` forbids"],
        ),
        (
            "only.eu27=de",
            vec![
                "1:1+22 error: www.example.'s own records are those of `bunny` (si), which `only.eu27` forbids",
                "2:26+12 error: `only.eu27` leaves no candidate of www.example.",
            ],
        ),
        ("prefer.eu27=gcore,us", vec!["2:26+20 warning: www.example. has no candidate at `gcore`"]),
        // The same order of the same two, or all that may answer anyhow.
        (
            "prefer.country-de=bunny,fastly",
            vec!["2:26+30 warning: `prefer.country-de` makes no difference: it comes to what `prefer` does"],
        ),
        (
            "only.country-de=eu,us",
            vec!["2:26+21 warning: `only.country-de` makes no difference: it comes to what `only` does"],
        ),
        // This one shields its clients from the continent's.
        ("prefer.country-de=eu,us prefer.continent-eu=us", vec![]),
        (&areas(32), vec![]),
        (&areas(33), vec!["2:1+818 error: a policy names at most 32 areas"]),
    ] {
        let found = faults(&format!("www CNAME a.b-cdn.net.\n_steer.www TXT \"v=steer1 {policy}\"\n{two}"));
        assert_eq!(found, expected, "{policy}");
    }
}

#[test]
fn targets_must_not_lead_back() {
    let steer = |owner: &str, to: &str| {
        format!("{owner} A 192.0.2.9\n_steer.{owner} TXT v=steer1\n_steer.{owner} TXT \"cdn=bunny to={to}\"\n")
    };
    for (text, expected) in [
        (steer("www", "www.example."), Some("3:27+15 error: the target is the steered name itself")),
        (
            steer("www", "a.example.") + "a CNAME b\nb CNAME www\n",
            Some("3:27+13 error: the target a.example. leads back to www.example."),
        ),
        (
            steer("www", "img.example.") + &steer("img", "192.0.2.9"),
            Some("3:27+15 error: the target img.example. is itself steered"),
        ),
        (
            steer("www", "a.example.") + "a CNAME img\n" + &steer("img", "192.0.2.9"),
            Some("3:27+13 error: the target a.example. leads to img.example., which is itself steered"),
        ),
        (
            steer("www", "a.example.") + "a CNAME b\nb CNAME a\n",
            Some("3:27+13 error: the target a.example. leads through more than 16 CNAMEs, or in a circle"),
        ),
        (
            steer("www", "a.dn.example.") + "dn DNAME dn2\nwww.dn2 A 192.0.2.1\n",
            Some("3:27+16 warning: the target a.dn.example. leads to a.dn2.example., where nothing stands"),
        ),
        (
            steer("www", "no.example."),
            Some("3:27+14 warning: nothing stands at no.example., though it is in the zone example."),
        ),
        (steer("www", "a.example.") + "a A 192.0.2.9\n", None),
        (steer("www", "a.sub.example.") + "sub NS ns.elsewhere.\n", None),
        (steer("www", "a.w.example.") + "*.w A 192.0.2.9\n", None),
        (steer("www", "b-cdn.net."), None),
    ] {
        let found = faults(&text);
        let expected: Vec<&str> = expected.into_iter().collect();
        assert_eq!(found, expected, "{text}");
    }
}

/// Told ahead of the day when a certificate is old.
#[test]
fn certificates_that_could_not_be_renewed_are_told() {
    let own = "www CNAME a.b-cdn.net.\n";
    let policy = "_steer.www TXT v=steer1\n";
    let candidates = |all: &[&str]| all.iter().map(|one| format!("_steer.www TXT \"{one}\"\n")).collect::<String>();
    let one = "only one can have it";
    let both =
        format!("`cloudflare` and `fastly` both renew the certificate of www.example by `_acme-challenge`: {one}");
    let standby =
        "`bunny` renews the certificate of www.example only where the name leads to it: a standby has no clients";
    let cases: [(&str, &[&str], Vec<String>); 9] = [
        (policy, &["cdn=bunny to=a.b-cdn.net.", "cdn=cloudflare to=w.cdn.cloudflare.net."], vec![]),
        (
            policy,
            &["cdn=cloudflare to=w.cdn.cloudflare.net.", "cdn=bunny to=a.b-cdn.net.", "cdn=fastly to=x.fastly.net."],
            vec![format!("5:28+16 warning: {both}")],
        ),
        // Two sites of one provider share what they want; another host name has a challenge of its own.
        (
            policy,
            &["cdn=fastly to=x.fastly.net.", "cdn=fastly id=f2 to=y.fastly.net.", "cdn=bunny to=a.b-cdn.net."],
            vec![],
        ),
        (
            policy,
            &[
                "cdn=cloudflare to=w.cdn.cloudflare.net. host=other.example",
                "cdn=fastly to=x.fastly.net.",
                "cdn=bunny to=a.b-cdn.net.",
            ],
            vec![],
        ),
        (
            policy,
            &["cdn=cloudflare to=w.cdn.cloudflare.net.", "cdn=bunny to=a.b-cdn.net. standby=yes"],
            vec![format!("4:27+15 warning: {standby}")],
        ),
        (policy, &["cdn=bunny to=a.b-cdn.net.", "cdn=cloudfront to=d1.cloudfront.net. standby=yes"], vec![]),
        (policy, &["cdn=bunny to=a.b-cdn.net.", "cdn=fastly to=x.fastly.net. standby=yes"], vec![]),
        (
            "_steer.www TXT \"v=steer1 probe=http:/\"\n",
            &[
                "cdn=cloudflare to=w.cdn.cloudflare.net.",
                "cdn=fastly to=x.fastly.net.",
                "cdn=bunny to=a.b-cdn.net. standby=yes",
            ],
            vec![],
        ),
        (
            "_steer.www TXT v=steer1\n",
            &["cdn=akamai to=w.edgekey.net.", "cdn=bunny to=a.b-cdn.net.", "cdn=ovh to=x.cdn.anycast.me. standby=yes"],
            vec![],
        ),
    ];
    for (policy, all, expected) in cases {
        let text = format!("{own}{policy}{}", candidates(all));
        assert_eq!(faults(&text), expected, "{text}");
    }
    let text = format!("{own}{policy}{}", candidates(&["cdn=bunny to=a.b-cdn.net. standby=yes"]));
    let help = load(&text).diagnostics[0].help.clone().expect("what to do");
    assert!(help.starts_with("have the provider validate by DNS, upload a certificate there"), "{help}");
    // A template is told once.
    let names: String =
        (0..50).map(|n| format!("w{n} CNAME a.b-cdn.net.\n_steer.w{n} TXT \"v=steer1 use=all\"\n")).collect();
    let template = "all._steer TXT v=steer1\nall._steer TXT \"cdn=bunny to=a.b-cdn.net. standby=yes\"\n";
    assert_eq!(faults(&format!("{names}{template}")).len(), 1);
}
