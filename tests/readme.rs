//! README and documents against the program: what can be run in them is run, the rest is parsed.
//!
//! | block | what becomes of it |
//! | --- | --- |
//! | `zone` | read by `pointsman check`; a fragment without SOA gets an apex |
//! | `toml` | read as a configuration |
//! | `console` | each `$ pointsman` line, and each such command in running text, is parsed by the command line itself; those that ask a server are run against one |
//! | `sh` | the two commands of the README, and no other |
#![allow(clippy::panic)] // A test that cannot be set up has failed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// What documents write in the place of something real, and what the server of these tests has there.
const PLACES: &[(&str, &str)] = &[
    ("PROVIDER", "bunny"),
    ("NAME", "www.shop.example"),
    ("CANDIDATE", "gcore"),
    ("ADDRESS", "192.0.2.7"),
    ("PREFIX", "192.0.2.0/24"),
    ("FILE...", "zones/shop.example.zone"),
    ("FILE", "zones/shop.example.zone"),
    ("ID", "1"),
    ("everything", "everything"),
];

/// Commands that are answered by a server, or by themselves, without going on for ever.
const RUN: &[&str] = &["status", "explain", "events", "drain", "pin", "freeze", "release", "check"];

const APEX: &str = "$ORIGIN example.org.\n$TTL 1h\n@ SOA ns1 hostmaster 1 2h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\n";

/// One document of the project.
struct Document {
    path: PathBuf,
    text: String,
}

/// One fenced block.
struct Block {
    language: String,
    text: String,
    at: String,
}

#[test]
fn zones_check_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut seen = 0;
    for block in blocks("zone") {
        seen += 1;
        let whole = if block.text.contains(" SOA ") { block.text.clone() } else { format!("{APEX}{}", block.text) };
        let file = folder.path().join("block");
        fs::write(&file, whole).expect("written");
        let output = pointsman().args(["check", "--origin", "example.org"]).arg(&file).output().expect("it runs");
        assert!(output.status.success(), "{}: {}", block.at, told(&output));
    }
    assert!(seen >= 3, "README and docs/STEERING-RECORDS.md have zones");
}

#[test]
fn configurations_are_read() {
    for block in blocks("toml") {
        let config = pointsman::config::Config::parse(&block.text, &block.at);
        assert!(config.is_ok(), "{}: {:?}", block.at, config.err());
    }
}

#[test]
fn blocks_say_what_they_are() {
    let known = ["zone", "toml", "console", "sh", "abnf", "text"];
    for document in documents() {
        for block in document.blocks() {
            assert!(known.contains(&block.language.as_str()), "{}: a block of `{}`", block.at, block.language);
        }
    }
    let commands: Vec<String> = blocks("sh").into_iter().map(|block| block.text.trim().to_owned()).collect();
    assert_eq!(commands, ["cargo run --release -- demo", "cargo test"]);
}

#[test]
fn commands_are_ones_that_the_program_takes() {
    let commands = commands();
    for (at, command) in &commands {
        let parsed = pointsman::cli::command().try_get_matches_from(words(command));
        assert!(parsed.is_ok(), "{at}: `{command}`: {}", parsed.err().map_or_else(String::new, |e| e.to_string()));
    }
    let shown: BTreeSet<&str> = commands.iter().filter_map(|(_, command)| command.split(' ').nth(1)).collect();
    for wanted in ["serve", "demo", "check", "config"].iter().chain(RUN) {
        assert!(shown.contains(wanted), "no document shows `pointsman {wanted}`");
    }
}

#[test]
fn commands_do_what_the_documents_say() {
    let server = Server::start();
    let mut ran = 0;
    for block in blocks("console") {
        for line in block.text.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let words = words(line);
            let output = match (words[0].as_str(), words.get(1).map(String::as_str)) {
                ("pointsman", Some(command)) if RUN.contains(&command) => server.run(&words[1..]),
                ("dig", _) if line.contains("127.0.0.1") => match server.dig(&words[1..]) {
                    Some(output) => output,
                    None => continue,
                },
                _ => continue,
            };
            ran += 1;
            assert!(output.status.success(), "{}: `{line}`: {}", block.at, told(&output));
            assert!(!output.stdout.is_empty(), "{}: `{line}` prints nothing", block.at);
        }
    }
    assert!(ran >= 10, "{ran} commands were run");
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for document in documents() {
        for link in links(&document.prose()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            seen += 1;
            let folder = document.path.parent().expect("a file has a folder");
            assert!(folder.join(target).exists(), "{}: `{link}` leads nowhere", document.path.display());
        }
    }
    assert!(seen >= 10, "{seen} links");
    let readme = read("README.md");
    for file in fs::read_dir(root().join("docs")).expect("docs").flatten() {
        let name = format!("docs/{}", file.file_name().to_string_lossy());
        assert!(readme.contains(&format!("({name})")), "README does not lead to {name}");
    }
}

#[test]
fn fields_of_the_readme_stand_in_the_grammar() {
    let grammar = read("docs/STEERING-RECORDS.md");
    let known: BTreeSet<&str> =
        grammar.lines().filter(|line| line.starts_with("| `")).flat_map(|line| code(cell(line))).collect();
    let mut seen = BTreeSet::new();
    for block in blocks("zone") {
        let statements = block.text.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned);
        for statement in statements.collect::<Vec<_>>() {
            for key in statement.split_whitespace().filter_map(|field| field.split_once('=')).map(|(key, _)| key) {
                let area = key.split_once('.').map(|(kind, _)| format!("{kind}.<area>"));
                let key = area.as_deref().unwrap_or(key);
                assert!(key == "v" || known.contains(key), "{}: no field `{key}` in the grammar", block.at);
                seen.insert(key.to_owned());
            }
        }
    }
    for key in ["prefer", "ttl", "probe", "body", "cdn", "to", "weight"] {
        assert!(seen.contains(key), "`{key}` is explained, and in no example");
    }
}

#[test]
fn help_is_complete_and_reads_well() {
    let command = pointsman::cli::command();
    let documents: String = documents().into_iter().map(|document| document.text).collect();
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name();
        assert!(documents.contains(&format!("pointsman {name}")), "no document names `pointsman {name}`");
        let output = pointsman().args([name, "--help"]).output().expect("it runs");
        let help = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success() && help.contains("Usage:"), "{name}: {help}");
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{name}: a long line: {line}");
            assert!(line == line.trim_end(), "{name}: blanks at the end: {line:?}");
        }
        for argument in subcommand.get_arguments().filter(|argument| argument.get_id() != "help") {
            assert!(argument.get_help().is_some(), "{name}: nothing is said about {}", argument.get_id());
        }
    }
}

/// The real server with the example zones, on free ports, whose resolver does not answer: nothing leaves the machine.
struct Server {
    process: Child,
    folder: TempDir,
    dns: String,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let resolver = silent.local_addr().expect("an address");
        let config = folder.path().join("pointsman.toml");
        fs::write(&config, format!("[probe]\nresolvers = [\"{resolver}\"]\n[log]\nformat = \"text\"\n"))
            .expect("written");
        let mut command = pointsman();
        command.args(["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--zones", "zones"]);
        command.arg("--config").arg(&config).arg("--data").arg(folder.path().join("data"));
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        let mut log = BufReader::new(process.stderr.take().expect("a pipe"));
        let dns = bound_address(&mut log);
        // It would stop at a full pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        drop(silent);
        Self { process, folder, dns }
    }

    /// One command, with this server's data folder where it asks a server.
    fn run(&self, words: &[String]) -> Output {
        let mut command = pointsman();
        command.args(words);
        if words[0] != "check" {
            command.env("POINTSMAN_DATA", self.folder.path().join("data"));
        }
        command.output().expect("it runs")
    }

    /// A dig line of a document, asked of this server; `None` without dig.
    fn dig(&self, words: &[String]) -> Option<Output> {
        let (address, port) = self.dns.rsplit_once(':').expect("an address has a port");
        let mut words = words.to_vec();
        for index in 0..words.len() {
            if words[index].starts_with('@') {
                words[index] = format!("@{address}");
            } else if words[index] == "-p" {
                port.clone_into(&mut words[index + 1]);
            }
        }
        match Command::new("dig").args(["+tries=2", "+time=5"]).args(&words).output() {
            Ok(output) => {
                let said = told(&output);
                assert!(said.contains("status: NOERROR") && said.contains("ANSWER: 1"), "{said}");
                Some(output)
            }
            Err(_) if std::env::var("POINTSMAN_PEERS").as_deref() == Ok("required") => {
                panic!("needs dig (Debian: bind9-dnsutils)")
            }
            Err(_) => {
                eprintln!("skipped: needs dig (Debian: bind9-dnsutils)");
                None
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Reads the log until the server says where the API listens; gives the address that answers DNS.
fn bound_address(log: &mut impl BufRead) -> String {
    let mut dns = None;
    let mut said = String::new();
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).expect("it logs") > 0, "it ended: {said}");
        let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
        if line.contains("answering over UDP and TCP") {
            dns = address.map(str::to_owned);
        } else if line.contains("the API listens") {
            return dns.unwrap_or_else(|| panic!("no address: {said}{line}"));
        }
        said.push_str(&line);
    }
}

impl Document {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (number, line) in self.text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(language), None) => {
                    let at = format!("{}:{}", self.path.display(), number + 1);
                    open = Some(Block { language: language.to_owned(), text: String::new(), at });
                }
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block without an end", self.path.display());
        blocks
    }

    /// The text without its blocks.
    fn prose(&self) -> String {
        self.text.split("```").step_by(2).collect()
    }
}

/// README and docs.
fn documents() -> Vec<Document> {
    let docs = fs::read_dir(root().join("docs")).expect("docs").flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    paths.sort();
    paths.insert(0, root().join("README.md"));
    paths.into_iter().map(|path| Document { text: fs::read_to_string(&path).expect("text"), path }).collect()
}

fn blocks(language: &str) -> Vec<Block> {
    let all = documents().into_iter().flat_map(|document| document.blocks());
    all.filter(|block| block.language == language).collect()
}

/// Every `pointsman ...` of the documents, with where it stands: lines of console blocks, and code in running text.
fn commands() -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for block in blocks("console") {
        let lines = block.text.lines().filter_map(|line| line.strip_prefix("$ "));
        commands.extend(lines.filter(|line| is_command(line)).map(|line| (block.at.clone(), line.to_owned())));
    }
    for document in documents() {
        // Code in running text may go over the end of a line.
        let prose = document.prose().replace('\n', " ");
        let inline = code(&prose).into_iter().filter(|text| is_command(text));
        commands.extend(inline.map(|text| (document.path.display().to_string(), complete(text))));
    }
    commands
}

/// Running text may leave out the reason that an order needs, and need not repeat its `...`.
fn complete(command: &str) -> String {
    let orders = ["drain", "pin", "freeze", "release"];
    let is_order = command.split(' ').nth(1).is_some_and(|word| orders.contains(&word));
    if is_order && !command.contains("--reason") { format!("{command} --reason x") } else { command.to_owned() }
}

fn is_command(text: &str) -> bool {
    text.starts_with("pointsman ") && !text.contains("--help")
}

/// A line as a shell takes it apart, with what stands for something real replaced.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(real));
        }
    }
    words
}

fn real(word: &str) -> String {
    PLACES.iter().find(|(place, _)| *place == word).map_or(word, |(_, real)| real).to_owned()
}

/// What stands between backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The first cell of a table's line.
fn cell(line: &str) -> &str {
    line.split('|').nth(1).unwrap_or_default()
}

/// What follows `](` up to `)`.
fn links(text: &str) -> Vec<String> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_owned()).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The program in the project's folder, without what the environment says about it.
fn pointsman() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.current_dir(root());
    for variable in ["POINTSMAN_CONFIG", "POINTSMAN_DATA", "POINTSMAN_API", "POINTSMAN_TOKEN_FILE", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
