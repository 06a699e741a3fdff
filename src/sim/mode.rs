//! What is wrong with each simulated provider now.
//!
//! | word | its customers' pages | its own test page | its DNS |
//! | --- | --- | --- | --- |
//! | `right` | as they should be | green | answers |
//! | `400` to `599` | this status | green | answers |
//! | `refuse` | no TCP connection | the same | answers |
//! | `blackhole` | a connection on which nothing is ever said | the same | answers |
//! | `slow` | right, after 2.5 s | green | answers |
//! | `wrong-cert` | a certificate for another name | the same | answers |
//! | `expired-cert` | a certificate that ended in 2020 | the same | answers |
//! | `empty-body` | status 200, no body | green | answers |
//! | `no-marker` | status 200, somebody else's page | green | answers |
//! | `challenge` | status 403, a challenge page for everybody | green | answers |
//! | `unclaimed` | status 500, the page for a hostname that nobody has claimed | green | answers |
//! | `ending-cert` | as they should be, with a certificate that ends in two days | green | answers |
//! | `servfail` | as they should be | green | SERVFAIL |
//! | `nxdomain` | as they should be | green | NXDOMAIN |

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::watch;

/// One way to fail, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    #[default]
    Right,
    /// 400 to 599.
    Status(u16),
    Refuse,
    Blackhole,
    Slow,
    WrongCert,
    ExpiredCert,
    EmptyBody,
    NoMarker,
    Challenge,
    Unclaimed,
    EndingCert,
    Servfail,
    Nxdomain,
}

impl Mode {
    /// What 18 November and 5 December 2025 looked like from outside.
    pub const DEFAULT_FAULT: Self = Self::Status(500);

    /// The words for all modes; `500` and `503` stand for every status from 400 to 599.
    pub const WORDS: [&str; 15] = [
        "500",
        "503",
        "refuse",
        "blackhole",
        "slow",
        "wrong-cert",
        "expired-cert",
        "empty-body",
        "no-marker",
        "challenge",
        "unclaimed",
        "ending-cert",
        "servfail",
        "nxdomain",
        "right",
    ];
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        Ok(match word {
            "right" => Self::Right,
            "refuse" => Self::Refuse,
            "blackhole" => Self::Blackhole,
            "slow" => Self::Slow,
            "wrong-cert" => Self::WrongCert,
            "expired-cert" => Self::ExpiredCert,
            "empty-body" => Self::EmptyBody,
            "no-marker" => Self::NoMarker,
            "challenge" => Self::Challenge,
            "unclaimed" => Self::Unclaimed,
            "ending-cert" => Self::EndingCert,
            "servfail" => Self::Servfail,
            "nxdomain" => Self::Nxdomain,
            number => match number.parse() {
                Ok(status @ 400..=599) => Self::Status(status),
                _ => return Err(UnknownMode(word.to_owned())),
            },
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(status) => return write!(f, "{status}"),
            Self::Right => "right",
            Self::Refuse => "refuse",
            Self::Blackhole => "blackhole",
            Self::Slow => "slow",
            Self::WrongCert => "wrong-cert",
            Self::ExpiredCert => "expired-cert",
            Self::EmptyBody => "empty-body",
            Self::NoMarker => "no-marker",
            Self::Challenge => "challenge",
            Self::Unclaimed => "unclaimed",
            Self::EndingCert => "ending-cert",
            Self::Servfail => "servfail",
            Self::Nxdomain => "nxdomain",
        })
    }
}

/// A word that names no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a mode; there are: {words}, or any status from 400 to 599", words = Mode::WORDS.join(", "))]
pub struct UnknownMode(String);

/// The mode of each provider. Clones share them.
#[derive(Clone, Debug)]
pub struct Modes(Arc<BTreeMap<Arc<str>, watch::Sender<Mode>>>);

/// An id that no provider of the simulation has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no provider `{id}` here; there are: {known}")]
pub struct UnknownProvider {
    pub id: String,
    /// The ids that there are, separated by commas.
    pub known: String,
}

impl Modes {
    /// All of these providers, nothing wrong with any.
    pub fn all_right(ids: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self(Arc::new(ids.into_iter().map(|id| (id, watch::Sender::new(Mode::Right))).collect()))
    }

    /// Puts a provider into a mode, and returns the one it was in.
    pub fn put(&self, id: &str, mode: Mode) -> Result<Mode, UnknownProvider> {
        Ok(self.sender(id)?.send_replace(mode))
    }

    /// The mode that a provider is in.
    pub fn current(&self, id: &str) -> Result<Mode, UnknownProvider> {
        Ok(*self.sender(id)?.borrow())
    }

    /// A receiver that sees each change of a provider's mode.
    pub fn watch(&self, id: &str) -> Result<watch::Receiver<Mode>, UnknownProvider> {
        Ok(self.sender(id)?.subscribe())
    }

    /// Every provider with its mode, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Mode)> {
        self.0.iter().map(|(id, sender)| (id, *sender.borrow()))
    }

    fn sender(&self, id: &str) -> Result<&watch::Sender<Mode>, UnknownProvider> {
        self.0.get(id).ok_or_else(|| UnknownProvider {
            id: id.to_owned(),
            known: self.0.keys().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_a_mode_and_back() {
        for word in Mode::WORDS {
            assert_eq!(word.parse::<Mode>().map(|mode| mode.to_string()), Ok(word.to_owned()));
        }
        assert_eq!("429".parse(), Ok(Mode::Status(429)));
        for word in ["", "200", "399", "600", "5000", "-500", "Refuse", "down"] {
            assert_eq!(word.parse::<Mode>(), Err(UnknownMode(word.to_owned())));
        }
    }

    #[test]
    fn an_unknown_provider_is_told_who_there_is() {
        let modes = Modes::all_right(["gcore".into(), "bunny".into()]);
        assert_eq!(modes.put("bunny", Mode::Slow), Ok(Mode::Right));
        assert_eq!(modes.current("bunny"), Ok(Mode::Slow));
        assert_eq!(modes.current("gcore"), Ok(Mode::Right));
        let error = modes.put("edgio", Mode::Slow).expect_err("not there");
        assert_eq!(error.to_string(), "there is no provider `edgio` here; there are: bunny, gcore");
    }
}
