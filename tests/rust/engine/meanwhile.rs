//! Another verb while a refresh is under way, in both orders, by this process and by another one.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use _core::engine::Engine;
use _core::engine::configure::Configure;
use _core::error::Result;
use _core::model::State;
use _core::secret::Secret;
use _core::store::{Commit, StoredState};
use serde_json::json;
use tokio::task::JoinHandle;

use super::server::{Hold, Server};
use super::{Answer, SERVICE, USER, World, kind_of, token_of, until, within};

/// A refresh whose reply, `at-2` and `rt-2`, is held back: `at-1` is over, and `rt-1` is at the server.
struct Refreshing {
    world: World,
    hold: Hold,
    caller: JoinHandle<Result<String>>,
}

impl Refreshing {
    async fn begin() -> Self {
        let world = World::bare().await.connected().await;
        Self::of(world, Answer::token("at-2", Some("rt-2"), json!({}))).await
    }

    /// The same, and the server will answer with `answer`.
    async fn of(world: World, answer: Answer) -> Self {
        world.advance(3600);
        let hold = world.server.holds(answer);
        let caller = world.calling();
        hold.arrived().await;
        Self {
            world,
            hold,
            caller,
        }
    }

    /// The reply arrives: what the caller gets.
    async fn ends(self) -> (World, Result<String>) {
        self.hold.release();
        (self.world, within(self.caller).await.unwrap())
    }
}

/// Who uses the other verb: this process, or another one.
#[derive(Clone, Copy, Debug)]
enum By {
    This,
    Another,
}

const BOTH: [By; 2] = [By::This, By::Another];

impl By {
    async fn engine(self, world: &World) -> Arc<Engine> {
        match self {
            Self::This => Arc::clone(&world.engine),
            Self::Another => world.another().await,
        }
    }
}

impl World {
    fn revoked(&self) -> Vec<String> {
        let received = self.server.received("/revoke");
        let tokens = received.iter().map(|request| request.form["token"].clone());
        tokens.collect()
    }

    async fn reconfigured(&self, by: By, change: impl FnOnce(&mut Configure)) {
        let mut request = self.configuration(USER);
        change(&mut request);
        by.engine(self).await.configure(request).await.unwrap();
    }

    /// What happens after the claim and before anything is sent.
    fn before_sending(&self, happens: impl FnOnce() + Send + 'static) {
        *self.store.while_reserving.lock().unwrap() = Some(Box::new(happens));
    }
}

async fn imports(engine: Arc<Engine>) {
    let imported = engine.import_refresh_token("acme", "rt-new".into(), Some(USER), "default", &[]);
    imported.await.unwrap();
}

async fn disconnects(engine: Arc<Engine>) {
    let left = within(engine.disconnect("acme", Some(USER), "default", true));
    assert!(left.await.unwrap().ok);
}

async fn removes(engine: Arc<Engine>) {
    let removed = within(engine.remove("acme", Some(USER), true));
    assert!(removed.await.unwrap().ok);
}

// Reconnect

#[tokio::test]
async fn a_reconnect_during_a_refresh_wins_and_what_it_replaces_is_left_alone_at_the_provider() {
    for by in BOTH {
        let refreshing = Refreshing::begin().await;
        imports(by.engine(&refreshing.world).await).await;
        let (world, outcome) = refreshing.ends().await;
        assert_eq!(outcome.unwrap(), "at-3", "{by:?}");
        let sent = world.server.refresh_tokens();
        assert_eq!(sent, ["rt-0", "rt-1", "rt-new"], "{by:?}");
        assert_eq!(
            world.revoked(),
            [""; 0],
            "{by:?}: it may be of the new grant"
        );
    }
}

#[tokio::test]
async fn a_refresh_during_a_sign_in_brings_a_token_until_the_sign_in_brings_its_own() {
    for by in BOTH {
        let world = World::bare().await.connected().await;
        world.advance(3600);
        let engine = by.engine(&world).await;
        let hold = world
            .server
            .holds(Answer::token("at-new", Some("rt-new"), json!({})));
        let signing_in = tokio::spawn(async move {
            super::connect::sign_in_by(&engine, super::connect::connecting()).await
        });
        hold.arrived().await;
        assert_eq!(world.token().await.unwrap(), "at-3", "{by:?}");
        hold.release();
        within(signing_in).await.unwrap();
        world.store.foreign_writes.fetch_add(1, SeqCst);
        world.advance(1);
        assert_eq!(world.token().await.unwrap(), "at-new", "{by:?}");
        world.advance(3600);
        world.token().await.unwrap();
        let sent = world.server.refresh_tokens();
        assert_eq!(sent, ["rt-0", "rt-1", "rt-new"], "{by:?}");
    }
}

#[tokio::test]
async fn a_reconnect_between_the_claim_and_the_request_is_what_is_refreshed() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let engine = Arc::clone(&world.engine);
    world.before_sending(move || {
        crate::store::wait(async {
            imports(engine).await;
            Ok(())
        });
    });
    assert_eq!(world.token().await.unwrap(), "at-2");
    assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-new"]);
}

// Disconnect and remove

#[tokio::test]
async fn what_is_issued_during_a_disconnect_is_revoked_and_the_caller_is_not_connected() {
    for by in BOTH {
        let refreshing = Refreshing::begin().await;
        disconnects(by.engine(&refreshing.world).await).await;
        let (world, outcome) = refreshing.ends().await;
        assert_eq!(kind_of(&outcome.unwrap_err()), "not connected", "{by:?}");
        assert_eq!(world.revoked(), ["rt-1", "rt-2"], "{by:?}");
        assert_eq!(world.state().await, Some(StoredState::Disconnected));
        assert_eq!(world.loaded().await.token, None);
    }
}

#[tokio::test]
async fn nothing_is_asked_for_while_a_disconnect_revokes() {
    for by in BOTH {
        let world = World::bare().await.connected().await;
        world.advance(3600);
        let hold = world.server.holds_at("/revoke", Answer::empty(200));
        let leaving = tokio::spawn(disconnects(by.engine(&world).await));
        hold.arrived().await;
        let refused = world.token().await.unwrap_err();
        assert_eq!(kind_of(&refused), "not connected", "{by:?}");
        hold.release();
        within(leaving).await.unwrap();
        assert_eq!(world.server.count(), 1, "{by:?}");
        assert_eq!(world.revoked(), ["rt-1"], "{by:?}");
    }
}

#[tokio::test]
async fn a_disconnect_between_the_claim_and_the_request_keeps_it_from_being_sent() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    let row = world.loaded().await.connection.unwrap();
    let store = world.store.reliable();
    // As another process marks it: revoking comes after.
    world.before_sending(move || {
        let mark = Commit {
            key: row.key,
            expected: row.generation,
            generation: row.generation + 1,
            state: StoredState::Disconnecting,
            ..crate::store::commit("", 0)
        };
        crate::store::wait(store.commit(mark));
    });
    assert_eq!(kind_of(&world.token().await.unwrap_err()), "not connected");
    assert_eq!(world.server.count(), 1);
    disconnects(Arc::clone(&world.engine)).await;
    assert_eq!(world.revoked(), ["rt-1"], "the next call finishes it");
    assert_eq!(world.state().await, Some(StoredState::Disconnected));
}

#[tokio::test]
async fn what_is_issued_during_a_remove_is_revoked_and_the_caller_is_not_connected() {
    for by in BOTH {
        let refreshing = Refreshing::begin().await;
        removes(by.engine(&refreshing.world).await).await;
        let (world, outcome) = refreshing.ends().await;
        assert_eq!(kind_of(&outcome.unwrap_err()), "not connected", "{by:?}");
        assert_eq!(world.revoked(), ["rt-1", "rt-2"], "{by:?}");
        assert_eq!(world.loaded().await.token, None);
        assert!(world.engine.integrations().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn nothing_is_asked_for_while_a_remove_revokes() {
    for by in BOTH {
        let world = World::bare().await.connected().await;
        world.advance(3600);
        let hold = world.server.holds_at("/revoke", Answer::empty(200));
        let leaving = tokio::spawn(removes(by.engine(&world).await));
        hold.arrived().await;
        let refused = world.token().await.unwrap_err();
        assert_eq!(kind_of(&refused), "not connected", "{by:?}");
        hold.release();
        within(leaving).await.unwrap();
        assert_eq!(world.server.count(), 1, "{by:?}");
    }
}

#[tokio::test]
async fn a_sign_in_that_ends_while_a_remove_revokes_is_removed_and_revoked_as_well() {
    let world = World::bare().await.connected().await;
    let hold = world.server.holds_at("/revoke", Answer::empty(200));
    let leaving = tokio::spawn(removes(Arc::clone(&world.engine)));
    hold.arrived().await;
    imports(world.another().await).await;
    hold.release();
    within(leaving).await.unwrap();
    assert_eq!(world.revoked(), ["rt-1", "rt-new"]);
    assert_eq!(world.state().await, Some(StoredState::Disconnected));
}

#[tokio::test]
async fn a_sign_in_that_ends_after_a_remove_fails_and_is_revoked() {
    for by in BOTH {
        let world = World::bare().await.connected().await;
        let begun = super::connect::begun(&world).await;
        let url = super::connect::callback(&begun, "code=c-1");
        let hold = world
            .server
            .holds(Answer::token("at-new", Some("rt-new"), json!({})));
        let engine = Arc::clone(&world.engine);
        let completing = tokio::spawn(async move {
            _core::connect::complete_connect(engine, &url, Some("session-1".into())).await
        });
        hold.arrived().await;
        removes(by.engine(&world).await).await;
        hold.release();
        within(completing).await.unwrap().unwrap_err();
        assert_eq!(world.revoked(), ["rt-1", "rt-new"], "{by:?}");
        assert_eq!(world.state().await, Some(StoredState::Disconnected));
    }
}

#[tokio::test]
async fn a_sign_in_that_ends_while_a_disconnect_revokes_stays() {
    let world = World::bare().await.connected().await;
    let hold = world.server.holds_at("/revoke", Answer::empty(200));
    let leaving = tokio::spawn(disconnects(Arc::clone(&world.engine)));
    hold.arrived().await;
    imports(world.another().await).await;
    hold.release();
    within(leaving).await.unwrap();
    assert_eq!(world.revoked(), ["rt-1"]);
    assert_eq!(world.token().await.unwrap(), "at-2");
}

// Replies of processes that are gone, and replies that could not be stored

/// A process died with `rt-2` in its slot, and another one that did not see it left since.
async fn died_then_left(leave: impl AsyncFnOnce(Arc<Engine>)) -> World {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.dies_with_the_reply().await;
    leave(world.another_on_a_sound_store().await).await;
    world
}

#[tokio::test]
async fn the_reply_of_a_dead_process_is_revoked_when_another_disconnected_meanwhile() {
    let world = died_then_left(disconnects).await;
    assert_eq!(world.revoked(), ["rt-1"]);
    let (_survivor, store) = world.survivor().await;
    until("the revocation", async || world.revoked().len() == 2).await;
    assert_eq!(world.revoked(), ["rt-1", "rt-2"]);
    until("its end", async || store.left.lock().unwrap().is_empty()).await;
    assert_eq!(world.state().await, Some(StoredState::Disconnected));
}

#[tokio::test]
async fn the_reply_of_a_dead_process_stays_until_the_provider_could_be_asked_to_revoke_it() {
    let world = died_then_left(disconnects).await;
    world.server.answers_at("/revoke", Answer::empty(503));
    let (survivor, store) = world.survivor().await;
    until("the request", async || world.revoked().len() == 2).await;
    until("its end", async || !_core::engine::runtime::unfinished()).await;
    assert_eq!(store.left.lock().unwrap().len(), 1);
    disconnects(survivor).await;
    until("the revocation", async || world.revoked().len() == 3).await;
}

#[tokio::test]
async fn the_reply_of_a_dead_process_is_dropped_when_another_reconnected_meanwhile() {
    let world = died_then_left(imports).await;
    let survivor = world.another_with_what_was_left().await;
    assert_eq!(token_of(&survivor).await.unwrap(), "at-3");
    assert_eq!(world.revoked(), [""; 0]);
}

#[tokio::test]
async fn a_reply_that_could_not_be_stored_is_revoked_when_another_process_disconnected_meanwhile() {
    let world = World::bare().await.connected().await;
    world.advance(3600);
    world.store.failing_commits.store(u32::MAX, SeqCst);
    assert_eq!(world.token().await.unwrap(), "at-2");
    disconnects(world.another_on_a_sound_store().await).await;
    world.store.failing_commits.store(0, SeqCst);
    until("the revocation", async || world.revoked().len() == 2).await;
    assert_eq!(world.revoked(), ["rt-1", "rt-2"]);
    world.advance(3600);
    assert_eq!(kind_of(&world.token().await.unwrap_err()), "not connected");
}

// Configure and apply

#[tokio::test]
async fn a_new_secret_during_a_refresh_leaves_its_reply_good() {
    for by in BOTH {
        let refreshing = Refreshing::begin().await;
        let secret = |request: &mut Configure| request.client_secret = Some("new".into());
        refreshing.world.reconfigured(by, secret).await;
        let (world, outcome) = refreshing.ends().await;
        assert_eq!(outcome.unwrap(), "at-2", "{by:?}");
        world.advance(3600);
        assert_eq!(world.token().await.unwrap(), "at-3", "{by:?}");
        assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-2"]);
    }
}

#[tokio::test]
async fn a_refresh_that_the_old_secret_failed_goes_once_more_with_the_new_one() {
    for by in BOTH {
        let world = World::bare().await.connected().await;
        let refreshing = Refreshing::of(world, Answer::error("invalid_client")).await;
        let secret = |request: &mut Configure| request.client_secret = Some("new".into());
        refreshing.world.reconfigured(by, secret).await;
        let (world, outcome) = refreshing.ends().await;
        assert_eq!(outcome.unwrap(), "at-3", "{by:?}");
        let sent = world.server.received("/token");
        assert_ne!(sent[1].authorization, sent[2].authorization, "{by:?}");
        assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-1"]);
    }
}

#[tokio::test]
async fn a_refresh_that_fails_before_the_new_secret_is_stored_does_not_hold_up_the_next() {
    for by in BOTH {
        let world = World::bare().await.connected().await;
        world.advance(3600);
        world.server.answers(Answer::error("invalid_client"));
        let error = world.token().await.unwrap_err();
        assert_eq!(error.code(), "invalid_client", "{by:?}");
        let secret = |request: &mut Configure| request.client_secret = Some("new".into());
        world.reconfigured(by, secret).await;
        assert_eq!(world.token().await.unwrap(), "at-3", "{by:?}");
    }
}

#[tokio::test]
async fn a_service_token_of_the_old_secret_is_not_what_is_served_after_a_new_one() {
    for by in BOTH {
        let world = World::bare().await.service().await;
        let hold = world.server.holds(Answer::token("at-1", None, json!({})));
        let caller = world.calling();
        hold.arrived().await;
        let mut request = world.configuration(SERVICE);
        request.client_secret = Some("new".into());
        by.engine(&world).await.configure(request).await.unwrap();
        hold.release();
        assert_eq!(within(caller).await.unwrap().unwrap(), "at-2", "{by:?}");
        assert_eq!(world.token().await.unwrap(), "at-2", "{by:?}");
    }
}

#[tokio::test]
async fn a_reply_to_a_client_that_is_configured_no_more_is_kept_and_needs_a_person() {
    for by in BOTH {
        let refreshing = Refreshing::begin().await;
        let client = |request: &mut Configure| request.client_id = Some("client-2".to_owned());
        refreshing.world.reconfigured(by, client).await;
        let (world, outcome) = refreshing.ends().await;
        assert_eq!(outcome.unwrap_err().code(), "client_changed", "{by:?}");
        let status = world.engine.status("acme", None, "default").await.unwrap();
        assert_eq!(status.state, State::ReauthorizationRequired, "{by:?}");
        // Going back is possible: nothing was lost.
        world.reconfigured(by, |_| {}).await;
        assert_eq!(world.token().await.unwrap(), "at-2", "{by:?}");
        world.advance(3600);
        world.token().await.unwrap();
        assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-2"]);
    }
}

#[tokio::test]
async fn a_reply_of_an_endpoint_that_is_configured_no_more_never_goes_to_the_new_one() {
    for by in BOTH {
        let refreshing = Refreshing::begin().await;
        let elsewhere = Server::start().await;
        let endpoint = |request: &mut Configure| {
            let endpoints = request.settings.endpoints.as_mut().unwrap();
            let base = &elsewhere.base;
            endpoints.insert("token_endpoint".to_owned(), format!("{base}/token"));
            endpoints.insert("revocation_endpoint".to_owned(), format!("{base}/revoke"));
        };
        refreshing.world.reconfigured(by, endpoint).await;
        let (world, outcome) = refreshing.ends().await;
        assert_eq!(outcome.unwrap_err().code(), "client_changed", "{by:?}");
        world.advance(3600);
        world.token().await.unwrap_err();
        within(world.engine.disconnect("acme", None, "default", true))
            .await
            .unwrap();
        let sent = [elsewhere.count(), elsewhere.received("/revoke").len()];
        assert_eq!(sent, [0, 0], "{by:?}");
    }
}

#[tokio::test]
async fn an_apply_during_a_refresh_counts_as_configure_does() {
    for by in BOTH {
        let world = World::bare().await.connected().await;
        let refreshing = Refreshing::of(world, Answer::error("invalid_client")).await;
        let world = &refreshing.world;
        let path = world.folder.path().join("evergrant.yaml");
        let base = &world.server.base;
        let file = format!(
            "integrations: [{{provider: acme, client_id: client-1, client_secret: {{env: S}}, endpoints: \
             {{authorization_endpoint: {base}/authorize, token_endpoint: {base}/token, revocation_endpoint: {base}/revoke}}}}]\n\
             connections: [{{provider: acme, refresh_token: {{env: S}}}}]\n"
        );
        std::fs::write(&path, file).unwrap();
        let engine = by.engine(world).await;
        let lookup = |_: &str| Some(Secret::from("new"));
        let report = engine.apply(&path, false, &lookup).await.unwrap();
        assert_eq!(report.steps[1].detail, "exists, left alone", "{by:?}");
        let (world, outcome) = refreshing.ends().await;
        assert_eq!(outcome.unwrap(), "at-3", "{by:?}");
        assert_eq!(world.server.refresh_tokens(), ["rt-0", "rt-1", "rt-1"]);
    }
}
