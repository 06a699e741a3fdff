//! From errors to faults: which stage failed, and one line that says why.
//!
//! | it ended while | stage |
//! | --- | --- |
//! | connecting | connect |
//! | in the TLS handshake, or by a TLS alert later | TLS |
//! | waiting for headers | status: there was no HTTP answer |
//! | reading the body | body |
//! | the time ran out, wherever | timeout |
//!
//! Some errors are this machine's own: no file descriptor or port left. They say nothing of a candidate, and become no
//! observation.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError};

use super::phase::Phase;
use super::trust::SelfSigned;
use crate::steer::observation::{CertificateFault, Fault, Outcome, Stage};

/// Octets that a reason has at most; the far side has a say in some of them.
const MAX_REASON: usize = 200;

/// What came of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Outcome(Outcome),
    /// It could not be carried out, for a reason of this machine's own.
    Nothing(String),
}

impl Seen {
    pub fn fault(fault: Fault) -> Self {
        Self::Outcome(Outcome::Fail(fault))
    }
}

/// A fault without status and certificate. Control characters in the reason are replaced, and its length is bounded.
pub fn fault(stage: Stage, reason: impl Into<String>) -> Fault {
    let mut reason: String = reason.into();
    if reason.chars().any(char::is_control) {
        reason = reason.replace(char::is_control, "?");
    }
    if reason.len() > MAX_REASON {
        let end = (0..=MAX_REASON).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        reason.truncate(end);
        reason.push_str(" ...");
    }
    Fault { stage, status: None, certificate: None, page: None, reason }
}

/// The time ran out.
pub fn timed_out(limit: Duration, phase: Phase) -> Fault {
    fault(Stage::Timeout, format!("timed out after {} {}", span(limit), phase.as_str()))
}

/// A span for people: `300 ms`, `3 s`, `1.5 s`.
pub fn span(span: Duration) -> String {
    let millis = span.as_millis();
    match (millis / 1000, millis % 1000) {
        (0, _) => format!("{millis} ms"),
        (seconds, 0) => format!("{seconds} s"),
        (seconds, rest) => format!("{seconds}.{} s", format!("{rest:03}").trim_end_matches('0')),
    }
}

/// What an error of reqwest means for a probe that had come to `phase`; `read` octets of the body had arrived.
pub fn of_http(error: &reqwest::Error, phase: Phase, read: usize) -> Seen {
    let cause = Cause::of(error);
    if let Cause::Io(error) = cause
        && let Some(own) = own_fault(error)
    {
        return Seen::Nothing(own);
    }
    if let Cause::Tls(error) = cause {
        return Seen::fault(of_tls(error));
    }
    Seen::fault(match phase {
        Phase::Connecting => fault(Stage::Connect, cause.to_string()),
        Phase::Handshake => fault(Stage::Tls, format!("{cause} during the TLS handshake")),
        Phase::Headers => fault(Stage::Status, format!("no HTTP answer: {cause}")),
        Phase::Body => fault(Stage::Body, format!("the body broke off after {read} octets: {cause}")),
    })
}

/// What a failed TCP connect means.
pub fn of_connect(error: &io::Error) -> Seen {
    own_fault(error).map_or_else(|| Seen::fault(fault(Stage::Connect, io_words(error))), Seen::Nothing)
}

/// Errors that this machine causes itself: no file descriptor, buffer, memory or local port left.
pub fn own_fault(error: &io::Error) -> Option<String> {
    let is_own = matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL)
    );
    is_own.then(|| error.to_string())
}

/// The innermost cause that is understood.
#[derive(Clone, Copy)]
enum Cause<'a> {
    Tls(&'a rustls::Error),
    Io(&'a io::Error),
    Hyper(&'a hyper::Error),
    Other(&'a (dyn Error + 'static)),
}

impl<'a> Cause<'a> {
    fn of(error: &'a (dyn Error + 'static)) -> Self {
        let mut found = Self::Other(error);
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref() {
                return Self::Tls(tls);
            }
            next = error.source();
            if let Some(io) = error.downcast_ref::<io::Error>() {
                found = Self::Io(io);
                // An io::Error that wraps another one names the source of that one as its own, not that one.
                if let Some(inner) = io.get_ref() {
                    next = Some(inner);
                }
            } else if let Some(hyper) = error.downcast_ref() {
                found = Self::Hyper(hyper);
            } else if matches!(found, Self::Other(_)) {
                found = Self::Other(error);
            }
        }
        found
    }
}

impl std::fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tls(error) => write!(f, "{error}"),
            Self::Io(error) => f.write_str(&io_words(error)),
            Self::Hyper(error) if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => {
                f.write_str("connection closed")
            }
            Self::Hyper(error) if error.is_parse_too_large() => f.write_str("its headers are too large"),
            Self::Hyper(error) => write!(f, "{error}"),
            Self::Other(error) => write!(f, "{error}"),
        }
    }
}

fn io_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::ConnectionAborted => "connection aborted".to_owned(),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => "connection closed".to_owned(),
        ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        ErrorKind::TimedOut => "no answer to the connection request".to_owned(),
        _ => error.to_string(),
    }
}

/// What a TLS error means.
fn of_tls(error: &rustls::Error) -> Fault {
    match error {
        rustls::Error::InvalidCertificate(error) => {
            let (kind, reason) = of_certificate(error);
            Fault { certificate: Some(kind), ..fault(Stage::Tls, reason) }
        }
        rustls::Error::AlertReceived(alert) => fault(Stage::Tls, format!("TLS alert: {}", alert_words(*alert))),
        rustls::Error::InvalidMessage(_) => fault(Stage::Tls, "what the port speaks is not TLS"),
        other => fault(Stage::Tls, format!("TLS: {other}")),
    }
}

/// `HandshakeFailure` as `handshake failure`.
fn alert_words(alert: AlertDescription) -> String {
    let mut words = String::new();
    for letter in format!("{alert:?}").chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn of_certificate(error: &CertificateError) -> (CertificateFault, String) {
    use CertificateError as E;
    match error {
        E::Expired => (CertificateFault::Expired, "certificate expired".to_owned()),
        E::ExpiredContext { not_after, .. } => {
            (CertificateFault::Expired, format!("certificate expired on {}", date(*not_after)))
        }
        E::NotValidYet => (CertificateFault::NotYetValid, "certificate is not valid yet".to_owned()),
        E::NotValidYetContext { not_before, .. } => {
            (CertificateFault::NotYetValid, format!("certificate is not valid before {}", date(*not_before)))
        }
        E::Revoked => (CertificateFault::Revoked, "certificate is revoked".to_owned()),
        E::BadSignature => {
            (CertificateFault::UnknownIssuer, "certificate is not signed by the issuer that it names".to_owned())
        }
        E::UnknownIssuer => (CertificateFault::UnknownIssuer, "certificate is from an unknown issuer".to_owned()),
        E::NotValidForName => (CertificateFault::WrongName, "certificate is for another name".to_owned()),
        E::NotValidForNameContext { expected, presented } => {
            (CertificateFault::WrongName, wrong_name(expected, presented))
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            (CertificateFault::WrongPurpose, "certificate is not for servers".to_owned())
        }
        E::Other(other) if other.0.is::<SelfSigned>() => {
            (CertificateFault::UnknownIssuer, "certificate is self-signed".to_owned())
        }
        other => (CertificateFault::Other, format!("certificate is not good: {other}")),
    }
}

/// `certificate is for wrong.example, not www.shop.example`, with at most three of its names.
fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let expected = expected.to_str();
    if presented.is_empty() {
        return format!("certificate is for no name, not {expected}");
    }
    // rustls presents a name as `DnsName("wrong.example")`.
    let names = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name));
    let mut list: Vec<&str> = names.take(3).collect();
    if presented.len() > list.len() {
        list.push("...");
    }
    format!("certificate is for {}, not {expected}", list.join(", "))
}

/// The day, UTC.
fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds}"), |at| at.strftime("%F").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        for (millis, text) in [(0, "0 ms"), (300, "300 ms"), (3000, "3 s"), (1500, "1.5 s"), (2050, "2.05 s")] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn reasons_are_one_bounded_line() {
        let reason = fault(Stage::Status, format!("a\r\nb\u{1b}{}", "ä".repeat(500))).reason;
        assert!(reason.starts_with("a??b?"), "{reason}");
        assert!(reason.len() <= MAX_REASON + 4);
    }

    #[test]
    fn certificates_are_explained() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expected = ServerName::try_from("www.shop.example").expect("a name").to_owned();
        for (error, kind, reason) in [
            (
                CertificateError::ExpiredContext { time: at(0), not_after: at(1_580_515_200) },
                CertificateFault::Expired,
                "certificate expired on 2020-02-01",
            ),
            (
                CertificateError::NotValidYetContext { time: at(0), not_before: at(2_208_988_800) },
                CertificateFault::NotYetValid,
                "certificate is not valid before 2040-01-01",
            ),
            (
                CertificateError::NotValidForNameContext {
                    expected,
                    presented: vec!["DnsName(\"wrong.example\")".to_owned()],
                },
                CertificateFault::WrongName,
                "certificate is for wrong.example, not www.shop.example",
            ),
        ] {
            assert_eq!(of_certificate(&error), (kind, reason.to_owned()));
        }
    }

    #[test]
    fn faults_of_this_machine_are_not_the_candidates() {
        for code in [libc::EMFILE, libc::EADDRNOTAVAIL] {
            assert!(matches!(of_connect(&io::Error::from_raw_os_error(code)), Seen::Nothing(_)));
        }
        let refused = of_connect(&io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert_eq!(refused, Seen::fault(fault(Stage::Connect, "connection refused")));
    }

    #[test]
    fn alerts_are_words() {
        assert_eq!(alert_words(AlertDescription::HandshakeFailure), "handshake failure");
    }
}
