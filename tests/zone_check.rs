//! `pointsman check` as people and programs see it, and folders of zones.

use std::fs;
use std::path::{Path, PathBuf};

use pointsman::cli::check::{CheckArgs, CheckFormat, Report, check};
use pointsman::zone::diagnostic::{Colour, Severity};
use pointsman::zone::folder::{Folder, Settings, load_file, load_folder, load_texts, read_text};
use pointsman::zone::name::Name;

const HEAD: &str = "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn checked(folder: &Path, files: &[&str], origin: Option<&str>) -> Report {
    let args = CheckArgs {
        format: CheckFormat::Text,
        origin: origin.map(str::to_owned),
        online: false,
        zones: folder.to_owned(),
        files: files.iter().map(|file| folder.join(file)).collect(),
    };
    check(&args, &Settings::default()).expect("good arguments")
}

fn plain(report: &Report, folder: &Path) -> String {
    report.text(Colour::Never).replace(&folder.display().to_string(), "zones")
}

#[test]
fn a_file_with_every_kind_of_fault() {
    let text = r#"$TTL 300
@       SOA     ns1 host 1 2 3 4 5
@       NS      ns1
@       NS      ns2
ns1     A       192.0.2.999
www     CNAM    shop.b-cdn.net.
        TXT     "never closed
mail    MX      10 (
ftp     A       192.0.2.5
ftp     CNAME   www
$TLL    3600
café    A       192.0.2.256 ; columns count characters
_steer.www TXT "v=steer1 tll=30 probe=https:healthz"
        TXT     "cdn=buny to=shop.b-cdn.net. weight=70"
"#;
    let scratch = folder(&[("shop.example.zone", text)]);
    insta::assert_snapshot!(plain(&checked(scratch.path(), &["shop.example.zone"], None), scratch.path()));
}

#[test]
fn warnings_alone_are_good() {
    let text = format!(
        "{HEAD}a 300 A 192.0.2.2\na 600 A 192.0.2.3\na A 192.0.2.3\nsub NS ns.sub\nx.sub TXT y\n@ MX 10 al\nal CNAME a\n"
    );
    let scratch = folder(&[("example.zone", &text)]);
    let report = checked(scratch.path(), &[], None);
    assert_eq!((report.good, report.bad, report.errors), (1, 0, 0));
    insta::assert_snapshot!(plain(&report, scratch.path()));
}

#[test]
fn programs_get_json() {
    let scratch = folder(&[("example.zone", &format!("{HEAD}a A x\n"))]);
    let json = checked(scratch.path(), &["example.zone"], None).json();
    insta::assert_snapshot!(json.replace(&scratch.path().display().to_string(), "zones"));
}

#[test]
fn arguments() {
    let scratch = folder(&[("any.txt", HEAD)]);
    assert_eq!(checked(scratch.path(), &["any.txt"], Some("example.")).errors, 0);
    assert_eq!(checked(scratch.path(), &["missing.zone"], None).errors, 1);
    let none = PathBuf::from("/nonexistent/zones");
    assert_eq!(checked(&none, &[], None).errors, 1);
    for (origin, files) in [("a..b", &["any.txt"][..]), ("example.", &[])] {
        let files = files.iter().map(PathBuf::from).collect();
        let args = CheckArgs { origin: Some(origin.to_owned()), files, ..CheckArgs::default() };
        assert!(check(&args, &Settings::default()).is_err());
    }
}

fn origins(folder: &Folder) -> Vec<(String, bool)> {
    folder.zones.iter().map(|zone| (zone.origin.to_string(), zone.zone.is_some())).collect()
}

fn errors(folder: &Folder) -> Vec<String> {
    let all = folder.zones.iter().flat_map(|zone| &zone.diagnostics);
    all.filter(|one| one.severity == Severity::Error).map(|one| one.message.clone()).collect()
}

#[test]
fn what_is_a_zone_and_what_is_not() {
    let scratch = folder(&[
        ("a.example.zone", HEAD),
        ("b.example", HEAD),
        (".hidden", "x"),
        ("a.example.zone~", "x"),
        ("x.bak", "x"),
        ("x.orig", "x"),
        ("x.swp", "x"),
        ("x.tmp", "x"),
        ("x.inc", "x"),
        ("README.md", "x"),
        ("x.toml", "x"),
        ("x.json", "x"),
        ("sub/c.example", "x"),
        ("broken.example", "x"),
    ]);
    let loaded = load_folder(scratch.path(), &Settings::default());
    let expected = [("a.example.", true), ("b.example.", true), ("broken.example.", false)];
    assert_eq!(origins(&loaded), expected.map(|(origin, good)| (origin.to_owned(), good)));
}

#[test]
fn two_files_with_one_origin_are_an_error() {
    let scratch = folder(&[("a.example.zone", HEAD), ("A.example", HEAD), ("b.example", HEAD)]);
    let loaded = load_folder(scratch.path(), &Settings::default());
    assert_eq!(loaded.diagnostics.len(), 2);
    assert_eq!(loaded.zones.iter().filter(|zone| zone.zone.is_some()).count(), 1);
}

#[test]
fn included_files_are_no_zones_and_stay_in_the_folder() {
    let secret = folder(&[("secret", "s A 192.0.2.66\n")]);
    let outside = secret.path().join("secret").display().to_string();
    let include = |path: &str| format!("{HEAD}$INCLUDE {path}\n");
    let scratch = folder(&[
        ("a.example", &include("common")),
        ("common", "c A 192.0.2.2\n$INCLUDE parts/one sub\n"),
        ("parts/one", "d A 192.0.2.3\n$INCLUDE ../parts/two\n"),
        ("parts/two", "e A 192.0.2.4\n"),
        ("b.example", &include("../secret")),
        ("c.example", &include(&outside)),
        ("d.example", &include("link")),
        ("e.example", &include("parts")),
        ("f.example", &include("f.example")),
    ]);
    std::os::unix::fs::symlink(&outside, scratch.path().join("link")).expect("a link");
    let loaded = load_folder(scratch.path(), &Settings::default());
    let good: Vec<String> = origins(&loaded).into_iter().filter(|(_, good)| *good).map(|(origin, _)| origin).collect();
    assert_eq!(good, ["a.example."]);
    let told = errors(&loaded);
    for expected in [
        "the path leaves the zones folder",
        "an absolute path leaves the zones folder",
        "it is no regular file",
        "more than 16 deep",
    ] {
        assert!(told.iter().any(|message| message.contains(expected)), "{expected}: {told:#?}");
    }
    let zone = &loaded.zones[0];
    let owners: Vec<String> =
        zone.zone.iter().flat_map(|zone| zone.records.iter()).map(|record| record.owner.to_string()).collect();
    assert!(owners.contains(&"e.sub.a.example.".to_owned()), "{owners:?}");
    // The stored texts are enough to read it again.
    let again = load_texts(&zone.origin, &zone.texts, &Settings::default());
    assert_eq!(again.zone.map(|zone| zone.records), zone.zone.as_ref().map(|zone| zone.records.clone()));
    assert_eq!(zone.texts.files.len(), 4);
}

#[test]
fn files_that_multiply_are_stopped() {
    let mut files: Vec<(String, String)> =
        (1..=12).map(|at| (format!("{at}.inc"), format!("$INCLUDE {}.inc\n", at + 1).repeat(10))).collect();
    files.push(("13.inc".to_owned(), String::new()));
    files.push(("a.example".to_owned(), format!("{HEAD}$INCLUDE 1.inc\n")));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let scratch = folder(&files);
    let told = errors(&load_folder(scratch.path(), &Settings::default()));
    assert!(told.iter().any(|message| message.contains("includes files more than 10,000 times")), "{told:#?}");
}

#[test]
fn targets_are_followed_from_zone_to_zone() {
    let steer = "www A 192.0.2.9\n_steer.www TXT v=steer1\n_steer.www TXT \"cdn=bunny to=x.b.example.\"\n";
    let scratch = folder(&[
        ("a.example", &format!("{HEAD}{steer}")),
        ("b.example", &format!("{HEAD}x CNAME www.a.example.\n")),
        ("c.example", &format!("{HEAD}{}", steer.replace("x.b", "www.a"))),
    ]);
    let told = errors(&load_folder(scratch.path(), &Settings::default()));
    assert_eq!(
        told,
        ["the target x.b.example. leads back to www.a.example.", "the target www.a.example. is itself steered"]
    );
    // Alone, the file cannot know.
    assert!(load_file(&scratch.path().join("a.example"), None, &Settings::default()).zone.is_some());
}

#[test]
fn the_apex_comes_first_and_every_set_has_one_ttl() {
    let text = "$TTL 300\n@ NS ns1\nns1 A 192.0.2.1\na 300 A 192.0.2.2\na 60 A 192.0.2.3\na 60 A 192.0.2.3\n@ SOA ns1 host 7 2 3 4 5\n";
    let scratch = folder(&[("example", text)]);
    let loaded = load_file(&scratch.path().join("example"), None, &Settings::default());
    let zone = loaded.zone.expect("a good zone");
    assert_eq!((zone.serial(), zone.records.len()), (7, 5));
    assert!(zone.records.owners().next().is_some_and(|apex| apex.labels().is_empty()));
    let a = Name::from_text(b"a.example.", &Name::root()).expect("a name");
    assert!(zone.records.iter().filter(|record| record.owner == a).all(|record| record.ttl == 60));
}

/// What newcomers write, and what sets them right.
#[test]
fn faults_of_newcomers_come_with_help() {
    for (text, message, help) in [
        (
            "www CNAME shop.b-cdn.net\n",
            "CNAME target shop.b-cdn.net.a.example. does not exist",
            "write `shop.b-cdn.net.`",
        ),
        ("@ MX 10 mail.b.example\n", "MX target mail.b.example.a.example. has no address", "write `mail.b.example.`"),
        ("@ NS ns.b.example\n", "nameserver ns.b.example.a.example. has no address", "write `ns.b.example.`"),
        ("@ CNAME shop.b-cdn.net.\n", "a CNAME record stands alone", "steer it"),
        ("www.b.example. A 192.0.2.2\n", "is outside the zone", "without a dot at its end"),
        ("www A 192.0.2.2 192.0.2.3\n", "expected the end of the record", "one address"),
        ("www A 192.0.2.2 # old\n", "expected the end of the record", "a comment begins with `;`"),
        ("@ MX mail\n", "expected a number from 0 to 65535", "`PREFERENCE NAME`"),
        ("_steer.www TXT v=steer1 prefer=eu\n", "version `steer1prefer=eu`", "in quotes"),
        ("_steer.www TXT \"cdn=bunny to=https://x.b-cdn.net/\"\n", "a target is a name, not a URL", "`x.b-cdn.net.`"),
    ] {
        let scratch = folder(&[("a.example", &format!("{HEAD}{text}"))]);
        let loaded = load_folder(scratch.path(), &Settings::default());
        let found = loaded.zones[0].diagnostics.iter().find(|diagnostic| diagnostic.message.contains(message));
        let found = found.unwrap_or_else(|| panic!("{text}: {:#?}", loaded.zones[0].diagnostics));
        assert!(found.help.as_deref().is_some_and(|told| told.contains(help)), "{text}: {found:?}");
    }
    // Names that do exist, or are steered, are not told.
    let fine = "www CNAME a.sub\na.sub TXT x\nw CNAME x.any\n*.any TXT x\n";
    let scratch = folder(&[("a.example", &format!("{HEAD}{fine}"))]);
    assert!(load_folder(scratch.path(), &Settings::default()).zones[0].diagnostics.is_empty());
}

#[test]
fn errors_are_bounded() {
    let text = format!("{HEAD}{}", "a A x\n".repeat(5_000));
    let scratch = folder(&[("example", &text)]);
    let loaded = load_file(&scratch.path().join("example"), None, &Settings::default());
    assert_eq!(loaded.diagnostics.len(), 1_001);
}

#[test]
fn a_line_that_generates_too_much_is_stopped() {
    let strings = |count: usize| format!("\"{}\" ", "x".repeat(200)).repeat(count);
    let read = |count: usize| {
        let text = format!("{HEAD}$GENERATE 1-3 h$ TXT {}\n", strings(count));
        let origin = Name::from_text(b"example.", &Name::root()).unwrap();
        read_text(&origin, text.as_bytes(), &Settings::default())
    };
    let good = read(4);
    assert_eq!(good.zone.map(|zone| zone.records.len()), Some(6), "{:?}", good.diagnostics);
    let bad = read(6);
    assert!(bad.zone.is_none());
    assert!(bad.diagnostics[0].message.contains("more than 1024 octets"), "{:?}", bad.diagnostics);
}
