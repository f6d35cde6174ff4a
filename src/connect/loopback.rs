//! The loopback redirect (RFC 8252 section 7.3): one port, one path, one callback, then closed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, watch};
use url::Url;

use crate::connect::is_loopback;
use crate::connect::pending::{self, Begun};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Status;
use crate::system::Gated;

/// How long the port stays open for the page that says how it went.
pub(crate) const LAST_PAGE: Duration = Duration::from_secs(1);
const DONE: &str = "/evergrant/done";

/// A bound loopback port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    redirect_uri: String,
    path: String,
    hosts: Vec<String>,
}

struct Page {
    engine: Arc<Engine>,
    state: crate::secret::Secret,
    redirect_uri: String,
    hosts: Vec<String>,
    outcome: Mutex<Option<Result<Status>>>,
    landed: watch::Sender<Option<Result<Status>>>,
    seen: mpsc::Sender<()>,
}

impl Listener {
    /// Binds the port of a loopback redirect URI, any free one where it names none; `None` when it is not loopback.
    ///
    /// # Errors
    /// `ConnectFailed` when the port is taken, naming it.
    pub async fn bind(redirect_uri: &str) -> Result<Option<Self>> {
        let mut url = Url::parse(redirect_uri).map_err(|_| {
            Error::invalid_parameter(
                "invalid_redirect_uri",
                "the redirect URI is no absolute URL",
            )
        })?;
        if !is_loopback(&url) || url.scheme() != "http" {
            return Ok(None);
        }
        let address: IpAddr = match url.host_str() {
            Some("[::1]") => Ipv6Addr::LOCALHOST.into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        let port = url.port().unwrap_or(0);
        let socket = TcpListener::bind(SocketAddr::new(address, port))
            .await
            .map_err(|error| {
                Error::new(
                    ErrorKind::ConnectFailed,
                    "port_taken",
                    format!(
                        "port {port} of the redirect URI {redirect_uri} can't be listened on: {}",
                        error.kind()
                    ),
                )
            })?;
        let bound = socket
            .local_addr()
            .map_err(|error| {
                Error::internal(format!("a bound port has no address: {}", error.kind()))
            })?
            .port();
        let _ = url.set_port(Some(bound));
        let host = url.host_str().unwrap_or_default();
        Ok(Some(Self {
            hosts: vec![format!("{host}:{bound}")],
            path: url.path().to_owned(),
            redirect_uri: url.to_string(),
            socket,
        }))
    }

    /// The redirect URI with the port that was bound.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Serves until the callback of this sign-in came, and shows how it went.
    pub async fn serve(self, engine: &Arc<Engine>, begun: &Begun) -> Result<Status> {
        let (landed, mut landing) = watch::channel(None);
        let (seen, mut page_seen) = mpsc::channel(1);
        let page = Arc::new(Page {
            engine: Arc::clone(engine),
            state: begun.state.clone(),
            redirect_uri: self.redirect_uri,
            hosts: self.hosts,
            outcome: Mutex::new(None),
            landed,
            seen,
        });
        let router = Router::new()
            .route(&self.path, get(callback))
            .route(DONE, get(done))
            .with_state(page);
        let server = async { axum::serve(Port(self.socket), router).await };
        let outcome = async {
            let landed = landing
                .wait_for(Option::is_some)
                .await
                .map(|landed| landed.clone());
            // The browser follows to the page without the code; a client that doesn't is not waited for.
            let _ = tokio::time::timeout(LAST_PAGE, page_seen.recv()).await;
            landed
        };
        tokio::select! {
            _ = server => Err(Error::new(ErrorKind::ConnectFailed, "port_closed", "the loopback port was closed")),
            landed = outcome => match landed {
                Ok(Some(landed)) => landed,
                _ => Err(Error::internal("a sign-in ended without a result")),
            },
        }
    }
}

/// A listening port. It is closed for a forked child too, which shares it.
struct Port(TcpListener);

impl axum::serve::Listener for Port {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        axum::serve::Listener::accept(&mut self.0).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // Where a system does this to connected sockets only, the port stays open for as long as such a child lives.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

/// The callback. A wrong state is answered and ignored: a neighbour on this machine can't cancel a sign-in.
async fn callback(State(page): State<Arc<Page>>, headers: HeaderMap, request: Request) -> Response {
    if !page.host_is_ours(&headers) {
        return shown(
            StatusCode::MISDIRECTED_REQUEST,
            "Not here",
            "This address serves one sign-in only.",
        );
    }
    let uri = request.uri();
    if !page.state_is_ours(uri) {
        return shown(
            StatusCode::BAD_REQUEST,
            "Not this sign-in",
            "The link belongs to another sign-in. Nothing changed.",
        );
    }
    let mut outcome = page.outcome.lock().await;
    if outcome.is_none() {
        let url = format!("{}?{}", page.redirect_uri, uri.query().unwrap_or_default());
        // The server polls its connections outside the fork gate.
        let status = Gated::new(pending::complete(&page.engine, &url, None)).await;
        *outcome = Some(status.clone());
        page.landed.send_replace(Some(status));
    }
    // Away from the URL with the code: it leaves the address bar and the history.
    (
        StatusCode::SEE_OTHER,
        [
            (header::LOCATION, DONE),
            (header::CACHE_CONTROL, "no-store"),
        ],
    )
        .into_response()
}

async fn done(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    if !page.host_is_ours(&headers) {
        return shown(
            StatusCode::MISDIRECTED_REQUEST,
            "Not here",
            "This address serves one sign-in only.",
        );
    }
    let response = match &*page.outcome.lock().await {
        Some(Ok(status)) => {
            let account = status
                .account
                .as_deref()
                .map(|account| format!(" as {account}"))
                .unwrap_or_default();
            let line = format!(
                "{} is connected{account}. You can close this page.",
                status.provider
            );
            shown(StatusCode::OK, "Connected", &line)
        }
        Some(Err(error)) => shown(StatusCode::OK, "Not connected", error.reason()),
        None => {
            return shown(
                StatusCode::NOT_FOUND,
                "Nothing here yet",
                "The sign-in is still under way.",
            );
        }
    };
    let _ = page.seen.try_send(());
    response
}

impl Page {
    /// DNS rebinding: a page of another name that resolves to this address is not answered.
    fn host_is_ours(&self, headers: &HeaderMap) -> bool {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        self.hosts.iter().any(|ours| ours == host)
    }

    fn state_is_ours(&self, uri: &Uri) -> bool {
        let states: Vec<_> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .filter(|(name, _)| name == "state")
                .map(|(_, value)| crate::secret::Secret::from(value.into_owned()))
                .collect();
        states.len() == 1 && states[0] == self.state
    }
}

fn shown(status: StatusCode, title: &str, text: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title} - evergrant</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1><p>{}</p></main></body></html>",
        escaped(text)
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONNECTION, "close"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    ];
    (status, headers, page).into_response()
}

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const STYLE: &str = "\
    :root{color-scheme:light dark}\
    body{font:17px/1.5 system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:0 1.5rem}\
    main{max-width:32rem}h1{font-size:1.6rem;margin:0 0 .5rem}p{margin:0}";

/// Text of a provider's inside HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
