//! What follows from a provider file without a sign-in: who may have the token, what replies mean, what is known of
//! lifetimes, and whose account it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use _core::clock::Clock;
use _core::http;
use _core::model::{Account, GrantType};
use _core::oauth::response::{Issued, Outcome};
use _core::oauth::token::{self, CodeExchange, Refresh};
use _core::oauth::{account, device, signal};
use _core::provider::parameters::Parameter;
use _core::provider::{Condemns, Lifetimes, RedirectRules, Spec, hosts, scope};
use _core::secret::{AuthorizationCode, PkceVerifier, RefreshToken, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::round::{Device, Exchange, Given, Judged, Poll, PollMeaning, Reply, Round};
use super::subject::{Application, Subject, words};
use super::vendor::{self, Vendor};
use crate::support::{NOW, clock};

const VERIFIER: &str = "a-verifier-of-43-characters-or-more-0123456789";
const STATE: &str = "a-state";
const NONCE: &str = "a-nonce";

/// What is known without a request.
pub(super) fn facts(subject: &Subject, round: &Round) -> Result<(), String> {
    let spec = subject.spec(round)?;
    let expects = &round.expects;
    equal(
        "client_authentication",
        &expects.client_authentication,
        &spec.client.authentication,
    )?;
    let redirect = |rules: &RedirectRules| RedirectRules {
        note: None,
        comparison: rules.comparison.clone().or(Some("exact".to_owned())),
        ..rules.clone()
    };
    equal(
        "redirect",
        &redirect(&expects.redirect),
        &redirect(&spec.redirect),
    )?;
    let lifetimes = |lifetimes: &Lifetimes| Lifetimes {
        note: None,
        ..lifetimes.clone()
    };
    equal(
        "lifetimes",
        &lifetimes(&expects.lifetimes),
        &lifetimes(&spec.lifetimes),
    )?;
    if let Some(refresh) = &spec.refresh {
        let rotation = expects.rotation;
        equal("rotates", &rotation.rotates, &refresh.rotates)?;
        equal("grace", &rotation.grace, &refresh.grace)?;
        equal("single_use", &rotation.single_use, &refresh.single_use)?;
        let revokes = (&rotation.replay_revokes, &refresh.replay_revokes);
        equal("replay_revokes", revokes.0, revokes.1)?;
        let ends = (&rotation.ends_access_token, &refresh.ends_access_token);
        equal("ends_access_token", ends.0, ends.1)?;
    }
    equal("base_url", &expects.base_url, &spec.api.base_url)?;
    for (name, url) in &expects.endpoints {
        let endpoints = spec.endpoints.named();
        let own = endpoints.iter().find(|(own, _)| own == name);
        let own = own.and_then(|(_, own)| *own);
        equal(&format!("endpoints.{name}"), &Some(url), &own)?;
    }
    for name in &expects.no_endpoints {
        let endpoints = spec.endpoints.named();
        let own = endpoints.iter().find(|(own, _)| own == name);
        equal(name, &None, &own.and_then(|(_, own)| *own))?;
    }
    form(subject, round)?;
    judged_hosts(&spec, &expects.hosts)?;
    judged("scopes", &expects.scopes, &|scope| {
        scope::validate(&spec.scopes, &spec.id, scope).map_err(words)
    })?;
    for (granted, needed) in &expects.covers {
        for needed in needed {
            if !scope::covers(std::slice::from_ref(granted), needed, &spec) {
                return Err(format!("covers: {granted} is not enough for {needed}"));
            }
        }
    }
    for (name, values) in &expects.parameters {
        judged(&format!("parameters.{name}"), values, &|value| {
            let mut parameters = round.configure.parameters.clone();
            parameters.insert(name.clone(), value.to_owned());
            subject.spec_with(round, parameters).map(drop)
        })?;
    }
    for (number, expected) in expects.signals.iter().enumerate() {
        let reply = vendor::reply(&expected.reply, &mut BTreeMap::new());
        let means = signal::read(&spec, &reply);
        equal(&format!("signals[{number}]"), &expected.means, &means)?;
    }
    Ok(())
}

/// What a person is asked for: which parameters may stay empty, and which are hidden.
fn form(subject: &Subject, round: &Round) -> Result<(), String> {
    let parameters = subject.parameters();
    let names = |is: &dyn Fn(&Parameter) -> bool| -> Vec<String> {
        let named = parameters.iter().filter(|(_, parameter)| is(parameter));
        named.map(|(name, _)| name.clone()).collect()
    };
    let defaults: BTreeMap<String, String> = parameters
        .iter()
        .filter_map(|(name, parameter)| Some((name.clone(), parameter.default.clone()?)))
        .collect();
    let expects = &round.expects;
    equal("parameter_defaults", &expects.parameter_defaults, &defaults)?;
    let optional = names(&|parameter| parameter.optional);
    equal(
        "optional_parameters",
        &expects.optional_parameters,
        &optional,
    )?;
    let secret = names(&|parameter| parameter.secret);
    equal("secret_parameters", &expects.secret_parameters, &secret)
}

fn judged_hosts(spec: &Spec, urls: &Judged) -> Result<(), String> {
    judged("hosts", urls, &|url| {
        let parsed = Url::parse(url).map_err(words)?;
        match hosts::owns(&spec.api.hosts, &parsed) {
            true => Ok(()),
            false => Err("it may not have the token".to_owned()),
        }
    })
}

fn judged(
    place: &str,
    values: &Judged,
    judge: &dyn Fn(&str) -> Result<(), String>,
) -> Result<(), String> {
    for value in &values.accepted {
        judge(value).map_err(|why| format!("{place}: {value} is refused: {why}"))?;
    }
    match values.refused.iter().find(|value| judge(value).is_ok()) {
        Some(value) => Err(format!("{place}: {value} is accepted")),
        None => Ok(()),
    }
}

fn equal<T: std::fmt::Debug>(place: &str, expected: &T, found: &T) -> Result<(), String> {
    let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
    match expected == found {
        true => Ok(()),
        false => Err(format!("{place}: the file says {found}, not {expected}")),
    }
}

/// Requests made one by one, past the engine: for what it keeps to itself.
pub(super) struct Desk<'a> {
    round: &'a Round,
    /// Before the sign-in has kept anything.
    before: Spec,
    spec: Spec,
    application: Application,
    vendor: Arc<Vendor>,
    http: http::Client,
    clock: Clock,
    requested: Vec<String>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(subject: &Subject, round: &'a Round) -> Result<Self, String> {
        let spec = subject.spec(round)?;
        let vendor = Vendor::new();
        know_client(&vendor, round);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        for (name, value) in [
            ("code_challenge", challenge.as_str()),
            ("state", STATE),
            ("nonce", NONCE),
        ] {
            vendor.know(name, value);
        }
        Ok(Self {
            round,
            before: subject.spec_before(round)?,
            application: Application::of(round, &spec),
            requested: scope::requested(&spec, &round.configure.scopes, &[]),
            spec,
            http: http::Client::over(Arc::clone(&vendor) as Arc<dyn http::Transport>),
            vendor,
            clock: clock(),
        })
    }

    /// Whose account the sign-in shows, whole, and until when its refresh token lives.
    pub(super) async fn account(&self) -> Result<(), String> {
        let step = &self.round.token;
        self.vendor.expects(&step.exchanges);
        let issued = issued(self.first_token(&step.exchanges).await)?;
        let known = issued.account.clone();
        let client = self.application.client();
        let looked_up =
            account::account(&self.http, &self.spec, client, &issued.token, &self.clock);
        let account = match looked_up.await {
            Ok(account) => Account {
                id: account.id.or(known.id),
                email: account.email.or(known.email),
                name: account.name.or(known.name),
                workspace: account.workspace.or(known.workspace),
                workspace_id: account.workspace_id.or(known.workspace_id),
            },
            Err(_) => known,
        };
        self.vendor.satisfied("the account")?;
        equal("account", &self.round.account, &account)?;
        self.renewal(&step.gives, &issued)
    }

    /// Which values of a reply are kept.
    pub(super) async fn kept(&self) -> Result<(), String> {
        for (name, values) in &self.round.expects.kept {
            let documented = self.round.token.gives.extra.get(name);
            let documented = documented.ok_or(format!("kept.{name}: it is not given"))?;
            let judged = values.accepted.iter().map(|value| (value, true));
            let judged = judged.chain(values.refused.iter().map(|value| (value, false)));
            for (value, fits) in judged {
                let mut exchanges = self.round.token.exchanges.clone();
                for reply in exchanges.iter_mut().map(|exchange| &mut exchange.reply) {
                    put_in_place(reply.json.as_mut(), documented, value);
                }
                self.vendor.expects(&exchanges);
                let outcome = self.first_token(&exchanges).await;
                self.vendor.expects_no_more();
                let kept = match outcome {
                    Outcome::Issued(issued) => issued.kept.get(name) == Some(value),
                    _ => false,
                };
                if kept != fits {
                    return Err(format!("kept.{name}: {value} is kept: {kept}"));
                }
            }
        }
        Ok(())
    }

    /// The refresh token that a refresh brings, and until when it lives.
    pub(super) async fn refresh(&self) -> Result<(), String> {
        let Some(step) = &self.round.refresh else {
            return Ok(());
        };
        self.vendor.expects(&step.exchanges);
        let issued = issued(self.refreshed().await)?;
        self.vendor.satisfied("the refresh")?;
        self.renewal(&step.gives, &issued)
    }

    fn renewal(&self, gives: &Given, issued: &Issued) -> Result<(), String> {
        let own = issued.refresh_token.as_ref().map(RefreshToken::expose);
        let own = own.map(str::to_owned);
        equal("refresh_token", &gives.refresh_token, &own)?;
        let ends = issued.refresh_expires_at;
        let seconds = ends.map(|ends| ends.since(self.clock.wall()).as_secs());
        equal("refresh_lifetime", &gives.refresh_lifetime, &seconds)
    }

    /// What each documented error condemns.
    pub(super) async fn refusals(&self) -> Result<(), String> {
        let refusals = &self.round.refusals;
        let all = [
            (Condemns::Grant, &refusals.grant),
            (Condemns::Client, &refusals.client),
            (Condemns::Resource, &refusals.resource),
            (Condemns::Nothing, &refusals.nothing),
        ];
        for (expected, replies) in all {
            for reply in replies {
                let outcome = self.refused(reply).await?;
                let condemns = match outcome {
                    Outcome::Refused { condemns, .. } => condemns,
                    Outcome::NotProcessed {
                        condemns,
                        status: Some(_),
                        ..
                    } => condemns,
                    outcome => return Err(format!("{reply:?} is {outcome:?}")),
                };
                let shown = reply.json.as_ref().map(ToString::to_string);
                let place = format!("refusals, {}", shown.unwrap_or_default());
                equal(&place, &expected, &condemns)?;
            }
        }
        Ok(())
    }

    async fn refused(&self, reply: &Reply) -> Result<Outcome, String> {
        let with_reply = |exchange: &Exchange| Exchange {
            request: exchange.request.clone(),
            reply: reply.clone(),
        };
        let refreshes = self.round.refresh.as_ref();
        let outcome = match (refreshes, self.spec.grant_type) {
            (Some(step), GrantType::AuthorizationCode) => {
                self.vendor.expects([&with_reply(&step.exchanges[0])]);
                self.refreshed().await
            }
            _ => {
                let exchange = with_reply(&self.round.token.exchanges[0]);
                self.vendor.expects([&exchange]);
                self.first_token(std::slice::from_ref(&exchange)).await
            }
        };
        self.vendor.satisfied("a refusal")?;
        Ok(outcome)
    }

    async fn refreshed(&self) -> Outcome {
        let gives = &self.round.token.gives;
        let refresh_token = gives.refresh_token.as_deref().map(RefreshToken::from);
        let access_token = self.vendor.filled(&gives.access_token).into();
        let asked = Refresh {
            refresh_token: refresh_token.as_ref(),
            access_token: Some(&access_token),
            scopes: &[],
            granted: &gives.scopes,
            resource: "",
            redirect_uri: Some(self.round.configure.redirect_uri()),
            subject: None,
            leaves_by: None,
        };
        let client = self.application.client();
        token::refresh(&self.http, &self.spec, client, asked, &self.clock).await
    }

    async fn first_token(&self, exchanges: &[Exchange]) -> Outcome {
        let client = self.application.client();
        if self.spec.grant_type == GrantType::ClientCredentials {
            let scopes = &self.requested;
            let clock = &self.clock;
            return token::client_credentials(&self.http, &self.before, client, scopes, "", clock)
                .await;
        }
        let code = self.round.callback.values().find(|value| {
            let sent = &exchanges[0].request;
            let in_form = sent.form.iter().flat_map(BTreeMap::values);
            let in_json = sent.json.iter().filter_map(|json| json.as_object());
            let in_json = in_json
                .flat_map(|fields| fields.values())
                .filter_map(|value| value.as_str());
            let sent: Vec<&str> = in_form
                .chain(sent.query.values())
                .map(String::as_str)
                .chain(in_json)
                .collect();
            sent.contains(&value.as_str())
        });
        let code = AuthorizationCode::from(code.map_or("a-code", String::as_str));
        let (verifier, state) = (PkceVerifier::from(VERIFIER), Secret::from(STATE));
        let nonce = Secret::from(NONCE);
        let query = self.round.authorization.as_ref().map(|asked| &asked.query);
        let sends =
            |name: &str| query.is_some_and(|query| query.values().any(|value| value == name));
        let exchange = CodeExchange {
            code: &code,
            redirect_uri: self.round.configure.redirect_uri(),
            verifier: sends("{code_challenge}").then_some(&verifier),
            state: Some(&state),
            nonce: sends("{nonce}").then_some(&nonce),
            requested: &self.requested,
            resource: "",
        };
        token::exchange_code(&self.http, &self.before, client, exchange, &self.clock).await
    }

    /// A sign-in by a code that is typed elsewhere.
    pub(super) async fn device(&self) -> Result<(), String> {
        let Some(round) = &self.round.device else {
            return match device::is_offered(&self.spec) {
                false => Ok(()),
                true => Err("the file has a sign-in by a device code, the round has none".into()),
            };
        };
        let client = self.application.client();
        let (http, spec, clock) = (&self.http, &self.spec, &self.clock);
        for scope in &round.refuses {
            let scopes = std::slice::from_ref(scope);
            if device::authorize(http, spec, client, scopes, clock)
                .await
                .is_ok()
            {
                return Err(format!("device: {scope} is given"));
            }
        }
        self.vendor.satisfied("device: what is refused")?;
        self.vendor.expects([&round.begin]);
        let begun = device::authorize(http, spec, client, &round.scopes, clock).await;
        self.vendor.satisfied("device")?;
        let begun = begun.map_err(words)?;
        let shows = &round.shows;
        equal("user_code", &shows.user_code, &begun.user_code)?;
        let uri = (&shows.verification_uri, &begun.verification_uri);
        equal("verification_uri", uri.0, uri.1)?;
        let complete = (
            &shows.verification_uri_complete,
            &begun.verification_uri_complete,
        );
        equal("verification_uri_complete", complete.0, complete.1)?;
        let seconds = Duration::from_secs;
        equal("interval", &seconds(shows.interval), &begun.interval)?;
        equal("expires_in", &seconds(shows.expires_in), &begun.expires_in)?;
        for poll in &round.polls {
            self.poll(round, poll, &begun).await?;
        }
        Ok(())
    }

    async fn poll(
        &self,
        round: &Device,
        poll: &Poll,
        begun: &device::DeviceAuthorization,
    ) -> Result<(), String> {
        let exchange = Exchange {
            request: poll.request.clone(),
            reply: poll.reply.clone(),
        };
        self.vendor.expects([&exchange]);
        let client = self.application.client();
        let (http, spec, clock) = (&self.http, &self.spec, &self.clock);
        let answer = device::poll(http, spec, client, begun, &round.scopes, clock).await;
        self.vendor.satisfied("device, a poll")?;
        let means = match answer {
            device::Answer::Pending => PollMeaning::Pending,
            device::Answer::SlowDown { .. } => PollMeaning::SlowDown,
            device::Answer::Ended(outcome) => match *outcome {
                Outcome::Issued(_) => PollMeaning::Token,
                _ => PollMeaning::Over,
            },
        };
        let shown = poll.reply.json.as_ref().map(ToString::to_string);
        let place = format!("device, {}", shown.unwrap_or_default());
        equal(&place, &poll.means, &means)
    }
}

/// Puts `value` in the place of every text that is `documented`.
fn put_in_place(json: Option<&mut Value>, documented: &str, value: &str) {
    match json {
        Some(Value::String(text)) if text == documented => value.clone_into(text),
        Some(Value::Array(items)) => {
            for item in items {
                put_in_place(Some(item), documented, value);
            }
        }
        Some(Value::Object(fields)) => {
            for field in fields.values_mut() {
                put_in_place(Some(field), documented, value);
            }
        }
        _ => {}
    }
}

/// What a round says of its client, for placeholders.
pub(super) fn know_client(vendor: &Vendor, round: &Round) {
    let configure = &round.configure;
    let id = configure.client_id.as_deref().unwrap_or_default();
    let secret = configure.client_secret.as_deref().unwrap_or_default();
    vendor.know("basic", &vendor::basic(id, secret));
    vendor.know("user_agent", http::USER_AGENT);
    let seconds = NOW / 1000;
    vendor.know("now", &seconds.to_string());
}

fn issued(outcome: Outcome) -> Result<Issued, String> {
    match outcome {
        Outcome::Issued(issued) => Ok(*issued),
        outcome => Err(format!("the token endpoint's reply is {outcome:?}")),
    }
}
