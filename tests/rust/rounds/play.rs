//! A round in the engine: configure, sign in, account, token, expiry, refresh, refusal, disconnect.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use _core::clock::{Clock, ManualClock, Timestamp};
use _core::connect::{self, ConnectRequest, Connecting};
use _core::engine::cache::Slot;
use _core::engine::configure::{Configure, Settings};
use _core::engine::open::{ExplicitKey, Surroundings, open_in};
use _core::engine::{Engine, TokenRequest};
use _core::error::{Error, ErrorKind};
use _core::http::Transport;
use _core::model::{Account, GrantType, State, Status};
use _core::secret::{AccessToken, SecretBytes};
use _core::store::memory::MemoryStore;
use url::form_urlencoded;

use super::keys::filled_secret;
use super::reading::{self, Desk};
use super::round::{AuthorizationRequest, Exchange, Given, Round, Step};
use super::subject::{Subject, words};
use super::vendor::{self, Vendor};
use crate::support::NOW;

const CONNECTION: &str = "default";

/// Plays a round on a provider file; the first thing that is otherwise than documented, in words.
pub(super) async fn play(subject: &Subject, round: &Round) -> Result<(), String> {
    reading::facts(subject, round)?;
    let desk = Desk::new(subject, round)?;
    desk.refusals().await?;
    desk.kept().await?;
    if subject.grant_type == GrantType::AuthorizationCode {
        desk.account().await?;
        desk.refresh().await?;
    }
    desk.device().await?;
    let workspace = Workspace::open(subject, round).await?;
    workspace.clients().await?;
    workspace.configure().await?;
    workspace.sign_in().await?;
    workspace.renew().await?;
    workspace.resources().await?;
    workspace.leave().await?;
    Workspace::open(subject, round).await?.refused().await
}

struct Workspace<'a> {
    subject: &'a Subject,
    round: &'a Round,
    vendor: Arc<Vendor>,
    clock: Arc<ManualClock>,
    engine: Arc<Engine>,
}

impl<'a> Workspace<'a> {
    async fn open(subject: &'a Subject, round: &'a Round) -> Result<Self, String> {
        let vendor = Vendor::new();
        reading::know_client(&vendor, round);
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
        let surroundings = Surroundings {
            clock: Clock::manual(Arc::clone(&clock)),
            transport: Some(Arc::clone(&vendor) as Arc<dyn Transport>),
            ..Surroundings::default()
        };
        let key = ExplicitKey::Bytes(SecretBytes::from(vec![7; 32]));
        let catalog = Arc::clone(&subject.catalog);
        let store = Arc::new(MemoryStore::new());
        let engine = open_in(surroundings, store, CONNECTION, key, catalog).await;
        Ok(Self {
            subject,
            round,
            vendor,
            clock,
            engine: engine.map_err(words)?,
        })
    }

    fn configuration(&self) -> Configure {
        let registered = &self.round.configure;
        let secret = registered.client_secret.as_deref().map(filled_secret);
        Configure {
            provider: self.subject.id.clone(),
            grant_type: Some(self.subject.grant_type),
            client_id: registered.client_id.clone(),
            client_secret: secret.as_deref().map(Into::into),
            settings: Settings {
                scopes: Some(registered.scopes.clone()),
                parameters: Some(registered.parameters.clone()),
                redirect_uri: registered.redirect_uri.clone(),
                issuer: registered.issuer.clone(),
                ..Settings::default()
            },
        }
    }

    /// Which client ids and secrets can be the vendor's.
    async fn clients(&self) -> Result<(), String> {
        let expects = &self.round.expects;
        let with_id = |id: &str| Configure {
            client_id: Some(id.to_owned()),
            ..self.configuration()
        };
        let with_secret = |secret: &str| Configure {
            client_secret: Some(filled_secret(secret).as_str().into()),
            ..self.configuration()
        };
        let (ids, secrets) = (&expects.client_ids, &expects.client_secrets);
        let accepted = ids.accepted.iter().map(|id| with_id(id));
        let accepted = accepted.chain(secrets.accepted.iter().map(|secret| with_secret(secret)));
        let refused = ids.refused.iter().map(|id| with_id(id));
        let refused = refused.chain(secrets.refused.iter().map(|secret| with_secret(secret)));
        for configuration in accepted {
            let configured = self.engine.configure(configuration).await;
            configured.map_err(|error| format!("a client is refused: {error}"))?;
        }
        for configuration in refused {
            if self.engine.configure(configuration).await.is_ok() {
                return Err("a client is accepted that can't be the vendor's".to_owned());
            }
        }
        Ok(())
    }

    async fn configure(&self) -> Result<(), String> {
        self.vendor.expects(&self.round.discovery);
        let status = self.engine.configure(self.configuration()).await;
        self.vendor.satisfied("configure")?;
        let status = status.map_err(words)?;
        if let Some(redirect_uri) = &self.round.expects.redirect_uri {
            vendor::equal(
                redirect_uri,
                status.redirect_uri.as_deref().unwrap_or_default(),
            )
            .map_err(|why| format!("redirect_uri: {why}"))?;
        }
        Ok(())
    }

    fn connecting(&self) -> ConnectRequest {
        ConnectRequest {
            provider: self.subject.id.clone(),
            grant_type: Some(self.subject.grant_type),
            connection: CONNECTION.to_owned(),
            timeout: Duration::from_secs(60),
            ..ConnectRequest::default()
        }
    }

    /// The sign-in of a user, or a service's first token: its account, its scopes, its token.
    async fn sign_in(&self) -> Result<(), String> {
        let step = &self.round.token;
        let status = match &self.round.authorization {
            Some(asked) => self.authorized(asked, step).await?,
            None => self.fetched(step).await?,
        };
        let label = labelled(&self.round.account);
        if status.account.as_deref() != label {
            return Err(format!(
                "the account is {:?}, not {label:?}",
                status.account
            ));
        }
        let slot = self.token(&self.request()).await?;
        self.vendor
            .satisfied("a token that was issued a moment ago")?;
        self.given(&slot, &step.gives, "token")
    }

    async fn authorized(
        &self,
        asked: &AuthorizationRequest,
        step: &Step,
    ) -> Result<Status, String> {
        let engine = || Arc::clone(&self.engine);
        self.vendor.expects(&asked.exchanges);
        let redirect_uri = self.round.configure.redirect_uri();
        let begun = connect::begin_connect(
            engine(),
            self.connecting(),
            redirect_uri,
            "session-1".into(),
        );
        let begun = begun.await;
        self.vendor.satisfied("begin_connect")?;
        let begun = begun.map_err(words)?;
        self.vendor.know("state", begun.state.expose());
        self.is_authorization(&begun.authorization_url, asked)
            .map_err(|why| format!("authorization: {why}"))?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.round.callback {
            query.append_pair(name, &self.vendor.filled(value));
        }
        let callback = format!("https://app.example/callback?{}", query.finish());
        self.vendor.expects(&step.exchanges);
        let completed =
            connect::complete_connect(engine(), &callback, Some("session-1".into())).await;
        self.vendor.satisfied("complete_connect")?;
        let status = completed.map_err(words)?;
        match status.state {
            State::Connected => Ok(status),
            state => Err(format!("after the sign-in it is {state:?}")),
        }
    }

    async fn fetched(&self, step: &Step) -> Result<Status, String> {
        self.vendor.expects(&step.exchanges);
        let connecting = connect::connect(Arc::clone(&self.engine), self.connecting()).await;
        self.vendor.satisfied("connect")?;
        match connecting.map_err(words)? {
            Connecting::Done(status) => Ok(*status),
            Connecting::SignIn(_) => Err("a person has to sign in".to_owned()),
        }
    }

    /// Whether the browser is sent where the vendor documents.
    fn is_authorization(&self, url: &str, asked: &AuthorizationRequest) -> Result<(), String> {
        let (page, query) = url.split_once('?').unwrap_or((url, ""));
        let (documented, own) = asked.url.split_once('?').unwrap_or((&asked.url, ""));
        vendor::equal(documented, page)?;
        let pairs = |query: &str| -> BTreeMap<String, String> {
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect()
        };
        let sent = pairs(query);
        let mut expected = asked.query.clone();
        expected.extend(pairs(own));
        let learned = ["{code_challenge}", "{nonce}"];
        vendor::same("query", &expected, &sent, &|wanted, sent| match wanted {
            wanted if learned.contains(&wanted) => {
                self.vendor.know(wanted.trim_matches(['{', '}']), sent);
                match sent.len() >= 43 {
                    true => Ok(()),
                    false => Err("it is no random text".to_owned()),
                }
            }
            "{state}" if sent.len() < asked.state_length => {
                Err(format!("it has {} characters", sent.len()))
            }
            wanted => vendor::equal(&self.vendor.filled(wanted), sent),
        })
    }

    /// What is handed out.
    fn given(&self, slot: &Slot, gives: &Given, step: &str) -> Result<(), String> {
        let token = &slot.stored.token;
        let seconds = |ends: Option<Timestamp>| {
            let left = ends.map(|ends| ends.since(token.obtained_at).as_secs());
            format!("{left:?}")
        };
        let sorted = |scopes: &[String]| {
            let mut scopes = scopes.to_vec();
            scopes.sort();
            scopes.join(" ")
        };
        let compared = [
            (
                "access_token",
                self.vendor.filled(&gives.access_token),
                token.value.expose().to_owned(),
            ),
            (
                "lifetime",
                format!("{:?}", gives.lifetime),
                seconds(token.expires_at),
            ),
            (
                "renewed_after",
                format!("{:?}", gives.renewed_after),
                seconds(slot.stored.assumed_until),
            ),
            ("scheme", gives.scheme.clone(), token.token_type.clone()),
            ("scopes", sorted(&gives.scopes), sorted(&token.scopes)),
        ];
        for (name, expected, found) in compared {
            vendor::equal(&expected, &found).map_err(|why| format!("{step}, {name}: {why}"))?;
        }
        vendor::same("extra", &gives.extra, &token.extra, &|expected, found| {
            vendor::equal(&self.vendor.filled(expected), found)
        })
        .map_err(|why| format!("{step}, {why}"))
    }

    /// The token ends, or is refused where it has no end, and another one is asked for.
    async fn renew(&self) -> Result<(), String> {
        let ending = self.ended(&self.round.token.gives);
        let Some(step) = &self.round.refresh else {
            if self.round.token.gives.lifetime.is_none() {
                return Ok(());
            }
            let refused = self.engine.get_token(&ending).await;
            self.vendor.satisfied("after the token ended")?;
            return is_lost(refused).map_err(|why| format!("without a refresh token {why}"));
        };
        self.vendor.expects(&step.exchanges);
        let slot = self.engine.get_token(&ending).await;
        self.vendor.satisfied("refresh")?;
        self.given(&*slot.map_err(words)?, &step.gives, "refresh")
    }

    /// Lets a token end; the request for the next one.
    fn ended(&self, gives: &Given) -> TokenRequest {
        let Some(seconds) = gives.lifetime.or(gives.renewed_after) else {
            let value = self.vendor.filled(&gives.access_token);
            return TokenRequest {
                replacing: Some(AccessToken::from(value)),
                ..self.request()
            };
        };
        self.clock.advance(Duration::from_secs(seconds));
        self.request()
    }

    /// Tokens for other resources.
    async fn resources(&self) -> Result<(), String> {
        for (resource, step) in &self.round.resources {
            self.vendor.expects(&step.exchanges);
            let request = TokenRequest {
                resource: Some(resource.clone()),
                ..self.request()
            };
            let slot = self.engine.get_token(&request).await;
            self.vendor.satisfied(&format!("resource {resource}"))?;
            self.given(&*slot.map_err(words)?, &step.gives, resource)?;
        }
        Ok(())
    }

    async fn leave(&self) -> Result<(), String> {
        self.vendor.expects(&self.round.disconnect);
        let (id, grant_type) = (&self.subject.id, self.subject.grant_type);
        let left = self
            .engine
            .disconnect(id, Some(grant_type), CONNECTION, true)
            .await;
        self.vendor.satisfied("disconnect")?;
        let report = left.map_err(words)?;
        match report.ok {
            true => Ok(()),
            false => Err(format!("disconnect: {:?}", report.steps)),
        }
    }

    /// Refused refreshes: the client's credentials are mended without a person's consent, a condemned grant is not.
    async fn refused(&self) -> Result<(), String> {
        let (Some(step), Some(refresh_token)) =
            (&self.round.refresh, &self.round.token.gives.refresh_token)
        else {
            return Ok(());
        };
        self.vendor.expects(&self.round.discovery);
        let mut configuration = self.configuration();
        let redirect_uri = self.round.configure.redirect_uri().to_owned();
        configuration.settings.redirect_uri = Some(redirect_uri);
        self.engine.configure(configuration).await.map_err(words)?;
        let id = &self.subject.id;
        let imported = self.engine.import_refresh_token(
            id,
            refresh_token.as_str().into(),
            Some(self.subject.grant_type),
            CONNECTION,
            &[],
        );
        imported.await.map_err(words)?;
        let refusals = &self.round.refusals;
        let kept = refusals.client.first();
        let condemned = refusals.grant.first();
        for (reply, state) in [
            (kept, State::Connected),
            (condemned, State::ReauthorizationRequired),
        ] {
            let Some(reply) = reply else { continue };
            self.vendor.expects([&Exchange {
                request: step.exchanges[0].request.clone(),
                reply: reply.clone(),
            }]);
            let refused = self.engine.get_token(&self.request()).await;
            self.vendor.satisfied("a refused refresh")?;
            if refused.is_ok() {
                return Err("a refused refresh gives a token".to_owned());
            }
            let status = self
                .engine
                .status(id, Some(self.subject.grant_type), CONNECTION);
            let found = status.await.map_err(words)?.state;
            if found != state {
                return Err(format!("after a refusal it is {found:?}, not {state:?}"));
            }
            self.clock.advance(Duration::from_secs(3600));
        }
        Ok(())
    }

    fn request(&self) -> TokenRequest {
        TokenRequest {
            provider: self.subject.id.clone(),
            grant_type: Some(self.subject.grant_type),
            connection: CONNECTION.to_owned(),
            ..TokenRequest::default()
        }
    }

    async fn token(&self, request: &TokenRequest) -> Result<Arc<Slot>, String> {
        self.engine.get_token(request).await.map_err(words)
    }
}

fn is_lost(outcome: Result<Arc<Slot>, Error>) -> Result<(), String> {
    match outcome {
        Err(error) if matches!(error.kind(), ErrorKind::ReauthorizationRequired { .. }) => Ok(()),
        Err(error) => Err(format!("it says {error}")),
        Ok(_) => Err("a token is given".to_owned()),
    }
}

/// What is shown of an account.
fn labelled(account: &Account) -> Option<&str> {
    account.label()
}
