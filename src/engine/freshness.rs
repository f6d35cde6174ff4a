//! Is this token good enough? The answer is a reason, and the reason is the log line.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::{Anchor, Clock, Timestamp};
use crate::model::{ConnectionKey, Token};
use crate::secret::AccessToken;

/// The lifetime assumed of a token that can be renewed without a person when the provider names none.
pub const ASSUMED_LIFETIME: Duration = Duration::from_secs(3600);
/// A token is refreshed this long before it ends, or earlier by a tenth of its lifetime: whichever is less.
pub const MARGIN_CAP: Duration = Duration::from_secs(300);
/// What a caller who names no `min_ttl` needs: time to send one request.
pub const DEFAULT_MIN_TTL: Duration = Duration::from_secs(30);
/// Two hosts' clocks differ by as much without meaning anything.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// A token with what the provider file said of its renewal when it was issued, so that reading it needs no file.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredToken {
    /// The token.
    pub token: Token,
    /// Where the provider named no expiry and the token can be renewed without a person: when to renew it (UTC).
    pub assumed_until: Option<Timestamp>,
    /// The longest margin before its expiry.
    pub margin_cap: Duration,
    /// When it was obtained, by the monotonic clock: nobody sets that one back.
    pub anchor: Option<Anchor>,
}

impl StoredToken {
    /// The instant to judge it by: what the wall clock shows, or would show had nobody set it back since the token was
    /// obtained. A record of another boot is judged by the wall clock alone.
    pub fn now(&self, clock: &Clock) -> Timestamp {
        let wall = clock.wall();
        let passed = self.anchor.as_ref().and_then(|anchor| clock.since(anchor));
        passed.map_or(wall, |passed| {
            wall.max(self.token.obtained_at.after(passed))
        })
    }

    /// When it ends as the wall clock shows it now, which may have been set back since it was obtained.
    pub fn ends_at(&self, clock: &Clock) -> Option<Timestamp> {
        let behind = self.now(clock).since(clock.wall());
        self.token.expires_at.map(|ends| ends.before(behind))
    }

    /// The lifetime the provider gave it, `None` when it did not say.
    pub fn lifetime(&self) -> Option<Duration> {
        self.token
            .expires_at
            .map(|expires_at| expires_at.since(self.token.obtained_at))
    }

    /// The time before its expiry in which it is handed out and refreshed at once: the same on every host.
    pub fn margin(&self, key: &ConnectionKey) -> Duration {
        let lifetime = self.lifetime().unwrap_or(ASSUMED_LIFETIME);
        self.margin_cap
            .min(lifetime / 10)
            .mul_f64(0.75 + 0.25 * spread(key))
    }

    /// Whether it no longer works by the provider's own word.
    pub fn used_up(&self, now: Timestamp) -> bool {
        self.token
            .expires_at
            .is_some_and(|expires_at| expires_at <= now)
    }

    /// The default `min_ttl` of this token: never more than half of what it lives.
    pub fn default_min_ttl(&self) -> Duration {
        self.lifetime().map_or(DEFAULT_MIN_TTL, |lifetime| {
            DEFAULT_MIN_TTL.min(lifetime / 2)
        })
    }

    /// Whether a token of its lifetime is enough for `need` when it is new.
    pub fn outlives(&self, need: &Need) -> bool {
        let least = need.min_ttl.unwrap_or_else(|| self.default_min_ttl());
        self.lifetime().is_some_and(|lifetime| lifetime > least)
    }

    /// Until when [`judge`] calls it fresh for a caller without wishes; `None` is for ever.
    pub fn fresh_until(&self, key: &ConnectionKey) -> Option<Timestamp> {
        match self.token.expires_at {
            Some(expires_at) => {
                Some(expires_at.before(self.margin(key).max(self.default_min_ttl())))
            }
            None => self.assumed_until,
        }
    }
}

/// What a caller needs of a token.
#[derive(Clone, Debug, Default)]
pub struct Need {
    /// It must live so long; `None`: the default.
    pub min_ttl: Option<Duration>,
    /// The token that was refused.
    pub replacing: Option<AccessToken>,
    /// A new token is wanted whatever the stored one's age.
    pub at_once: bool,
}

/// Why a token is handed out or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Freshness {
    /// Good.
    Fresh,
    /// Good, but the caller asked for a new one.
    Asked,
    /// Good for this caller, and due: refreshed in the background.
    Expiring,
    /// Over, or from a future that has not been.
    Expired,
    /// The API refused it.
    Refused,
    /// It lives, but not as long as the caller needs.
    BelowMinTtl,
    /// The provider named no expiry, and the assumed lifetime is over.
    Unknown,
    /// A service token of an older configuration.
    Reconfigured,
    /// There is none for this resource yet.
    Missing,
}

impl Freshness {
    /// The word in logs and audit events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Asked => "asked",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::BelowMinTtl => "below_min_ttl",
            Self::Unknown => "unknown",
            Self::Reconfigured => "reconfigured",
            Self::Missing => "missing",
        }
    }

    /// Whether the token may be handed out now.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Fresh | Self::Expiring)
    }
}

/// Judges a stored token at the instant `now` ([`StoredToken::now`]). `revision` is the integration's when only that
/// revision's tokens count.
pub fn judge(
    stored: Option<&StoredToken>,
    key: &ConnectionKey,
    need: &Need,
    revision: Option<u64>,
    now: Timestamp,
) -> Freshness {
    let Some(stored) = stored else {
        return Freshness::Missing;
    };
    let token = &stored.token;
    if revision.is_some_and(|revision| revision != token.revision) {
        return Freshness::Reconfigured;
    }
    if need.replacing.as_ref() == Some(&token.value) {
        return Freshness::Refused;
    }
    if token.obtained_at > now.after(CLOCK_TOLERANCE) {
        return Freshness::Expired;
    }
    let Some(expires_at) = token.expires_at else {
        return match stored.assumed_until {
            Some(until) if until <= now => Freshness::Unknown,
            _ if need.at_once => Freshness::Asked,
            _ => Freshness::Fresh,
        };
    };
    let left = expires_at.since(now);
    if left.is_zero() {
        Freshness::Expired
    } else if left < need.min_ttl.unwrap_or_else(|| stored.default_min_ttl()) {
        Freshness::BelowMinTtl
    } else if need.at_once {
        Freshness::Asked
    } else if left < stored.margin(key) {
        Freshness::Expiring
    } else {
        Freshness::Fresh
    }
}

/// Back-off after `failures` failures in a row: doubled from one second to five minutes, spread by half, and never
/// earlier than the server asked.
pub fn back_off(failures: u32, retry_after: Option<Duration>, random: f64) -> Duration {
    const FIRST: f64 = 1.0;
    const LONGEST: f64 = 300.0;
    let doubled = (FIRST * 2f64.powi(failures.saturating_sub(1).min(16) as i32)).min(LONGEST);
    let spread = Duration::from_secs_f64(doubled * (0.5 + 0.5 * random));
    spread.max(
        retry_after
            .unwrap_or_default()
            .min(Duration::from_secs(86_400)),
    )
}

/// A number from 0 to 1 that is the same for a connection on every host.
fn spread(key: &ConnectionKey) -> f64 {
    let mut hash = Sha256::new();
    for part in [
        &*key.integration.provider,
        key.integration.grant_type.as_str(),
        &*key.connection,
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    f64::from(hash.finalize()[0]) / 255.0
}
