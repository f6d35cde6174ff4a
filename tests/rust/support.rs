//! What several topics need: a provider made up for tests, clients, clocks, and servers that misbehave.

use std::collections::BTreeMap;
use std::sync::Arc;

use _core::clock::{Clock, ManualClock, Timestamp};
use _core::model::GrantType;
use _core::oauth::Client;
use _core::provider::{ClientAuthentication, Endpoints, Overrides, Paths, Spec, catalog};
use _core::secret::ClientSecret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::rustls;

/// 2026-01-01T00:00:00 UTC.
pub(crate) const NOW: i64 = 1_767_225_600_000;

/// A provider by the book, whose endpoints are below `base`; its tokens rotate.
pub(crate) fn spec(base: &str) -> Spec {
    spec_of(base, GrantType::AuthorizationCode)
}

/// The same provider for a grant type.
pub(crate) fn spec_of(base: &str, grant_type: GrantType) -> Spec {
    let at = |path: &str| Some(format!("{base}{path}"));
    let overrides = Overrides {
        endpoints: Endpoints {
            authorization_endpoint: at("/authorize"),
            token_endpoint: at("/token"),
            revocation_endpoint: at("/revoke"),
            userinfo_endpoint: at("/userinfo"),
            ..Endpoints::default()
        },
        ..Overrides::default()
    };
    catalog::custom("example")
        .unwrap()
        .spec(grant_type, &overrides)
        .unwrap()
}

/// A confidential client that authenticates in the body.
pub(crate) fn client(secret: &ClientSecret) -> Client<'_> {
    Client {
        id: "client-1",
        secret: Some(secret),
        authentication: ClientAuthentication::ClientSecretPost,
    }
}

/// A secret of such a client.
pub(crate) fn client_secret() -> ClientSecret {
    ClientSecret::from("s3cret/of the+client")
}

/// A clock that stands at [`NOW`].
pub(crate) fn clock() -> Clock {
    Clock::manual(Arc::new(ManualClock::new(Timestamp::from_millis(NOW))))
}

/// The instant `seconds` after [`NOW`].
pub(crate) fn after(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW + seconds * 1000)
}

/// One path of a provider file.
pub(crate) fn path(path: &str) -> Paths {
    Paths::One(path.to_owned())
}

/// A map of texts.
pub(crate) fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Several scopes.
pub(crate) fn scopes(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A server that reads one request, writes `reply` to the letter and hangs up; its address as `http://…`.
pub(crate) async fn hang_up_after(reply: impl Into<Vec<u8>>) -> String {
    let reply = reply.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            let _ = stream.write_all(&reply).await;
            let _ = stream.shutdown().await;
        }
    });
    format!("http://{address}")
}

/// Reads headers and the body that they announce.
pub(crate) async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = stream.read(&mut chunk).await.unwrap_or(0);
        request.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if length == 0 {
                return text;
            }
            continue;
        };
        let announced = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse::<usize>()
                    .ok()
            })
            .unwrap_or(0);
        if body.len() >= announced || length == 0 {
            return text;
        }
    }
}

/// Runs `check` in a process of its own, whose environment has `variables`: the one of this process is everyone's.
pub(crate) fn alone(test: &str, variables: &[(&str, &str)], check: impl Future<Output = ()>) {
    const CHILD: &str = "EVERGRANT_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        return runtime.unwrap().block_on(check);
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .envs(variables.iter().copied())
        .env(CHILD, "1")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && shown.contains("1 passed"),
        "{shown}"
    );
}

/// A certificate authority of one test.
pub(crate) struct Authority {
    /// Its certificate in PEM.
    pub(crate) pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: rcgen::Issuer::new(parameters, key),
        }
    }

    /// What a TLS server that is called `name` accepts connections with.
    pub(crate) fn acceptor(&self, name: &str) -> tokio_rustls::TlsAcceptor {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }

    /// The port of a TLS server that is called `name` and answers one request with what `reply` makes of that port.
    pub(crate) async fn serve(&self, name: &str, reply: impl FnOnce(u16) -> String) -> u16 {
        let acceptor = self.acceptor(name);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let reply = reply(port);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.write_all(reply.as_bytes()).await;
                let _ = stream.read(&mut [0; 4096]).await;
            }
        });
        port
    }
}
