//! The one error of the core. Its kinds are named by what the caller can do; `python/errors.rs` maps them to exceptions.

use std::fmt;
use std::time::Duration;

/// The result of everything in the core that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in whose terms, and the next command. Never holds a secret or a response body.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.message())]
pub struct Error(Box<Detail>);

#[derive(Clone, Debug)]
struct Detail {
    kind: ErrorKind,
    code: &'static str,
    provider: Option<String>,
    connection: Option<String>,
    reason: String,
    hint: Option<String>,
}

/// What the caller can do about an [`Error`]: one kind per exception of the Python tree.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An action could not be run: its inputs, or what a server answered, are wrong.
    Action,
    /// Two grant types are configured and none was named.
    AmbiguousGrant,
    /// The person, or the provider for them, said no.
    ConnectDenied,
    /// A sign-in could not be finished: wrong state, other session, port taken, wrong `iss`.
    ConnectFailed,
    /// Nobody finished the sign-in in time.
    ConnectTimeout,
    /// A bug of evergrant, a panic included.
    Internal,
    /// An argument is wrong.
    InvalidParameter,
    /// A scope is not one of the provider's.
    InvalidScope {
        /// The scope as the caller wrote it.
        scope: String,
        /// The allowed patterns: regular expressions, some with an example.
        patterns: Vec<String>,
        /// The nearest valid scope.
        nearest: Option<String>,
    },
    /// The grant lacks scopes that the caller needs.
    MissingScopes {
        /// Needed and not granted.
        missing: Vec<String>,
        /// Granted and needed together: what to ask for.
        union: Vec<String>,
    },
    /// The integration is not configured in this workspace.
    NotConfigured,
    /// The connection holds no grant.
    NotConnected,
    /// The provider answered with an error, or with something unusable.
    ProviderRejected {
        /// The OAuth error code (RFC 6749 section 5.2), if there was one.
        error: Option<String>,
        /// The provider's own words, cleaned and masked.
        description: Option<String>,
    },
    /// The provider could not be reached, or asks to wait.
    ProviderUnavailable {
        /// How long to wait before the next try, where known.
        retry_after: Option<Duration>,
    },
    /// The grant no longer works: a person has to connect again.
    ReauthorizationRequired {
        /// The OAuth error code (RFC 6749 section 5.2), if there was one.
        error: Option<String>,
        /// The provider's own words, cleaned and masked.
        description: Option<String>,
    },
    /// The store could not be read or written.
    Store,
    /// An action template is wrong.
    Template {
        /// Its file.
        path: Option<String>,
        /// The line of the mistake, from 1.
        line: Option<usize>,
        /// The column of the mistake, from 1.
        column: Option<usize>,
    },
    /// No provider, action or integration of that id.
    UnknownProvider,
    /// No key was found for a store that holds records.
    VaultLocked,
    /// The key is malformed, readable by others, or another store's.
    WrongKey,
}

impl Error {
    /// An error of `kind`; `code` is stable and lower_snake, `reason` one sentence without its full stop.
    pub fn new(kind: ErrorKind, code: &'static str, reason: impl Into<String>) -> Self {
        Self(Box::new(Detail {
            kind,
            code,
            provider: None,
            connection: None,
            reason: reason.into(),
            hint: None,
        }))
    }

    /// A bug of evergrant's own: `reason` says which promise of the code did not hold.
    pub fn internal(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, "internal_error", reason)
    }

    /// An argument of the caller's is wrong.
    pub fn invalid_parameter(code: &'static str, reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParameter, code, reason)
    }

    /// An action could not be run.
    pub fn action(code: &'static str, reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Action, code, reason)
    }

    /// The store could not be read or written.
    pub fn store(code: &'static str, reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Store, code, reason)
    }

    /// Names the provider; the first to name one wins, since it is nearest to the cause.
    #[must_use]
    pub fn of_provider(mut self, provider: &str) -> Self {
        self.0.provider.get_or_insert_with(|| provider.to_owned());
        self
    }

    /// Names the connection; the first to name one wins.
    #[must_use]
    pub fn of_connection(mut self, connection: &str) -> Self {
        self.0
            .connection
            .get_or_insert_with(|| connection.to_owned());
        self
    }

    /// Says it in other words.
    #[must_use]
    pub fn reworded(mut self, reason: impl Into<String>) -> Self {
        self.0.reason = reason.into();
        self
    }

    /// Adds the next command, ready to paste; several stand one per line.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The stable, lower_snake code of this very case.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The provider concerned.
    pub fn provider(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }

    /// The connection concerned.
    pub fn connection(&self) -> Option<&str> {
        self.0.connection.as_deref()
    }

    /// What happened, in one sentence.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The next command, ready to paste.
    pub fn next_command(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Reason and, below it, the next command.
    pub fn message(&self) -> impl fmt::Display + '_ {
        struct Message<'a>(&'a Detail);
        impl fmt::Display for Message<'_> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0.reason)?;
                match &self.0.hint {
                    Some(hint) => write!(formatter, "\n{hint}"),
                    None => Ok(()),
                }
            }
        }
        Message(&self.0)
    }
}
