//! What the engine says when it can't: each error names the next command, and the command works when pasted.

use std::time::Duration;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionKey, Grant, GrantType, IntegrationKey};
use crate::provider::Spec;

impl Engine {
    /// A command that works when pasted.
    pub(crate) fn command(&self, command: &str) -> String {
        format!("evergrant {command}{}", self.command_options)
    }

    /// The command that connects.
    pub(crate) fn connect_command(&self, key: &ConnectionKey, again: bool) -> String {
        let mut command = format!("connect {}", key.integration.provider);
        if key.integration.grant_type == GrantType::ClientCredentials {
            command.push_str(" --grant-type client_credentials");
        }
        if &*key.connection != "default" {
            command.push_str(&format!(" --connection {}", quote(&key.connection)));
        }
        if again {
            command.push_str(" --again");
        }
        self.command(&command)
    }

    pub(crate) fn require_writable(&self, verb: &str) -> Result<()> {
        if self.store.writable() {
            return Ok(());
        }
        Err(Error::store(
            "store_read_only",
            format!(
                "{} can't be written, and {verb} has to",
                self.store.location()
            ),
        )
        .hint("export EVERGRANT_STORE=/a/writable/folder/store.db"))
    }

    /// Refuses a grant that the end of the process would lose.
    pub(crate) fn require_durable(&self, verb: &str, spec: &Spec) -> Result<()> {
        let rotates = spec
            .refresh
            .as_ref()
            .is_some_and(|refresh| refresh.rotates.possible());
        if self.store.keeps() || !rotates {
            return Ok(());
        }
        Err(Error::store(
            "store_read_only",
            format!(
                "the store can't be written, and {verb} brings a refresh token of {} that rotates",
                spec.name
            ),
        )
        .hint("export EVERGRANT_STORE=/a/writable/folder/store.db"))
    }

    pub(crate) fn not_connected(&self, key: &ConnectionKey) -> Error {
        Error::new(
            ErrorKind::NotConnected,
            "not_connected",
            format!(
                "{} has no connection named {}",
                key.integration.provider, key.connection
            ),
        )
        .hint(self.connect_command(key, false))
    }

    pub(super) async fn not_connected_naming_others(&self, key: &ConnectionKey) -> Error {
        const SHOWN: usize = 5;
        let others = self
            .store
            .list(&self.workspace, Some(&key.integration), None, SHOWN)
            .await
            .unwrap_or_default();
        let names: Vec<&str> = others.iter().map(|row| &*row.key.connection).collect();
        if names.is_empty() {
            return self.not_connected(key);
        }
        let provider = &key.integration.provider;
        Error::new(
            ErrorKind::NotConnected,
            "not_connected",
            format!(
                "{provider} has no connection named {}, but {}",
                key.connection,
                names.join(", ")
            ),
        )
        .hint(format!(
            "{}\n{}",
            self.command(&format!(
                "token {provider} --connection {}",
                quote(names[0])
            )),
            self.connect_command(key, false)
        ))
    }

    pub(crate) fn reauthorization_required(
        &self,
        key: &ConnectionKey,
        grant: Option<&Grant>,
    ) -> Error {
        let refusal = grant.and_then(|grant| grant.refusal.clone());
        let reason = match &refusal {
            Some(refusal) => refusal.meaning.clone(),
            None => format!("the grant of {} no longer works", key.integration.provider),
        };
        Error::new(
            ErrorKind::ReauthorizationRequired {
                error: refusal.as_ref().map(|refusal| refusal.error.clone()),
                description: refusal.and_then(|refusal| refusal.description),
            },
            "reauthorization_required",
            reason,
        )
        .hint(self.connect_command(key, true))
    }

    pub(super) fn restored_backup(&self, key: &ConnectionKey) -> Error {
        Error::store(
            "store_restored",
            format!(
                "{} holds an older record of {}/{} than this process has seen: a backup was restored over it",
                self.store.location(),
                key.integration.provider,
                key.connection
            ),
        )
        .hint(self.connect_command(key, true))
    }

    pub(super) fn connection_unreadable(&self, key: &IntegrationKey) -> Error {
        let reason = format!(
            "{} holds a connection of {} ({}) that can't be read",
            self.store.location(),
            key.provider,
            key.grant_type
        );
        let error = Error::store("store_damaged", reason);
        match self.store.set_aside() {
            Some(command) => error.hint(command),
            None => error,
        }
    }

    pub(super) fn refresh_token_held(&self, key: &ConnectionKey, holder: &ConnectionKey) -> Error {
        Error::invalid_parameter(
            "refresh_token_held",
            format!(
                "the connection {} of {} holds this refresh token already: two that refresh it would end each other",
                holder.connection, holder.integration.provider
            ),
        )
        .of_provider(&key.integration.provider)
        .hint(self.command(&format!("status {}", holder.integration.provider)))
    }

    pub(super) fn token_reissued(&self, key: &ConnectionKey) -> Error {
        let kind = ErrorKind::ProviderRejected {
            error: None,
            description: None,
        };
        let provider = &key.integration.provider;
        let reason = format!("{provider} issued the very token again that was refused");
        Error::new(kind, "token_reissued", reason).hint(self.connect_command(key, true))
    }

    pub(super) fn min_ttl_too_long(&self, min_ttl: Duration, lifetime: Duration) -> Error {
        Error::invalid_parameter(
            "min_ttl_too_long",
            format!(
                "min_ttl is {} s, but a token lives {} s",
                min_ttl.as_secs_f64(),
                lifetime.as_secs()
            ),
        )
    }
}

/// A word of a command as a shell reads it.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
