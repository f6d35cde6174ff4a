//! A round as its file writes it: what a vendor's pages say, in their terms.

use std::collections::BTreeMap;
use std::path::Path;

use _core::model::{Account, GrantType};
use _core::provider::{
    ClientAuthentication, EndsAccessToken, Grace, Lifetimes, Meaning, RedirectRules, Rotates,
};
use serde::Deserialize;
use serde_json::Value;

/// All that a vendor's pages say of one grant type. `tests/data/rounds/README.md` says how to write one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Round {
    /// The vendor's pages.
    pub(super) pages: Vec<String>,
    pub(super) configure: Registered,
    /// Metadata that is asked for when the client is configured.
    #[serde(default)]
    pub(super) discovery: Vec<Exchange>,
    pub(super) authorization: Option<AuthorizationRequest>,
    #[serde(default)]
    pub(super) callback: BTreeMap<String, String>,
    /// The code exchange, or the service's request, and all that is asked with the token at once.
    pub(super) token: Step,
    pub(super) refresh: Option<Step>,
    #[serde(default)]
    pub(super) refusals: Refusals,
    /// Tokens of the same grant for other resources, by name.
    #[serde(default)]
    pub(super) resources: BTreeMap<String, Step>,
    pub(super) device: Option<Device>,
    pub(super) disconnect: Vec<Exchange>,
    #[serde(default)]
    pub(super) account: Account,
    pub(super) expects: Expects,
    /// The round elsewhere: other parameters, and what is written instead.
    #[serde(default)]
    pub(super) variations: Vec<Variation>,
}

/// An application as it was registered with the vendor.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Registered {
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) parameters: BTreeMap<String, String>,
    /// Asked beside those that are always asked.
    pub(super) scopes: Vec<String>,
    pub(super) redirect_uri: Option<String>,
    pub(super) issuer: Option<String>,
}

impl Registered {
    pub(super) fn redirect_uri(&self) -> &str {
        let registered = self.redirect_uri.as_deref();
        registered.unwrap_or("https://app.example/callback")
    }
}

/// Where the browser is sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizationRequest {
    /// Without its query.
    pub(super) url: String,
    pub(super) query: BTreeMap<String, String>,
    /// What is asked before (RFC 9126).
    #[serde(default)]
    pub(super) exchanges: Vec<Exchange>,
    /// The least length of a state.
    #[serde(default)]
    pub(super) state_length: usize,
}

/// Requests in their order, and what is handed out then.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) gives: Given,
}

/// What a caller gets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    /// Seconds, by the reply.
    pub(super) lifetime: Option<u64>,
    /// Seconds after which it is renewed, where the reply says nothing.
    pub(super) renewed_after: Option<u64>,
    /// Seconds that the refresh token lives, by the reply.
    pub(super) refresh_lifetime: Option<u64>,
    /// How the token is presented.
    #[serde(default = "bearer")]
    pub(super) scheme: String,
    /// Granted.
    pub(super) scopes: Vec<String>,
    /// What is handed out beside it.
    #[serde(default)]
    pub(super) extra: BTreeMap<String, String>,
}

fn bearer() -> String {
    "Bearer".to_owned()
}

/// A request and the vendor's reply.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) request: Asked,
    pub(super) reply: Reply,
}

/// A request, whole.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default = "post")]
    pub(super) method: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) query: BTreeMap<String, String>,
    /// All but `Accept`, which counts where it is named.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) form: Option<BTreeMap<String, String>>,
    pub(super) json: Option<Value>,
    /// What `{assertion}` says.
    pub(super) assertion: Option<Assertion>,
}

fn post() -> String {
    "POST".to_owned()
}

/// Header and claims of a signed assertion; `jti` and `kid` are left out of the comparison.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Assertion {
    pub(super) algorithm: String,
    pub(super) claims: BTreeMap<String, Value>,
}

/// A reply, as documented.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    #[serde(default = "ok")]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) json: Option<Value>,
    pub(super) form: Option<BTreeMap<String, String>>,
    pub(super) text: Option<String>,
    /// Claims of a JWT, by the placeholder that stands for it.
    #[serde(default)]
    pub(super) jwt: BTreeMap<String, Value>,
}

fn ok() -> u16 {
    200
}

/// Errors of the token endpoint by what they condemn.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Refusals {
    /// Only a person can make it work again.
    pub(super) grant: Vec<Reply>,
    /// The client's credentials have to be mended; the grant is kept.
    pub(super) client: Vec<Reply>,
    /// What was asked for is refused, and the grant may be good for everything else.
    pub(super) resource: Vec<Reply>,
    /// The grant is kept.
    pub(super) nothing: Vec<Reply>,
}

/// A sign-in by a code that is typed elsewhere (RFC 8628).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    /// Asked for.
    pub(super) scopes: Vec<String>,
    /// Given to no device.
    #[serde(default)]
    pub(super) refuses: Vec<String>,
    pub(super) begin: Exchange,
    pub(super) shows: Shown,
    /// Polls.
    pub(super) polls: Vec<Poll>,
}

/// What a person is shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    pub(super) user_code: String,
    pub(super) verification_uri: String,
    pub(super) verification_uri_complete: Option<String>,
    pub(super) interval: u64,
    pub(super) expires_in: u64,
}

/// A poll and what its reply means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    pub(super) request: Asked,
    pub(super) reply: Reply,
    pub(super) means: PollMeaning,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum PollMeaning {
    Pending,
    SlowDown,
    Token,
    Over,
}

/// What follows from the vendor's pages without a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Expects {
    /// The ways in which a client may authenticate, the one that is used first.
    pub(super) client_authentication: Vec<ClientAuthentication>,
    /// The redirect URI that `status` tells to register.
    pub(super) redirect_uri: Option<String>,
    pub(super) redirect: RedirectRules,
    pub(super) rotation: Rotation,
    pub(super) lifetimes: Lifetimes,
    /// Endpoints that no exchange of the round touches, by their RFC 8414 names.
    pub(super) endpoints: BTreeMap<String, String>,
    /// Endpoints that there are not.
    pub(super) no_endpoints: Vec<String>,
    pub(super) base_url: Option<String>,
    /// URLs that may have the token, and that may not.
    pub(super) hosts: Judged,
    /// Scopes that may be asked for, and that may not.
    pub(super) scopes: Judged,
    /// A granted scope, and what it is enough for.
    pub(super) covers: BTreeMap<String, Vec<String>>,
    /// Values of parameters.
    pub(super) parameters: BTreeMap<String, Judged>,
    /// Parameters that need not be given, with what they are then.
    pub(super) parameter_defaults: BTreeMap<String, String>,
    pub(super) optional_parameters: Vec<String>,
    pub(super) secret_parameters: Vec<String>,
    pub(super) client_ids: Judged,
    /// Secrets and private keys.
    pub(super) client_secrets: Judged,
    /// Values of a reply, by the name under which they are kept.
    pub(super) kept: BTreeMap<String, Judged>,
    /// Replies of the API, and what they mean for the token.
    pub(super) signals: Vec<Signal>,
}

/// What the vendor says of refresh tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rotation {
    pub(super) rotates: Rotates,
    pub(super) grace: Grace,
    pub(super) single_use: bool,
    pub(super) replay_revokes: bool,
    pub(super) ends_access_token: Option<EndsAccessToken>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Judged {
    pub(super) accepted: Vec<String>,
    pub(super) refused: Vec<String>,
}

/// A reply of the API; `means` is absent where it says nothing of the token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signal {
    pub(super) reply: Reply,
    pub(super) means: Option<Meaning>,
}

/// The same round with other parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Variation {
    pub(super) parameters: BTreeMap<String, String>,
    /// Text, and what stands in its place everywhere in the round.
    #[serde(default)]
    pub(super) replace: BTreeMap<String, String>,
    /// Parts of the round that are others here: maps merge, null takes away.
    #[serde(default)]
    pub(super) instead: Value,
}

/// A round, its provider, its grant type.
pub(super) struct Named {
    pub(super) provider: String,
    pub(super) grant_type: GrantType,
    pub(super) file: String,
    /// The round, then its variations.
    pub(super) rounds: Vec<Round>,
}

/// Every round of the folder, by file name.
pub(super) fn all(folder: &Path) -> Vec<Named> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Named {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let (provider, grant_type) = match stem.split_once('.') {
        None => (stem, GrantType::AuthorizationCode),
        Some((provider, grant_type)) => (provider, GrantType::parse(grant_type).unwrap()),
    };
    let whole = written(path);
    let first = typed(stem, whole.clone());
    let variations: Vec<Round> = first
        .variations
        .iter()
        .map(|variation| typed(stem, varied(&whole, variation)))
        .collect();
    Named {
        provider: provider.to_owned(),
        grant_type,
        file: stem.to_owned(),
        rounds: std::iter::once(first).chain(variations).collect(),
    }
}

/// The round of a file, laid over the one that it is like.
fn written(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut own: Value =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let Some(like) = own["like"].as_str() else {
        return own;
    };
    let mut whole = written(&path.with_file_name(format!("{like}.yaml")));
    let fields = own.as_object_mut().expect("it has a field");
    fields.remove("like");
    let replaced = fields.remove("replace").unwrap_or_default();
    let replaced = serde_json::from_value(replaced).unwrap_or_default();
    let expects = whole["expects"].take();
    replace(&mut whole, &replaced);
    whole["expects"] = expects;
    merge(&mut whole, &own);
    whole
}

fn typed(stem: &str, value: Value) -> Round {
    serde_path_to_error::deserialize(value)
        .unwrap_or_else(|error| panic!("the round {stem}, {}: {}", error.path(), error.inner()))
}

fn varied(whole: &Value, variation: &Variation) -> Value {
    let mut varied = whole.clone();
    varied.as_object_mut().unwrap().remove("variations");
    replace(&mut varied, &variation.replace);
    merge(&mut varied, &variation.instead);
    for (name, value) in &variation.parameters {
        varied["configure"]["parameters"][name] = value.as_str().into();
    }
    varied
}

fn replace(value: &mut Value, replaced: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            for (from, to) in replaced {
                *text = text.replace(from, to);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, replaced)),
        Value::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                replace(&mut value, replaced);
                let name = replaced
                    .iter()
                    .fold(name, |name, (from, to)| name.replace(from, to));
                fields.insert(name, value);
            }
        }
        _ => {}
    }
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                if value.is_null() {
                    base.remove(name);
                } else {
                    merge(base.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (_, Value::Null) => {}
        (base, over) => *base = over.clone(),
    }
}
