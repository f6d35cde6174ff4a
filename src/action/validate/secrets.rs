//! The tokens that a template declares, against the catalogue of providers.

use std::collections::BTreeSet;

use super::{Check, Surroundings};
use crate::action::needs::needs;
use crate::action::template::SecretKind;
use crate::action::validate::check::shown;
use crate::error::ErrorKind;

impl Check<'_> {
    /// Providers that nobody knows, and grants that they don't have.
    pub(super) fn secrets(&mut self, surroundings: &Surroundings<'_>) {
        let template = self.template;
        let declared = template.secrets.iter();
        let declared = declared.filter(|secret| matches!(secret.kind, SecretKind::OAuth { .. }));
        let mut known = BTreeSet::new();
        for (secret, need) in declared.zip(needs(template)) {
            let provider_id = need.provider_id.as_str();
            if !known.insert((need.provider_id.clone(), need.grant_type)) {
                self.warn(secret.at, "this token is declared twice", None);
            }
            let found = surroundings.catalog.find(provider_id);
            match found {
                Ok(provider) if provider.grant_types().contains(&need.grant_type) => {}
                Ok(provider) => {
                    let message = format!(
                        "{} has no grant type {}",
                        shown(provider_id),
                        need.grant_type
                    );
                    let has = provider.grant_types();
                    let has = Vec::from_iter(has.iter().map(|grant_type| grant_type.as_str()));
                    let hint = format!("it has {}", has.join(", "));
                    self.error(secret.at, message, Some(hint));
                }
                Err(_) if (surroundings.is_configured)(provider_id) => {}
                Err(error) => {
                    let hint = match error.kind() {
                        ErrorKind::UnknownProvider => error.next_command().map(str::to_owned),
                        _ => None,
                    };
                    self.error(secret.at, error.reason(), hint);
                }
            }
        }
    }
}
