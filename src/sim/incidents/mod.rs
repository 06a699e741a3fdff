//! The incidents that ship with the program, and the names that they are replayed with where nobody gives zones.

use crate::sim::replay::incident::{Incident, IncidentError};

macro_rules! incidents {
    ($($name:literal)*) => {
        /// Names and texts, the recorded ones first.
        const EMBEDDED: &[(&str, &str)] = &[$(($name, include_str!(concat!($name, ".toml")))),*];
    };
}

incidents! {
    "2016-10-21-dyn"
    "2021-06-08-fastly"
    "2021-07-22-akamai"
    "2025-10-29-azure-front-door"
    "2025-11-18-cloudflare"
    "2025-12-05-cloudflare"
    "brown-out"
    "flapping"
    "noise"
    "origin-down"
    "vantage-cut-off"
}

/// The names of the shipped incidents, in the order of the list.
pub fn names() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|&(name, _)| name)
}

/// One that ships with the program; none where there is no such name.
pub fn find(name: &str) -> Option<Result<Incident, IncidentError>> {
    let (name, text) = EMBEDDED.iter().find(|(known, _)| *known == name)?;
    Some(Incident::parse(text, name, &format!("{name}.toml")))
}

/// The zone file that incidents are replayed with where no zones are given: six names whose first choice is `preferred`.
pub fn zone(preferred: &str) -> String {
    let mut others = ["bunny", "gcore", "ovh"].into_iter().filter(|id| *id != preferred);
    let (second, third) = (others.next().unwrap_or("bunny"), others.next().unwrap_or("gcore"));
    include_str!("replay.example.zone")
        .replace("PREFERRED", preferred)
        .replace("SECOND", second)
        .replace("THIRD", third)
}

/// The origin of that zone.
pub const ORIGIN: &str = "replay.example.";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::zone::folder::Settings;
    use crate::zone::load::read_text;
    use crate::zone::name::Name;

    #[test]
    fn every_file_of_the_folder_is_here_and_names_its_sources() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim/incidents");
        let mut files: Vec<String> = fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
            .collect();
        files.sort();
        assert_eq!(files, names().collect::<Vec<_>>());
        for name in names() {
            let incident = find(name).expect("known").expect("an incident");
            assert!(!incident.about.is_empty() && !incident.assumptions.is_empty(), "{name}");
            let recorded = name.starts_with("20");
            assert_eq!(!incident.sources.is_empty(), recorded, "{name}");
            for source in &incident.sources {
                // A public page, and enough of its title to find it when its address has changed.
                let is_named = source.title.contains(": ") && source.url.starts_with("https://");
                assert!(is_named && !source.taken.is_empty(), "{name}: {source:?}");
            }
        }
    }

    #[test]
    fn the_zone_is_good_whoever_is_preferred() {
        let origin = Name::from_text(ORIGIN.as_bytes(), &Name::root()).expect("a name");
        for preferred in ["cloudflare", "bunny", "gcore", "ovh"] {
            let loaded = read_text(&origin, zone(preferred).as_bytes(), &Settings::default());
            assert_eq!(loaded.errors(), 0, "{:?}", loaded.diagnostics);
            let steered = loaded.zone.expect("a zone").steered;
            assert_eq!(steered.len(), 6);
            assert!(steered.iter().all(|name| name.candidates.len() == 3));
        }
    }
}
