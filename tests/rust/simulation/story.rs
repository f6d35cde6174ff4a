//! One schedule from its seed: processes come, call and die; then the dust settles, and every promise is looked at.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use _core::engine::configure::{Configure, Settings};
use _core::engine::open::{ExplicitKey, open_in};
use _core::engine::{Engine, TokenRequest};
use _core::error::{Error, ErrorKind};
use _core::model::{ConnectionKey, GrantType, IntegrationKey};
use _core::provider::catalog::Catalog;
use _core::secret::SecretBytes;
use _core::store::{
    Commit, Committed, ConnectionRow, IntegrationRow, KeyRow, NewEvent, NewKey, Store, TokenRow,
};

use super::provider::{LIFETIME, Rotation, Server};
use super::scheduler::{Chance, Pid};
use super::world::{Plan, Process, World};

/// More steps than any schedule needs: one that gets here hangs.
const MOST_STEPS: u64 = 50_000;
/// What a caller with a wish wants of a token.
const LONG: Duration = Duration::from_secs(3000);

/// What came of a schedule.
pub(super) struct Told {
    pub(super) broken: Vec<String>,
    pub(super) trace: Vec<String>,
    pub(super) steps: u64,
    pub(super) requests: usize,
    pub(super) revoked: bool,
    pub(super) faults: u64,
}

/// Runs the schedule of a seed.
pub(super) fn tell(seed: u64, traced: bool) -> Told {
    let mut chance = Chance::new(seed);
    let plan = plan(&mut chance);
    let world = World::new(plan.clone(), chance, traced);
    world.trace(|| format!("{plan:?}"));
    template(plan.rotation).lay(&world);
    world.clock.advance(Duration::from_secs(plan.age));
    for _ in 0..plan.processes {
        begin(&world);
    }
    let mut story = Story {
        world: Arc::clone(&world),
        quiet: false,
        faults: 0,
    };
    story.run();
    story.calm();
    story.look_back();
    world.tasks.clear();
    let revoked = world.server().revoked;
    let requests = world.server().answered;
    let mut notes = world.notes();
    notes.processes.clear();
    let (broken, steps) = (std::mem::take(&mut notes.broken), notes.step);
    drop(notes);
    Told {
        broken,
        trace: world.taken_trace(),
        steps,
        requests,
        revoked,
        faults: story.faults,
    }
}

fn plan(chance: &mut Chance) -> Plan {
    let quiet = chance.percent(15);
    let mut up_to = |most: u64, percent: u64| match !quiet && chance.percent(percent) {
        true => u32::try_from(1 + chance.below(most)).unwrap(),
        false => 0,
    };
    let (kills, freezes, jumps) = (up_to(3, 60), up_to(3, 50), up_to(2, 10));
    let store_faults = up_to(8, 30);
    let network_faults = u64::from(up_to(40, 50));
    Plan {
        rotation: chance.among(&[
            Rotation::Strict,
            Rotation::Strict,
            Rotation::Strict,
            Rotation::Strict,
            Rotation::Grace,
            Rotation::Never,
        ]),
        processes: chance.among(&[2, 2, 3]),
        visible: chance.percent(70),
        kills,
        freezes,
        jumps,
        store_faults,
        network_faults,
        slow_network: chance.among(&[0, 10, 60]),
        refusals: chance.percent(15),
        age: chance.among(&[60, 3400, 3590, 3600]),
    }
}

/// A new process: it opens the store and gets its callers.
fn begin(world: &Arc<World>) -> Pid {
    let pid = {
        let mut notes = world.notes();
        let pid = Pid::try_from(notes.processes.len() + 1).unwrap();
        notes.processes.insert(pid, Default::default());
        pid
    };
    world.trace(|| format!("process {pid} begins"));
    let process = Process {
        world: Arc::clone(world),
        pid,
    };
    let callers = 1 + world.chance().below(2);
    process.clone().run(async move {
        let engine = loop {
            match open(&process).await {
                Ok(engine) => break engine,
                Err(error) => process.judge_error("opens", &error),
            }
        };
        process
            .world
            .notes()
            .processes
            .get_mut(&pid)
            .unwrap()
            .engine = Some(Arc::clone(&engine));
        for _ in 0..callers {
            let (caller, engine) = (process.clone(), Arc::clone(&engine));
            process.run(async move { caller.calls(&engine).await });
        }
    });
    pid
}

async fn open(process: &Process) -> _core::error::Result<Arc<Engine>> {
    let store = Arc::new(process.clone());
    let template = template(process.world.plan.rotation);
    let catalog = Arc::clone(&template.catalog);
    open_in(process.surroundings(), store, "default", key(), catalog).await
}

impl Process {
    /// A caller's day.
    async fn calls(&self, engine: &Arc<Engine>) {
        let calls = 1 + self.world.chance().below(3);
        let mut last = None;
        for _ in 0..calls {
            let pause = self.world.chance().among(&[0, 0, 1, 100, 3300, 3600]);
            self.world.sleep(Duration::from_secs(pause)).await;
            let wish = self.world.chance().below(100);
            let mut request = request(self.world.plan.rotation);
            match wish {
                0..25 => request.min_ttl = Some(LONG),
                25..50 if self.world.plan.refusals => request.replacing = last.clone(),
                50..60 => {
                    let refreshed = engine.refresh_now(&request.provider, None, "default").await;
                    if let Err(error) = refreshed {
                        self.judge_error("refreshes", &error);
                    }
                    continue;
                }
                _ => {}
            }
            last = self.call(engine, &request).await.or(last);
        }
    }

    async fn call(
        &self,
        engine: &Arc<Engine>,
        request: &TokenRequest,
    ) -> Option<_core::secret::AccessToken> {
        match engine.get_token(request).await {
            Ok(slot) => {
                let token = slot.stored.token.value.clone();
                self.judge_token(token.expose(), request);
                Some(token)
            }
            Err(error) => {
                self.judge_error("calls", &error);
                None
            }
        }
    }

    /// What a caller got works, by the server's own word.
    fn judge_token(&self, token: &str, request: &TokenRequest) {
        let (pid, world) = (self.pid, &self.world);
        world.trace(|| format!("process {pid} hands out {token}"));
        let notes = world.notes();
        let blurred = notes.jumped || notes.processes[&pid].was_frozen();
        drop(notes);
        let server = world.server();
        let until = server.access_tokens.get(token).copied();
        drop(server);
        let Some(until) = until else {
            return world.breaks(format!("{token} was never issued"));
        };
        // A step takes its time, and so does a reply on its way.
        let left = until - world.now();
        let wanted = match request.min_ttl {
            Some(_) => i64::try_from(LONG.as_millis()).unwrap() - 200_000,
            None => -5_000,
        };
        if !blurred && left < wanted {
            world.breaks(format!(
                "process {pid} handed {token} out with {left} ms left"
            ));
        }
    }

    /// An error that a caller may see.
    fn judge_error(&self, what: &str, error: &Error) {
        let (pid, world) = (self.pid, &self.world);
        world.trace(|| {
            format!(
                "process {pid} {what}: {} ({})",
                error.code(),
                error.reason()
            )
        });
        let revoked = world.server().revoked;
        let fitting = match error.kind() {
            ErrorKind::ProviderUnavailable { .. } => true,
            ErrorKind::ReauthorizationRequired { .. } => revoked,
            ErrorKind::Store => matches!(error.code(), "broken" | "disk_full"),
            ErrorKind::ProviderRejected { .. } => matches!(
                error.code(),
                "reply_unusable" | "reply_not_json" | "provider_rejected" | "token_reissued"
            ),
            _ => false,
        };
        if !fitting {
            world.breaks(format!("process {pid} {what}: {error} ({})", error.code()));
        }
    }
}

struct Story {
    world: Arc<World>,
    /// Nothing fails any more.
    quiet: bool,
    faults: u64,
}

impl Story {
    /// Goes on until nobody has anything to do.
    fn run(&mut self) {
        loop {
            let (step, frozen) = {
                let mut notes = self.world.notes();
                notes.step += 1;
                let frozen: Vec<Pid> = notes
                    .processes
                    .iter()
                    .filter(|(_, noted)| noted.frozen_until.is_some())
                    .map(|(pid, _)| *pid)
                    .collect();
                (notes.step, frozen)
            };
            if step > MOST_STEPS {
                return self.world.breaks("it hangs".to_owned());
            }
            let ready = self.world.tasks.ready(|pid| !frozen.contains(&pid));
            if ready.is_empty() {
                if !self.pass_time() {
                    return;
                }
            } else if self.quiet || !self.fault(&ready) {
                let chosen = self.world.chance().among(&ready);
                self.world.tasks.poll(chosen);
            }
        }
    }

    /// Moves the clock to what comes next; `false` when nothing does.
    fn pass_time(&self) -> bool {
        let mut notes = self.world.notes();
        let thaws = notes
            .processes
            .values()
            .filter_map(|noted| noted.frozen_until);
        let Some(next) = thaws.chain(self.world.tasks.next_timer()).min() else {
            return false;
        };
        let now = self.world.now().max(next);
        let passes = now - self.world.now();
        self.world
            .clock
            .advance(Duration::from_millis(u64::try_from(passes).unwrap()));
        let mut thawed = Vec::new();
        for (pid, noted) in &mut notes.processes {
            if noted.frozen_until.is_some_and(|until| until <= now) {
                noted.frozen_until = None;
                thawed.push(*pid);
            }
        }
        drop(notes);
        for pid in thawed {
            self.world.trace(|| format!("process {pid} thaws"));
        }
        self.world.tasks.fire(now);
        true
    }

    /// Lets something go wrong, now and then; to the process of a task that could go on.
    fn fault(&mut self, ready: &[u64]) -> bool {
        let world = &self.world;
        if !world.chance().percent(3) {
            return false;
        }
        let victim = world.chance().among(ready);
        let pid = world.tasks.pid_of(victim);
        let kind = world.chance().below(3);
        let mut notes = world.notes();
        let (step, now) = (notes.step, world.now());
        match kind {
            0 if notes.kills > 0 && pid != 0 => {
                notes.kills -= 1;
                let noted = notes.processes.get_mut(&pid).unwrap();
                noted.killed = true;
                let engine = noted.engine.take();
                drop(notes);
                world.trace(|| format!("process {pid} is killed"));
                world.disk.bury(pid, step);
                world.tasks.kill(pid);
                drop(engine);
                if world.chance().percent(50) {
                    begin(world);
                }
            }
            1 if notes.freezes > 0 && pid != 0 => {
                notes.freezes -= 1;
                let millis = world
                    .chance()
                    .among(&[1_000, 14_000, 30_000, 140_000, 151_000, 4_000_000]);
                notes
                    .processes
                    .get_mut(&pid)
                    .unwrap()
                    .freeze(step, now, millis);
                drop(notes);
                world.trace(|| format!("process {pid} freezes for {millis} ms"));
            }
            2 if notes.jumps > 0 => {
                notes.jumps -= 1;
                notes.jumped = true;
                drop(notes);
                let millis =
                    world
                        .chance()
                        .among(&[-86_400_000, -3_600_000, -2_000, 2_000, 3_600_000]);
                world.clock.jump_wall(millis);
                world.trace(|| format!("the wall clock jumps by {millis} ms"));
            }
            _ => return false,
        }
        self.faults += 1;
        true
    }

    /// The dust settles: no attempt of a living process is left without an end.
    fn calm(&mut self) {
        self.quiet = true;
        let world = Arc::clone(&self.world);
        {
            let mut notes = world.notes();
            notes.store_faults = 0;
        }
        let key = connection(world.plan.rotation);
        let loaded = settled(world.disk.store.load(&key, "")).unwrap();
        let Some(attempt) = loaded.attempt.filter(|attempt| attempt.ending.is_none()) else {
            return;
        };
        let notes = world.notes();
        let noted = &notes.processes[&attempt.owner.pid];
        // A store that fails four times in a row gives no attempt an end.
        let left = !noted.killed && noted.store_faults < 4;
        drop(notes);
        if left {
            world.breaks(format!("process {} left its attempt", attempt.owner.pid));
        }
    }

    /// A process that comes when all is over gets a token that works, or hears why there is none.
    fn look_back(&mut self) {
        let world = Arc::clone(&self.world);
        let pid = {
            let mut notes = world.notes();
            let pid = Pid::try_from(notes.processes.len() + 1).unwrap();
            notes.processes.insert(pid, Default::default());
            pid
        };
        world.trace(|| format!("process {pid} looks back"));
        let process = Process {
            world: Arc::clone(&world),
            pid,
        };
        let ended = Arc::new(OnceLock::new());
        let end = Arc::clone(&ended);
        process.clone().run(async move {
            let engine = open(&process).await.unwrap();
            // The token of now, and the one after it.
            for _ in 0..2 {
                if !process.reaches_an_end(&engine).await {
                    return;
                }
                let life = Duration::from_millis(u64::try_from(LIFETIME).unwrap());
                process.world.sleep(life).await;
            }
            end.set(()).unwrap();
        });
        self.run();
        if ended.get().is_none() && !world.server().revoked {
            world.breaks("the connection no longer works".to_owned());
        }
        if world.generation() < world.disk.newest_reply() {
            world.breaks("a reply that was in a slot is lost".to_owned());
        }
    }
}

impl Process {
    /// Calls until there is a token (`true`) or a person is needed.
    async fn reaches_an_end(&self, engine: &Arc<Engine>) -> bool {
        let request = request(self.world.plan.rotation);
        for _ in 0..40 {
            match engine.get_token(&request).await {
                Ok(slot) => {
                    self.judge_token(slot.stored.token.value.expose(), &request);
                    return true;
                }
                Err(error) => {
                    self.judge_error("looks back", &error);
                    match error.kind() {
                        ErrorKind::ProviderUnavailable { retry_after } => {
                            let wait = retry_after.unwrap_or(Duration::from_secs(10));
                            self.world.sleep(wait + Duration::from_secs(1)).await;
                        }
                        ErrorKind::ProviderRejected { .. } => {
                            self.world.sleep(Duration::from_secs(301)).await;
                        }
                        _ => return false,
                    }
                }
            }
        }
        false
    }
}

/// A store with one connection that holds `at-1` and `rt-1`, made once and laid out for every schedule.
struct Template {
    catalog: Arc<Catalog>,
    key: KeyRow,
    integration: IntegrationRow,
    connection: ConnectionRow,
    token: TokenRow,
}

fn template(rotation: Rotation) -> &'static Template {
    static TEMPLATES: [OnceLock<Template>; 3] = [const { OnceLock::new() }; 3];
    TEMPLATES[rotation as usize].get_or_init(|| Template::make(rotation))
}

impl Template {
    fn make(rotation: Rotation) -> Self {
        let world = World::new(Plan::without_faults(rotation), Chance::new(0), false);
        *world.server() = Server::new(rotation);
        let process = Process {
            world: Arc::clone(&world),
            pid: 1,
        };
        world.notes().processes.insert(1, Default::default());
        let catalog = catalog();
        let shared = Arc::clone(&catalog);
        process.clone().run(async move {
            let store = Arc::new(process.clone());
            let engine = open_in(process.surroundings(), store, "default", key(), shared);
            let engine = engine.await.unwrap();
            let provider = rotation.provider();
            let configure = Configure {
                provider: provider.to_owned(),
                grant_type: Some(GrantType::AuthorizationCode),
                client_id: Some("client-1".to_owned()),
                client_secret: Some("s3cret".into()),
                settings: Settings::default(),
            };
            engine.configure(configure).await.unwrap();
            engine
                .import_refresh_token(provider, "rt-0".into(), None, "default", &[])
                .await
                .unwrap();
            engine.get_token(&request(rotation)).await.unwrap();
        });
        let mut story = Story {
            world: Arc::clone(&world),
            quiet: true,
            faults: 0,
        };
        story.run();
        let store = &world.disk.store;
        let name = connection(rotation);
        let loaded = settled(store.load(&name, "")).unwrap();
        let integration = settled(store.integration(&name.integration)).unwrap();
        Self {
            catalog,
            key: settled(store.keys("default")).unwrap().remove(0),
            integration: integration.unwrap(),
            connection: loaded.connection.unwrap(),
            token: loaded.token.unwrap(),
        }
    }

    /// Writes it to a new store.
    fn lay(&self, world: &World) {
        let store = &world.disk.store;
        let key = NewKey {
            workspace: self.key.workspace.clone(),
            master_key_id: self.key.master_key_id.clone(),
            wrapped: self.key.wrapped.clone(),
            at: world.clock.wall(),
        };
        assert_eq!(settled(store.add_key(key)).unwrap(), self.key);
        assert!(settled(store.put_integration(self.integration.clone(), None)).unwrap());
        let row = self.connection.clone();
        let commit = Commit {
            key: row.key,
            expected: 0,
            generation: row.generation,
            state: row.state,
            grant: row.grant,
            fingerprint: None,
            only_holder: false,
            token: Some(self.token.clone()),
            drop_grant: false,
            drop_tokens: false,
            expires_at: row.expires_at,
            refreshed_at: row.refreshed_at,
            attempt: None,
            forget_attempt: false,
            durable: false,
            event: NewEvent {
                what: "connected",
                reason: String::new(),
                at: world.clock.wall(),
            },
        };
        assert_eq!(settled(store.commit(commit)).unwrap(), Committed::Done);
    }
}

/// The providers of the three kinds of server.
fn catalog() -> Arc<Catalog> {
    let folder = tempfile::tempdir().unwrap();
    for (id, refresh) in [
        ("strict", "{rotates: always}"),
        ("grace", "{rotates: always, grace: 30}"),
        ("never", "{rotates: never}"),
    ] {
        let file = format!(
            "id: {id}
name: A {id} server
category: other
summary: A provider made up for tests.
endpoints: {{authorization_endpoint: 'https://acme.example/authorize', token_endpoint: 'https://acme.example/token'}}
client: {{authentication: [client_secret_post]}}
scopes: {{base: [base], allowed: ['[a-z]+']}}
grants:
  authorization_code: {{refresh: {refresh}}}
"
        );
        std::fs::write(folder.path().join(format!("{id}.yaml")), file).unwrap();
    }
    Arc::new(Catalog::with_folders(&[folder.path().to_owned()]).unwrap())
}

fn key() -> ExplicitKey {
    ExplicitKey::Bytes(SecretBytes::from(vec![7; 32]))
}

fn request(rotation: Rotation) -> TokenRequest {
    TokenRequest {
        provider: rotation.provider().to_owned(),
        connection: "default".to_owned(),
        ..TokenRequest::default()
    }
}

pub(super) fn connection(rotation: Rotation) -> ConnectionKey {
    ConnectionKey {
        integration: IntegrationKey {
            workspace: "default".into(),
            provider: rotation.provider().into(),
            grant_type: GrantType::AuthorizationCode,
        },
        connection: "default".into(),
    }
}

/// What needs nobody else to end.
pub(super) fn settled<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for somebody"),
    }
}
