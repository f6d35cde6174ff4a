//! Sign-ins by a code that is typed at another device (RFC 8628), in a race with the browser.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use _core::clock::{Clock, ManualClock};
use _core::connect::{self, ConnectRequest, Connecting, SignIn};
use _core::engine::Engine;
use _core::engine::open::{ExplicitKey, Surroundings, open_in};
use _core::engine::runtime::{Runtime, Scheduler, Task};
use _core::error::{Error, Result};
use _core::model::{State, Status};
use _core::provider::catalog::Catalog;
use _core::secret::SecretBytes;
use serde_json::{Value, json};

use super::connect::{connecting, failure};
use super::server::{Answer, Received};
use super::{USER, World, acme, token_of, until, within};

/// Lets time pass by moving the clock, and remembers how long was waited.
struct Passing {
    clock: Arc<ManualClock>,
    pauses: Mutex<Vec<u64>>,
}

impl Scheduler for Passing {
    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn sleep(&self, duration: Duration) -> Task {
        self.pauses.lock().unwrap().push(duration.as_secs());
        self.clock.advance(duration);
        Box::pin(tokio::task::yield_now())
    }

    fn fraction(&self) -> f64 {
        0.5
    }
}

/// `acme` with a device endpoint, on an engine whose waiting costs no time.
struct Device {
    world: World,
    engine: Arc<Engine>,
    passing: Arc<Passing>,
}

impl Device {
    /// Of the user's own endpoints, among which there is one for browsers only with `browser`.
    async fn with(browser: bool) -> Self {
        Self::of(World::bare().await, browser).await
    }

    async fn of(world: World, browser: bool) -> Self {
        world
            .configure_with(USER, |request| {
                let base = &world.server.base;
                let endpoints = request.settings.endpoints.as_mut().unwrap();
                endpoints.insert(
                    "device_authorization_endpoint".to_owned(),
                    format!("{base}/device"),
                );
                if !browser {
                    endpoints.remove("authorization_endpoint");
                }
            })
            .await
            .unwrap();
        let passing = Arc::new(Passing {
            clock: Arc::clone(&world.clock),
            pauses: Mutex::default(),
        });
        let surroundings = Surroundings {
            clock: Clock::manual(Arc::clone(&world.clock)),
            runtime: Runtime::scheduled(Arc::clone(&passing) as Arc<dyn Scheduler>),
            transport: None,
        };
        let folder = world.folder.path().join("providers");
        let catalog = Arc::new(Catalog::with_folders(&[folder]).unwrap());
        let key = ExplicitKey::Bytes(SecretBytes::from(vec![7; 32]));
        let engine = open_in(surroundings, world.store.clone(), "default", key, catalog)
            .await
            .unwrap();
        Self {
            world,
            engine,
            passing,
        }
    }

    /// The server issues codes, with `more` laid over them.
    fn issues(&self, more: Value) {
        let mut body = json!({
            "device_code": "the-device-code", "user_code": "WDJB-MJHT", "expires_in": 900,
            "verification_uri": format!("{}/activate", self.world.server.base),
        });
        let members = body.as_object_mut().unwrap();
        members.extend(more.as_object().cloned().unwrap_or_default());
        members.retain(|_, value| !value.is_null());
        self.world
            .server
            .answers_at("/device", Answer::json(200, "", body));
    }

    fn says(&self, errors: &[&str]) {
        for error in errors {
            self.world.server.answers(Answer::error(error));
        }
    }

    async fn begin(&self) -> Result<SignIn> {
        let request = ConnectRequest {
            headless: true,
            ..connecting()
        };
        match connect::connect(Arc::clone(&self.engine), request).await? {
            Connecting::SignIn(sign_in) => Ok(sign_in),
            Connecting::Done(_) => panic!("nobody has signed in yet"),
        }
    }

    async fn landed(&self) -> Result<Status> {
        within(self.begin().await.unwrap().landed()).await
    }

    fn pauses(&self) -> Vec<u64> {
        self.passing.pauses.lock().unwrap().clone()
    }

    fn polls(&self) -> Vec<Received> {
        self.world.server.received("/token")
    }
}

fn form(received: &Received) -> BTreeMap<&str, &str> {
    let pairs = received.form.iter();
    pairs.map(|(name, value)| (&**name, &**value)).collect()
}

#[tokio::test]
async fn a_typed_code_connects_by_the_book() {
    let device = Device::with(false).await;
    let complete = format!("{}/activate?user_code=WDJB-MJHT", device.world.server.base);
    device.issues(json!({"verification_uri_complete": complete}));
    device.says(&["authorization_pending"]);
    let sign_in = device.begin().await.unwrap();
    let prompt = sign_in.device.clone().unwrap();
    assert_eq!((&sign_in.url, sign_in.listens), (&None, false));
    assert_eq!(prompt.user_code, "WDJB-MJHT");
    assert_eq!(
        prompt.verification_uri,
        format!("{}/activate", device.world.server.base)
    );
    assert_eq!(prompt.verification_uri_complete, Some(complete));
    let status = within(sign_in.landed()).await.unwrap();
    assert_eq!(status.state, State::Connected);

    let polls = device.polls();
    let credentials = [("client_id", "client-1"), ("client_secret", "s3cret")];
    assert!(polls[0].authorization.is_some() || form(&polls[0])["client_id"] == credentials[0].1);
    for poll in &polls {
        let form = form(poll);
        assert_eq!(
            form["grant_type"],
            "urn:ietf:params:oauth:grant-type:device_code"
        );
        assert_eq!(form["device_code"], "the-device-code");
    }
    assert_eq!(polls.len(), 2);
    assert_eq!(device.pauses(), [5, 5]);
    assert_eq!(token_of(&device.engine).await.unwrap(), "at-2");
}

#[tokio::test]
async fn the_server_is_asked_as_seldom_as_it_wants() {
    let device = Device::with(false).await;
    device.issues(json!({"interval": 7}));
    device.says(&["authorization_pending", "slow_down"]);
    device.says(&["authorization_pending", "slow_down"]);
    device.landed().await.unwrap();
    assert_eq!(device.pauses(), [7, 7, 12, 12, 17]);
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_less_often() {
    let device = Device::with(false).await;
    device.issues(json!({}));
    let busy = Answer::json(503, "Retry-After: 60\r\n", json!({}));
    for answer in [busy, Answer::cut(), Answer::empty(502)] {
        device.world.server.answers(answer);
    }
    device.landed().await.unwrap();
    assert_eq!(device.pauses(), [5, 60, 65, 70]);
}

#[tokio::test]
async fn a_code_that_nobody_types_is_asked_for_no_longer_than_it_lives() {
    let device = Device::with(false).await;
    device.issues(json!({"expires_in": 21}));
    device.says(&["authorization_pending"; 10]);
    let outcome = device.landed().await;
    assert_eq!(failure(outcome), ("timeout", "device_code_expired"));
    assert_eq!(device.pauses(), [5, 5, 5, 5]);
}

#[tokio::test]
async fn an_answer_that_ends_the_sign_in_is_told_as_what_it_is() {
    #[rustfmt::skip]
    let table = [
        ("access_denied",          ("denied", "connect_denied")),
        ("authorization_declined", ("denied", "connect_denied")),
        ("expired_token",          ("timeout", "device_code_expired")),
        ("invalid_grant",          ("rejected", "provider_rejected")),
        ("invalid_client",         ("rejected", "invalid_client")),
    ];
    for (error, expected) in table {
        let device = Device::with(false).await;
        device.issues(json!({}));
        device.says(&[error]);
        assert_eq!(failure(device.landed().await), expected, "{error}");
        assert_eq!(device.polls().len(), 1, "{error}");
        assert_eq!(device.world.state().await, None, "{error}");
    }
}

#[tokio::test]
async fn codes_that_cannot_be_used_are_refused() {
    let escape = "\u{1b}[31mWDJB";
    for damage in [
        json!({"device_code": null}),
        json!({"user_code": null}),
        json!({"user_code": escape}),
        json!({"verification_uri": null}),
        json!({"verification_uri": "javascript:alert(1)"}),
        json!({"verification_uri": "http://login.example.com/"}),
    ] {
        let device = Device::with(false).await;
        device.issues(damage.clone());
        let begun = device.begin().await;
        let expected = ("rejected", "device_authorization_malformed");
        assert_eq!(failure(begun), expected, "{damage}");
    }
}

#[tokio::test]
async fn a_refused_device_authorization_says_why_and_shows_no_secret() {
    let device = Device::with(false).await;
    let body = json!({"error": "unauthorized_client", "error_description": "s3cret"});
    device
        .world
        .server
        .answers_at("/device", Answer::json(400, "", body));
    let error: Error = device.begin().await.unwrap_err();
    assert_eq!(error.code(), "device_authorization_refused");
    assert!(error.reason().contains("unauthorized_client"));
    assert!(!format!("{error:?}").contains("s3cret"));
}

#[tokio::test]
async fn the_browser_goes_on_without_codes_that_were_refused() {
    let device = Device::with(true).await;
    device
        .world
        .server
        .answers_at("/device", Answer::error("unauthorized_client"));
    let sign_in = device.begin().await.unwrap();
    assert!(sign_in.device.is_none());
    assert!(sign_in.listens);
}

#[tokio::test]
async fn a_browser_on_this_machine_needs_no_code() {
    let device = Device::with(true).await;
    let begun = connect::connect(Arc::clone(&device.engine), connecting()).await;
    match begun.unwrap() {
        Connecting::SignIn(sign_in) => assert!(sign_in.device.is_none()),
        Connecting::Done(_) => panic!("nobody has signed in yet"),
    }
    assert!(device.world.server.received("/device").is_empty());
}

#[tokio::test]
async fn a_typed_code_ends_the_sign_in_in_the_browser() {
    let device = Device::with(true).await;
    device.issues(json!({}));
    let sign_in = device.begin().await.unwrap();
    let url = url::Url::parse(sign_in.url.as_deref().unwrap()).unwrap();
    let asked: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    within(sign_in.landed()).await.unwrap();
    let late = format!(
        "{}?code=c-1&state={}",
        asked["redirect_uri"], asked["state"]
    );
    let late = connect::complete_connect(Arc::clone(&device.engine), &late, None).await;
    assert_eq!(failure(late), ("connect failed", "wrong_state"));
    assert_eq!(device.polls().len(), 1);
}

#[tokio::test]
async fn a_callback_ends_the_asking() {
    let device = Device::with(true).await;
    device.issues(json!({"expires_in": 86400}));
    let held = device
        .world
        .server
        .holds(Answer::error("authorization_pending"));
    let sign_in = device.begin().await.unwrap();
    within(held.arrived()).await;
    let url = url::Url::parse(sign_in.url.as_deref().unwrap()).unwrap();
    let asked: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    let pasted = format!(
        "{}?code=c-1&state={}",
        asked["redirect_uri"], asked["state"]
    );
    let completed = connect::complete_connect(Arc::clone(&device.engine), &pasted, None).await;
    assert_eq!(completed.unwrap().state, State::Connected);
    assert_eq!(
        within(sign_in.landed()).await.unwrap().state,
        State::Connected
    );
    held.release();
    assert_eq!(device.polls().len(), 2);
    assert_eq!(device.pauses(), [5]);
}

#[tokio::test]
async fn a_token_that_comes_when_nobody_waits_any_more_is_kept() {
    let device = Device::with(false).await;
    device.issues(json!({}));
    let held = device
        .world
        .server
        .holds(Answer::token("at-1", Some("rt-1"), json!({})));
    let sign_in = device.begin().await.unwrap();
    within(held.arrived()).await;
    sign_in.cancel();
    let cancelled = within(sign_in.landed()).await;
    assert_eq!(failure(cancelled), ("connect failed", "sign_in_cancelled"));
    held.release();
    until("the commit", async || device.world.state().await.is_some()).await;
    assert_eq!(token_of(&device.engine).await.unwrap(), "at-1");
}

#[tokio::test]
async fn a_provider_file_says_how_its_device_requests_differ() {
    let file = acme("{}", "").replace(
        "grants:\n  authorization_code: {",
        "grants:\n  authorization_code: {device: {authentication: none, rename: {scope: scopes}, reply: {user_code: code},
     scopes: [base], poll: {pending_status: 428, parameters: {typed: '{user_code}'}}}, ",
    );
    let device = Device::of(World::with_file(&file).await, false).await;
    device.issues(json!({"user_code": null, "code": "ABCD"}));
    device.world.server.answers(Answer::empty(428));
    let sign_in = device.begin().await.unwrap();
    assert_eq!(sign_in.device.as_ref().unwrap().user_code, "ABCD");
    within(sign_in.landed()).await.unwrap();
    let asked = &device.world.server.received("/device")[0];
    let expected = BTreeMap::from([("client_id", "client-1"), ("scopes", "base")]);
    assert_eq!(form(asked), expected);
    assert!(asked.authorization.is_none());
    assert_eq!(form(&device.polls()[1])["typed"], "ABCD");
    assert_eq!(device.pauses(), [5, 5]);
}

#[tokio::test]
async fn a_scope_that_no_device_gets_is_refused_before_anybody_types_a_code() {
    let file = acme("{}", "").replace(
        "grants:\n  authorization_code: {",
        "grants:\n  authorization_code: {device: {scopes: [other]}, ",
    );
    let file = file.replace(
        "authorization_endpoint: 'https://acme.example/authorize', ",
        "",
    );
    let device = Device::of(World::with_file(&file).await, false).await;
    let expected = ("invalid parameter", "scope_not_for_devices");
    assert_eq!(failure(device.begin().await), expected);
    assert!(device.world.server.received("/device").is_empty());
}
