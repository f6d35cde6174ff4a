//! Requests to the token endpoint: the code exchange, the refresh, and the client credentials grant.

use std::collections::BTreeMap;

use super::account::Asking;
use super::client::Client;
use super::device::DeviceAuthorization;
use super::request::{Draft, Mask, Parameters, TOKEN_DEADLINE, Values};
use super::response::{Asked, Issued, Outcome, Question};
use super::{assertion, introspection, lookup, response, scope};
use crate::clock::{Clock, Monotonic};
use crate::http::{self, Method};
use crate::model::Account;
use crate::provider::{ClientAuthentication, RequestRules, Spec};
use crate::secret::{AccessToken, AuthorizationCode, PkceVerifier, RefreshToken, Secret};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A code and what it was asked with (RFC 6749 section 4.1.3).
#[derive(Clone, Copy, Debug)]
pub struct CodeExchange<'a> {
    /// The code of the callback.
    pub code: &'a AuthorizationCode,
    /// The redirect URI of the authorization request, to the letter.
    pub redirect_uri: &'a str,
    /// The verifier of the challenge that was sent (RFC 7636 section 4.5).
    pub verifier: Option<&'a PkceVerifier>,
    /// The state of the authorization request: a few vendors want it again.
    pub state: Option<&'a Secret>,
    /// The nonce that the ID token must repeat.
    pub nonce: Option<&'a Secret>,
    /// The scopes asked for.
    pub requested: &'a [String],
    /// The resource asked for by name, empty for the default one.
    pub resource: &'a str,
}

/// A refresh token and what is asked with it (RFC 6749 section 6).
#[derive(Clone, Copy, Debug)]
pub struct Refresh<'a> {
    /// The refresh token.
    pub refresh_token: Option<&'a RefreshToken>,
    /// The access token held: what is renewed where a vendor has no refresh tokens.
    pub access_token: Option<&'a AccessToken>,
    /// The scopes wanted; empty: those granted. None beyond the granted ones is asked for.
    pub scopes: &'a [String],
    /// The scopes granted.
    pub granted: &'a [String],
    /// The resource asked for by name, empty for the default one.
    pub resource: &'a str,
    /// The redirect URI of the sign-in: a few vendors want it again.
    pub redirect_uri: Option<&'a str>,
    /// The `sub` of the first ID token, where one came: another one is refused.
    pub subject: Option<&'a str>,
    /// From this instant on the request does not leave any more: another process may send the same refresh token.
    pub leaves_by: Option<Monotonic>,
}

/// Exchanges a code for tokens (RFC 6749 section 4.1.3). The outcome's instants are read from `clock` when the reply has
/// arrived; a lifetime counts from the moment the request left.
pub async fn exchange_code(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    exchange: CodeExchange<'_>,
    clock: &Clock,
) -> Outcome {
    let mut standard = Parameters::default();
    standard.set("grant_type", "authorization_code");
    standard.set("code", exchange.code.expose());
    standard.set("redirect_uri", exchange.redirect_uri);
    standard.set_some("code_verifier", exchange.verifier.map(PkceVerifier::expose));
    let scopes = if scope::choose_resource(spec, exchange.resource) {
        exchange.requested
    } else {
        &[]
    };
    scope::set(&mut standard, spec, "token", scopes, exchange.resource);
    let values = Values::new(spec, Some(&client))
        .with("code", Some(exchange.code.expose()))
        .with("redirect_uri", Some(exchange.redirect_uri))
        .with("state", exchange.state.map(Secret::expose))
        .with("nonce", exchange.nonce.map(Secret::expose))
        .with("scope", Some(&scope::join(spec, exchange.requested)));
    let ask = Ask {
        spec,
        client,
        asked: Asked::Code,
        rules: &spec.token,
        standard,
        values: values.clone(),
        scopes: exchange.requested,
        resource: exchange.resource,
        nonce: exchange.nonce,
        subject: None,
        sent: None,
        leaves_by: None,
    };
    let outcome = ask.send(http, clock).await;
    let outcome = match (&spec.exchange, outcome) {
        (Some(rules), Outcome::Issued(first)) => {
            let swap = Ask {
                spec,
                client,
                asked: Asked::Code,
                rules,
                standard: Parameters::default(),
                values: values.with("access_token", Some(first.token.value.expose())),
                scopes: exchange.requested,
                resource: exchange.resource,
                nonce: None,
                subject: None,
                sent: None,
                leaves_by: None,
            };
            swapped(*first, swap.send(http, clock).await)
        }
        (_, outcome) => outcome,
    };
    match with_lookup(http, spec, client, outcome, clock).await {
        Outcome::Issued(issued) => Outcome::Issued(Box::new(Issued {
            redirect_uri: Some(exchange.redirect_uri.to_owned()),
            ..*issued
        })),
        outcome => outcome,
    }
}

/// The token that came in exchange for the first one, with what only the first reply told.
fn swapped(first: Issued, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Issued(mut second) => {
            let mut kept = first.kept;
            kept.append(&mut second.kept);
            second.token.extra.clone_from(&kept);
            second.kept = kept;
            if second.granted_scopes.is_none() && first.granted_scopes.is_some() {
                second.granted_scopes = first.granted_scopes;
                second.token.scopes = first.token.scopes;
            }
            second.id_token = second.id_token.or(first.id_token);
            if second.account == Account::default() {
                second.account = first.account;
            }
            Outcome::Issued(second)
        }
        outcome => outcome,
    }
}

/// What was issued, with the values of the look-up that is due. Without them the token is worth nothing.
async fn with_lookup(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    outcome: Outcome,
    clock: &Clock,
) -> Outcome {
    let Some(rules) = lookup::due(spec) else {
        return outcome;
    };
    let Outcome::Issued(mut issued) = outcome else {
        return outcome;
    };
    let asking = Asking {
        http,
        spec,
        client,
        token: &issued.token.value,
        clock,
    };
    match lookup::look_up(asking, rules).await {
        Ok(kept) => {
            issued.token.extra.extend(kept.clone());
            issued.kept.extend(kept);
            Outcome::Issued(issued)
        }
        Err(error) => Outcome::Unusable {
            refresh_token: None,
            refresh_expires_at: None,
            kept: BTreeMap::new(),
            rule: error.reason().to_owned(),
        },
    }
}

/// Asks for an access token with a refresh token.
///
/// The request names scopes only where a resource or fewer scopes than granted are wanted: asked for nothing, every
/// server gives what was granted.
pub async fn refresh(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    refresh: Refresh<'_>,
    clock: &Clock,
) -> Outcome {
    let Some(rules) = &spec.refresh else {
        return Outcome::not_sent(format!("{} gives no refresh tokens", spec.name));
    };
    if refresh.refresh_token.is_none() && !rules.uses_access_token {
        return Outcome::not_sent("there is no refresh token".to_owned());
    }
    let scopes = refresh_scopes(spec, &refresh);
    let mut standard = Parameters::default();
    standard.set("grant_type", "refresh_token");
    standard.set_some(
        "refresh_token",
        refresh.refresh_token.map(RefreshToken::expose),
    );
    scope::set(&mut standard, spec, "refresh", &scopes, refresh.resource);
    let granted = scope::join(spec, refresh.granted);
    let values = Values::new(spec, Some(&client))
        .with(
            "refresh_token",
            refresh.refresh_token.map(RefreshToken::expose),
        )
        .with(
            "access_token",
            refresh.access_token.map(AccessToken::expose),
        )
        .with("redirect_uri", refresh.redirect_uri)
        .with("scope", (!granted.is_empty()).then_some(&granted));
    let ask = Ask {
        spec,
        client,
        asked: Asked::Refresh,
        rules: &rules.request,
        standard,
        values,
        scopes: if scopes.is_empty() {
            refresh.granted
        } else {
            &scopes
        },
        resource: refresh.resource,
        nonce: None,
        subject: refresh.subject,
        leaves_by: refresh.leaves_by,
        sent: refresh.refresh_token,
    };
    ask.send(http, clock).await
}

/// Asks for a token of the client itself (RFC 6749 section 4.4).
pub async fn client_credentials(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    scopes: &[String],
    resource: &str,
    clock: &Clock,
) -> Outcome {
    let scopes = scope::of_service(spec, scopes, resource);
    let mut standard = Parameters::default();
    standard.set("grant_type", "client_credentials");
    scope::set(&mut standard, spec, "token", scopes, resource);
    let joined = scope::join(spec, scopes);
    let mut values =
        Values::new(spec, Some(&client)).with("scope", (!joined.is_empty()).then_some(&joined));
    let mut client = client;
    if let Some(rules) = &spec.assertion {
        let assertion = match assertion::sign(rules, &client, &values, clock.wall()) {
            Ok(assertion) => assertion,
            Err(error) => return Outcome::not_sent(error.reason().to_owned()),
        };
        if rules.usage.as_deref() == Some("grant") {
            standard.set("grant_type", assertion::GRANT_TYPE);
            standard.set("assertion", assertion.expose());
        }
        values = values.with("assertion", Some(assertion.expose()));
        // The assertion says who asks.
        client.authentication = rules
            .client_authentication
            .unwrap_or(ClientAuthentication::Custom);
    }
    let ask = Ask {
        spec,
        client,
        asked: Asked::Service,
        rules: &spec.token,
        standard,
        values,
        scopes,
        resource,
        nonce: None,
        subject: None,
        sent: None,
        leaves_by: None,
    };
    let outcome = ask.send(http, clock).await;
    with_lookup(http, spec, client, outcome, clock).await
}

/// Asks for a token in the place of another, which was issued elsewhere (RFC 8693 section 2.1).
pub async fn exchange_token(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    subject_token: &AccessToken,
    scopes: &[String],
    resource: &str,
    clock: &Clock,
) -> Outcome {
    let scopes = scope::of_service(spec, scopes, resource);
    let mut standard = Parameters::default();
    standard.set("grant_type", TOKEN_EXCHANGE);
    standard.set("subject_token", subject_token.expose());
    standard.set("subject_token_type", ACCESS_TOKEN);
    scope::set(&mut standard, spec, "token", scopes, resource);
    let joined = scope::join(spec, scopes);
    let mut rules = spec.token.clone();
    // It names the grant that this one takes the place of.
    rules.parameters.remove("grant_type");
    let ask = Ask {
        spec,
        client,
        asked: Asked::Service,
        rules: &rules,
        standard,
        values: Values::new(spec, Some(&client))
            .with("scope", (!joined.is_empty()).then_some(&joined)),
        scopes,
        resource,
        nonce: None,
        subject: None,
        sent: None,
        leaves_by: None,
    };
    let outcome = ask.send(http, clock).await;
    with_lookup(http, spec, client, outcome, clock).await
}

/// Asks for the tokens of a device code (RFC 8628 section 3.4).
pub(super) async fn device_code(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    authorization: &DeviceAuthorization,
    scopes: &[String],
    clock: &Clock,
) -> Outcome {
    let mut standard = Parameters::default();
    standard.set("grant_type", DEVICE_CODE);
    standard.set("device_code", authorization.device_code.expose());
    scope::set(&mut standard, spec, "token", &[], "");
    let by_default = RequestRules::default();
    let ask = Ask {
        spec,
        client,
        asked: Asked::Code,
        rules: spec
            .device
            .as_ref()
            .map_or(&by_default, |device| &device.poll),
        standard,
        values: Values::new(spec, Some(&client))
            .with("user_code", Some(&authorization.user_code))
            .with("scope", Some(&scope::join(spec, scopes))),
        scopes,
        resource: "",
        nonce: None,
        subject: None,
        sent: None,
        leaves_by: None,
    };
    ask.send(http, clock).await
}

/// No more than was granted, and nothing where that is all that is wanted. Scopes of another resource are not among
/// those of the grant, so they are taken as they are.
fn refresh_scopes(spec: &Spec, refresh: &Refresh<'_>) -> Vec<String> {
    if scope::choose_resource(spec, refresh.resource) {
        return scope::asked(spec, refresh.scopes, refresh.resource);
    }
    let fewer = refresh
        .granted
        .iter()
        .any(|granted| !refresh.scopes.contains(granted));
    let asked = refresh
        .scopes
        .iter()
        .filter(|scope| refresh.granted.contains(scope));
    if fewer {
        asked.cloned().collect()
    } else {
        Vec::new()
    }
}

/// One request to the token endpoint, and how its reply is read.
struct Ask<'a> {
    spec: &'a Spec,
    client: Client<'a>,
    asked: Asked,
    rules: &'a RequestRules,
    standard: Parameters,
    values: Values<'a>,
    scopes: &'a [String],
    resource: &'a str,
    nonce: Option<&'a Secret>,
    subject: Option<&'a str>,
    sent: Option<&'a RefreshToken>,
    leaves_by: Option<Monotonic>,
}

impl Ask<'_> {
    async fn send(self, http: &http::Client, clock: &Clock) -> Outcome {
        let draft = Draft {
            spec: self.spec,
            client: self.client,
            rules: self.rules,
            endpoint: self.spec.endpoints.token_endpoint.as_deref(),
            authentication: self.client.authentication,
            method: Method::POST,
            standard: self.standard,
            values: self.values,
            bearer: None,
            deadline: TOKEN_DEADLINE,
            now: clock.wall(),
        };
        let (request, mask): (http::Request, Mask) = match draft.finish() {
            Ok((request, mask)) => {
                let leaves_by = self.leaves_by;
                (
                    http::Request {
                        leaves_by,
                        ..request
                    },
                    mask,
                )
            }
            Err(error) => return Outcome::not_sent(error.reason().to_owned()),
        };
        let (sent_at, sent) = (clock.wall(), clock.monotonic());
        let reply = match http.send(request).await {
            Ok(reply) => reply,
            Err(failure) => return Outcome::without_reply(&failure, self.spec),
        };
        let received_at = clock.wall();
        let question = Question {
            spec: self.spec,
            client_id: self.client.id,
            asked: self.asked,
            scopes: self.scopes,
            resource: self.resource,
            nonce: self.nonce,
            subject: self.subject,
            sent: self.sent,
            // The wall clock may have been set meanwhile, and the monotonic one stands still while the machine sleeps.
            asked_at: sent_at.min(received_at.before(clock.real(clock.monotonic().since(sent)))),
            received_at,
            mask: &mask,
        };
        let mut outcome = response::read(&reply, &question);
        if let Outcome::Issued(issued) = &mut outcome
            && self.spec.reply.expires.source.as_deref() == Some("introspection")
            && introspection::is_offered(self.spec, &self.client)
            // A new refresh token is stored first of all.
            && issued.refresh_token.is_none()
        {
            let (spec, client, token) = (self.spec, self.client, &issued.token.value);
            match Box::pin(introspection::introspect(http, spec, client, token, clock)).await {
                Ok(told) => issued.token.expires_at = told.expires_at,
                Err(error) => {
                    tracing::info!(
                        reason = error.reason(),
                        "nobody knows how long the token lives"
                    );
                }
            }
        }
        outcome
    }
}
