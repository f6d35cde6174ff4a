//! Requests of actions: connections that are used again, replies that are whole or fail, and servers that are silent.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use _core::http::{
    ACTION_BODY_LIMIT, ActionRequest, Client, Failure, HeaderName, HeaderValue, HostRule, Method,
    Network, Options, Reply, Trust,
};
use _core::secret::{Secret, SecretBytes};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use url::Url;

use crate::support::{Authority, hang_up_after, read_request};

fn request(url: &str) -> ActionRequest {
    ActionRequest {
        host_rule: HostRule::Named,
        method: Method::GET,
        url: Url::parse(url).unwrap(),
        headers: Vec::new(),
        body: None,
        timeout: Some(Duration::from_secs(20)),
        deadline: Duration::from_secs(20),
        trust: Trust::default(),
    }
}

async fn exchange(request: ActionRequest) -> Result<Reply, Failure> {
    Client::new(Options::default()).exchange(request).await
}

async fn reason(request: ActionRequest) -> String {
    exchange(request).await.unwrap_err().reason().to_owned()
}

/// A server that keeps its connections and answers each request with what it was; and how many connections there were.
async fn echo() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                loop {
                    let request = read_request(&mut stream).await;
                    if request.is_empty() {
                        return;
                    }
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                        request.len()
                    );
                    if stream
                        .write_all((head + &request).as_bytes())
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (base, connections)
}

fn shown(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.body.expose()).into_owned()
}

#[tokio::test]
async fn a_connection_is_used_again_by_the_next_request() {
    let (base, connections) = echo().await;
    let client = Client::new(Options::default());
    for _ in 0..3 {
        client.exchange(request(&base)).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn one_name_may_stand_in_two_headers() {
    let (base, _) = echo().await;
    let mut twice = request(&base);
    for value in ["1", "2"] {
        twice.headers.push((
            HeaderName::from_static("x-a"),
            HeaderValue::from_static(value),
        ));
    }
    let reply = exchange(twice).await.unwrap();
    assert!(
        shown(&reply).contains("x-a: 1\r\nx-a: 2\r\n"),
        "{}",
        shown(&reply)
    );
}

#[tokio::test]
async fn a_post_without_a_body_says_that_it_has_none() {
    let (base, _) = echo().await;
    let mut post = request(&base);
    post.method = Method::POST;
    let reply = exchange(post).await.unwrap();
    assert!(
        shown(&reply).contains("content-length: 0\r\n"),
        "{}",
        shown(&reply)
    );
}

#[tokio::test]
async fn a_long_body_arrives_whole_with_its_length() {
    let (base, _) = echo().await;
    let mut long = request(&base);
    long.method = Method::PUT;
    long.body = Some(SecretBytes::from(vec![b'x'; 300_000]));
    let reply = shown(&exchange(long).await.unwrap());
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 300000"), "{head}");
    assert_eq!(body, "x".repeat(300_000));
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_none() {
    let base = hang_up_after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert_eq!(reason(request(&base)).await, "the reply broke off");
    let base = hang_up_after("").await;
    assert!(reason(request(&base)).await.starts_with("no answer: "));
}

#[tokio::test]
async fn a_reply_of_two_hundred_megabytes_is_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
            .await
            .unwrap();
        let part = vec![b'x'; 1 << 20];
        let mut written = 0;
        while written < 200_000_000 {
            match stream.write_all(&part).await {
                Ok(()) => written += part.len(),
                Err(error) => {
                    assert!(matches!(
                        error.kind(),
                        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                    ));
                    break;
                }
            }
        }
        written
    });
    assert_eq!(
        reason(request(&base)).await,
        "the reply is larger than 64 MiB"
    );
    let written = server.await.unwrap();
    assert!(
        (ACTION_BODY_LIMIT..200_000_000).contains(&written),
        "{written}"
    );
}

#[tokio::test]
async fn a_server_may_be_silent_for_so_long_and_no_longer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut silent = request(&format!("http://{}/", listener.local_addr().unwrap()));
    silent.timeout = Some(Duration::from_millis(50));
    assert_eq!(reason(silent).await, "no answer in time");
}

#[tokio::test]
async fn a_server_that_keeps_talking_is_heard_until_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            .await;
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        while stream.write_all(b"x").await.is_ok() {
            pause.tick().await;
        }
    });
    let began = tokio::time::Instant::now();
    let mut slow = request(&base);
    slow.timeout = Some(Duration::from_secs(10));
    slow.deadline = Duration::from_millis(300);
    assert_eq!(reason(slow).await, "no answer in time");
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn nobody_listens_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    assert!(reason(request(&base)).await.starts_with("no connection: "));
}

#[tokio::test]
async fn a_public_network_is_guarded() {
    let client = Client::new(Options {
        network: Network::Public,
        ca_file: None,
    });
    for url in [
        "http://127.0.0.1:1/",
        "https://10.0.0.1/",
        "https://localhost/",
        "http://[::1]/",
        "http://2130706433/",
    ] {
        let failure = client.exchange(request(url)).await.unwrap_err();
        assert!(
            failure.reason().contains("not public"),
            "{url}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_is_looked_at_unless_the_request_is_blind() {
    let authority = Authority::new();
    let reply = |_| "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
    let blind = Trust {
        is_blind: true,
        ..Trust::default()
    };
    let anchored = Trust {
        anchors: Some(Secret::from(authority.pem.as_str())),
        ..Trust::default()
    };
    let stranger = Trust {
        anchors: Some(Secret::from(Authority::new().pem)),
        ..Trust::default()
    };
    for (trust, is_trusted) in [
        (blind, true),
        (anchored, true),
        (stranger, false),
        (Trust::default(), false),
    ] {
        let port = authority.serve("127.0.0.1", reply).await;
        let mut request = request(&format!("https://127.0.0.1:{port}/"));
        request.trust = trust;
        assert_eq!(exchange(request).await.is_ok(), is_trusted);
    }
}

#[tokio::test]
async fn certificates_that_are_none_are_named() {
    let none = || Some(Secret::from("none"));
    let anchors = Trust {
        anchors: none(),
        ..Trust::default()
    };
    let certificate = Trust {
        certificate: none(),
        ..Trust::default()
    };
    for (trust, words) in [
        (anchors, "trust anchor"),
        (certificate, "certificate and key"),
    ] {
        let mut request = request("https://127.0.0.1:1/");
        request.trust = trust;
        let reason = reason(request).await;
        assert!(reason.contains(words), "{reason}");
    }
}
