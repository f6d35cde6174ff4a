//! One refresh of one connection, step by step: claim, reserve, send, read the outcome, commit.
//!
//! Of every line the question is: what if the process dies here? The attempt's row says who leads and that a request
//! may have left; the slot holds the reply from its first microsecond; the commit is compare-and-swap.

mod claim;
mod early;
mod outcome;
mod reply;
mod unrecorded;
mod unwanted;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use self::reply::Place;
pub(crate) use self::reply::{LeftBehind, stored_token};
pub(crate) use self::unrecorded::Rests;
use crate::clock::{Monotonic, Timestamp};
use crate::engine::Engine;
use crate::engine::config::Integration;
use crate::engine::exchange;
use crate::engine::freshness::{self, Freshness, Need, StoredToken, judge};
use crate::engine::record::Note;
use crate::error::Result;
use crate::fault;
use crate::model::{ConnectionKey, Grant, GrantType};
use crate::oauth::response::Outcome;
use crate::oauth::{self};
use crate::provider::Spec;
use crate::secret::AccessToken;
use crate::store::{Attempt, AttemptId, Claimed, EndingOutcome, Loaded};
use crate::vault::{self, Kind, Subject};

/// An attempt is over after this long in any case: it outlasts its request (10 s to connect, 120 s to reply).
const LEASE: Duration = Duration::from_secs(150);
/// What must be left of the lease for a request to be sent.
const LEFT_TO_SEND: Duration = Duration::from_secs(135);
/// What must be left of it when the first byte leaves: connecting takes 10 s at most.
const LEFT_TO_LEAVE: Duration = Duration::from_secs(125);
/// How often the store is tried before a reply stays in its slot, or an attempt runs on to its deadline.
pub(crate) const TRIES: u32 = 4;
/// How often it is tried from then on, in the background.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a refresh is wanted, and of what.
#[derive(Clone, Debug)]
pub struct Order {
    /// The connection.
    pub key: ConnectionKey,
    /// The resource, empty for the default.
    pub resource: String,
    /// What was wrong with the stored token.
    pub reason: Freshness,
    /// What the caller needs.
    pub need: Need,
}

/// What a leader knows when it claims.
struct Lead<'a> {
    engine: &'a Arc<Engine>,
    order: &'a Order,
    integration: Integration,
    spec: Arc<Spec>,
    loaded: Loaded,
    grant: Option<Grant>,
    token: Option<Arc<StoredToken>>,
    /// The other connection's token that this one's is made from (RFC 8693).
    subject_token: Option<AccessToken>,
    note: Option<Note>,
    attempt: AttemptId,
    /// The attempt is ended in the background, as soon as the store lets it.
    ends_later: AtomicBool,
}

/// Whether the flight is over or has to look again.
enum Next {
    Landed(Arc<StoredToken>),
    LookAgain,
}

/// Whether the request may leave.
enum Ready {
    Send {
        /// Where the reply is kept first, if it can bring a new refresh token.
        place: Option<Place>,
        /// Whether the refresh token may have been used already.
        replays: bool,
        /// From then on it must not leave: another may claim before its reply is here.
        leaves_by: Monotonic,
    },
    LookAgain,
}

/// Refreshes until there is a token that suits, or an error that says whose move it is.
pub async fn refresh(engine: Arc<Engine>, order: Order) -> Result<Arc<StoredToken>> {
    let mut invalid_client_seen = None;
    let mut began_at = None;
    loop {
        if let Err(error) = engine.commit_left_behind(&order.key).await {
            // What could not be stored yet is as good for this process as what is.
            let left = engine.left_behind.token(&order.key, &order.resource);
            return left
                .filter(|left| {
                    judge(
                        Some(left),
                        &order.key,
                        &order.need,
                        None,
                        left.now(&engine.clock),
                    )
                    .serves()
                })
                .ok_or(error);
        }
        let loaded = engine.store.load(&order.key, &order.resource).await?;
        let service = order.key.integration.grant_type == GrantType::ClientCredentials;
        engine.check_state(&order.key, &loaded, service).await?;
        let meant = engine
            .meant(
                &order.key.integration.provider,
                Some(order.key.integration.grant_type),
            )
            .await?;
        let integration = engine
            .open_integration(&meant.key, meant.row.as_ref())
            .await?;
        let token = engine.open_token(&order.key, &loaded).await?;
        let need = Need {
            // What another leader brought meanwhile is as new as what we would bring.
            at_once: order.need.at_once
                && *began_at.get_or_insert(loaded.generation()) == loaded.generation(),
            ..order.need.clone()
        };
        let judged = judge(
            token.as_deref(),
            &order.key,
            &need,
            service.then_some(integration.revision),
            engine.now_of(token.as_deref()),
        );
        if let Some(token) = &token
            && judged.serves()
            && judged != order.reason
        {
            return Ok(Arc::clone(token));
        }
        let grant = engine.open_grant(&order.key, &loaded).await?;
        let kept = grant
            .as_ref()
            .map(|grant| grant.kept.clone())
            .unwrap_or_default();
        let spec = engine.spec_of(&integration, &kept)?;
        if let Some(grant) = &grant
            && !service
        {
            engine.same_client(&integration, grant, &order.key)?;
        }
        // Before the claim: whoever leads asks for one token only.
        let subject_token = match &integration.configuration.exchange_from {
            Some(from) if service => {
                let source = Box::pin(engine.exchange_source(&meant.key, from)).await?;
                Some(exchange::subject_token(Arc::clone(&engine), source).await?)
            }
            _ => None,
        };
        let mut lead = Lead {
            engine: &engine,
            order: &order,
            note: engine.note_of(&order.key, &loaded).await,
            integration,
            spec,
            loaded,
            grant,
            token,
            subject_token,
            attempt: AttemptId(vault::random_array()?),
            ends_later: AtomicBool::new(false),
        };
        lead.check_grant()?;
        lead.check_rest(invalid_client_seen)?;
        lead.check_age()?;
        // Looked at once: what is kept and what is not must not be two opinions.
        let writable = engine.store.writable();
        lead.check_keeping(writable)?;
        if !writable {
            return lead.unrecorded().await;
        }
        fault::point("refresh.claim");
        match engine.store.claim(&order.key, lead.claimant()).await? {
            Claimed::Changed => {}
            Claimed::Held(attempt) => pause(&engine, &attempt).await,
            Claimed::Ours { previous } => match lead.lead(previous).await {
                Ok(Next::Landed(token)) => return Ok(token),
                Ok(Next::LookAgain) => {}
                Err(error) if error.code() == "invalid_client" && invalid_client_seen.is_none() => {
                    // Once more, if the configuration changed meanwhile.
                    let now = engine.meant(
                        &order.key.integration.provider,
                        Some(order.key.integration.grant_type),
                    );
                    let revision = now.await?.row.map(|row| row.revision);
                    if revision == Some(lead.integration.revision) {
                        return Err(error);
                    }
                    invalid_client_seen = Some(lead.integration.revision);
                }
                Err(error) => return Err(error),
            },
        }
    }
}

impl Lead<'_> {
    /// Leads the claimed attempt to its end. Whatever fails before the request leaves gives the claim back; whatever
    /// fails later ends it all the same.
    async fn lead(&mut self, previous: Option<Attempt>) -> Result<Next> {
        match self.ready(previous).await {
            Ok(Ready::Send {
                place,
                replays,
                leaves_by,
            }) => {
                let sent_at = self.engine.clock.wall();
                let outcome = self.fly(place, replays, sent_at, leaves_by).await;
                if outcome.is_err() {
                    self.see_ended(sent_at).await;
                }
                outcome
            }
            Ok(Ready::LookAgain) => {
                self.release().await?;
                Ok(Next::LookAgain)
            }
            Err(error) => {
                // What came first is what helps; the end goes on in the background.
                if let Err(later) = self.release().await {
                    let reason = later.reason();
                    tracing::warn!(reason, "a claim could not be given back");
                }
                Err(error)
            }
        }
    }

    /// All that has to be so before the request is sent: read last, since it may have changed until the claim.
    async fn ready(&mut self, previous: Option<Attempt>) -> Result<Ready> {
        fault::point("refresh.claimed");
        let seen = std::mem::replace(&mut self.loaded.attempt, previous);
        let abandoned = self
            .loaded
            .attempt
            .as_ref()
            .filter(|attempt| attempt.ending.is_none())
            .map(|attempt| (attempt.id, self.begun_at(attempt)));
        // However the attempt before ended: it may have taken over from one that died with its reply only later.
        if self.loaded.attempt.is_some()
            && self.engine.replay_orphans(Some(&self.order.key)).await? > 0
        {
            self.loaded.attempt = None;
            return Ok(Ready::LookAgain);
        }
        if let Some((id, begun_at)) = abandoned {
            if self.engine.replay_attempt(id).await? {
                self.loaded.attempt = None;
                return Ok(Ready::LookAgain);
            }
            self.check_replay(begun_at)?;
        } else if self.loaded.attempt != seen {
            return Ok(Ready::LookAgain);
        }
        let replays = !self.service() && (abandoned.is_some() || self.replays());
        let place = self.reserve().await?;
        Ok(match self.may_send().await? {
            Some(leaves_by) => Ready::Send {
                place,
                replays,
                leaves_by,
            },
            None => Ready::LookAgain,
        })
    }

    async fn fly(
        &mut self,
        place: Option<Place>,
        replays: bool,
        sent_at: Timestamp,
        leaves_by: Monotonic,
    ) -> Result<Next> {
        tracing::info!(provider = %self.order.key.integration.provider, connection = %self.order.key.connection,
            reason = self.order.reason.as_str(), "refreshing");
        fault::point("refresh.send");
        match self.send(Some(leaves_by)).await {
            Outcome::Issued(issued) => self.issued(*issued, place).await,
            Outcome::Unusable {
                refresh_token,
                refresh_expires_at,
                rule,
                ..
            } => {
                self.unusable(refresh_token, refresh_expires_at, rule, place)
                    .await
            }
            Outcome::Refused {
                error,
                description,
                condemns,
                reason,
            } => {
                self.refused(error, description, condemns, reason, replays)
                    .await
            }
            // This process stood still: nothing was sent, and another may have been faster.
            Outcome::NotProcessed { status: None, .. }
                if self.engine.clock.monotonic() >= leaves_by =>
            {
                self.release().await?;
                Ok(Next::LookAgain)
            }
            Outcome::NotProcessed {
                error,
                description,
                retry_after,
                condemns,
                reason,
                ..
            } => {
                let failures = self.failures() + 1;
                let rest =
                    freshness::back_off(failures, retry_after, self.engine.runtime.fraction());
                let note = Note {
                    error: error.clone(),
                    description: description.clone(),
                    ..self.note(reason.clone())
                };
                self.settle(EndingOutcome::NotProcessed, sent_at, failures, rest, note)
                    .await?;
                Err(self.not_processed(error, description, condemns, reason, rest))
            }
            Outcome::Unknown { reason, html } => self.unknown(sent_at, reason, html).await,
        }
    }

    async fn send(&self, leaves_by: Option<Monotonic>) -> Outcome {
        let http = self.engine.http();
        let client = self.integration.client(&self.spec);
        let clock = &self.engine.clock;
        match &self.grant {
            Some(grant) if !self.service() => {
                let refresh = oauth::token::Refresh {
                    refresh_token: grant.refresh_token.as_ref(),
                    access_token: self.token.as_ref().map(|stored| &stored.token.value),
                    scopes: &[],
                    granted: &grant.granted_scopes,
                    resource: &self.order.resource,
                    redirect_uri: grant.redirect_uri.as_deref(),
                    subject: grant.subject.as_deref(),
                    leaves_by,
                };
                oauth::token::refresh(&http, &self.spec, client, refresh, clock).await
            }
            _ => {
                let scopes = self
                    .engine
                    .requested_scopes(&self.integration, &self.spec, &[]);
                if let Some(subject_token) = &self.subject_token {
                    let resource = &self.order.resource;
                    return Box::pin(oauth::token::exchange_token(
                        &http,
                        &self.spec,
                        client,
                        subject_token,
                        &scopes,
                        resource,
                        clock,
                    ))
                    .await;
                }
                oauth::token::client_credentials(
                    &http,
                    &self.spec,
                    client,
                    &scopes,
                    &self.order.resource,
                    clock,
                )
                .await
            }
        }
    }
}

impl Engine {
    async fn note_of(&self, key: &ConnectionKey, loaded: &Loaded) -> Option<Note> {
        let sealed = loaded.attempt.as_ref()?.ending.as_ref()?.note.as_ref()?;
        self.open(Subject::Connection(key), Kind::Note, "", sealed)
            .await
            .ok()
    }
}

/// Error codes that mean "later", not "no".
pub(crate) fn transient(error: &str) -> bool {
    matches!(
        error,
        "temporarily_unavailable" | "server_error" | "slow_down" | "rate_limited" | "ratelimited"
    )
}

/// How long the store is left alone after so many failures.
pub(crate) fn pause_after(tries: u32) -> Duration {
    Duration::from_millis(50 << tries)
}

/// Waits for another leader's attempt, a little longer each time by chance, so that waiters don't march in step.
async fn pause(engine: &Engine, attempt: &Attempt) {
    let left = attempt.deadline.since(engine.clock.monotonic());
    let left = engine.clock.real(left);
    let pause = Duration::from_millis(25).mul_f64(1.0 + 3.0 * engine.runtime.fraction());
    let pause = pause.min(left.max(Duration::from_millis(1)));
    engine.runtime.sleep(pause).await;
}
