//! Running templates against an API that a test plays: no socket, no Python.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use _core::action::library::{Library, Source};
use _core::action::plan::Plan;
use _core::action::run::{Answer, Next, Options, PythonStep, Run};
use _core::action::value::{Mapping, Value};
use _core::clock::{Clock, ManualClock, Timestamp};
use _core::engine::Engine;
use _core::engine::configure::{Configure, Settings};
use _core::engine::open::{ExplicitKey, Surroundings, open_in};
use _core::engine::runtime::{Runtime, Scheduler, Task};
use _core::error::{Error, Result};
use _core::http::{ActionRequest, HeaderMap, HostRule, Reply, Request, Sending, Transport};
use _core::model::GrantType;
use _core::provider::catalog::Catalog;
use _core::secret::{Secret, SecretBytes};
use _core::store::memory::MemoryStore;
use tempfile::TempDir;

use super::json;
use crate::support::NOW;

mod echoes;
mod google;
mod grants;
mod http_request;
mod library;
mod repeated;
mod replies;
mod steps;

pub(super) const USER: GrantType = GrantType::AuthorizationCode;
pub(super) const SERVICE: GrantType = GrantType::ClientCredentials;

/// What the API was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) is_blind: bool,
    pub(super) is_server_named: bool,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn body(&self) -> &str {
        std::str::from_utf8(self.body.as_deref().unwrap_or_default()).unwrap()
    }
}

/// What the API answers.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// JSON with a status.
pub(super) fn said(status: u16, body: &str) -> Said {
    Said {
        status,
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.as_bytes().to_vec(),
    }
}

/// A body of another type, or of none.
pub(super) fn typed(content_type: &str, body: impl Into<Vec<u8>>) -> Said {
    let headers = match content_type {
        "" => Vec::new(),
        content_type => vec![("content-type", content_type.to_owned())],
    };
    Said {
        status: 200,
        headers,
        body: body.into(),
    }
}

pub(super) fn redirect(status: u16, to: &str) -> Said {
    Said {
        status,
        headers: vec![("location", to.to_owned())],
        body: Vec::new(),
    }
}

/// An API, and the token endpoint of its provider: the n-th token is `at-n`.
#[derive(Default)]
pub(super) struct Api {
    answers: Mutex<VecDeque<Said>>,
    asked: Mutex<Vec<Asked>>,
    tokens: AtomicUsize,
}

impl Transport for Api {
    fn send(&self, _: Request) -> Sending {
        let number = self.tokens.fetch_add(1, Ordering::Relaxed) + 1;
        let token = format!("access-token-{number}");
        let body = serde_json::json!({
            "access_token": token, "refresh_token": format!("refresh-token-{number}"), "token_type": "Bearer",
            "expires_in": 3600,
        });
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        let reply = reply(200, headers, body.to_string().into_bytes());
        Box::pin(async { Ok(reply) })
    }

    fn exchange(&self, request: ActionRequest) -> Sending {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let headers = request.headers.iter();
        self.asked.lock().unwrap().push(Asked {
            method: request.method.to_string(),
            url: request.url.to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
            body: request.body.map(|body| body.expose().to_vec()),
            is_blind: request.trust.is_blind,
            is_server_named: request.host_rule == HostRule::ServerNamed,
        });
        let next = self.answers.lock().unwrap().pop_front();
        let said = next.unwrap_or_else(|| said(200, "{}"));
        let mut headers = HeaderMap::new();
        for (name, value) in said.headers {
            headers.append(name, value.parse().unwrap());
        }
        let reply = reply(said.status, headers, said.body);
        Box::pin(async { Ok(reply) })
    }
}

fn reply(status: u16, headers: HeaderMap, body: Vec<u8>) -> Reply {
    Reply {
        status,
        headers,
        body: SecretBytes::from(body),
        truncated: false,
    }
}

/// Waits are over at once, and noted.
#[derive(Default)]
pub(super) struct Pauses(Mutex<Vec<Duration>>);

impl Scheduler for Pauses {
    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn sleep(&self, duration: Duration) -> Task {
        self.0.lock().unwrap().push(duration);
        Box::pin(async {})
    }

    fn fraction(&self) -> f64 {
        0.5
    }
}

/// A workspace in which nothing is configured, the API of `acme`, and a folder of templates.
pub(super) struct World {
    pub(super) api: Arc<Api>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) engine: Arc<Engine>,
    pub(super) folder: TempDir,
    pauses: Arc<Pauses>,
}

const ACME: &str = "id: acme
name: Acme
category: other
summary: A provider made up for tests.
endpoints: {authorization_endpoint: 'https://acme.example/authorize', token_endpoint: 'https://acme.example/token'}
client: {authentication: [client_secret_post]}
scopes: {base: [base], allowed: ['[a-z.:/]+']}
api: {hosts: [api.acme.example, 'files.acme.example:8443']}
grants:
  authorization_code: {refresh: {rotates: always}}
  client_credentials: {}
";

impl World {
    pub(super) async fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let providers = folder.path().join("providers");
        std::fs::create_dir(&providers).unwrap();
        std::fs::create_dir(folder.path().join("actions")).unwrap();
        std::fs::write(providers.join("acme.yaml"), ACME).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
        let api = Arc::new(Api::default());
        let pauses = Arc::new(Pauses::default());
        let surroundings = Surroundings {
            clock: Clock::manual(Arc::clone(&clock)),
            runtime: Runtime::scheduled(Arc::clone(&pauses) as Arc<dyn Scheduler>),
            transport: Some(Arc::clone(&api) as Arc<dyn Transport>),
        };
        let key = ExplicitKey::Bytes(SecretBytes::from(vec![7; 32]));
        let catalog = Arc::new(Catalog::with_folders(&[providers]).unwrap());
        let store = Arc::new(MemoryStore::new());
        let engine = open_in(surroundings, store, "default", key, catalog);
        Self {
            engine: engine.await.unwrap(),
            api,
            clock,
            folder,
            pauses,
        }
    }

    /// With a user's connection to `acme`.
    pub(super) async fn connected() -> Self {
        let world = Self::bare().await;
        world.configure(USER, &[]).await;
        world.import("default").await;
        world
    }

    pub(super) async fn configure(&self, grant_type: GrantType, api_hosts: &[&str]) {
        let request = Configure {
            provider: "acme".to_owned(),
            grant_type: Some(grant_type),
            client_id: Some("client-1".to_owned()),
            client_secret: Some("s3cret-of-client".into()),
            settings: Settings {
                api_hosts: Some(api_hosts.iter().map(|host| (*host).to_owned()).collect()),
                ..Settings::default()
            },
        };
        self.engine.configure(request).await.unwrap();
    }

    pub(super) async fn import(&self, connection: &str) {
        let imported = self.engine.import_refresh_token(
            "acme",
            format!("refresh-token-of-{connection}").into(),
            Some(USER),
            connection,
            &[],
        );
        imported.await.unwrap();
    }

    /// The next request of an action is answered with this.
    pub(super) fn answers(&self, said: Said) {
        self.api.answers.lock().unwrap().push_back(said);
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.api.asked.lock().unwrap().clone()
    }

    /// The one request that the API got.
    pub(super) fn only(&self) -> Asked {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }

    /// The seconds of each wait.
    pub(super) fn waited(&self) -> Vec<u64> {
        let pauses = self.pauses.0.lock().unwrap();
        pauses.iter().map(Duration::as_secs).collect()
    }

    /// How many tokens were issued.
    pub(super) fn issued(&self) -> usize {
        self.api.tokens.load(Ordering::Relaxed)
    }

    /// A template in the folder, to be found by its name.
    pub(super) fn keep(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join("actions").join(file), text).unwrap();
    }

    pub(super) fn plan(&self, text: &str) -> Result<Plan> {
        let library = Library {
            folders: vec![self.folder.path().join("actions")],
        };
        Plan::of(Source::parse(text, None)?, &library)
    }

    pub(super) async fn run(&self, text: &str, inputs: &str) -> Result<Value> {
        self.run_with(text, inputs, options(), no_python).await
    }

    /// Runs a template, with what Python would answer.
    pub(super) async fn run_with(
        &self,
        text: &str,
        inputs: &str,
        options: Options,
        mut python: impl FnMut(PythonStep) -> Answer,
    ) -> Result<Value> {
        let plan = Arc::new(self.plan(text)?);
        let mut run = Run::new(Arc::clone(&self.engine), plan, mapping(inputs), options);
        let mut answer = None;
        loop {
            match run.advance(answer.take()).await? {
                Next::Done(value) => return Ok(value),
                Next::Python(step) => answer = Some(python(step)),
            }
        }
    }

    /// Runs the one step of a template, and gives its result.
    pub(super) async fn step(&self, step: &str) -> Result<Value> {
        self.run(&one_step(step), "{}").await
    }

    /// Why a step fails; nothing was asked of the API.
    pub(super) async fn refuses(&self, step: &str) -> Error {
        let error = self.step(step).await.expect_err(step);
        assert!(self.asked().is_empty(), "{step}: {:?}", self.asked());
        error
    }
}

pub(super) fn no_python(step: PythonStep) -> Answer {
    panic!("Python was asked: {step:?}")
}

pub(super) fn options() -> Options {
    Options {
        connection: "default".to_owned(),
        ..Options::default()
    }
}

/// Ordinary secrets, each with one key.
pub(super) fn with_secrets(secrets: &[(&str, &str, &str)]) -> Options {
    let mut given: BTreeMap<String, BTreeMap<String, Secret>> = BTreeMap::new();
    for (name, key, value) in secrets {
        let keys = given.entry((*name).to_owned()).or_default();
        keys.insert((*key).to_owned(), Secret::from(*value));
    }
    Options {
        secrets: given,
        ..options()
    }
}

pub(super) fn mapping(text: &str) -> Mapping {
    match json(text) {
        Value::Mapping(entries) => (*entries).clone(),
        other => panic!("{other:?} is no mapping"),
    }
}

/// A template that uses the token of `acme`; the rest of its definition follows.
pub(super) fn template(rest: &str) -> String {
    format!(
        "type: action
definition:
  name: act
  namespace: tools.acme
  title: Act
  description: Acts.
  display_group: Acme
{rest}"
    )
}

/// The same under another name.
pub(super) fn named_template(name: &str, rest: &str) -> String {
    template(rest).replace("name: act", &format!("name: {name}"))
}

/// A template of one request that may use the user's token of `acme`, and returns its result.
pub(super) fn token_step(arguments: &str) -> String {
    one_step(&format!("action: core.http_request\nargs: {arguments}"))
}

/// A template of one step `only` that may use the user's token of `acme`, and returns its result.
pub(super) fn one_step(step: &str) -> String {
    let step = step.trim_matches('\n').replace('\n', "\n      ");
    template(&format!(
        "  secrets:
    - type: oauth
      provider_id: acme
      grant_type: authorization_code
      optional: true
    - name: other
      optional_keys: [KEY]
      optional: true
  expects: {{}}
  steps:
    - ref: only
      {step}
  returns:
    result: ${{{{ steps.only.result }}}}
"
    ))
}

/// The member `result` of what a template returned.
pub(super) fn result(returned: &Value) -> &Value {
    returned.get("result").unwrap()
}
