//! A provider and its API, played by a case: no socket, and one token that is there.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use _core::action::library::{Library, Source};
use _core::action::plan::Plan;
use _core::action::run::{Next, Options, Run};
use _core::action::value::json::{Layout, read, write};
use _core::action::value::{Mapping, Value};
use _core::clock::{Clock, ManualClock, Timestamp};
use _core::engine::Engine;
use _core::engine::configure::{Configure, Settings};
use _core::engine::open::{ExplicitKey, Surroundings, open_in};
use _core::http::{ActionRequest, Request, Sending, Transport};
use _core::model::GrantType;
use _core::provider::catalog::Catalog;
use _core::secret::SecretBytes;
use _core::store::memory::MemoryStore;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::exchange::{Exchange, Said, TOKEN, compare, reply};
use super::python::Python;
use crate::support::NOW;

/// The one token that is connected.
pub(super) struct Token {
    provider: String,
    grant_type: GrantType,
}

impl Token {
    pub(super) fn new(provider: &str, grant_type: GrantType) -> Self {
        let provider = provider.to_owned();
        Self {
            provider,
            grant_type,
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.provider, self.grant_type)
    }
}

/// The exchanges that are still to come, and what went otherwise.
struct Play {
    exchanges: Mutex<VecDeque<Exchange>>,
    differences: Mutex<Vec<String>>,
}

impl Play {
    fn differs(&self, difference: String) {
        self.differences.lock().unwrap().push(difference);
    }
}

impl Transport for Play {
    /// Any provider's token endpoint.
    fn send(&self, _: Request) -> Sending {
        let body = json!({
            "ok": true, "token_type": "Bearer", "access_token": TOKEN, "token": TOKEN, "refresh_token": "refresh-token-2",
            "expires_in": 3600, "expires_at": "2099-01-01T00:00:00Z",
        });
        reply(&Said {
            json: Some(body),
            ..Said::status(200)
        })
    }

    fn exchange(&self, request: ActionRequest) -> Sending {
        let Some(Exchange {
            request: expected,
            reply: said,
        }) = self.exchanges.lock().unwrap().pop_front()
        else {
            self.differs(format!("also asks {} {}", request.method, request.url));
            return reply(&Said::status(404));
        };
        for difference in compare(&request, &expected) {
            self.differs(difference);
        }
        reply(&said)
    }
}

/// A workspace in which one provider is connected, in front of a play.
pub(super) struct Stage {
    engine: Arc<Engine>,
    play: Arc<Play>,
}

impl Stage {
    pub(super) async fn set(token: &Token, exchanges: Vec<Exchange>) -> Self {
        let play = Arc::new(Play {
            exchanges: Mutex::new(exchanges.into()),
            differences: Mutex::default(),
        });
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
        let surroundings = Surroundings {
            clock: Clock::manual(clock),
            transport: Some(Arc::clone(&play) as Arc<dyn Transport>),
            ..Surroundings::default()
        };
        let key = ExplicitKey::Bytes(SecretBytes::from(vec![7; 32]));
        let store = Arc::new(MemoryStore::new());
        let catalog = Arc::new(Catalog::builtin());
        let engine = open_in(surroundings, store, "default", key, catalog);
        let stage = Self {
            engine: engine.await.unwrap(),
            play,
        };
        stage.connect(token).await;
        stage
    }

    async fn connect(&self, token: &Token) {
        let Token {
            provider,
            grant_type,
        } = token;
        let is_service = *grant_type == GrantType::ClientCredentials;
        let mut parameters = BTreeMap::new();
        let mut client_secret = "s3cret-of-client".to_owned();
        let parameter = match provider.as_str() {
            "servicenow" => Some(("host", "dev12345.service-now.com")),
            "jamf" => Some(("host", "acme.jamfcloud.com")),
            "github" if is_service => Some(("installation_id", "12345678")),
            _ if provider.starts_with("microsoft_") && is_service => {
                Some(("tenant", "contoso.onmicrosoft.com"))
            }
            _ => None,
        };
        parameters.extend(parameter.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if is_service && provider == "github" {
            private_key().clone_into(&mut client_secret);
        } else if is_service && provider.starts_with("google_") {
            let key = json!({
                "type": "service_account", "private_key": private_key(), "private_key_id": "key-1",
                "client_email": "robot@acme.iam.gserviceaccount.com", "client_id": "1234567890",
                "token_uri": "https://oauth2.googleapis.com/token",
            });
            client_secret = key.to_string();
        }
        let configured = self.engine.configure(Configure {
            provider: provider.clone(),
            grant_type: Some(*grant_type),
            client_id: Some("client-1".to_owned()),
            client_secret: Some(client_secret.into()),
            settings: Settings {
                parameters: Some(parameters),
                ..Settings::default()
            },
        });
        configured
            .await
            .unwrap_or_else(|error| panic!("{token}: {error}"));
        if !is_service {
            let imported = self.engine.import_refresh_token(
                provider,
                "refresh-token-1".to_owned().into(),
                Some(*grant_type),
                "default",
                &[],
            );
            imported
                .await
                .unwrap_or_else(|error| panic!("{token}: {error}"));
        }
    }

    /// Runs a template: what it returns, or what its error says.
    pub(super) async fn run(
        &self,
        text: &str,
        inputs: &serde_json::Value,
        python: &Python,
    ) -> Result<serde_json::Value, String> {
        let said = |error: _core::error::Error| error.to_string();
        let source = Source::parse(text, None).map_err(said)?;
        let plan = Plan::of(source, &Library::default()).map_err(said)?;
        let options = Options {
            connection: "default".to_owned(),
            ..Options::default()
        };
        let inputs = mapping(inputs);
        let mut run = Run::new(Arc::clone(&self.engine), Arc::new(plan), inputs, options);
        let mut answer = None;
        loop {
            let next = run.advance(answer.take()).await.map_err(said)?;
            match next {
                Next::Done(value) => {
                    return Ok(serde_json::from_str(&write(&value, Layout::Compact)).unwrap());
                }
                Next::Python(step) => answer = Some(python.answer(&step)),
            }
        }
    }

    /// What went otherwise than in the case, requests that never came among it.
    pub(super) fn differences(&self) -> Vec<String> {
        let mut differences = std::mem::take(&mut *self.play.differences.lock().unwrap());
        let left = self.play.exchanges.lock().unwrap();
        let left = left.iter().map(|exchange| &exchange.request);
        differences.extend(left.map(|left| format!("never asks {} {}", left.method, left.url)));
        differences
    }
}

fn mapping(inputs: &serde_json::Value) -> Mapping {
    match read(&inputs.to_string()).unwrap() {
        Value::Mapping(entries) => (*entries).clone(),
        other => panic!("{other:?} is no mapping"),
    }
}

/// A key that a service signs with, made once.
fn private_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
        let body = STANDARD.encode(der.as_ref());
        let lines = body
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap());
        let body = Vec::from_iter(lines).join("\n");
        format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
    })
}
