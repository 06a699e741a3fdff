//! The rule of the house: who may import whom (docs/ARCHITECTURE.md), and what the core must not know.
#![allow(clippy::panic)] // A test that finds what it did not look for has failed.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms with their floor: an import leads to a lower floor, or stays in the room.
const FLOORS: &[(&str, u32)] = &[
    ("steer", 0),
    ("zone", 1),
    ("image", 2),
    ("store", 3),
    ("health", 3),
    ("dns", 3),
    ("config", 4),
    ("controller", 5),
    ("api", 6),
    ("server", 7),
    ("sim", 8),
    ("cli", 9),
];

/// What the core does without.
const NOT_IN_STEER: &[&str] = &[
    "tokio",
    "sled",
    "tracing",
    "std::time::Instant",
    "SystemTime",
    "Mutex",
    "RwLock",
    "rand",
    "getrandom",
    "std::net::Tcp",
    "std::fs",
];

fn floor(room: &str) -> u32 {
    FLOORS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("`{room}` is no room of the house")).1
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that `crate::` leads to in a text, grouped imports (`crate::{a, b::c}`) too.
fn imports(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => rooms.push(std::mem::take(&mut word)),
                    other if depth == 0 => word.push(other),
                    _ => {}
                }
            }
            rooms.push(word);
        } else {
            rooms.push(rest.to_owned());
        }
    }
    let first_word = |text: String| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    rooms.into_iter().map(first_word).filter(|word: &String| !word.is_empty()).collect()
}

#[test]
fn rooms_import_only_what_is_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut broken = Vec::new();
    for file in &files {
        let relative = file.strip_prefix(&root).expect("below src");
        let room = relative.iter().next().and_then(|part| part.to_str()).expect("text").trim_end_matches(".rs");
        if room == "lib" || room == "main" {
            continue;
        }
        let text = fs::read_to_string(file).expect("source text");
        for import in imports(&text) {
            if import != room && floor(&import) >= floor(room) {
                broken.push(format!("{} imports {import}", relative.display()));
            }
        }
    }
    assert!(files.len() > 50, "the sources were found");
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn the_core_is_pure() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/steer"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("source text");
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for word in NOT_IN_STEER {
            assert!(!code.contains(word), "{} knows `{word}`", file.display());
        }
    }
}

#[test]
fn unsafe_stands_in_one_file() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let with: Vec<_> = files
        .iter()
        .filter(|file| fs::read_to_string(file).expect("source text").contains("allow(unsafe_code)"))
        .collect();
    assert_eq!(with.len(), 1, "{with:?}");
}
