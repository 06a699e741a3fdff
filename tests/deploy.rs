//! What `deploy/` holds: the configuration is what the program prints, and the unit is hardened and starts what is there.
#![allow(clippy::panic)] // A test that cannot be set up has failed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `systemd-analyze security` may give the unit, in tenths: 0 is closed, 100 is open.
const EXPOSURE: u32 = 20;

#[test]
fn the_configuration_is_the_one_that_the_program_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman")).arg("config").output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let kept = fs::read_to_string(deploy("pointsman.toml")).expect("deploy/pointsman.toml");
    assert!(printed == kept, "`pointsman config > deploy/pointsman.toml` brings them together");
    let checked = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["config", "--check"])
        .arg(deploy("pointsman.toml"))
        .output()
        .expect("it runs");
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn the_unit_starts_what_the_program_takes() {
    let unit = fs::read_to_string(deploy("pointsman.service")).expect("the unit");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("ExecStart");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(words[0].ends_with("/pointsman"), "{line}");
    let matches = pointsman::cli::command().try_get_matches_from(&words).expect(line);
    assert_eq!(matches.subcommand_name(), Some("serve"));
    // What the unit makes is where the server and its commands look.
    assert!(line.contains("--data /var/lib/pointsman") && unit.contains("\nStateDirectory=pointsman\n"), "{line}");
    let home = Path::new(pointsman::cli::DEFAULT_CONFIG).parent().expect("a folder");
    assert_eq!(home, Path::new("/etc/pointsman"));
    assert!(unit.contains("\nConfigurationDirectory=pointsman\n") && unit.contains("\nType=notify\n"), "{unit}");
}

#[test]
fn the_unit_is_hardened() {
    let file = deploy("pointsman.service");
    let Some(output) = systemd_analyze(&["security", "--offline=true", "--no-pager"], &file) else { return };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last =
        text.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_else(|| panic!("{output:?}"));
    let level = last.rsplit(": ").next().and_then(|rest| rest.split_whitespace().next()).expect("a number");
    let (whole, tenth) = level.split_once('.').expect("one decimal");
    let tenths = whole.parse::<u32>().expect("a number") * 10 + tenth.parse::<u32>().expect("a number");
    assert!(tenths <= EXPOSURE, "{text}");
}

/// Nothing is wrong with it but that the program is not installed where tests run.
#[test]
fn systemd_understands_the_unit() {
    let Some(output) = systemd_analyze(&["verify"], &deploy("pointsman.service")) else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("pointsman.service"))
        .filter(|line| !line.contains("Command /usr/bin/pointsman is not executable"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Runs `systemd-analyze ... file`; `None`, with a line, where it is missing.
fn systemd_analyze(arguments: &[&str], file: &Path) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).arg(file).output() {
        Ok(output) => Some(output),
        Err(_) if std::env::var("POINTSMAN_PEERS").as_deref() == Ok("required") => {
            panic!("needs systemd-analyze (Debian: systemd)")
        }
        Err(_) => {
            eprintln!("skipped: needs systemd-analyze (Debian: systemd)");
            None
        }
    }
}

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}
