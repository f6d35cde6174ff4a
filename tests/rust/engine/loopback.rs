//! The loopback redirect, asked as a browser asks, and as neighbours and hostile pages do.

use std::sync::Arc;
use std::time::Duration;

use _core::connect::{self, ConnectRequest, Connecting, SignIn};
use _core::model::State;
use _core::store::StoredState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use super::connect::connecting;
use super::{Answer, USER, World, kind_of, within};

/// A sign-in that listens, and what its callback needs.
struct Listening {
    world: World,
    sign_in: SignIn,
    state: String,
    redirect: Url,
}

impl Listening {
    async fn begin() -> Self {
        Self::begin_at(None, connecting()).await
    }

    async fn begin_at(redirect_uri: Option<&str>, request: ConnectRequest) -> Self {
        let world = World::bare().await;
        world
            .configure_with(USER, |request| {
                request.settings.redirect_uri = redirect_uri.map(str::to_owned)
            })
            .await
            .unwrap();
        let sign_in = signing_in(&world, request).await;
        let asked = Url::parse(sign_in.url.as_deref().unwrap()).unwrap();
        let state = asked
            .query_pairs()
            .find(|(name, _)| name == "state")
            .unwrap()
            .1
            .into_owned();
        let redirect = Url::parse(sign_in.redirect_uri.as_deref().unwrap()).unwrap();
        Self {
            world,
            sign_in,
            state,
            redirect,
        }
    }

    /// A request for the callback with a query.
    async fn get(&self, query: &str) -> String {
        let target = format!("{}?{query}", self.redirect.path());
        self.ask(&target, &self.host())
            .await
            .expect("the port is open")
    }

    fn host(&self) -> String {
        format!(
            "{}:{}",
            self.redirect.host_str().unwrap(),
            self.redirect.port().unwrap()
        )
    }

    /// The reply to a request; `None` when nobody listens.
    async fn ask(&self, target: &str, host: &str) -> Option<String> {
        let port = self.redirect.port().unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut reply = Vec::new();
        within(stream.read_to_end(&mut reply)).await.ok()?;
        Some(String::from_utf8(reply).unwrap())
    }

    fn right(&self) -> String {
        format!("code=c-1&state={}", self.state)
    }
}

async fn signing_in(world: &World, request: ConnectRequest) -> SignIn {
    match connect::connect(Arc::clone(&world.engine), request)
        .await
        .unwrap()
    {
        Connecting::SignIn(sign_in) => sign_in,
        Connecting::Done(status) => panic!("connected already: {status:?}"),
    }
}

#[tokio::test]
async fn a_browser_that_comes_back_connects_and_the_port_is_closed() {
    let listening = Listening::begin().await;
    assert!(listening.sign_in.listens);
    assert_eq!(listening.redirect.host_str(), Some("127.0.0.1"));
    assert_eq!(listening.redirect.path(), "/callback");
    let reply = listening.get(&listening.right()).await;
    assert!(reply.starts_with("HTTP/1.1 303"), "{reply}");
    assert!(reply.contains("location: /evergrant/done\r\n"), "{reply}");
    let page = listening
        .ask("/evergrant/done", &listening.host())
        .await
        .unwrap();
    assert!(page.contains("acme is connected"), "{page}");
    let status = within(listening.sign_in.landed()).await.unwrap();
    assert_eq!(status.state, State::Connected);
    assert_eq!(
        listening.world.server.received("/token")[0].form["redirect_uri"],
        listening.redirect.as_str()
    );
    super::until("the close", async || {
        listening
            .ask("/evergrant/done", &listening.host())
            .await
            .is_none()
    })
    .await;
}

#[tokio::test]
async fn neither_code_nor_state_is_on_a_page_or_in_its_headers() {
    let listening = Listening::begin().await;
    let first = listening
        .get(&format!("code=code-to-hide&state={}", listening.state))
        .await;
    let page = listening
        .ask("/evergrant/done", &listening.host())
        .await
        .unwrap();
    for reply in [first, page] {
        assert!(
            !reply.contains("code-to-hide") && !reply.contains(&listening.state),
            "{reply}"
        );
        assert!(reply.contains("cache-control: no-store"), "{reply}");
    }
}

#[tokio::test]
async fn a_page_of_another_name_that_resolves_here_is_not_answered() {
    let listening = Listening::begin().await;
    let port = listening.redirect.port().unwrap();
    let target = format!("/callback?{}", listening.right());
    for host in [
        format!("evil.example:{port}"),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", port ^ 1),
        String::new(),
    ] {
        let reply = listening.ask(&target, &host).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 421"), "{host}: {reply}");
        let reply = listening.ask("/evergrant/done", &host).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 421"), "{host}: {reply}");
    }
    assert_eq!(listening.world.server.count(), 0);
}

#[tokio::test]
async fn a_wrong_state_is_ignored_and_the_right_one_still_works() {
    let listening = Listening::begin().await;
    let twice = format!("{}&state={}", listening.right(), listening.state);
    for query in [
        "code=c-1&state=guess",
        "code=c-1",
        "error=access_denied&state=guess",
        "",
        &twice,
    ] {
        let reply = listening.get(query).await;
        assert!(reply.starts_with("HTTP/1.1 400"), "{query}: {reply}");
    }
    assert_eq!(listening.world.server.count(), 0);
    listening.get(&listening.right()).await;
    within(listening.sign_in.landed()).await.unwrap();
}

#[tokio::test]
async fn a_repeated_parameter_ends_the_sign_in_without_an_exchange() {
    let listening = Listening::begin().await;
    listening
        .get(&format!("{}&code=c-2", listening.right()))
        .await;
    let error = within(listening.sign_in.landed()).await.unwrap_err();
    assert_eq!(error.code(), "callback_duplicate_parameter");
    assert_eq!(listening.world.server.count(), 0);
}

#[tokio::test]
async fn only_the_path_of_the_redirect_uri_is_served() {
    let listening = Listening::begin().await;
    for path in ["/", "/callback/", "/callbacks", "/favicon.ico"] {
        let target = format!("{path}?{}", listening.right());
        let reply = listening.ask(&target, &listening.host()).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 404"), "{path}: {reply}");
    }
    assert_eq!(listening.world.server.count(), 0);
}

#[tokio::test]
async fn a_reloaded_callback_spends_the_code_once() {
    let listening = Listening::begin().await;
    let right = listening.right();
    let (first, second) = tokio::join!(listening.get(&right), listening.get(&right));
    assert!(first.starts_with("HTTP/1.1 303") && second.starts_with("HTTP/1.1 303"));
    within(listening.sign_in.landed()).await.unwrap();
    assert_eq!(listening.world.server.count(), 1);
}

#[tokio::test]
async fn a_person_who_says_no_is_told_and_so_is_the_caller() {
    let listening = Listening::begin().await;
    listening
        .get(&format!(
            "error=access_denied&error_description=%3Cb%3Eno%3C%2Fb%3E&state={}",
            listening.state
        ))
        .await;
    let page = listening
        .ask("/evergrant/done", &listening.host())
        .await
        .unwrap();
    assert!(
        page.contains("Not connected") && page.contains("&lt;b&gt;no"),
        "{page}"
    );
    assert!(!page.contains("<b>"), "{page}");
    assert_eq!(
        kind_of(&within(listening.sign_in.landed()).await.unwrap_err()),
        "denied"
    );
}

#[tokio::test]
async fn a_configured_port_and_path_are_the_ones_listened_on() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let uri = format!("http://localhost:{port}/here/please");
    let listening = Listening::begin_at(Some(&uri), connecting()).await;
    assert_eq!(listening.sign_in.redirect_uri.as_deref(), Some(&*uri));
    let reply = listening.get(&listening.right()).await;
    assert!(reply.starts_with("HTTP/1.1 303"), "{reply}");
    within(listening.sign_in.landed()).await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let world = World::bare().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let uri = format!("http://127.0.0.1:{port}/callback");
    world
        .configure_with(USER, |request| request.settings.redirect_uri = Some(uri))
        .await
        .unwrap();
    let error = connect::connect(Arc::clone(&world.engine), connecting())
        .await
        .unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("connect failed", "port_taken")
    );
    assert!(error.reason().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn a_redirect_uri_elsewhere_is_listened_on_nowhere_and_finished_by_the_pasted_url() {
    let listening = Listening::begin_at(Some("https://app.example/callback"), connecting()).await;
    assert!(!listening.sign_in.listens);
    let url = format!("https://app.example/callback?{}", listening.right());
    let other = listening.world.another().await;
    within(connect::complete_connect(other, &url, None))
        .await
        .unwrap();
    let status = within(listening.sign_in.landed()).await.unwrap();
    assert_eq!(status.state, State::Connected);
}

#[tokio::test]
async fn a_sign_in_that_listens_can_be_finished_by_the_pasted_url_as_well() {
    let listening = Listening::begin().await;
    let url = format!("{}?{}", listening.redirect, listening.right());
    within(connect::complete_connect(
        listening.world.another().await,
        &url,
        None,
    ))
    .await
    .unwrap();
    within(listening.sign_in.landed()).await.unwrap();
    assert!(
        listening
            .ask("/callback", &listening.host())
            .await
            .is_none()
    );
}

#[tokio::test]
async fn a_failed_exchange_that_was_pasted_ends_the_wait() {
    let listening = Listening::begin().await;
    listening
        .world
        .server
        .answers(Answer::error("invalid_grant"));
    let url = format!("{}?{}", listening.redirect, listening.right());
    within(connect::complete_connect(
        listening.world.another().await,
        &url,
        None,
    ))
    .await
    .unwrap_err();
    let error = within(listening.sign_in.landed()).await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("connect failed", "sign_in_ended")
    );
}

#[tokio::test]
async fn a_sign_in_that_nobody_finishes_ends_and_its_callback_is_worth_nothing() {
    let request = ConnectRequest {
        timeout: Duration::from_millis(50),
        ..connecting()
    };
    let listening = Listening::begin_at(None, request).await;
    let error = within(listening.sign_in.landed()).await.unwrap_err();
    assert_eq!(
        (kind_of(&error), error.code()),
        ("timeout", "connect_timeout")
    );
    assert!(
        listening
            .ask("/callback", &listening.host())
            .await
            .is_none()
    );
    let url = format!("{}?{}", listening.redirect, listening.right());
    let late = connect::complete_connect(Arc::clone(&listening.world.engine), &url, None).await;
    assert_eq!(late.unwrap_err().code(), "wrong_state");
}

#[tokio::test]
async fn a_cancelled_sign_in_closes_its_port() {
    let listening = Listening::begin().await;
    listening.sign_in.cancel();
    let error = within(listening.sign_in.landed()).await.unwrap_err();
    assert_eq!(error.code(), "sign_in_cancelled");
    assert!(
        listening
            .ask("/callback", &listening.host())
            .await
            .is_none()
    );
    assert_eq!(listening.world.state().await, None::<StoredState>);
}

#[tokio::test]
async fn a_sign_in_that_nobody_holds_any_more_closes_its_port() {
    let Listening {
        world,
        sign_in,
        state,
        redirect,
    } = Listening::begin().await;
    drop(sign_in);
    let sign_in = signing_in(&world, connecting()).await;
    let listening = Listening {
        world,
        sign_in,
        state,
        redirect,
    };
    super::until("the close", async || {
        listening
            .ask("/callback", &listening.host())
            .await
            .is_none()
    })
    .await;
}
