//! Folders of zones: read on several threads, and only where something has changed.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use pointsman::image::CompiledZone;
use pointsman::zone::diagnostic::{Diagnostic, Severity};
use pointsman::zone::folder::{Folder, Known, Plan, Settings, load_folder, load_folder_as, read_text};
use pointsman::zone::name::Name;
use pointsman::zone::record::{Record, Rtype};
use pointsman::zone::records::Records;

const HEAD: &str = "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n";
const STEERED: &str = "www A 192.0.2.9\n_steer.www TXT v=steer1\n_steer.www TXT \"cdn=bunny to=x.b.example.\"\n";

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("a file");
}

fn scratch(files: &[(&str, String)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    folder
}

type Zone = Arc<CompiledZone>;

/// Loads as a server does, with what the load before came to; says how many zones were compiled.
fn reload(folder: &Path, before: &Folder<Zone>, threads: usize) -> (Folder<Zone>, usize) {
    let compiled = AtomicUsize::new(0);
    let compile = |zone| {
        compiled.fetch_add(1, Ordering::Relaxed);
        Arc::new(CompiledZone::compile(zone))
    };
    let known = |origin: &Name, path: &Path| {
        let loaded = before.zones.iter().find(|loaded| loaded.path == path && loaded.origin == *origin)?;
        let zone = loaded.zone.as_ref()?;
        let (included, diagnostics) = (&loaded.included[..], &loaded.diagnostics[..]);
        Some(Known { digest: loaded.digest, included, zone, diagnostics })
    };
    let threads = NonZeroUsize::new(threads).expect("some threads");
    let plan = Plan { threads, compile: &compile, known: &known };
    let after = load_folder_as(folder, &Settings::default(), &plan);
    (after, compiled.into_inner())
}

fn first(folder: &Path) -> Folder<Zone> {
    reload(folder, &Folder::default(), 2).0
}

fn unchanged(folder: &Folder<Zone>) -> Vec<String> {
    folder.zones.iter().filter(|zone| zone.unchanged).map(|zone| zone.origin.to_string()).collect()
}

fn messages(folder: &Folder<Zone>, severity: Severity) -> Vec<&str> {
    let all = folder.zones.iter().flat_map(|zone| &zone.diagnostics);
    all.filter(|one| one.severity == severity).map(|one| one.message.as_str()).collect()
}

#[test]
fn only_what_has_changed_is_compiled() {
    let folder = scratch(&[
        ("a.example", format!("{HEAD}$INCLUDE common.inc\n")),
        ("b.example", HEAD.to_owned()),
        ("c.example", format!("{HEAD}@ NS ns1\n")),
        ("common.inc", "x A 192.0.2.2\n".to_owned()),
    ]);
    let (before, compiled) = reload(folder.path(), &Folder::default(), 2);
    assert_eq!(compiled, 3);
    let (same, compiled) = reload(folder.path(), &before, 2);
    assert_eq!((compiled, unchanged(&same).len()), (0, 3));
    assert_eq!(messages(&same, Severity::Warning), ["this NS record is given twice"]);
    assert!(
        same.zones.iter().zip(&before.zones).all(|(now, then)| {
            Arc::ptr_eq(now.zone.as_ref().expect("a zone"), then.zone.as_ref().expect("a zone"))
        })
    );
    // What a file includes is a part of it.
    write(folder.path(), "common.inc", "x A 192.0.2.3\n");
    write(folder.path(), "b.example", &format!("{HEAD}y A 192.0.2.4\n"));
    let (after, compiled) = reload(folder.path(), &same, 2);
    assert_eq!((compiled, unchanged(&after)), (2, vec!["c.example.".to_owned()]));
    fs::remove_file(folder.path().join("common.inc")).expect("it was there");
    let (after, compiled) = reload(folder.path(), &after, 2);
    assert_eq!(compiled, 0);
    assert!(messages(&after, Severity::Error)[0].starts_with("cannot include `common.inc`"));
}

#[test]
fn a_name_that_becomes_steered_elsewhere_is_told_of_a_zone_that_has_not_changed() {
    let folder = scratch(&[("a.example", format!("{HEAD}{STEERED}")), ("b.example", format!("{HEAD}x A 192.0.2.7\n"))]);
    let before = first(folder.path());
    assert_eq!(messages(&before, Severity::Error), [""; 0]);
    // Its target is in a zone of this folder: read again each time, and compiled no more.
    let (same, compiled) = reload(folder.path(), &before, 1);
    assert_eq!((compiled, unchanged(&same)), (0, vec!["b.example.".to_owned()]));
    let steered = "x A 192.0.2.7\n_steer.x TXT v=steer1\n_steer.x TXT \"cdn=bunny to=192.0.2.7\"\n";
    write(folder.path(), "b.example", &format!("{HEAD}{steered}"));
    let (after, compiled) = reload(folder.path(), &same, 2);
    assert_eq!(messages(&after, Severity::Error), ["the target x.b.example. is itself steered"]);
    assert_eq!((compiled, after.zones[0].zone.is_none()), (1, true));
    write(folder.path(), "b.example", &format!("{HEAD}x CNAME www.a.example.\n"));
    let (after, _) = reload(folder.path(), &same, 2);
    assert_eq!(messages(&after, Severity::Error), ["the target x.b.example. leads back to www.a.example."]);
    // The zone of the target leaves, and then what was said of it; one that comes is seen.
    write(folder.path(), "b.example", HEAD);
    let (told, _) = reload(folder.path(), &same, 2);
    let warning = "nothing stands at x.b.example., though it is in the zone b.example.";
    assert!(messages(&told, Severity::Warning).contains(&warning));
    fs::remove_file(folder.path().join("b.example")).expect("it was there");
    let (gone, _) = reload(folder.path(), &told, 2);
    assert!(!messages(&gone, Severity::Warning).contains(&warning));
    let (alone, compiled) = reload(folder.path(), &gone, 2);
    assert_eq!((compiled, alone.zones.len()), (0, 1));
    write(folder.path(), "b.example", HEAD);
    let (back, _) = reload(folder.path(), &alone, 2);
    assert!(messages(&back, Severity::Warning).contains(&warning));
}

#[test]
fn targets_elsewhere_need_no_reading() {
    let text = format!(
        "{HEAD}{}",
        STEERED.replace("x.b.example.", "x.b-cdn.net.").replace("www A", "www CNAME x.b-cdn.net. ;")
    );
    let folder = scratch(&[("a.example", text)]);
    let before = first(folder.path());
    assert_eq!(before.zones[0].diagnostics, []);
    let (same, _) = reload(folder.path(), &before, 1);
    assert_eq!(unchanged(&same), ["a.example."]);
}

#[test]
fn a_double_that_comes_breaks_a_zone_that_has_not_changed() {
    let folder = scratch(&[("a.example", HEAD.to_owned())]);
    let before = first(folder.path());
    write(folder.path(), "a.example.zone", HEAD);
    let (after, _) = reload(folder.path(), &before, 2);
    assert_eq!(after.diagnostics.len(), 2);
    assert!(after.zones.iter().all(|zone| zone.zone.is_none()));
    // A file that another one includes now is no zone.
    write(folder.path(), "b.example", &format!("{HEAD}$INCLUDE a.example.zone sub\n"));
    write(folder.path(), "a.example.zone", "x A 192.0.2.1\n");
    let (after, _) = reload(folder.path(), &before, 2);
    assert_eq!(unchanged(&after), ["a.example."]);
    assert_eq!(after.zones.len(), 2);
}

/// All that a load tells, with the records of good zones.
fn told(folder: &Folder) -> Vec<(PathBuf, Option<Records>, Vec<Diagnostic>)> {
    let zone = |zone: &pointsman::zone::record::Zone| zone.records.clone();
    folder.zones.iter().map(|it| (it.path.clone(), it.zone.as_ref().map(zone), it.diagnostics.clone())).collect()
}

#[test]
fn threads_change_nothing() {
    let mut files: Vec<(String, String)> = (0..300)
        .map(|at| {
            let text = match at % 6 {
                0 => HEAD.to_owned(),
                1 => format!("{HEAD}a A x\nb B y\n"),
                2 => format!("{HEAD}{}", STEERED.replace("x.b", &format!("x.z{}", at + 1))),
                3 => format!("{HEAD}x CNAME www.z{}.example.\n", at - 1),
                4 => format!("{HEAD}$INCLUDE common.inc\n"),
                _ => "nothing".to_owned(),
            };
            (format!("z{at}.example"), text)
        })
        .collect();
    files.push(("Z0.example.zone".to_owned(), HEAD.to_owned()));
    files.push(("common.inc".to_owned(), "x A 192.0.2.2\nx A 192.0.2.2\n".to_owned()));
    let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let folder = scratch(&files);
    let load = |threads| {
        let threads = NonZeroUsize::new(threads).expect("some threads");
        load_folder_as(
            folder.path(),
            &Settings::default(),
            &Plan { threads, compile: &|zone| zone, known: &|_, _| None },
        )
    };
    let one = load(1);
    assert_eq!(one.diagnostics.len(), 2);
    for threads in [2, 8] {
        let many = load(threads);
        assert_eq!(many.diagnostics, one.diagnostics);
        assert_eq!(told(&many), told(&one));
    }
}

/// What a file of the folder may say: they include each other, their targets lead to each other, some are broken.
fn contents() -> impl Strategy<Value = Option<String>> {
    let steered = |to: &str| STEERED.replace("x.b.example.", to);
    let texts = vec![
        None,
        Some(HEAD.to_owned()),
        Some(format!("{HEAD}x A 192.0.2.7\nx A 192.0.2.7\n")),
        Some(format!("{HEAD}x CNAME www.a.example.\n")),
        Some(format!("{HEAD}$INCLUDE part.inc\n")),
        Some(format!("{HEAD}$INCLUDE b.example sub\n")),
        Some(HEAD.to_owned() + &steered("x.b.example.")),
        Some(HEAD.to_owned() + &steered("x.a.example.")),
        Some(HEAD.to_owned() + &steered("x.b-cdn.net.")),
        Some(format!("{HEAD}{}x CNAME www\n", steered("x.b-cdn.net."))),
        Some("y A 192.0.2.8\n".to_owned()),
        Some("nothing".to_owned()),
    ];
    prop::sample::select(texts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens to a folder: what is known of it before changes nothing of what is served and told.
    #[test]
    fn a_reload_comes_to_what_a_first_load_does(
        steps in prop::collection::vec(
            prop::collection::vec((prop::sample::select(vec!["a.example", "b.example", "A.example.zone", "part.inc"]), contents()), 1..4),
            1..8,
        )
    ) {
        let folder = scratch(&[]);
        let mut before = Folder::default();
        for step in steps {
            for (file, text) in step {
                match text {
                    Some(text) => write(folder.path(), file, &text),
                    None => drop(fs::remove_file(folder.path().join(file))),
                }
            }
            let (after, _) = reload(folder.path(), &before, 2);
            let fresh = first(folder.path());
            prop_assert_eq!(&after.diagnostics, &fresh.diagnostics);
            let told = |folder: &Folder<Zone>| -> Vec<_> {
                let records = |zone: &Zone| zone.records().collect::<Vec<Record>>();
                let steered = |zone: &Zone| zone.steered().to_vec();
                let all = folder.zones.iter().map(|it| {
                    let zone = it.zone.as_ref().map(|zone| (records(zone), steered(zone)));
                    (it.path.clone(), it.digest, it.included.clone(), zone, it.diagnostics.clone())
                });
                all.collect()
            };
            prop_assert_eq!(told(&after), told(&fresh));
            before = after;
        }
    }
}

/// As many as `POINTSMAN_ZONES` says: 100,000 take a minute where tests are not optimized.
#[test]
fn many_zones_are_loaded() {
    let zones: usize = std::env::var("POINTSMAN_ZONES").map_or(10_000, |zones| zones.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a scratch folder");
    for at in 0..zones {
        write(folder.path(), &format!("z{at}.example"), HEAD);
    }
    let loaded = load_folder(folder.path(), &Settings::default());
    assert_eq!(loaded.zones.iter().filter(|zone| zone.zone.is_some()).count(), zones);
    assert_eq!(loaded.zones.iter().map(|zone| zone.diagnostics.len()).sum::<usize>(), 0);
}

/// A line of a zone file: how its owner is written, and the last octet of its address.
#[derive(Clone, Debug)]
enum Line {
    Origin(String),
    /// None: the owner of the line before.
    Record(Option<String>, u8),
    Text(Option<String>, u8),
}

fn owners() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec!["a", "B", "c", "AbC", "*", "x\\.y", "\\065", "long-label-0123456789"]);
    let relative = prop::collection::vec(label, 1..4).prop_map(|labels| labels.join("."));
    let end = prop::sample::select(vec!["", ".Example.", ".deep.EXAMPLE."]);
    prop_oneof![4 => (relative, end).prop_map(|(name, end)| format!("{name}{end}")), 1 => Just("@".to_owned())]
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = prop_oneof![
        1 => prop::sample::select(vec!["sub", "example.", "D.example.", "@"]).prop_map(|name| Line::Origin(name.to_owned())),
        6 => (prop::option::of(owners()), any::<u8>()).prop_map(|(owner, last)| Line::Record(owner, last)),
        2 => (prop::option::of(owners()), any::<u8>()).prop_map(|(owner, last)| Line::Text(owner, last)),
    ];
    prop::collection::vec(line, 0..40)
}

/// What the lines mean, line by line: names built by [`Name::from_text`], records in a heap.
fn meant(lines: &[Line], zone: &Name) -> Vec<Record> {
    let (mut origin, mut owner) = (zone.clone(), Name::from_text(b"ns1", zone).expect("a good name"));
    let mut all = Vec::new();
    for line in lines {
        let (text, rtype, rdata) = match line {
            Line::Origin(name) => {
                origin = Name::from_text(name.as_bytes(), &origin).expect("a good name");
                continue;
            }
            Line::Record(owner, last) => (owner, Rtype::A, vec![192, 0, 2, *last]),
            Line::Text(owner, last) => (owner, Rtype::TXT, vec![1, b'a' + last % 26]),
        };
        if let Some(text) = text {
            owner = Name::from_text(text.as_bytes(), &origin).expect("a good name");
        }
        let record = Record { owner: owner.to_lowercase(), rtype, ttl: 300, rdata: rdata.into() };
        if !all.contains(&record) {
            all.push(record);
        }
    }
    all
}

fn written(lines: &[Line]) -> String {
    let line = |line: &Line| match line {
        Line::Origin(name) => format!("$ORIGIN {name}\n"),
        Line::Record(owner, last) => format!("{} A 192.0.2.{last}\n", owner.as_deref().unwrap_or_default()),
        Line::Text(owner, last) => {
            format!("{}\tTXT {}\n", owner.as_deref().unwrap_or_default(), char::from(b'a' + last % 26))
        }
    };
    format!("{HEAD}{}", lines.iter().map(line).collect::<String>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn grouped_reading_is_what_the_lines_mean(lines in lines()) {
        let zone = Name::from_text(b"example.", &Name::root()).expect("a good name");
        let loaded = read_text(&zone, written(&lines).as_bytes(), &Settings::default());
        let read = loaded.zone.expect("a good zone").records;
        let key = |record: &Record| (record.owner.clone(), record.rtype, record.rdata.clone());
        let mut found: Vec<Record> = read.iter().filter(|it| it.rtype == Rtype::A || it.rtype == Rtype::TXT).collect();
        let mut expected = meant(&lines, &zone);
        let ns1 = Record {
            owner: Name::from_text(b"ns1", &zone).expect("a good name"),
            rtype: Rtype::A,
            ttl: 300,
            rdata: Box::new([192, 0, 2, 1]),
        };
        if !expected.contains(&ns1) {
            expected.push(ns1);
        }
        found.sort_by_key(key);
        expected.sort_by_key(key);
        prop_assert_eq!(found, expected);
        // Each owner once, its types in order.
        let owners: Vec<Name> = read.owners().map(|owner| owner.name()).collect();
        let distinct: std::collections::BTreeSet<&Name> = owners.iter().collect();
        prop_assert_eq!(distinct.len(), owners.len());
        prop_assert_eq!(owners.first(), Some(&zone));
        for owner in read.owners() {
            prop_assert!(owner.sets().map(|set| set.rtype()).is_sorted());
        }
    }
}
