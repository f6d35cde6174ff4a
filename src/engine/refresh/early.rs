//! Rules of vendors about when a token may be renewed.

use std::time::Duration;

use super::Lead;
use crate::error::Result;

impl Lead<'_> {
    /// A few vendors refuse to renew a token before it has some age, and count the attempt.
    pub(super) fn check_age(&self) -> Result<()> {
        let (Some(min_age), Some(stored)) = (self.spec.lifetimes.min_age, &self.token) else {
            return Ok(());
        };
        let now = stored.now(&self.engine.clock);
        let min_age = Duration::from_secs_f64(min_age.clamp(0.0, 1e9));
        let left = stored.token.obtained_at.after(min_age).since(now);
        if left.is_zero() || stored.used_up(now) {
            return Ok(());
        }
        let reason = format!(
            "{} renews no token in its first {} s",
            self.spec.name,
            min_age.as_secs()
        );
        Err(self.unavailable(reason, Some(left)))
    }

    /// Whether there are no refresh tokens and the access token renews itself, as long as it lives.
    pub(super) fn renews_itself(&self) -> bool {
        let uses_access_token = self
            .spec
            .refresh
            .as_ref()
            .is_some_and(|refresh| refresh.uses_access_token);
        let clock = &self.engine.clock;
        uses_access_token
            && self
                .token
                .as_ref()
                .is_some_and(|stored| !stored.used_up(stored.now(clock)))
    }
}
