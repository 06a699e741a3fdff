//! The example zones of `zones/`, inside the program, so that the demo runs from anywhere.

use std::fs;
use std::io;
use std::path::Path;

/// File names and texts.
pub const EXAMPLES: [(&str, &str); 3] = [
    ("clinic.example.zone", include_str!("../../zones/clinic.example.zone")),
    ("news.example.zone", include_str!("../../zones/news.example.zone")),
    ("shop.example.zone", include_str!("../../zones/shop.example.zone")),
];

/// Writes all of them into a folder.
pub fn write_to(folder: &Path) -> io::Result<()> {
    EXAMPLES.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_here() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("zones");
        let mut names: Vec<_> = fs::read_dir(&folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        assert_eq!(names, EXAMPLES.map(|(name, _)| name));
        let scratch = tempfile::tempdir().expect("a folder");
        write_to(scratch.path()).expect("written");
        for name in names {
            let read = |folder: &Path| fs::read(folder.join(&name)).expect("a file");
            assert_eq!(read(scratch.path()), read(&folder));
        }
    }
}
