//! The token file: who may change state over TCP.
//!
//! One token a line, `label:token` or `token` alone (its label is then `token`); blank lines and lines with `#` in front
//! are left out. The label is the author of what its holder changes. The file is made at the first start with one random
//! token of 256 bits, mode 0600, and is read again when it has changed. A file that others than its owner can read is
//! refused: what everybody knows proves nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use subtle::{Choice, ConstantTimeEq};

/// The shortest token that is taken, in octets: 128 bits as hexadecimal digits.
const SHORTEST: usize = 32;
/// The longest, and the longest file; both in octets.
const LONGEST: usize = 512;
const LONGEST_FILE: u64 = 64 * 1024;
const LONGEST_LABEL: usize = 64;

/// Why the tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: mode {mode:04o} lets others than the owner at it; set it with `chmod 600`", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("{}:{line}: {why}", path.display())]
    Line { path: PathBuf, line: usize, why: &'static str },
    #[error("{}: holds no token", path.display())]
    Empty { path: PathBuf },
    #[error("{}: longer than 64 KiB", path.display())]
    Long { path: PathBuf },
    #[error("no random numbers for a token: {0}")]
    Random(getrandom::Error),
}

/// The tokens of one file, as of its last change.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    read: Mutex<Contents>,
}

/// What was read, and of which state of the file.
#[derive(Debug)]
struct Contents {
    stamp: Stamp,
    tokens: Vec<Token>,
}

/// Changes when the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

struct Token {
    label: String,
    secret: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({}, ...)", self.label)
    }
}

impl Tokens {
    /// Reads the file, and makes it first if it is not there.
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        if !path.try_exists().map_err(|source| io_error(path, source))? {
            make(path)?;
        }
        Ok(Self { path: path.to_owned(), read: Mutex::new(read(path)?) })
    }

    /// The label of the token that `secret` is, if it is one. Touches the disk.
    ///
    /// # Errors
    ///
    /// The file has changed and cannot be used any more; nobody is let in until it can.
    pub fn label(&self, secret: &str) -> Result<Option<String>, TokenError> {
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = fs::metadata(&self.path).map_err(|source| io_error(&self.path, source))?;
        if known.stamp != Stamp::of(&now) {
            *known = read(&self.path)?;
        }
        Ok(matching(&known.tokens, secret).map(|token| token.label.clone()))
    }
}

/// Compares with every token, whichever matches, and takes the same time for each of the same length.
fn matching<'a>(tokens: &'a [Token], secret: &str) -> Option<&'a Token> {
    let mut found = None;
    for token in tokens {
        let same: Choice = token.secret.as_bytes().ct_eq(secret.as_bytes());
        if bool::from(same) {
            found = Some(token);
        }
    }
    found
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn make(path: &Path) -> Result<(), TokenError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(TokenError::Random)?;
    let secret: String = random.iter().map(|octet| format!("{octet:02x}")).collect();
    // `create_new` follows no link that somebody put there in between.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(format!("{secret}\n").as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| io_error(path, source))
}

fn read(path: &Path) -> Result<Contents, TokenError> {
    // To open a pipe would wait for a writer.
    if !fs::metadata(path).map_err(|source| io_error(path, source))?.is_file() {
        return Err(io_error(path, io::Error::new(io::ErrorKind::InvalidInput, "not an ordinary file")));
    }
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    // Of the open file, so that what is checked is what is read.
    let metadata = file.metadata().map_err(|source| io_error(path, source))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(TokenError::Open { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    let mut text = String::new();
    file.take(LONGEST_FILE + 1).read_to_string(&mut text).map_err(|source| io_error(path, source))?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(TokenError::Long { path: path.to_owned() });
    }
    Ok(Contents { stamp: Stamp::of(&metadata), tokens: parse(path, &text)? })
}

fn parse(path: &Path, text: &str) -> Result<Vec<Token>, TokenError> {
    let mut tokens = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let token = parse_line(line).map_err(|why| TokenError::Line { path: path.to_owned(), line: at + 1, why })?;
        tokens.push(token);
    }
    if tokens.is_empty() { Err(TokenError::Empty { path: path.to_owned() }) } else { Ok(tokens) }
}

fn parse_line(line: &str) -> Result<Token, &'static str> {
    let (label, secret) = line.split_once(':').unwrap_or(("token", line));
    let in_label = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.@".contains(&octet);
    if !(1..=LONGEST_LABEL).contains(&label.len()) || !label.bytes().all(in_label) {
        return Err("a label is 1 to 64 letters, digits, `-`, `_`, `.` and `@`");
    }
    if !(SHORTEST..=LONGEST).contains(&secret.len()) {
        return Err("a token is 32 to 512 characters long");
    }
    if !secret.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err("a token is made of ASCII characters without spaces");
    }
    Ok(Token { label: label.to_owned(), secret: secret.to_owned() })
}

fn io_error(path: &Path, source: io::Error) -> TokenError {
    TokenError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).expect("the scratch folder takes files");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("and modes");
    }

    #[test]
    fn the_first_start_makes_a_token_that_only_its_owner_can_read() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("token");
        let tokens = Tokens::open(&path).expect("it is made");
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, 0o600);
        let text = fs::read_to_string(&path).expect("it can be read");
        assert_eq!(text.trim_end().len(), 64);
        assert_eq!(tokens.label(text.trim_end()).expect("good"), Some("token".to_owned()));
        let other = folder.path().join("other");
        Tokens::open(&other).expect("another is made");
        assert_ne!(text, fs::read_to_string(&other).expect("it can be read"), "tokens are random");
    }

    #[test]
    fn labels_name_their_holders_and_near_misses_are_nobody() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("token");
        let (anna, ben) = ("a".repeat(32), "b".repeat(40));
        write(&path, &format!("# ours\n\nanna:{anna}\r\n  ben@ops:{ben}\n"), 0o600);
        let tokens = Tokens::open(&path).expect("it is good");
        assert_eq!(tokens.label(&anna).expect("good"), Some("anna".to_owned()));
        assert_eq!(tokens.label(&ben).expect("good"), Some("ben@ops".to_owned()));
        for secret in ["", "a", &anna[1..], &format!("{anna}a"), &format!("anna:{anna}"), "# ours"] {
            assert_eq!(tokens.label(secret).expect("good"), None, "{secret}");
        }
    }

    #[test]
    fn a_changed_file_counts_at_once() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("token");
        let (old, new) = ("a".repeat(32), "b".repeat(32));
        write(&path, &old, 0o600);
        let tokens = Tokens::open(&path).expect("it is good");
        let next = folder.path().join("next");
        write(&next, &new, 0o600);
        fs::rename(&next, &path).expect("it is replaced");
        assert_eq!(tokens.label(&old).expect("good"), None);
        assert_eq!(tokens.label(&new).expect("good"), Some("token".to_owned()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("modes");
        assert!(matches!(tokens.label(&new), Err(TokenError::Open { mode: 0o644, .. })));
        fs::remove_file(&path).expect("it goes");
        assert!(matches!(tokens.label(&new), Err(TokenError::Io { .. })));
    }

    #[test]
    fn bad_files_are_refused_with_their_reason() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("token");
        let good = "a".repeat(32);
        let folder_error = Tokens::open(folder.path()).expect_err("a folder is no token file").to_string();
        assert!(folder_error.contains("not an ordinary file"), "{folder_error}");
        for (text, mode, part) in [
            (good.as_str(), 0o640, "mode 0640"),
            (&good, 0o604, "mode 0604"),
            ("", 0o600, "holds no token"),
            ("# nothing\n", 0o600, "holds no token"),
            ("\nshort", 0o600, "token:2: a token is 32"),
            (&format!("a b:{good}"), 0o600, "a label is"),
            (&format!(":{good}"), 0o600, "a label is"),
            (&format!("{good} {good}"), 0o600, "without spaces"),
            (&format!("{good}\n").repeat(2_000), 0o600, "longer than 64 KiB"),
        ] {
            write(&path, text, mode);
            let error = Tokens::open(&path).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains(&good), "an error never shows a token: {error}");
        }
    }
}
