//! The example zones before the checkers of other name servers.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The program, its Debian package, and its arguments for an origin and a file.
type Checker = (&'static str, &'static str, fn(&str, &Path) -> Vec<PathBuf>);

const CHECKERS: [Checker; 3] = [
    ("named-checkzone", "bind9utils", |origin, file| vec![origin.into(), file.into()]),
    ("kzonecheck", "knot-dnssecutils", |origin, file| vec!["-o".into(), origin.into(), file.into()]),
    ("nsd-checkzone", "nsd", |origin, file| vec![origin.into(), file.into()]),
];

#[test]
fn other_checkers_accept_the_example_zones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("zones");
    for (program, package, arguments) in CHECKERS {
        for (name, _) in pointsman::sim::examples::EXAMPLES {
            let origin = name.trim_end_matches(".zone");
            let Ok(output) = Command::new(program).args(arguments(origin, &folder.join(name))).output() else {
                assert!(std::env::var("POINTSMAN_PEERS").as_deref() != Ok("required"), "{program} is missing");
                eprintln!("skipped: needs {program} (Debian: {package})");
                break;
            };
            let said = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{program} {name}: {}", String::from_utf8_lossy(&said));
            let said = String::from_utf8_lossy(&said).to_lowercase();
            assert!(!said.contains("error") && !said.contains("warning"), "{program} {name}: {said}");
        }
    }
}
