//! HTTP as the protocol needs it: one request, one bounded reply, and a failure that says whether bytes may have left.
//!
//! The only file that names reqwest. No redirects, no cookies, no retries. The protocol's requests use no connection twice:
//! a pooled one that died in the meantime would leave a refresh unanswered, and nobody could say what became of it. Those of
//! actions keep theirs for the next step.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};
use zeroize::{Zeroize, Zeroizing};

use crate::clock::{Clock, Monotonic};
use crate::secret::{Secret, SecretBytes};

/// How we name ourselves to servers.
pub const USER_AGENT: &str = concat!("evergrant/", env!("CARGO_PKG_VERSION"));

/// A reply's body is read up to here, after decompression.
pub const BODY_LIMIT: usize = 1 << 20;

/// The largest body of a reply to an action's request in bytes, after decompression.
pub const ACTION_BODY_LIMIT: usize = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a reply is looked for after its deadline: a process that was stopped finds both when it goes on.
const LAST_LOOK: Duration = Duration::from_secs(2);
const HEADER_LIMIT: usize = 100;
/// Servers let go of an idle connection after five seconds at the earliest (Node.js): ours are let go of before that.
const IDLE: Duration = Duration::from_secs(4);
/// More clients than actions use at once: one for each way to a server, certificate and trust anchor.
const MOST_REUSING: usize = 16;
/// How much of a body is written at a time, so that progress shows.
const WRITTEN_AT_ONCE: usize = 64 << 10;

/// Which servers may be talked to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Network {
    /// All that a provider file or the user names, private ones included.
    #[default]
    Any,
    /// Public addresses only: for platforms whose users set endpoints.
    Public,
    /// This machine only: for tests, which never touch a vendor.
    Loopback,
}

/// Who named the host of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostRule {
    /// The user or a provider file: it may be private.
    Named,
    /// Only a server (metadata, a challenge): every address of it must be public.
    ServerNamed,
}

/// What all requests of a client share.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// Which servers may be talked to.
    pub network: Network,
    /// Trusted roots in PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// One request.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URL, judged by the caller.
    pub url: Url,
    /// Headers; of those with the same name the last counts. Their values count as secrets.
    pub headers: Vec<(String, Secret)>,
    /// Content type and body.
    pub body: Option<(&'static str, SecretBytes)>,
    /// When the whole reply must be here, counted from the call by the client's clock.
    pub deadline: Duration,
    /// From this instant of the client's clock on it does not leave any more, if it has a body: looked at when the
    /// connection is there, right before the first byte.
    pub leaves_by: Option<Monotonic>,
    /// Who named the host.
    pub host_rule: HostRule,
}

impl fmt::Debug for Request {
    /// Without path and query, which may hold a token, and without the rest.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// What a server answered.
#[derive(Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed; at most [`BODY_LIMIT`] bytes.
    pub body: SecretBytes,
    /// The body is not whole: it is longer than the limit, or broke off.
    pub truncated: bool,
}

impl fmt::Debug for Reply {
    /// Without headers and body.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reply")
            .field("status", &self.status)
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}

/// Why there is no reply. The reasons hold neither URL nor header nor body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The server has seen nothing of the request: it may be sent again.
    NotSent(String),
    /// Bytes may have left, and no status came back.
    NoReply(String),
}

impl Failure {
    /// What happened, in words.
    pub fn reason(&self) -> &str {
        match self {
            Self::NotSent(reason) | Self::NoReply(reason) => reason,
        }
    }
}

/// A request of an action.
pub struct ActionRequest {
    /// The method.
    pub method: Method,
    /// The whole URL, without userinfo, judged by the caller.
    pub url: Url,
    /// Headers; one name may be here several times.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Option<SecretBytes>,
    /// How long the server may be silent: until it is connected and answers, and between two parts. `None`: as long as all of
    /// it may take.
    pub timeout: Option<Duration>,
    /// When the whole reply must be here, counted from the call by the client's clock.
    pub deadline: Duration,
    /// Whom it trusts.
    pub trust: Trust,
    /// Who named the host.
    pub host_rule: HostRule,
}

impl fmt::Debug for ActionRequest {
    /// Without path, query and headers, which may hold secrets, and without the body.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ActionRequest")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// Which servers a request of an action trusts, and what it shows them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trust {
    /// No certificate is looked at: whoever is on the way reads and changes everything.
    pub is_blind: bool,
    /// Trusted roots in PEM, beside the system's.
    pub anchors: Option<Secret>,
    /// The client's certificate and its private key, both in PEM.
    pub certificate: Option<Secret>,
}

/// What answers requests in place of a network.
pub trait Transport: Send + Sync {
    /// As [`Client::send`].
    fn send(&self, request: Request) -> Sending;

    /// As [`Client::exchange`].
    fn exchange(&self, request: ActionRequest) -> Sending {
        drop(request);
        Box::pin(async { Err(not_sent("nothing answers actions here".to_owned())) })
    }
}

/// A reply on its way.
pub type Sending = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

impl fmt::Debug for dyn Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Transport")
    }
}

/// Sends requests. Costs nothing until the first one; holds nothing that another client of the process shares, so that
/// after a fork the child drops it and makes a new one from the same options.
#[derive(Default)]
pub struct Client {
    options: Options,
    clock: Clock,
    instead: Option<Arc<dyn Transport>>,
    open: OnceLock<reqwest::Client>,
    local: OnceLock<reqwest::Client>,
    guarded: OnceLock<reqwest::Client>,
    reusing: Mutex<Vec<(Route, Trust, reqwest::Client)>>,
}

impl fmt::Debug for Client {
    /// Without the connections: a proxy's URL may hold a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The way to a server.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Route {
    /// Through the proxy of the environment, if there is one.
    Open,
    /// Straight to this machine: what needs no TLS must not leave it.
    Local,
    /// Straight to a public address: past a proxy, only the proxy knows which address is connected to.
    Guarded,
}

impl Client {
    /// A client that has neither read roots nor opened anything yet.
    pub const fn new(options: Options) -> Self {
        Self {
            options,
            clock: Clock::system(),
            instead: None,
            open: OnceLock::new(),
            local: OnceLock::new(),
            guarded: OnceLock::new(),
            reusing: Mutex::new(Vec::new()),
        }
    }

    /// A client whose requests `transport` answers.
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self {
            instead: Some(transport),
            ..Self::default()
        }
    }

    /// The same client by another clock.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Sends one request and reads its reply. Needs a tokio runtime.
    ///
    /// A reply that breaks off after its status line is a reply, marked `truncated`: what arrived may hold a token that
    /// would otherwise be lost.
    pub async fn send(&self, request: Request) -> Result<Reply, Failure> {
        if let Some(transport) = &self.instead {
            return transport.send(request).await;
        }
        let mut patience = Patience {
            until: Instant::now() + self.clock.real(request.deadline),
            last_look: Some(self.clock.real(LAST_LOOK)),
        };
        let client = self.transport(self.route(&request.url, request.host_rule)?)?;
        let request = self.convert(request)?;
        let response = match patience.wait_for(client.execute(request)).await {
            Some(Ok(response)) => response,
            Some(Err(error)) => return Err(failure(&error)),
            None => return Err(Failure::NoReply("no answer in time".to_owned())),
        };
        Ok(receive(response, patience).await)
    }

    /// Sends one request of an action and reads its reply, which is whole and has at most [`ACTION_BODY_LIMIT`] bytes. Needs
    /// a tokio runtime.
    pub async fn exchange(&self, request: ActionRequest) -> Result<Reply, Failure> {
        if let Some(transport) = &self.instead {
            return transport.exchange(request).await;
        }
        let client = self.reusing(self.route(&request.url, request.host_rule)?, &request.trust)?;
        let began = Instant::now();
        let mut silence = Silence {
            began,
            until: began + self.clock.real(request.deadline),
            allowed: request.timeout.map(|timeout| self.clock.real(timeout)),
            written: Arc::default(),
        };
        let mut converted = reqwest::Request::new(request.method, request.url);
        for (name, value) in request.headers {
            converted.headers_mut().append(name, value);
        }
        let wants_length = matches!(
            *converted.method(),
            Method::POST | Method::PUT | Method::PATCH
        );
        if wants_length
            && request
                .body
                .as_ref()
                .is_none_or(|body| body.expose().is_empty())
        {
            // Some servers wait for a body that nothing says there is not (RFC 9110 section 8.6).
            let none = HeaderValue::from_static("0");
            let length = ::http::header::CONTENT_LENGTH;
            converted.headers_mut().insert(length, none);
        }
        if let Some(body) = request.body {
            *converted.body_mut() = Some(reqwest::Body::wrap(Written {
                rest: Bytes::copy_from_slice(body.expose()),
                began,
                at: Arc::clone(&silence.written),
            }));
        }
        let response = silence.wait_for(client.execute(converted)).await?;
        silence
            .receive(response.map_err(|error| failure(&error))?)
            .await
    }

    fn convert(&self, request: Request) -> Result<reqwest::Request, Failure> {
        let mut converted = reqwest::Request::new(request.method, request.url);
        let headers = converted.headers_mut();
        for (name, value) in &request.headers {
            let (Ok(name), Ok(mut value)) = (
                HeaderName::try_from(name.as_str()),
                HeaderValue::from_str(value.expose()),
            ) else {
                return Err(not_sent(format!("the header {name:?} can't be sent")));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if let Some((content_type, body)) = request.body {
            headers.insert(
                ::http::header::CONTENT_TYPE,
                HeaderValue::from_static(content_type),
            );
            let body: reqwest::Body = body.expose().to_vec().into();
            *converted.body_mut() = Some(match request.leaves_by {
                Some(leaves_by) => reqwest::Body::wrap(Timely {
                    body,
                    clock: self.clock.clone(),
                    leaves_by,
                }),
                None => body,
            });
        }
        Ok(converted)
    }

    /// Names are judged when they are resolved, addresses here: no resolver sees them.
    fn route(&self, url: &Url, host_rule: HostRule) -> Result<Route, Failure> {
        let address = literal(url);
        let here = address.is_some_and(|address| address.is_loopback())
            || url.host_str() == Some("localhost");
        if self.options.network == Network::Loopback && !here {
            return Err(not_sent("a test talks to this machine only".to_owned()));
        }
        if self.options.network == Network::Public || host_rule == HostRule::ServerNamed {
            match address {
                Some(address) if !is_public(address) => Err(not_sent(NotPublic.to_string())),
                _ => Ok(Route::Guarded),
            }
        } else if address.is_some_and(|address| address.is_loopback()) {
            Ok(Route::Local)
        } else {
            Ok(Route::Open)
        }
    }

    fn transport(&self, route: Route) -> Result<&reqwest::Client, Failure> {
        let cell = match route {
            Route::Open => &self.open,
            Route::Local => &self.local,
            Route::Guarded => &self.guarded,
        };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let client = self.build(route)?;
        Ok(cell.get_or_init(|| client))
    }

    /// The client of actions that goes this way and trusts these.
    fn reusing(&self, route: Route, trust: &Trust) -> Result<reqwest::Client, Failure> {
        let mut known = self.reusing.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(way, trusted, _): &&(Route, Trust, _)| *way == route && trusted == trust;
        if let Some((_, _, client)) = known.iter().find(same) {
            return Ok(client.clone());
        }
        let mut builder = self
            .builder(route)?
            .pool_idle_timeout(self.clock.real(IDLE))
            .tls_danger_accept_invalid_certs(trust.is_blind);
        if let Some(anchors) = &trust.anchors {
            builder =
                builder.tls_certs_merge(roots(anchors.expose().as_bytes()).ok_or_else(|| {
                    not_sent("the trust anchor holds no certificate in PEM".to_owned())
                })?);
        }
        if let Some(certificate) = &trust.certificate {
            let pem = certificate.expose().as_bytes();
            builder = builder.identity(reqwest::Identity::from_pem(pem).map_err(|_| {
                not_sent("the client's certificate and key are not PEM".to_owned())
            })?);
        }
        let client = finish(builder)?;
        if known.len() >= MOST_REUSING {
            known.remove(0);
        }
        known.push((route, trust.clone(), client.clone()));
        Ok(client)
    }

    fn build(&self, route: Route) -> Result<reqwest::Client, Failure> {
        finish(
            self.builder(route)?
                .connect_timeout(self.clock.real(CONNECT_TIMEOUT))
                .pool_max_idle_per_host(0),
        )
    }

    /// What all requests have in common.
    fn builder(&self, route: Route) -> Result<reqwest::ClientBuilder, Failure> {
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .http1_only()
            .http1_max_headers(HEADER_LIMIT);
        if route != Route::Open {
            builder = builder.no_proxy();
        }
        if route == Route::Guarded {
            builder = builder.dns_resolver(PublicOnly);
        }
        if let Some(path) = &self.options.ca_file {
            let place = path.display();
            let pem = std::fs::read(path)
                .map_err(|error| not_sent(format!("the CA file {place}: {error}")))?;
            builder = builder
                .tls_certs_only(roots(&pem).ok_or_else(|| {
                    not_sent(format!("the CA file {place} holds no certificate"))
                })?);
        }
        Ok(builder)
    }
}

fn roots(pem: &[u8]) -> Option<Vec<reqwest::Certificate>> {
    let roots = reqwest::Certificate::from_pem_bundle(pem).ok();
    roots.filter(|roots| !roots.is_empty())
}

fn finish(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Failure> {
    builder.build().map_err(|error| {
        not_sent(format!(
            "TLS could not be set up ({}): install the system's CA certificates, or name a file with \
             EVERGRANT_CA_FILE",
            cause(&error)
        ))
    })
}

/// Whether an address belongs to the public internet, by the special-purpose registries of IANA (RFC 6890, RFC 8190).
///
/// Addresses that carry an IPv4 address (mapped, NAT64) are judged by it; tunnels (6to4, Teredo) are not public, since
/// their other end may be anything.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127, ..] => true, // this network, private, loopback
        [100, second, ..] => second & 0xc0 == 64, // shared (RFC 6598)
        [169, 254, ..] => true,     // link-local, cloud metadata
        [172, second, ..] => second & 0xf0 == 16, // private
        [192, 0, 0 | 2, _] => true, // protocol assignments, documentation
        [192, 31, 196, _] | [192, 52, 193, _] => true, // AS112, AMT
        [192, 88, 99, _] | [192, 175, 48, _] => true, // 6to4 relays, AS112
        [192, 168, ..] => true,     // private
        [198, 18 | 19, ..] => true, // benchmarks
        [198, 51, 100, _] | [203, 0, 113, _] => true, // documentation
        [224..=255, ..] => true,    // multicast, reserved, broadcast
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = || {
        let [.., a, b, c, d] = address.octets();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..] => embedded(), // mapped (RFC 4291)
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => embedded(), // NAT64 (RFC 6052)
        [0x2001, second, ..] if second < 0x200 => false, // protocol assignments, Teredo, ORCHID, benchmarks
        [0x2001, 0xdb8, ..] | [0x2002, ..] => false,     // documentation, 6to4
        [0x2620, 0x4f, 0x8000, ..] => false,             // AS112
        [0x3fff, second, ..] if second < 0x1000 => false, // documentation (RFC 9637)
        // Global unicast; all else is loopback, local, link-local, multicast or not assigned.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Resolves names as the system does, and refuses one of which any address is not public. The connection is made to the
/// very addresses that were judged.
struct PublicOnly;

impl reqwest::dns::Resolve for PublicOnly {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if addresses.iter().all(|address| is_public(address.ip())) {
                Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
            } else {
                Err(Box::new(NotPublic) as Box<dyn StdError + Send + Sync>)
            }
        })
    }
}

#[derive(Debug)]
struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the host's address is not public")
    }
}

impl StdError for NotPublic {}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// A body that does not leave once it is too late. It is asked for when the connection is there, and the headers leave
/// together with it.
struct Timely {
    body: reqwest::Body,
    clock: Clock,
    leaves_by: Monotonic,
}

impl http_body::Body for Timely {
    type Data = <reqwest::Body as http_body::Body>::Data;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        if this.clock.monotonic() >= this.leaves_by {
            return Poll::Ready(Some(Err(TooLate.into())));
        }
        let frame = Pin::new(&mut this.body).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[derive(Debug)]
struct TooLate;

impl fmt::Display for TooLate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("this process stood still until it was too late to ask")
    }
}

impl StdError for TooLate {}

/// Waits until a deadline, and a moment longer for what arrived while this process was stopped.
struct Patience {
    until: Instant,
    last_look: Option<Duration>,
}

impl Patience {
    async fn wait_for<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            if let Ok(output) = timeout_at(self.until, future.as_mut()).await {
                return Some(output);
            }
            self.until = Instant::now() + self.last_look.take()?;
        }
    }
}

/// Waits for a server that may be silent so long, and for all of it until a deadline.
struct Silence {
    began: Instant,
    until: Instant,
    allowed: Option<Duration>,
    /// When the request last got on, in milliseconds from the beginning.
    written: Arc<AtomicU64>,
}

impl Silence {
    async fn wait_for<F: Future>(&mut self, future: F) -> Result<F::Output, Failure> {
        let mut future = pin!(future);
        let asked = Instant::now();
        loop {
            let written = self.began + Duration::from_millis(self.written.load(Ordering::Relaxed));
            let patience = self.allowed.map(|allowed| asked.max(written) + allowed);
            let until = patience.map_or(self.until, |patience| patience.min(self.until));
            if let Ok(output) = timeout_at(until, future.as_mut()).await {
                return Ok(output);
            }
            let moved = self.began + Duration::from_millis(self.written.load(Ordering::Relaxed));
            if until == self.until || moved <= written {
                return Err(Failure::NoReply("no answer in time".to_owned()));
            }
        }
    }

    async fn receive(mut self, mut response: reqwest::Response) -> Result<Reply, Failure> {
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Body::up_to(ACTION_BODY_LIMIT);
        while let Some(chunk) = match self.wait_for(response.chunk()).await? {
            Ok(chunk) => chunk,
            Err(_) => return Err(Failure::NoReply("the reply broke off".to_owned())),
        } {
            if !body.append(&chunk) {
                let most = ACTION_BODY_LIMIT >> 20;
                let reason = format!("the reply is larger than {most} MiB");
                return Err(Failure::NoReply(reason));
            }
        }
        Ok(Reply {
            status,
            headers,
            body: body.take(),
            truncated: false,
        })
    }
}

/// A body that notes when its parts are written.
struct Written {
    rest: Bytes,
    began: Instant,
    at: Arc<AtomicU64>,
}

impl http_body::Body for Written {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let passed = u64::try_from(this.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        this.at.store(passed, Ordering::Relaxed);
        let length = this.rest.len().min(WRITTEN_AT_ONCE);
        let part = this.rest.split_to(length);
        Poll::Ready((!part.is_empty()).then(|| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

async fn receive(mut response: reqwest::Response, mut patience: Patience) -> Reply {
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Body::up_to(BODY_LIMIT);
    let whole = loop {
        match patience.wait_for(response.chunk()).await {
            Some(Ok(Some(chunk))) if body.append(&chunk) => {}
            Some(Ok(None)) => break true,
            _ => break false,
        }
    };
    Reply {
        status,
        headers,
        body: body.take(),
        truncated: !whole,
    }
}

/// Bytes up to a limit, wiped when they move to a larger place.
struct Body {
    bytes: Zeroizing<Vec<u8>>,
    limit: usize,
}

impl Body {
    fn up_to(limit: usize) -> Self {
        let bytes = Zeroizing::default();
        Self { bytes, limit }
    }

    /// Appends; `false` when the limit cut some off.
    fn append(&mut self, chunk: &[u8]) -> bool {
        let room = self.limit - self.bytes.len();
        let taken = &chunk[..chunk.len().min(room)];
        let needed = self.bytes.len() + taken.len();
        if needed > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(needed.next_power_of_two().max(4096));
            larger.extend_from_slice(&self.bytes);
            let mut smaller = std::mem::replace(&mut *self.bytes, larger);
            smaller.zeroize();
        }
        self.bytes.extend_from_slice(taken);
        taken.len() == chunk.len()
    }

    fn take(mut self) -> SecretBytes {
        std::mem::take(&mut *self.bytes).into()
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    if too_late(error) {
        return not_sent(TooLate.to_string());
    }
    let cause = cause(error);
    if error.is_connect() {
        Failure::NotSent(format!("no connection: {cause}"))
    } else if error.is_builder() {
        Failure::NotSent(cause)
    } else {
        Failure::NoReply(format!("no answer: {cause}"))
    }
}

fn too_late(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<TooLate>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The innermost cause of an error: the outer ones repeat the URL, which may hold a code.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if cause.is::<reqwest::Error>() {
        return "the request failed".to_owned();
    }
    let shown = cause.to_string();
    shown
        .chars()
        .filter(|character| !character.is_control())
        .take(256)
        .collect()
}

fn not_sent(reason: String) -> Failure {
    Failure::NotSent(reason)
}
