//! Markers that stand for tokens in expressions, scripts and steps: worthless text of one run, replaced as a request leaves.

use std::fmt::Write as _;
use std::sync::Arc;

use super::value::{Failure, Value};
use crate::model::GrantType;

/// The token that a marker stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Placeholder {
    /// The marker: random, the same throughout the run.
    pub marker: Arc<str>,
    /// The provider whose token it is, as the template names it.
    pub provider: Arc<str>,
    /// How that token is granted.
    pub grant_type: GrantType,
}

/// The placeholders of a run.
#[derive(Clone, Debug, Default)]
pub struct Placeholders(Arc<[Placeholder]>);

impl Placeholder {
    /// A new marker for a provider's token.
    ///
    /// # Errors
    /// The machine gives no random numbers.
    pub fn new(provider: &str, grant_type: GrantType) -> Result<Self, Failure> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|_| Failure::new("the machine gives no random numbers"))?;
        // Letters, digits and dashes: what quotes, encodes for URLs or escapes leaves it whole.
        let mut marker = String::from("evergrant-token-");
        for byte in bytes {
            // Writing to a String can't fail.
            let _ = write!(marker, "{byte:02x}");
        }
        Ok(Self {
            marker: marker.into(),
            provider: provider.into(),
            grant_type,
        })
    }
}

impl FromIterator<Placeholder> for Placeholders {
    fn from_iter<I: IntoIterator<Item = Placeholder>>(placeholders: I) -> Self {
        Self(placeholders.into_iter().collect())
    }
}

impl Placeholders {
    /// Those whose marker stands in `text`.
    pub fn of_text(&self, text: &str) -> impl Iterator<Item = &Placeholder> {
        let all = self.0.iter();
        all.filter(move |placeholder| text.contains(&*placeholder.marker))
    }

    /// The first of which a marker stands anywhere in `value`, in keys too.
    pub fn first_in(&self, value: &Value) -> Option<&Placeholder> {
        if self.0.is_empty() {
            return None;
        }
        match value {
            Value::Text(text) => {
                let mut all = self.0.iter();
                all.find(|placeholder| text.contains(&*placeholder.marker))
            }
            Value::List(items) => items.iter().find_map(|item| self.first_in(item)),
            Value::Mapping(entries) => entries
                .iter()
                .find_map(|(key, member)| self.first_in(key.value()).or(self.first_in(member))),
            _ => None,
        }
    }

    /// Refuses the result of what was given a marker and answers with something in which none is whole: it would be of no
    /// use, and of the token nothing may be told but whether it is there.
    pub fn check<'given>(
        &self,
        given: impl IntoIterator<Item = &'given Value>,
        result: &Value,
    ) -> Result<(), Failure> {
        let tells_nothing = matches!(result, Value::None | Value::Bool(_));
        if self.0.is_empty() || tells_nothing || self.first_in(result).is_some() {
            return Ok(());
        }
        match given.into_iter().find_map(|value| self.first_in(value)) {
            Some(Placeholder { provider, .. }) => Err(Failure::new(format!(
                "a token of {provider} can't be changed, measured or encoded: it is put in when the request leaves"
            ))),
            None => Ok(()),
        }
    }
}
