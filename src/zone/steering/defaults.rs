//! Policy fields that the configuration sets for the whole installation.

use super::fields::{Known, PolicyFields, Refused};
use crate::steer::provider::Providers;

/// Defaults for all policies; parsed by the code that parses zone files. Without any, the built-in ones hold.
#[derive(Clone, Debug, Default)]
pub struct Defaults(pub(super) PolicyFields);

/// One field that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {message}")]
pub struct InvalidDefault {
    pub field: String,
    pub message: String,
}

impl Defaults {
    /// From fields and their values, written as in a zone file (percent-encoded). `areas` are the named sets of the
    /// configuration. All that is wrong is told.
    pub fn parse<'a>(
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
        providers: &Providers,
        areas: &[String],
    ) -> Result<Self, Vec<InvalidDefault>> {
        let known = Known { providers, areas };
        let mut policy = PolicyFields::default();
        let mut wrong = Vec::new();
        for (field, value) in fields {
            let taken = match field {
                "host" | "use" | "origin" => {
                    Err(Refused::Field("this field belongs to one name and has no default".into()))
                }
                _ => policy.take(field, value, None, known),
            };
            if let Err(Refused::Field(why) | Refused::Value(why)) = taken {
                let help = why.help.map(|help| format!(" ({help})")).unwrap_or_default();
                wrong.push(InvalidDefault { field: field.to_owned(), message: format!("{}{help}", why.message) });
            }
        }
        if wrong.is_empty() { Ok(Self(policy)) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_told() {
        let providers = Providers::known();
        assert!(Defaults::parse([("ttl", "20"), ("every", "5s"), ("prefer", "eu,any")], &providers, &[]).is_ok());
        let wrong = Defaults::parse([("ttl", "x"), ("evry", "5s"), ("use", "shop")], &providers, &[]).unwrap_err();
        assert_eq!(wrong.len(), 3);
        assert_eq!(wrong[1].to_string(), "`evry`: `evry` is no policy field (did you mean `every`?)");
    }
}
