//! Values of steering fields: each function takes the decoded text and says what is wrong in one line.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::areas::is_country;
use crate::steer::home::Home;
use crate::steer::policy::{Empty, Preference, Scheme, Sticky, Target};
use crate::steer::provider::Providers;
use crate::zone::name::Name;
use crate::zone::suggestion::suggestion;

/// The longest marker of `body` and `not-body`, and the longest path, in octets.
const MAX_TEXT: usize = 1_024;
/// Addresses of one candidate.
const MAX_ADDRESSES: usize = 64;

/// What is wrong with a value, and what may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub message: String,
    pub help: Option<String>,
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self { message, help: None }
    }
}

impl From<&str> for Wrong {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl Wrong {
    pub(super) fn with_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}

type Value<T> = Result<T, Wrong>;

/// Resolves `%20` and its like.
pub(super) fn decoded(value: &str) -> Value<String> {
    check_percents(value)?;
    let decoded = percent_encoding::percent_decode_str(value).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| "the percent-encoded octets are no UTF-8".into())
}

fn check_percents(value: &str) -> Value<()> {
    for (at, _) in value.match_indices('%') {
        let digits = value.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(Wrong::with_help(
                "a `%` is not followed by two hexadecimal digits",
                "a percent sign itself is written `%25`",
            ));
        }
    }
    Ok(())
}

pub(super) fn number(value: &str, min: u32, max: u32) -> Value<u32> {
    let plain = !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit());
    let number = value.parse().ok().filter(|number| plain && (min..=max).contains(number));
    number.ok_or_else(|| format!("expected a number from {min} to {max}").into())
}

/// `500ms`, `10s`, `1h30m`.
pub(super) fn duration(value: &str, min: Duration, max: Duration) -> Value<Duration> {
    let span = span(value).ok_or_else(|| {
        Wrong::with_help("expected a time span", "write it with units: `500ms`, `10s`, `20m`, `1h30m`")
    })?;
    if span < min || span > max {
        return Err(format!("expected a time span from {} to {}", shown(min), shown(max)).into());
    }
    Ok(span)
}

fn span(value: &str) -> Option<Duration> {
    let mut rest = value;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let number: u32 = number.parse().ok()?;
        total = total.checked_add(Duration::from_millis(u64::from(number) * millis))?;
        rest = tail;
    }
    (!value.is_empty()).then_some(total)
}

fn shown(span: Duration) -> String {
    let millis = span.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let unit = units.into_iter().find(|(_, size)| millis >= *size && millis.is_multiple_of(*size));
    unit.map_or_else(|| "0s".to_owned(), |(unit, size)| format!("{}{unit}", millis / size))
}

/// One of a few words.
fn word<T: Copy>(value: &str, words: &[(&str, T)]) -> Value<T> {
    let found = words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
    found.ok_or_else(|| {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        format!("expected {}", words.join(" or ")).into()
    })
}

pub(super) fn sticky(value: &str) -> Value<Sticky> {
    word(value, &[("yes", Sticky::Yes), ("no", Sticky::No)])
}

pub(super) fn empty(value: &str) -> Value<Empty> {
    word(value, &[("last", Empty::Last), ("open", Empty::Open), ("static", Empty::Static)])
}

pub(super) fn standby(value: &str) -> Value<bool> {
    word(value, &[("yes", true), ("no", false)])
}

/// `eu,us`, `bunny,any`.
pub(super) fn preferences(value: &str, providers: &Providers) -> Value<Vec<Preference>> {
    let mut all = Vec::new();
    for entry in value.split(',') {
        let preference = preference(entry, providers)?;
        if all.contains(&preference) {
            return Err(format!("`{entry}` is listed twice").into());
        }
        all.push(preference);
    }
    match all.iter().position(|preference| *preference == Preference::Any) {
        Some(at) if at + 1 < all.len() => Err("nothing that follows `any` is ever reached".into()),
        _ => Ok(all),
    }
}

fn preference(entry: &str, providers: &Providers) -> Value<Preference> {
    if entry == "any" {
        return Ok(Preference::Any);
    }
    if let Some(provider) = providers.find(entry) {
        return Ok(Preference::Provider(provider.id.clone()));
    }
    if let Ok(home) = home(entry) {
        return Ok(Preference::Home(home));
    }
    let message = format!("`{entry}` is neither a home nor a provider");
    let known = providers.iter().map(|provider| &*provider.id).chain(["eu", "us", "any"]);
    Err(match suggestion(entry, known).filter(|_| entry.len() > 2) {
        Some(near) => Wrong::with_help(message, format!("did you mean `{near}`?")),
        None => Wrong::with_help(message, "expected `eu`, a country's code in lower case, a provider's id, or `any`"),
    })
}

pub(super) fn home(value: &str) -> Value<Home> {
    let home: Home = value.parse().map_err(|error: crate::steer::home::InvalidHome| Wrong::from(error.to_string()))?;
    if home != Home::EU && !is_country(home.as_str()) {
        let message = format!("`{value}` is no country's code (ISO 3166-1)");
        return Err(if value == "uk" {
            Wrong::with_help(message, "the United Kingdom is `gb`")
        } else {
            message.into()
        });
    }
    Ok(home)
}

/// `https:/healthz`, `http:8080:/`, `tcp:443`: scheme, port, path.
pub(super) fn probe(value: &str) -> Value<(Scheme, u16, String)> {
    const FORM: &str = "write `https:/path`, `http:8080:/path` or `tcp:443`";
    let wrong = |message: &str| Wrong::with_help(message, FORM);
    let (scheme, rest) = value.split_once(':').ok_or_else(|| wrong("expected a scheme, `:` and what to ask"))?;
    let (scheme, default) = match scheme {
        "https" => (Scheme::Https, 443),
        "http" => (Scheme::Http, 80),
        "tcp" => (Scheme::Tcp, 0),
        _ => return Err(wrong("the scheme is `https`, `http` or `tcp`")),
    };
    if rest.starts_with("//") {
        return Err(wrong("a probe names no host: the customer's own is asked for, and `host` changes it"));
    }
    if scheme == Scheme::Tcp {
        return Ok((
            scheme,
            port(rest).ok_or_else(|| wrong("expected a port from 1 to 65535 after `tcp:`"))?,
            String::new(),
        ));
    }
    let (port_text, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => return Err(wrong("expected a path that begins with `/`")),
    };
    let port = match port_text.strip_suffix(':') {
        None if port_text.is_empty() => default,
        None => return Err(wrong("expected `:` between port and path")),
        Some(text) => port(text).ok_or_else(|| wrong("expected a port from 1 to 65535"))?,
    };
    check_path(path)?;
    Ok((scheme, port, path.to_owned()))
}

fn port(text: &str) -> Option<u16> {
    number(text, 1, 65_535).ok().and_then(|port| u16::try_from(port).ok())
}

/// What RFC 3986 allows in path and query; sent as it is written.
fn check_path(path: &str) -> Value<()> {
    if path.len() > MAX_TEXT {
        return Err(format!("the path is longer than {MAX_TEXT} octets").into());
    }
    check_percents(path)?;
    match path.chars().find(|letter| !letter.is_ascii_graphic() || "\"<>\\^`{|}#".contains(*letter)) {
        Some(letter) => Err(format!("`{}` cannot stand in a path", letter.escape_default()).into()),
        None => Ok(()),
    }
}

/// A URL with a scheme, a host and maybe port and path; taken as it is written.
pub(super) fn origin(value: &str) -> Value<String> {
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| Wrong::from("expected a URL that begins with `https://` or `http://`"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (name, digits) = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, after)) => {
            (format!("[{address}]"), after.strip_prefix(':').or((!after.is_empty()).then_some("?")))
        }
        None => match authority.split_once(':') {
            Some((name, digits)) => (name.to_owned(), Some(digits)),
            None => (authority.to_owned(), None),
        },
    };
    if digits.is_some_and(|digits| port(digits).is_none()) {
        return Err("expected a port from 1 to 65535".into());
    }
    let bracketed = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    if let Some(address) = bracketed {
        address.parse::<std::net::Ipv6Addr>().map_err(|_| Wrong::from("expected an IPv6 address in the brackets"))?;
    } else {
        host(&name)?;
    }
    check_path(path)?;
    Ok(value.to_owned())
}

/// A name for SNI and `Host`: letters, digits, hyphens and underscores in labels. Given back in lower case, without
/// the final dot.
pub(super) fn host(value: &str) -> Value<String> {
    let name = value.strip_suffix('.').unwrap_or(value).to_ascii_lowercase();
    let label = |label: &str| {
        let inner = label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_');
        inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(format!("`{value}` is no host name").into());
    }
    Ok(name)
}

/// `200-399`, `200,204,301-302`.
pub(super) fn expect(value: &str) -> Value<Vec<(u16, u16)>> {
    let code = |text: &str| number(text, 100, 599).ok().and_then(|code| u16::try_from(code).ok());
    let mut ranges = Vec::new();
    for part in value.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        match (code(low), code(high)) {
            (Some(low), Some(high)) if low <= high => ranges.push((low, high)),
            _ => {
                return Err(Wrong::with_help(
                    format!("`{part}` is no status code from 100 to 599 and no range of them"),
                    "write `200-399` or `200,204`",
                ));
            }
        }
    }
    Ok(ranges)
}

pub(super) fn marker(value: &str) -> Value<String> {
    if value.len() > MAX_TEXT {
        return Err(format!("a marker has at most {MAX_TEXT} octets").into());
    }
    Ok(value.to_owned())
}

/// `30/20`: percent of the last so many probes.
pub(super) fn share(value: &str) -> Value<(u8, u16)> {
    let wrong = || Wrong::with_help("expected percent and a number of probes", "write `30/20` for 30 % of the last 20");
    let (percent, of) = value.split_once('/').ok_or_else(wrong)?;
    let percent = number(percent, 1, 100).ok().and_then(|percent| u8::try_from(percent).ok());
    let of = number(of, 1, 1_000).ok().and_then(|of| u16::try_from(of).ok());
    percent.zip(of).ok_or_else(|| {
        Wrong::with_help(
            "expected 1 to 100 percent of the last 1 to 1000 probes",
            "write `30/20` for 30 % of the last 20",
        )
    })
}

/// One absolute name, or addresses separated by commas.
pub(super) fn target(value: &str) -> Value<Target> {
    let parts: Vec<&str> = value.split(',').collect();
    let addresses: Vec<IpAddr> = parts.iter().filter_map(|part| part.parse().ok()).collect();
    if addresses.is_empty() && parts.len() == 1 {
        return target_name(value);
    }
    if addresses.len() != parts.len() {
        let odd = parts.iter().find(|part| part.parse::<IpAddr>().is_err()).copied().unwrap_or_default();
        let help = "a target is one absolute name, or addresses separated by commas";
        return Err(Wrong::with_help(format!("`{odd}` is no address"), help));
    }
    let sorted: BTreeSet<IpAddr> = addresses.iter().copied().collect();
    if sorted.len() != addresses.len() {
        return Err("an address is given twice".into());
    }
    if sorted.len() > MAX_ADDRESSES {
        return Err(format!("a target has at most {MAX_ADDRESSES} addresses").into());
    }
    Ok(Target::Addresses(sorted.into_iter().collect()))
}

fn target_name(value: &str) -> Value<Target> {
    if let Some((_, rest)) = value.split_once("://") {
        let host = rest.split(['/', ':', '?']).next().unwrap_or_default().trim_end_matches('.');
        return Err(Wrong::with_help("a target is a name, not a URL", format!("write `{host}.`")));
    }
    if !value.ends_with('.') || value.ends_with("\\.") {
        let numbers = value.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.' || octet == b':');
        return Err(if numbers {
            format!("`{value}` is no address").into()
        } else {
            Wrong::with_help("the target is not absolute", format!("write `{value}.` with a dot at its end"))
        });
    }
    let name = Name::from_text(value.as_bytes(), &Name::root()).map_err(|error| Wrong::from(error.to_string()))?;
    if name.is_root() || name.is_wildcard() {
        return Err("the root and wildcards are no targets".into());
    }
    Ok(Target::Name(name.to_lowercase().to_string().into()))
}

/// What a candidate is called under its name: it stands behind a `/` in commands.
pub(super) fn id(value: &str) -> Value<Arc<str>> {
    let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'-' | b'_' | b'.');
    if value.len() > 63 || !value.bytes().all(fits) {
        return Err("an id has up to 63 lower-case letters, digits, hyphens, underscores and dots".into());
    }
    Ok(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans() {
        let any = |value: &str| duration(value, Duration::ZERO, Duration::from_secs(86_400)).ok();
        for (value, millis) in
            [("10s", 10_000), ("500ms", 500), ("1h30m", 5_400_000), ("20m", 1_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(any(value), Some(Duration::from_millis(millis)), "{value}");
        }
        for value in ["", "10", "s", "1.5s", "10 s", "-1s", "2d", "99999999999s"] {
            assert_eq!(any(value), None, "{value}");
        }
    }

    #[test]
    fn probes() {
        let ok = |scheme, port, path: &str| Ok((scheme, port, path.to_owned()));
        assert_eq!(probe("https:/"), ok(Scheme::Https, 443, "/"));
        assert_eq!(probe("https:/healthz?a=%20b"), ok(Scheme::Https, 443, "/healthz?a=%20b"));
        assert_eq!(probe("http:8080:/"), ok(Scheme::Http, 8080, "/"));
        assert_eq!(probe("http:8080:/a:b/c"), ok(Scheme::Http, 8080, "/a:b/c"));
        assert_eq!(probe("tcp:443"), ok(Scheme::Tcp, 443, ""));
        for value in [
            "",
            "https",
            "https:",
            "https:8443",
            "https://a.example/",
            "https:0:/",
            "https:99999:/",
            "ftp:/",
            "tcp:",
            "tcp:/",
            "tcp:443:/",
            "tcp:0",
            "https:/a#b",
            "https:/%zz",
            "https:8443/",
        ] {
            assert!(probe(value).is_err(), "{value}");
        }
    }

    #[test]
    fn targets() {
        assert_eq!(target("Shop.B-CDN.net."), Ok(Target::Name("shop.b-cdn.net.".into())));
        let two: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(target("2001:db8::1,192.0.2.1"), Ok(Target::Addresses(two)));
        for value in
            ["", "shop.b-cdn.net", ".", "*.a.", "192.0.2.1,a.example.", "192.0.2.1,192.0.2.1", "192.0.2.999", "a..b."]
        {
            assert!(target(value).is_err(), "{value}");
        }
    }

    #[test]
    fn lists_and_words() {
        let providers = Providers::known();
        assert_eq!(preferences("eu,us", &providers).map(|all| all.len()), Ok(2));
        assert_eq!(preferences("bunny,any", &providers).map(|all| all.len()), Ok(2));
        for value in ["", "eu,", "eu,eu", "any,eu", "uk", "EU", "buny", "xx"] {
            assert!(preferences(value, &providers).is_err(), "{value}");
        }
        assert_eq!(expect("200-399"), Ok(vec![(200, 399)]));
        assert_eq!(expect("200,204,301-302").map(|all| all.len()), Ok(3));
        for value in ["", "200-", "99", "600", "300-200", "200,,300"] {
            assert!(expect(value).is_err(), "{value}");
        }
        assert_eq!(share("30/20"), Ok((30, 20)));
        for value in ["", "30", "0/20", "101/20", "30/0", "30/1001", "30%/20"] {
            assert!(share(value).is_err(), "{value}");
        }
        assert!(sticky("maybe").is_err() && empty("").is_err() && standby("1").is_err());
        assert_eq!(decoded("a%20b%22"), Ok("a b\"".to_owned()));
        assert!(decoded("%2").is_err() && decoded("%zz").is_err() && decoded("%ff").is_err());
        assert_eq!(host("WWW.Shop.example."), Ok("www.shop.example".to_owned()));
        for value in ["", ".", "a b", "-a", "a..b", "a/b", "*.a"] {
            assert!(host(value).is_err(), "{value}");
        }
        for value in ["https://origin.shop.example/", "http://192.0.2.1:8080/x", "https://[2001:db8::1]:8443/"] {
            assert!(origin(value).is_ok(), "{value}");
        }
        for value in ["ftp://a/", "https://", "https://a:0/", "origin.example", "https://[x]/"] {
            assert!(origin(value).is_err(), "{value}");
        }
    }
}
