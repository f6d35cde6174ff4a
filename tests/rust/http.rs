//! One request, one bounded reply, and failures that say whether bytes may have left.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use _core::clock::{Clock, ManualClock, Timestamp};
use _core::http::{
    BODY_LIMIT, Client, Failure, HostRule, Method, Network, Options, Reply, Request, is_public,
};
use _core::secret::{Secret, SecretBytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;
use wiremock::matchers::{body_string, header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{Authority, alone, hang_up_after, read_request};

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn request(url: &str) -> Request {
    Request {
        method: Method::POST,
        url: Url::parse(url).unwrap(),
        headers: Vec::new(),
        body: Some((
            "application/x-www-form-urlencoded",
            SecretBytes::from(b"a=b".to_vec()),
        )),
        deadline: Duration::from_secs(20),
        leaves_by: None,
        host_rule: HostRule::Named,
    }
}

async fn send(url: &str) -> Result<Reply, Failure> {
    Client::new(Options::default()).send(request(url)).await
}

/// A client whose deadlines come 200 times sooner.
fn hasty() -> Client {
    Client::new(Options::default()).with_clock(Clock::paced(NonZeroU32::new(200).unwrap()))
}

#[tokio::test]
async fn a_request_carries_its_headers_body_and_our_name() {
    let server = MockServer::start().await;
    let name = concat!("evergrant/", env!("CARGO_PKG_VERSION"));
    Mock::given(method("POST"))
        .and(header("x-vendor", "yes"))
        .and(header("user-agent", name))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .and(body_string("a=b"))
        .respond_with(ResponseTemplate::new(200).set_body_string("taken"))
        .mount(&server)
        .await;
    let mut request = request(&server.uri());
    request
        .headers
        .push(("X-Vendor".to_owned(), Secret::from("yes")));
    let reply = Client::new(Options::default()).send(request).await.unwrap();
    assert_eq!(
        (reply.status, reply.body.expose(), reply.truncated),
        (200, &b"taken"[..], false)
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(307).insert_header("location", "/elsewhere"))
        .expect(1)
        .mount(&server)
        .await;
    assert_eq!(send(&server.uri()).await.unwrap().status, 307);
}

#[tokio::test]
async fn a_body_ends_at_one_mebibyte() {
    let server = MockServer::start().await;
    let whole = "x".repeat(BODY_LIMIT);
    let long = format!("{whole}y");
    for (body, truncated) in [(&whole, false), (&long, true)] {
        server.reset().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(200).set_body_string(body.clone()))
            .mount(&server)
            .await;
        let reply = send(&server.uri()).await.unwrap();
        assert_eq!(
            (reply.body.expose().len(), reply.truncated),
            (BODY_LIMIT, truncated)
        );
    }
}

#[tokio::test]
async fn the_limit_counts_what_a_bomb_unfolds_to() {
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3];
    bomb.extend(deflated_zeros());
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        bomb.len()
    );
    let base = hang_up_after([head.into_bytes(), bomb].concat()).await;
    let reply = send(&base).await.unwrap();
    assert_eq!(
        (reply.body.expose().len(), reply.truncated),
        (BODY_LIMIT, true)
    );
}

/// A deflate stream (RFC 1951) of 40 stored blocks of 65535 zeros, without an end: the reader stops long before it.
fn deflated_zeros() -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..40 {
        stream.extend([0, 0xff, 0xff, 0, 0]);
        stream.extend(std::iter::repeat_n(0, 65_535));
    }
    stream
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_what_arrived_of_it() {
    let base =
        hang_up_after("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"refresh_token\":\"r2\"")
            .await;
    let reply = send(&base).await.unwrap();
    assert!(reply.truncated);
    assert_eq!(reply.body.expose(), b"{\"refresh_token\":\"r2\"");
}

#[tokio::test]
async fn a_reply_that_drips_past_the_deadline_is_what_arrived_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
            .await
            .unwrap();
        stream.write_all(b"drop").await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut request = request(&format!("http://{address}"));
    request.deadline = Duration::from_secs(60);
    let reply = hasty().send(request).await.unwrap();
    assert_eq!((reply.body.expose(), reply.truncated), (&b"drop"[..], true));
}

#[tokio::test]
async fn a_closed_port_has_seen_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(matches!(
        send(&format!("http://{address}")).await,
        Err(Failure::NotSent(_))
    ));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_has_seen_nothing() {
    assert!(matches!(
        send("https://host.invalid/").await,
        Err(Failure::NotSent(_))
    ));
}

#[tokio::test]
async fn a_handshake_that_fails_has_seen_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream
            .write_all(b"HTTP/1.1 400 this is no TLS\r\n\r\n")
            .await;
    });
    let failure = send(&format!("https://{address}")).await.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
}

#[tokio::test]
async fn a_server_is_trusted_by_the_ca_file_alone_and_under_its_own_name() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &authority.pem).unwrap();
    for (name, trusted, answered) in [
        ("127.0.0.1", Some(&ca_file), true),
        ("127.0.0.1", None, false),
        ("other.example", Some(&ca_file), false),
    ] {
        let port = authority.serve(name, |_| NO_CONTENT.to_owned()).await;
        let client = Client::new(Options {
            network: Network::Any,
            ca_file: trusted.cloned(),
        });
        let outcome = client
            .send(request(&format!("https://127.0.0.1:{port}/")))
            .await;
        if answered {
            assert_eq!(outcome.unwrap().status, 204);
        } else {
            assert!(
                matches!(outcome, Err(Failure::NotSent(_))),
                "{name}: {outcome:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_too_late_when_the_connection_is_there_does_not_leave() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &authority.pem).unwrap();
    let time = Arc::new(ManualClock::new(Timestamp::default()));
    let clock = Clock::manual(Arc::clone(&time));
    let late = Duration::from_secs(25);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = authority.acceptor("127.0.0.1");
    let mut request = request(&format!("https://127.0.0.1:{port}/"));
    request.leaves_by = Some(clock.monotonic().after(late));
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        time.advance(late);
        let mut seen = Vec::new();
        let mut stream = acceptor.accept(stream).await.unwrap();
        // The client hangs up without a farewell.
        let _ = stream.read_to_end(&mut seen).await;
        seen
    });
    let options = Options {
        network: Network::Any,
        ca_file: Some(ca_file),
    };
    let client = Client::new(options).with_clock(clock);
    let failure = client.send(request).await.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
    assert_eq!(server.await.unwrap(), b"");
}

#[tokio::test]
async fn what_leaves_in_time_announces_its_length() {
    let clock = crate::support::clock();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut request = request(&format!("http://{}", listener.local_addr().unwrap()));
    request.leaves_by = Some(clock.monotonic().after(Duration::from_millis(1)));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let seen = read_request(&mut stream).await;
        stream.write_all(NO_CONTENT.as_bytes()).await.unwrap();
        seen
    });
    let client = Client::new(Options::default()).with_clock(clock);
    assert_eq!(client.send(request).await.unwrap().status, 204);
    let seen = server.await.unwrap();
    assert!(
        seen.contains("content-length: 3\r\n") && seen.ends_with("\r\n\r\na=b"),
        "{seen}"
    );
}

#[tokio::test]
async fn silence_and_garbage_after_the_request_leave_it_open() {
    for answer in ["", "HTTP/1.1", "garbage\r\n\r\n"] {
        let failure = send(&hang_up_after(answer).await).await.unwrap_err();
        assert!(
            matches!(failure, Failure::NoReply(_)),
            "{answer:?}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_never_answers_leaves_it_open_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = request(&format!("http://{}", listener.local_addr().unwrap()));
    let failure = hasty().send(request).await.unwrap_err();
    assert_eq!(failure, Failure::NoReply("no answer in time".to_owned()));
}

/// Stops this process from the moment the request is at the server until its `deadline` has passed; meanwhile the
/// server answers with `parts`, of which the first is read before the process stops.
async fn stopped_until_after(deadline: Duration, parts: [&'static [u8]; 2]) -> Reply {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = tokio::sync::oneshot::channel();
    let (tell, stopped) = std::sync::mpsc::channel();
    let (wake, waking) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let passed = std::time::Instant::now() + deadline;
        let (mut stream, _) = listener.accept().unwrap();
        assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
        stream.write_all(parts[0]).unwrap();
        stop.send(()).unwrap();
        stopped.recv().unwrap();
        stream.write_all(parts[1]).unwrap();
        std::thread::sleep(passed.saturating_duration_since(std::time::Instant::now()));
        wake.send(()).unwrap();
    });
    tokio::spawn(async move {
        stopping.await.unwrap();
        // What has arrived by now is read first.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        tell.send(()).unwrap();
        // The only thread of this runtime: nothing of ours runs meanwhile.
        waking.recv().unwrap();
    });
    let mut request = request(&format!("http://{address}"));
    request.deadline = deadline;
    let reply = Client::new(Options::default()).send(request).await.unwrap();
    server.join().unwrap();
    reply
}

#[tokio::test]
async fn a_reply_that_came_while_the_process_was_stopped_is_read_after_the_deadline() {
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let reply = stopped_until_after(Duration::from_millis(500), [b"", whole]).await;
    assert_eq!((reply.body.expose(), reply.truncated), (&b"ok"[..], false));
}

#[tokio::test]
async fn the_rest_of_a_reply_that_came_while_the_process_was_stopped_is_read_after_the_deadline() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no";
    let reply = stopped_until_after(Duration::from_millis(500), [head, b"k"]).await;
    assert_eq!((reply.body.expose(), reply.truncated), (&b"ok"[..], false));
}

#[tokio::test]
async fn more_headers_than_a_hundred_are_refused() {
    let many = "x: y\r\n".repeat(101);
    let base = hang_up_after(format!(
        "HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n"
    ))
    .await;
    assert!(matches!(send(&base).await, Err(Failure::NoReply(_))));
}

#[tokio::test]
async fn every_request_has_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
            tokio::spawn(async move {
                let _open = stream;
                std::future::pending::<()>().await;
            });
        }
    });
    let client = Client::new(Options::default());
    for _ in 0..2 {
        client
            .send(request(&format!("http://{address}")))
            .await
            .unwrap();
    }
    connections.await.unwrap();
}

#[tokio::test]
async fn a_failure_names_neither_url_nor_query() {
    let failure = send("https://host.invalid/path?code=hidden-code")
        .await
        .unwrap_err();
    assert!(!failure.reason().contains("hidden-code") && !failure.reason().contains("/path"));
}

#[tokio::test]
async fn neither_request_nor_reply_shows_what_it_carries() {
    let server = MockServer::start().await;
    let reply = ResponseTemplate::new(200)
        .insert_header("x-hidden", "hidden-header")
        .set_body_string("hidden-body");
    Mock::given(method("POST"))
        .respond_with(reply)
        .mount(&server)
        .await;
    let request = request(&format!("{}/hidden-path?code=hidden-code", server.uri()));
    let client = Client::new(Options::default());
    let before = format!("{request:?}");
    let after = format!("{:?} {client:?}", client.send(request).await);
    assert!(after.contains("200"), "{after}");
    assert!(
        !before.contains("hidden") && !after.contains("hidden"),
        "{before} {after}"
    );
}

#[tokio::test]
async fn a_host_that_only_a_server_named_must_be_public() {
    let server = MockServer::start().await;
    let port = server.address().port();
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&server)
        .await;
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
    ] {
        let mut request = request(&format!("http://{host}:{port}/"));
        request.host_rule = HostRule::ServerNamed;
        let failure = Client::new(Options::default())
            .send(request)
            .await
            .unwrap_err();
        assert!(
            matches!(failure, Failure::NotSent(_)),
            "{host}: {failure:?}"
        );
        assert!(
            failure
                .reason()
                .ends_with("the host's address is not public"),
            "{host}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn on_a_public_network_a_named_host_must_be_public_too() {
    let server = MockServer::start().await;
    let options = Options {
        network: Network::Public,
        ca_file: None,
    };
    let failure = Client::new(options)
        .send(request(&server.uri()))
        .await
        .unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)));
}

#[tokio::test]
async fn on_a_loopback_network_nothing_leaves_this_machine() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let client = Client::new(Options {
        network: Network::Loopback,
        ca_file: None,
    });
    assert_eq!(
        client.send(request(&server.uri())).await.unwrap().status,
        200
    );
    for elsewhere in ["https://example.com/", "https://192.0.2.1/"] {
        assert_eq!(
            client.send(request(elsewhere)).await.unwrap_err(),
            Failure::NotSent("a test talks to this machine only".to_owned()),
            "{elsewhere}"
        );
    }
}

#[tokio::test]
async fn a_header_that_would_break_a_line_is_not_sent() {
    let server = MockServer::start().await;
    let mut request = request(&server.uri());
    request
        .headers
        .push(("X".to_owned(), Secret::from("a\r\nb: hidden")));
    let failure = Client::new(Options::default())
        .send(request)
        .await
        .unwrap_err();
    assert_eq!(
        failure,
        Failure::NotSent("the header \"X\" can't be sent".to_owned())
    );
}

#[tokio::test]
async fn a_ca_file_that_is_missing_or_empty_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for path in [empty, folder.path().join("missing.pem")] {
        let options = Options {
            network: Network::Any,
            ca_file: Some(path.clone()),
        };
        let failure = Client::new(options)
            .send(request("https://127.0.0.1:1/"))
            .await
            .unwrap_err();
        assert!(matches!(failure, Failure::NotSent(_)));
        assert!(
            failure.reason().contains(path.to_str().unwrap()),
            "{failure:?}"
        );
    }
}

#[test]
fn plain_http_to_this_machine_passes_by_the_proxy() {
    let proxy = "http://127.0.0.1:1";
    alone(
        "http::plain_http_to_this_machine_passes_by_the_proxy",
        &[
            ("HTTP_PROXY", proxy),
            ("http_proxy", proxy),
            ("ALL_PROXY", proxy),
            ("NO_PROXY", ""),
            ("no_proxy", ""),
        ],
        async {
            let server = MockServer::start().await;
            Mock::given(method("POST"))
                .respond_with(ResponseTemplate::new(204))
                .mount(&server)
                .await;
            assert_eq!(send(&server.uri()).await.unwrap().status, 204);
        },
    );
}

#[test]
fn a_request_goes_through_the_proxy_of_the_environment() {
    alone(
        "http::a_request_goes_through_the_proxy_of_the_environment",
        &[
            ("HTTPS_PROXY", "http://127.0.0.1:1"),
            ("https_proxy", "http://127.0.0.1:1"),
            ("NO_PROXY", ""),
        ],
        async {
            let failure = send("https://host.invalid/").await.unwrap_err();
            let Failure::NotSent(reason) = failure else {
                panic!("{failure:?}");
            };
            assert!(reason.contains("refused"), "{reason}");
        },
    );
}

#[test]
fn a_machine_without_roots_says_what_to_install() {
    alone(
        "http::a_machine_without_roots_says_what_to_install",
        &[
            ("SSL_CERT_FILE", "/nonexistent/file"),
            ("SSL_CERT_DIR", "/nonexistent"),
        ],
        async {
            let failure = send("https://127.0.0.1:1/").await.unwrap_err();
            assert!(
                failure.reason().contains("EVERGRANT_CA_FILE"),
                "{failure:?}"
            );
        },
    );
}

#[test]
fn addresses_of_the_public_internet_are_public() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001::200e",
        "2001:4860:4860::8888",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2001:200::1",
    ] {
        assert!(is_public(address.parse::<IpAddr>().unwrap()), "{address}");
    }
}

#[test]
fn addresses_of_any_other_network_are_not_public() {
    for address in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.175.48.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "64:ff9b:1::808:808",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:808:808::1",
        "2620:4f:8000::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!is_public(address.parse::<IpAddr>().unwrap()), "{address}");
    }
}
