//! Homes: the jurisdictions that providers answer to.
//!
//! A home is `eu`, or a country's two-letter code (ISO 3166-1, lower case). The code of a member state of the
//! European Union is inside `eu`: a provider at home in `si` is matched by `eu` and by `si`; one whose home is
//! given as just `eu` is matched by `eu` alone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The member states of the European Union.
pub const EU_MEMBERS: [&str; 27] = [
    "at", "be", "bg", "cy", "cz", "de", "dk", "ee", "es", "fi", "fr", "gr", "hr", "hu", "ie", "it", "lt", "lu", "lv",
    "mt", "nl", "pl", "pt", "ro", "se", "si", "sk",
];

/// The jurisdiction that a provider answers to: `eu` or a country's code, lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Home([u8; 2]);

impl Home {
    /// The European Union as a whole.
    pub const EU: Self = Self(*b"eu");

    /// The two letters, lower case.
    pub fn as_str(&self) -> &str {
        // `FromStr` is the only way in and takes ASCII letters alone.
        std::str::from_utf8(&self.0).unwrap_or("??")
    }

    /// Whether this home lies inside `other`: the same, or a member state and `eu`.
    pub fn is_within(self, other: Self) -> bool {
        self == other || (other == Self::EU && EU_MEMBERS.contains(&self.as_str()))
    }
}

impl FromStr for Home {
    type Err = InvalidHome;

    fn from_str(text: &str) -> Result<Self, InvalidHome> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_lowercase() && b.is_ascii_lowercase() => Ok(Self([*a, *b])),
            _ => Err(InvalidHome(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Home {
    type Error = InvalidHome;

    fn try_from(text: String) -> Result<Self, InvalidHome> {
        text.parse()
    }
}

impl From<Home> for String {
    fn from(home: Home) -> Self {
        home.as_str().to_owned()
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is neither `eu` nor a two-letter country code in lower case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a home: expected `eu` or a two-letter country code in lower case")]
pub struct InvalidHome(String);
