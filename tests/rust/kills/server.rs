//! A provider on loopback without mercy: refresh tokens rotate with no grace, a used one ends its whole grant, and so
//! does a used code. It outlives those it talks to, and its book is the witness.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use serde_json::{Value, json};

/// The client whose access tokens live a day; those of all others live an hour.
pub(super) const LASTING: &str = "lasting";

/// The server: one request at a time, in the order of the connections.
pub(super) struct Server {
    pub(super) base: String,
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
}

/// What it has issued and heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    grants: Vec<Grant>,
    issued: usize,
    /// Refreshes that were granted.
    pub(super) refreshes: usize,
    /// Codes that were exchanged.
    pub(super) exchanges: usize,
    /// Refresh tokens and codes that came back.
    pub(super) reused: usize,
    /// Accounts that were looked up.
    pub(super) looked_up: usize,
    /// All requests.
    pub(super) requests: usize,
}

#[derive(Clone, Debug, Default)]
struct Grant {
    /// The code or name it began with.
    origin: String,
    refresh_token: String,
    used: Vec<String>,
    access_tokens: Vec<String>,
    ended: bool,
}

impl Book {
    /// Issues a grant without being asked: its refresh token is to be imported.
    pub(super) fn grant(&mut self, refresh_token: &str) {
        self.grants.push(Grant {
            origin: refresh_token.to_owned(),
            refresh_token: refresh_token.to_owned(),
            ..Grant::default()
        });
    }

    /// Whether an API would take this access token.
    pub(super) fn takes(&self, access_token: &str) -> bool {
        self.grants.iter().any(|grant| {
            !grant.ended
                && grant
                    .access_tokens
                    .iter()
                    .any(|known| known == access_token)
        })
    }

    /// Whether the grant that began with this code or name has ended.
    pub(super) fn has_ended(&self, origin: &str) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.origin == origin && grant.ended)
    }

    fn answer(&mut self, path: &str, form: &BTreeMap<String, String>) -> (u16, Value) {
        self.requests += 1;
        let given = |name: &str| form.get(name).cloned().unwrap_or_default();
        match (path, &*given("grant_type")) {
            ("/token", "refresh_token") => self.refresh(&given("refresh_token"), form),
            ("/token", "authorization_code") => self.exchange(&given("code"), form),
            ("/revoke", _) => {
                let token = given("token");
                for grant in &mut self.grants {
                    grant.ended |= grant.refresh_token == token
                        || grant.used.contains(&token)
                        || grant.access_tokens.contains(&token);
                }
                (200, json!({}))
            }
            ("/userinfo", _) => {
                self.looked_up += 1;
                (200, json!({"sub": "u-1", "email": "alice@example.org"}))
            }
            _ => (404, json!({})),
        }
    }

    fn refresh(&mut self, token: &str, form: &BTreeMap<String, String>) -> (u16, Value) {
        let reused = |grant: &&mut Grant| grant.used.iter().any(|used| used == token);
        if let Some(grant) = self.grants.iter_mut().find(reused) {
            grant.ended = true;
            self.reused += 1;
        }
        let current = |grant: &Grant| !grant.ended && grant.refresh_token == token;
        match self.grants.iter().position(current) {
            Some(at) => {
                self.refreshes += 1;
                self.issue(at, form)
            }
            None => refused(),
        }
    }

    fn exchange(&mut self, code: &str, form: &BTreeMap<String, String>) -> (u16, Value) {
        if let Some(grant) = self.grants.iter_mut().find(|grant| grant.origin == code) {
            grant.ended = true;
            self.reused += 1;
            return refused();
        }
        self.exchanges += 1;
        self.grants.push(Grant {
            origin: code.to_owned(),
            ..Grant::default()
        });
        self.issue(self.grants.len() - 1, form)
    }

    fn issue(&mut self, at: usize, form: &BTreeMap<String, String>) -> (u16, Value) {
        self.issued += 1;
        let (access_token, refresh_token) =
            (format!("at-{}", self.issued), format!("rt-{}", self.issued));
        let grant = &mut self.grants[at];
        grant.access_tokens.push(access_token.clone());
        let before = std::mem::replace(&mut grant.refresh_token, refresh_token.clone());
        if !before.is_empty() {
            grant.used.push(before);
        }
        let lasting = form.get("client_id").is_some_and(|id| id == LASTING);
        let lifetime = if lasting { 86_400 } else { 3600 };
        let reply = json!({"access_token": access_token, "refresh_token": refresh_token,
            "token_type": "Bearer", "expires_in": lifetime});
        (200, reply)
    }
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::new(Mutex::new(Book::default()));
        let own = Arc::clone(&book);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who hangs up in the middle is killed: nothing more is owed to him.
                let _ = serve(stream, &own);
            }
        });
        Self {
            base: format!("http://{address}"),
            address,
            book,
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// Waits until all that was sent before is answered.
    pub(super) fn settle(&self) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(b"GET /settled HTTP/1.1\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
}

fn serve(mut stream: TcpStream, book: &Mutex<Book>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    let (head, body) = loop {
        let count = stream.read(&mut piece)?;
        request.extend(&piece[..count]);
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                break (head.to_owned(), body.to_owned());
            }
        }
        if count == 0 {
            return Ok(());
        }
    };
    let path = head.split_whitespace().nth(1).unwrap_or_default();
    let form = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let (status, reply) = match path {
        "/settled" => (200, json!({})),
        _ => book.lock().unwrap().answer(path, &form),
    };
    let reply = reply.to_string();
    let length = reply.len();
    stream.write_all(
        format!("HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{reply}")
            .as_bytes(),
    )
}

fn refused() -> (u16, Value) {
    (400, json!({"error": "invalid_grant"}))
}
