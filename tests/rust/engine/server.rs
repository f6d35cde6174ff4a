//! A provider on loopback that answers as it is told, counts what it is asked, and can hold a reply back.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::support::read_request;

/// A provider whose endpoints are `/token`, `/revoke` and `/userinfo`.
///
/// What nothing was scripted for is answered by the book: the n-th token request issues `at-n` and `rt-n`, which live an
/// hour.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) base: String,
    script: Arc<Script>,
}

#[derive(Default)]
struct Script {
    answers: Mutex<HashMap<String, VecDeque<Answer>>>,
    received: Mutex<Vec<Received>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) path: String,
    pub(super) form: BTreeMap<String, String>,
    pub(super) body: String,
    pub(super) authorization: Option<String>,
}

/// What the server does with a request.
#[derive(Clone)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    hold: Option<Hold>,
}

/// A reply that waits for the test.
#[derive(Clone)]
pub(super) struct Hold {
    arrived: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl Hold {
    /// Waits until the request is at the server.
    pub(super) async fn arrived(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    /// Lets the reply go.
    pub(super) fn release(&self) {
        self.released.add_permits(1);
    }
}

impl Answer {
    /// A JSON body with a status, and whatever headers.
    pub(super) fn json(status: u16, headers: &str, body: impl ToString) -> Self {
        Self::raw(
            status,
            &format!("Content-Type: application/json\r\n{headers}"),
            &body.to_string(),
        )
    }

    /// A web page.
    pub(super) fn html(status: u16) -> Self {
        Self::raw(
            status,
            "Content-Type: text/html\r\n",
            "<!doctype html><html><body>Hello</body></html>",
        )
    }

    /// Nothing but a status.
    pub(super) fn empty(status: u16) -> Self {
        Self::raw(status, "", "")
    }

    /// An OAuth error (RFC 6749 section 5.2).
    pub(super) fn error(code: &str) -> Self {
        Self::json(
            400,
            "",
            serde_json::json!({"error": code, "error_description": format!("about {code}")}),
        )
    }

    /// A reply that ends before it began.
    pub(super) fn cut() -> Self {
        Self {
            bytes: Vec::new(),
            hold: None,
        }
    }

    /// A token by the book; `more` is laid over it, null members are left out.
    pub(super) fn token(
        access_token: &str,
        refresh_token: Option<&str>,
        more: serde_json::Value,
    ) -> Self {
        let mut body = serde_json::json!({
            "access_token": access_token, "refresh_token": refresh_token, "token_type": "Bearer", "expires_in": 3600,
        });
        let members = body.as_object_mut().unwrap();
        members.extend(more.as_object().cloned().unwrap_or_default());
        members.retain(|_, value| !value.is_null());
        Self::json(200, "", body)
    }

    fn raw(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        Self {
            bytes: text.into_bytes(),
            hold: None,
        }
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            script: Arc::default(),
        };
        let script = Arc::clone(&server.script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script)));
            }
        });
        server
    }

    /// The next unscripted token request is answered with this.
    pub(super) fn answers(&self, answer: Answer) {
        self.answers_at("/token", answer);
    }

    pub(super) fn answers_at(&self, path: &str, answer: Answer) {
        let mut answers = self.script.answers.lock().unwrap();
        answers
            .entry(path.to_owned())
            .or_default()
            .push_back(answer);
    }

    /// The same, but the reply waits until the test lets it go.
    pub(super) fn holds(&self, answer: Answer) -> Hold {
        self.holds_at("/token", answer)
    }

    pub(super) fn holds_at(&self, path: &str, answer: Answer) -> Hold {
        let hold = Hold {
            arrived: Arc::new(Semaphore::new(0)),
            released: Arc::new(Semaphore::new(0)),
        };
        self.answers_at(
            path,
            Answer {
                hold: Some(hold.clone()),
                ..answer
            },
        );
        hold
    }

    /// The requests to an endpoint so far.
    pub(super) fn received(&self, path: &str) -> Vec<Received> {
        let received = self.script.received.lock().unwrap();
        received
            .iter()
            .filter(|request| request.path == path)
            .cloned()
            .collect()
    }

    /// How many token requests there were.
    pub(super) fn count(&self) -> usize {
        self.received("/token").len()
    }

    /// The refresh tokens that came, in order.
    pub(super) fn refresh_tokens(&self) -> Vec<String> {
        let received = self.received("/token");
        received
            .into_iter()
            .filter_map(|request| request.form.get("refresh_token").cloned())
            .collect()
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Script>) {
    let text = read_request(&mut stream).await;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return;
    };
    let target = head.split_whitespace().nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let authorization = head
        .lines()
        .find_map(|line| line.strip_prefix("authorization: ").map(str::to_owned));
    let form = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let number = {
        let mut received = script.received.lock().unwrap();
        received.push(Received {
            path: path.clone(),
            form,
            body: body.to_owned(),
            authorization,
        });
        received
            .iter()
            .filter(|request| request.path == path)
            .count()
    };
    let scripted = script
        .answers
        .lock()
        .unwrap()
        .get_mut(&path)
        .and_then(VecDeque::pop_front);
    let answer = scripted.unwrap_or_else(|| match &*path {
        "/token" => Answer::token(
            &format!("at-{number}"),
            Some(&format!("rt-{number}")),
            serde_json::json!({}),
        ),
        "/revoke" => Answer::empty(200),
        _ => Answer::empty(404),
    });
    if let Some(hold) = &answer.hold {
        hold.arrived.add_permits(1);
        hold.released.acquire().await.unwrap().forget();
    }
    let _ = stream.write_all(&answer.bytes).await;
    let _ = stream.shutdown().await;
}
