//! How a client proves who it is (RFC 6749 section 2.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::assertion;
use super::request::{Parameters, Values};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::provider::ClientAuthentication;
use crate::secret::{ClientSecret, Secret};

/// A client of a provider: the application that a user registered there.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Its id: public (RFC 6749 section 2.2).
    pub id: &'a str,
    /// Its secret; a public client has none.
    pub secret: Option<&'a ClientSecret>,
    /// How it authenticates, unless a request has its own way.
    pub authentication: ClientAuthentication,
}

/// Adds to a request what authenticates the client, or presents a token in its place.
///
/// Fails for methods that this version doesn't know.
pub(super) fn authenticate(
    method: ClientAuthentication,
    client: &Client<'_>,
    bearer: Option<&str>,
    values: &Values<'_>,
    now: Timestamp,
    parameters: &mut Parameters,
    headers: &mut Vec<(String, Secret)>,
) -> Result<()> {
    use ClientAuthentication as Method;
    match (method, client.secret) {
        (Method::ClientSecretBasic | Method::ClientSecretPost, Some(secret))
            if assertion::holds_private_key(secret) =>
        {
            return Err(Error::invalid_parameter(
                "private_key_not_sent",
                "the client secret is a private key, which is never sent to anybody",
            ));
        }
        (Method::ClientSecretBasic, Some(secret)) => {
            headers.push(("Authorization".to_owned(), basic(client.id, secret)));
        }
        (Method::ClientSecretPost, Some(secret)) => {
            parameters.set("client_id", client.id);
            parameters.set("client_secret", secret.expose());
        }
        (Method::ClientSecretBasic | Method::ClientSecretPost | Method::None, _) => {
            parameters.set("client_id", client.id);
        }
        (Method::Bearer, _) => {
            if let Some(token) = bearer {
                headers.extend(present(values, token)?);
            }
        }
        // The headers and parameters of the provider file carry it.
        (Method::Custom, _) => {}
        (Method::ClientSecretJwt | Method::PrivateKeyJwt, _) => {
            let signed = match method {
                Method::ClientSecretJwt => assertion::of_secret(client, values, now)?,
                _ => assertion::of_client(client, values, now)?,
            };
            parameters.set("client_id", client.id);
            parameters.set("client_assertion_type", assertion::CLIENT_ASSERTION_TYPE);
            parameters.set("client_assertion", signed);
        }
        (Method::TlsClientAuth, _) => {
            return Err(Error::invalid_parameter(
                "client_authentication_unsupported",
                "the client authentication tls_client_auth is not supported",
            ));
        }
    }
    Ok(())
}

/// The headers that present a token to the provider's API: `Authorization: Bearer` unless the file says otherwise, and
/// what else every call needs.
fn present(values: &Values<'_>, token: &str) -> Result<Vec<(String, Secret)>> {
    let api = &values.spec().api;
    let header = api.token_header.as_deref().unwrap_or("Authorization");
    let scheme = match api.token_scheme.as_deref() {
        None if header.eq_ignore_ascii_case("authorization") => Some("Bearer"),
        scheme => scheme,
    };
    let value = scheme.map_or_else(|| token.to_owned(), |scheme| format!("{scheme} {token}"));
    let mut headers = vec![(header.to_owned(), Secret::from(value))];
    for (name, template) in &api.headers {
        headers.extend(values.fill(template)?.map(|value| (name.clone(), value)));
    }
    Ok(headers)
}

/// Id and secret are form-urlencoded first (RFC 6749 section 2.3.1), as servers that follow it decode them.
fn basic(id: &str, secret: &ClientSecret) -> Secret {
    let encode = |text: &str| -> Zeroizing<String> {
        Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect())
    };
    let pair = Zeroizing::new(format!("{}:{}", *encode(id), *encode(secret.expose())));
    Secret::from(format!("Basic {}", STANDARD.encode(&*pair)))
}
