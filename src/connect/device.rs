//! A sign-in by a code that the person types at another device (RFC 8628): nothing listens here, the server is asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::pending;
use crate::engine::Engine;
use crate::engine::config::Integration;
use crate::engine::runtime::Unfinished;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionKey, Status};
use crate::oauth::device::{self, Answer, DeviceAuthorization, Schedule};
use crate::oauth::response::Outcome;
use crate::provider::Spec;

/// What the person is shown.
#[derive(Clone, Debug)]
pub struct DevicePrompt {
    /// What to type.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// How long the code lives, from now.
    pub expires_in: Duration,
}

/// A sign-in by code under way.
#[derive(Debug)]
pub(super) struct DeviceSignIn {
    sought: Arc<Sought>,
    schedule: Schedule,
}

/// What is asked for, and with which code.
#[derive(Debug)]
struct Sought {
    engine: Arc<Engine>,
    key: ConnectionKey,
    integration: Integration,
    spec: Spec,
    scopes: Vec<String>,
    authorization: DeviceAuthorization,
}

impl DeviceSignIn {
    /// Asks for a code.
    ///
    /// # Errors
    /// As [`device::authorize`].
    pub(super) async fn begin(
        engine: &Arc<Engine>,
        key: &ConnectionKey,
        integration: &Integration,
        spec: &Spec,
        more_scopes: &[String],
    ) -> Result<Self> {
        let scopes = engine.requested_scopes(integration, spec, more_scopes);
        let client = integration.client(spec);
        let clock = engine.clock();
        let authorization = device::authorize(&engine.http(), spec, client, &scopes, clock).await?;
        Ok(Self {
            schedule: Schedule::begin(&authorization, clock.monotonic()),
            sought: Arc::new(Sought {
                engine: Arc::clone(engine),
                key: key.clone(),
                integration: integration.clone(),
                spec: spec.clone(),
                scopes,
                authorization,
            }),
        })
    }

    /// What the person is shown.
    pub(super) fn prompt(&self) -> DevicePrompt {
        let authorization = &self.sought.authorization;
        DevicePrompt {
            user_code: authorization.user_code.clone(),
            verification_uri: authorization.verification_uri.clone(),
            verification_uri_complete: authorization.verification_uri_complete.clone(),
            expires_in: authorization.expires_in,
        }
    }

    /// Asks until the person has decided, or the code is over.
    ///
    /// # Errors
    /// `ConnectDenied`, `ConnectTimeout` for a code that nobody typed in time, and what a code exchange can raise.
    pub(super) async fn landed(mut self) -> Result<Status> {
        let engine = &self.sought.engine;
        let clock = engine.clock();
        while let Some(pause) = self.schedule.pause(clock.monotonic()) {
            engine.runtime().sleep(clock.real(pause)).await;
            match asked(&self.sought).await? {
                Asked::Connected(status) => return Ok(*status),
                Asked::Pending => {}
                Asked::SlowDown(at_least) => self.schedule.slow_down(at_least),
            }
        }
        Err(self.sought.over())
    }
}

enum Asked {
    Connected(Box<Status>),
    Pending,
    SlowDown(Option<Duration>),
}

/// One request and what comes of it. Whoever stops waiting does not stop it: the reply may hold the grant.
async fn asked(sought: &Arc<Sought>) -> Result<Asked> {
    let (answer, answered) = oneshot::channel();
    let runtime = sought.engine.runtime().clone();
    let sought = Arc::clone(sought);
    let unfinished = Unfinished::begin();
    runtime.spawn(async move {
        drop(answer.send(sought.ask().await));
        drop(unfinished);
    });
    answered
        .await
        .unwrap_or_else(|_| Err(Error::internal("a sign-in by code ended without a result")))
}

impl Sought {
    async fn ask(&self) -> Result<Asked> {
        let Self {
            engine,
            key,
            integration,
            spec,
            scopes,
            authorization,
        } = self;
        let client = integration.client(spec);
        let http = engine.http();
        let answer = device::poll(&http, spec, client, authorization, scopes, engine.clock()).await;
        let outcome = match answer {
            Answer::Pending => return Ok(Asked::Pending),
            Answer::SlowDown { at_least } => return Ok(Asked::SlowDown(at_least)),
            Answer::Ended(outcome) => *outcome,
        };
        match outcome {
            Outcome::Issued(issued) => {
                pending::keep(engine, key, integration, spec, *issued, scopes).await?;
                let provider = &key.integration.provider;
                let grant_type = Some(key.integration.grant_type);
                let status = engine.status(provider, grant_type, &key.connection).await?;
                Ok(Asked::Connected(Box::new(status)))
            }
            Outcome::NotProcessed {
                error: Some(error), ..
            } if error == "expired_token" => Err(self.over()),
            // The second is Microsoft's word for it.
            Outcome::NotProcessed {
                error: Some(error),
                description,
                ..
            } if matches!(error.as_str(), "access_denied" | "authorization_declined") => {
                let again = engine.connect_command(key, false);
                Err(pending::denied(spec, "access_denied", description).hint(again))
            }
            other => Err(pending::exchange_failed(engine, key, other)),
        }
    }

    /// The error for a code that nobody typed in time.
    fn over(&self) -> Error {
        let (engine, key) = (&self.engine, &self.key);
        Error::new(
            ErrorKind::ConnectTimeout,
            "device_code_expired",
            format!("nobody typed the code of {} in time", self.spec.name),
        )
        .hint(engine.connect_command(key, false))
    }
}
