//! The authorization server and the network before it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use _core::http::{Failure, HeaderMap, Reply, Request, Sending, Transport};
use tokio::sync::oneshot;

use super::scheduler::pass;
use super::world::{Process, Sent, World};

/// What a refresh token is worth after it was used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rotation {
    /// Nothing: who shows it again ends the whole family.
    Strict,
    /// For 30 s it is as good as new; then as above.
    Grace,
    /// Refresh tokens never change.
    Never,
}

impl Rotation {
    /// The provider whose file says so.
    pub(super) fn provider(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Grace => "grace",
            Self::Never => "never",
        }
    }
}

/// How long every access token lives, by the server's word.
pub(super) const LIFETIME: i64 = 3_600_000;
const GRACE: i64 = 30_000;

/// One family of tokens: what descends from one consent.
pub(super) struct Server {
    rotation: Rotation,
    issued: u32,
    /// Refresh tokens that were not used yet; two of them where one was used twice inside the grace.
    valid: BTreeSet<String>,
    /// Used refresh tokens: when first, and by which request.
    spent: BTreeMap<String, (i64, usize)>,
    pub(super) revoked: bool,
    /// Until when an access token works (true milliseconds).
    pub(super) access_tokens: BTreeMap<String, i64>,
    /// Until when the access token that came with a refresh token works by the client's wall clock; one whose reply
    /// was cut is unknown to the client.
    known_until: BTreeMap<String, i64>,
    pub(super) answered: usize,
}

impl Server {
    /// One whose consent gave `rt-0`.
    pub(super) fn new(rotation: Rotation) -> Self {
        Self {
            rotation,
            issued: 0,
            valid: BTreeSet::from(["rt-0".to_owned()]),
            spent: BTreeMap::new(),
            revoked: false,
            access_tokens: BTreeMap::new(),
            known_until: BTreeMap::new(),
            answered: 0,
        }
    }

    /// One that has issued `at-1`, at `now`.
    pub(super) fn begun(rotation: Rotation, now: i64, wall: i64) -> Self {
        let mut server = Self::new(rotation);
        server.refresh(0, &Sent::first(wall), now);
        server.spent.clear();
        server.answered = 0;
        server
    }

    /// Whether the access token that came with `refresh_token` is used up by the wall clock `wall`.
    pub(super) fn used_up(&self, refresh_token: &str, wall: i64) -> bool {
        let until = self.known_until.get(refresh_token);
        until.is_none_or(|until| *until <= wall)
    }

    /// The client never reads what it issued last.
    fn forget_last_reply(&mut self) {
        self.known_until.remove(&format!("rt-{}", self.issued));
    }

    /// Answers a refresh; beside it the number of the request that used this refresh token before.
    fn refresh(&mut self, number: usize, sent: &Sent, now: i64) -> (Reply, Option<usize>) {
        self.answered += 1;
        let token = &sent.refresh_token;
        let again = self.spent.get(token).copied();
        let forgiven = match (self.rotation, again) {
            (Rotation::Never, _) | (_, None) => true,
            (Rotation::Strict, Some(_)) => false,
            (Rotation::Grace, Some((first, _))) => now < first + GRACE,
        };
        if !forgiven {
            self.revoked = true;
        }
        let known = again.is_some() || self.valid.contains(token);
        if self.revoked || !known {
            let body = r#"{"error": "invalid_grant"}"#;
            return (reply(400, body), again.map(|(_, first)| first));
        }
        self.issued += 1;
        let access_token = format!("at-{}", self.issued);
        self.access_tokens
            .insert(access_token.clone(), now + LIFETIME);
        let refresh_token = match self.rotation {
            Rotation::Never => token.clone(),
            Rotation::Strict | Rotation::Grace => {
                self.spent.entry(token.clone()).or_insert((now, number));
                self.valid.remove(token);
                format!("rt-{}", self.issued)
            }
        };
        self.valid.insert(refresh_token.clone());
        self.known_until
            .insert(refresh_token.clone(), sent.wall + LIFETIME);
        let body = format!(
            r#"{{"access_token": "{access_token}", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "{refresh_token}"}}"#
        );
        (reply(200, &body), None)
    }
}

fn reply(status: u16, body: &str) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    Reply {
        status,
        headers,
        body: body.as_bytes().to_vec().into(),
        truncated: false,
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Answered,
    /// No connection.
    NotSent,
    /// 503: the server did nothing.
    Refused,
    /// 500, whatever the server did.
    Broken {
        processed: bool,
    },
    /// It never arrived.
    RequestLost,
    /// It arrived, its answer did not.
    ReplyLost,
    /// The answer broke off in the middle.
    ReplyCut,
}

const FATES: [Fate; 7] = [
    Fate::NotSent,
    Fate::Refused,
    Fate::Broken { processed: true },
    Fate::Broken { processed: false },
    Fate::RequestLost,
    Fate::ReplyLost,
    Fate::ReplyCut,
];

impl Transport for Process {
    fn send(&self, request: Request) -> Sending {
        let process = self.clone();
        Box::pin(async move {
            let asked = process.world.clock.wall().millis();
            pass().await;
            // As the client does right before the first byte.
            if request
                .leaves_by
                .is_some_and(|leaves_by| process.world.now() >= leaves_by.millis())
            {
                return Err(Failure::NotSent("too late".to_owned()));
            }
            process.exchange(&request, asked).await
        })
    }
}

impl Process {
    async fn exchange(&self, request: &Request, asked: i64) -> Result<Reply, Failure> {
        let world = &self.world;
        let (_, body) = request.body.as_ref().unwrap();
        let form = url::form_urlencoded::parse(body.expose());
        let refresh_token = form
            .into_owned()
            .find_map(|(name, value)| (name == "refresh_token").then_some(value));
        let fate = world.fate();
        let number = world.note_sent(self.pid, refresh_token.unwrap(), asked, fate);
        if fate == Fate::NotSent {
            return Err(Failure::NotSent("no connection".to_owned()));
        }
        let (answer, mut answered) = oneshot::channel();
        let on_the_way = Arc::clone(world);
        // It travels on whether its sender lives or not.
        world.tasks.spawn(
            0,
            Box::pin(async move {
                let reply = on_the_way.travel(number, fate).await;
                drop(answer.send(reply));
            }),
        );
        let mut deadline = world.sleep(request.deadline);
        poll_fn(|context| {
            if let Poll::Ready(answer) = std::pin::Pin::new(&mut answered).poll(context) {
                let lost = || Err(Failure::NoReply("no answer".to_owned()));
                return Poll::Ready(answer.unwrap_or_else(|_| lost()));
            }
            deadline.as_mut().poll(context).map(|()| {
                world.note_lost(number);
                Err(Failure::NoReply("no answer in time".to_owned()))
            })
        })
        .await
    }
}

impl World {
    fn fate(&self) -> Fate {
        let mut chance = self.chance();
        match chance.percent(self.plan.network_faults) {
            true => chance.among(&FATES),
            false => Fate::Answered,
        }
    }

    /// A request on its way to the server, and what comes back.
    async fn travel(self: &Arc<Self>, number: usize, fate: Fate) -> Result<Reply, Failure> {
        let no_reply = || Err(Failure::NoReply("the connection broke".to_owned()));
        self.sleep(self.latency()).await;
        let reply = match fate {
            Fate::RequestLost => return no_reply(),
            Fate::Refused => reply(503, ""),
            Fate::Broken { processed: false } => reply(500, ""),
            Fate::Broken { processed: true } => {
                self.serve(number);
                reply(500, "")
            }
            _ => self.serve(number),
        };
        self.sleep(self.latency()).await;
        match fate {
            Fate::ReplyLost => no_reply(),
            Fate::ReplyCut => {
                self.server().forget_last_reply();
                let body = reply.body.expose();
                let kept = self.chance().below(body.len() as u64 + 1);
                let kept = usize::try_from(kept).unwrap();
                Ok(Reply {
                    body: body[..kept].to_vec().into(),
                    truncated: true,
                    ..reply
                })
            }
            _ => Ok(reply),
        }
    }

    fn serve(&self, number: usize) -> Reply {
        let sent = self.sent(number);
        let now = self.now();
        let (reply, first) = self.server().refresh(number, &sent, now);
        self.trace(|| format!("the server answers request {number}: {}", reply.status));
        if let Some(first) = first {
            self.judge_reuse(first, number);
        }
        reply
    }

    fn latency(&self) -> Duration {
        let mut chance = self.chance();
        let millis = match chance.percent(self.plan.slow_network) {
            true => chance.among(&[5_000, 20_000, 64_000, 70_000]),
            false => chance.below(300),
        };
        Duration::from_millis(millis)
    }
}
