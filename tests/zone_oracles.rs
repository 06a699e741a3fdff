//! The zone checkers of BIND, Knot and NSD beside ours, on a corpus of small good and bad files.
//!
//! Where the three do not agree among themselves, the file's first line says what each says and why, and `we-differ` where
//! we go against two of them:
//!
//! ```text
//! ; oracles: named=ok knot=bad nsd=ok (reason)
//! ```

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pointsman::cli::check::{CheckArgs, check};
use pointsman::zone::folder::{Settings, is_zone_file, load_file, load_folder};
use pointsman::zone::name::Name;
use pointsman::zone::record::Record;

struct Oracle {
    name: &'static str,
    program: &'static str,
    package: &'static str,
    arguments: fn(&str, &str) -> Vec<String>,
}

const ORACLES: [Oracle; 3] = [
    Oracle {
        name: "named",
        program: "named-checkzone",
        package: "bind9-utils",
        arguments: |origin, file| ["-q", origin, file].map(str::to_owned).to_vec(),
    },
    Oracle {
        name: "knot",
        program: "kzonecheck",
        package: "knot-dnssecutils",
        arguments: |origin, file| ["-o", origin, file].map(str::to_owned).to_vec(),
    },
    Oracle {
        name: "nsd",
        program: "nsd-checkzone",
        package: "nsd",
        arguments: |origin, file| [origin, file].map(str::to_owned).to_vec(),
    },
];

/// Whether all three are installed. Without them the test is skipped, unless `POINTSMAN_PEERS=required`.
#[allow(clippy::panic)]
fn installed() -> bool {
    for oracle in &ORACLES {
        let started = Command::new(oracle.program).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if started.is_err() {
            let line = format!("needs {} (Debian: {})", oracle.program, oracle.package);
            if std::env::var("POINTSMAN_PEERS").is_ok_and(|value| value == "required") {
                panic!("{line}");
            }
            eprintln!("skipped: {line}");
            return false;
        }
    }
    true
}

fn corpus(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zones").join(kind)
}

fn zone_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "zone"));
    files.sort();
    files
}

fn file_name(file: &Path) -> String {
    file.file_name().expect("a name").to_string_lossy().into_owned()
}

/// What each oracle says of a file, in the order of `ORACLES`.
fn verdicts(origin: &str, file: &Path) -> [bool; 3] {
    let folder = file.parent().expect("a folder");
    ORACLES.each_ref().map(|oracle| {
        let mut command = Command::new(oracle.program);
        command.args((oracle.arguments)(origin, &file_name(file))).current_dir(folder);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.expect("an oracle starts").success()
    })
}

fn ours(origin: &str, file: &Path) -> bool {
    let args = CheckArgs { origin: Some(origin.to_owned()), files: vec![file.to_owned()], ..CheckArgs::default() };
    check(&args, &Settings::default()).expect("good arguments").errors == 0
}

#[test]
fn the_corpus_is_large_enough() {
    assert!(zone_files(&corpus("good")).len() + zone_files(&corpus("bad")).len() >= 60);
}

#[test]
fn we_take_the_good_and_refuse_the_bad() {
    for (kind, expected) in [("good", true), ("bad", false)] {
        for file in zone_files(&corpus(kind)) {
            assert_eq!(ours(&format!("{kind}.test"), &file), expected, "{}", file.display());
        }
    }
}

#[test]
fn the_oracles_agree_with_us() {
    if !installed() {
        return;
    }
    let corpus = [("good", true), ("bad", false)];
    let files = corpus.iter().flat_map(|(kind, expected)| {
        zone_files(&self::corpus(kind)).into_iter().map(move |file| (*kind, *expected, file))
    });
    let files: Vec<_> = files.collect();
    // The oracles wait more than they work: several at a time.
    let wrong: String = std::thread::scope(|scope| {
        let parts: Vec<_> = files
            .chunks(files.len().div_ceil(6))
            .map(|part| {
                scope.spawn(|| {
                    part.iter()
                        .filter_map(|(kind, expected, file)| disagreement(kind, *expected, file))
                        .collect::<String>()
                })
            })
            .collect();
        parts.into_iter().map(|part| part.join().expect("a thread")).collect()
    });
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What the first line of a file should say and does not.
fn disagreement(kind: &str, expected: bool, file: &Path) -> Option<String> {
    let said = verdicts(&format!("{kind}.test"), file);
    let text = String::from_utf8_lossy(&std::fs::read(file).expect("a file")).into_owned();
    let declared = text.lines().next().filter(|line| line.starts_with("; oracles:")).unwrap_or_default();
    let unanimous = said.iter().all(|verdict| *verdict == expected);
    let differs = said.iter().filter(|verdict| **verdict == expected).count() < 2;
    let line = declaration(said, differs);
    let matches = if unanimous { declared.is_empty() } else { declared.starts_with(&line) && declared.ends_with(')') };
    (!matches).then(|| format!("{}: the first line should be `{line} (reason)`, it is `{declared}`\n", file.display()))
}

fn declaration(said: [bool; 3], differs: bool) -> String {
    let words =
        ORACLES.iter().zip(said).map(|(oracle, good)| format!("{}={}", oracle.name, if good { "ok" } else { "bad" }));
    format!("; oracles: {}{}", words.collect::<Vec<_>>().join(" "), if differs { " we-differ" } else { "" })
}

/// Owner in lower case, type, record data.
type Plain = (Vec<u8>, u16, Vec<u8>);

/// The records of a zone as BIND compiles them: its raw format, a header of 24 octets and then one set after the other.
fn compiled(origin: &str, file: &Path) -> Vec<Plain> {
    let mut command = Command::new("named-compilezone");
    command.args(["-q", "-k", "ignore", "-i", "none", "-F", "raw", "-o", "-", origin, &file_name(file)]);
    let output = command.current_dir(file.parent().expect("a folder")).output().expect("it starts");
    assert!(output.status.success(), "{}", file.display());
    let mut rest = output.stdout.get(24..).expect("a header");
    let mut take = |octets: usize| {
        let (head, tail) = rest.split_at(octets.min(rest.len()));
        rest = tail;
        head.to_vec()
    };
    let number = |octets: Vec<u8>| octets.iter().fold(0_usize, |number, octet| number << 8 | usize::from(*octet));
    let mut all = Vec::new();
    while number(take(4)) != 0 {
        take(2);
        let rtype = u16::try_from(number(take(2))).expect("a type");
        take(6);
        let records = number(take(4));
        let length = number(take(2));
        let owner = take(length).to_ascii_lowercase();
        for _ in 0..records {
            let length = number(take(2));
            all.push((owner.clone(), rtype, take(length)));
        }
    }
    all.sort();
    all
}

/// Not only whether, but what: BIND makes the same octets of every good file.
#[test]
fn named_makes_the_same_octets() {
    if !installed() {
        return;
    }
    let origin = Name::from_text(b"good.test.", &Name::root()).expect("a good name");
    for file in zone_files(&corpus("good")) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).expect("a file")).into_owned();
        if text.starts_with("; oracles: named=bad") {
            continue;
        }
        let loaded = load_file(&file, Some(origin.clone()), &Settings::default());
        let zone = loaded.zone.expect("a good zone");
        let plain =
            |record: Record| (record.owner.to_lowercase().as_wire().to_vec(), record.rtype.0, record.rdata.to_vec());
        let mut ours: Vec<Plain> = zone.records.iter().map(plain).collect();
        ours.sort();
        assert_eq!(ours, compiled("good.test", &file), "{}", file.display());
    }
}

#[test]
fn the_example_zones_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("zones");
    if !folder.is_dir() {
        return;
    }
    let loaded = load_folder(&folder, &Settings::default());
    let all = loaded.diagnostics.iter().chain(loaded.zones.iter().flat_map(|zone| &zone.diagnostics));
    let told: Vec<String> = all.map(ToString::to_string).collect();
    // What the comments there speak of.
    let warnings = [
        "`myra` and `fastly` both renew the certificate of www.news.example by `_acme-challenge`",
        "`gcore` renews the certificate of www.shop.example only where the name leads to it",
    ];
    let is_expected = |(told, warning): (&String, &&str)| told.contains(": warning: ") && told.contains(*warning);
    assert!(told.len() == warnings.len() && told.iter().zip(&warnings).all(is_expected), "{told:#?}");
    if !installed() {
        return;
    }
    for zone in &loaded.zones {
        assert!(is_zone_file(&file_name(&zone.path)));
        assert_eq!(verdicts(&zone.origin.to_string(), &zone.path), [true; 3], "{}", zone.path.display());
    }
}
