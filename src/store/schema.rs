//! The schema: numbered migrations, and the words that its columns hold.

use super::{EndingOutcome, StoredState};

/// The schema that this code writes: the number of the last migration.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Marks the file as ours (`PRAGMA application_id`): `evgr`.
pub const APPLICATION_ID: i32 = 0x6576_6772;

/// Every step from nothing to [`VERSION`], in order. A released one never changes; a new one only adds.
pub const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];

/// How many audit events a store keeps.
pub const KEPT_EVENTS: i64 = 10_000;

impl StoredState {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::ReauthorizationRequired => "reauthorization_required",
            Self::Disconnecting => "disconnecting",
            Self::Disconnected => "disconnected",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Connected,
            Self::ReauthorizationRequired,
            Self::Disconnecting,
            Self::Disconnected,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

impl EndingOutcome {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotProcessed => "not_processed",
            Self::ResourceRefused => "resource_refused",
            Self::Unknown => "unknown",
        }
    }

    /// The outcome of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::NotProcessed, Self::ResourceRefused, Self::Unknown]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}
