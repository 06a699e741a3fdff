use std::process::ExitCode;

fn main() -> ExitCode {
    pointsman::cli::run()
}
