//! The claim protocol as a state machine: what is stored, what each process is about to do, and what is on the way.
//!
//! The server is the worst one: it rotates every refresh token, forgives nothing and revokes all when a used one comes
//! back. Refresh tokens are numbered as they were issued, so a used one is any but the last.

use super::explorer::{Model, Step};

/// The most processes.
const MOST: usize = 3;
/// What is issued of a consent that a later one replaced.
const OLD: u8 = 7;

/// The protocol with so many processes and faults, whole or without one of its steps.
#[derive(Clone, Debug)]
pub(super) struct Protocol {
    pub(super) processes: usize,
    pub(super) faults: Faults,
    /// How often the access token is used up.
    pub(super) expiries: u8,
    /// How often somebody wants a new token while the old one works.
    pub(super) wishes: u8,
    /// How often a person connects anew.
    pub(super) reconnects: u8,
    /// Whether a process sees that another is gone, or waits for the deadline.
    pub(super) visible: bool,
    pub(super) without: Option<Part>,
}

/// A part that protects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// The commit compares the generation.
    CompareAndSwap,
    /// The attempt is read once more before the request leaves.
    RecheckBeforeSend,
    /// The reply is written to the slot before it is committed.
    SlotBeforeCommit,
    /// The attempt's row keeps others from claiming.
    Attempt,
    /// What the dead left in their slots is committed before anything is asked.
    OrphansFirst,
    /// After an unknown outcome nothing is sent while the access token works.
    PatienceAfterUnknown,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Faults {
    /// A process dies; another takes its place.
    pub(super) kills: u8,
    /// A process is not scheduled until its lease has run out.
    pub(super) freezes: u8,
    /// A request or a reply is lost.
    pub(super) losses: u8,
    /// A commit fails.
    pub(super) commits: u8,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct State {
    faults: Faults,
    expiries: u8,
    wishes: u8,
    reconnects: u8,
    /// The stored row.
    generation: u8,
    grant: u8,
    used_up: bool,
    reauthorization: bool,
    attempt: Option<Attempt>,
    processes: [Process; MOST],
    /// Replies of the dead.
    orphans: [Option<Reply>; 2],
    /// The refresh token in a request of the dead that still travels.
    strays: [Option<u8>; 2],
    /// The server: the first and the last refresh token of the consent that counts.
    first: u8,
    issued: u8,
    revoked: bool,
    /// For judging: tokens that were sent, those whose first request has an unknown end, and the newest reply of a slot.
    sent: u8,
    unknown: u8,
    newest_reply: u8,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Attempt {
    /// `None`: of a process that is gone.
    owner: Option<u8>,
    /// Past its deadline.
    over: bool,
    /// Ended with an unknown outcome; `None` while it runs.
    ended_unknown: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct Process {
    does: Does,
    /// What it read: the generation, the grant, and whether the last attempt ended unknown.
    generation: u8,
    grant: u8,
    was_unknown: bool,
    /// The attempt that it took over had no end.
    abandoned: bool,
    /// There was an attempt before, however it ended.
    follows: bool,
    /// Its slot.
    slot: Option<Reply>,
    /// Its lease ran out.
    late: bool,
    /// When it last checked its attempt, the access token was used up.
    may_replay: bool,
    /// When it claimed, the reply to what it is about to ask lay in a slot of the dead.
    could_know: bool,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Reply {
    generation: u8,
    token: u8,
}

/// What a process does next.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
enum Does {
    #[default]
    Nothing,
    Load,
    Claim,
    Orphans,
    Check,
    Send,
    /// Its request travels.
    AwaitServer,
    /// Its reply travels: the new token, or a refusal.
    AwaitReply(Option<u8>),
    HearNothing,
    WriteSlot(u8),
    Commit(u8),
    ClearSlot,
    Refuse,
}

impl Process {
    fn idle(self) -> Self {
        Self {
            slot: self.slot,
            ..Self::default()
        }
    }

    fn then(self, does: Does) -> Self {
        Self { does, ..self }
    }
}

impl State {
    fn of(&self, who: u8) -> Process {
        self.processes[usize::from(who)]
    }

    fn with(&self, who: u8, process: Process) -> Self {
        let mut next = *self;
        next.processes[usize::from(who)] = process;
        next
    }

    fn is_running(&self, who: u8) -> bool {
        self.attempt
            .is_some_and(|attempt| attempt.owner == Some(who) && attempt.ended_unknown.is_none())
    }

    /// Ends the attempt of `who`, if it still is its own.
    fn end(&mut self, who: u8, unknown: bool) {
        if let Some(attempt) = &mut self.attempt
            && attempt.owner == Some(who)
            && attempt.ended_unknown.is_none()
        {
            attempt.ended_unknown = Some(unknown);
        }
    }

    /// The server gets a refresh token; the answer is a new one, or a refusal.
    fn serve(&mut self, token: u8) -> Option<u8> {
        if token < self.first {
            return Some(OLD);
        }
        if self.revoked || token != self.issued {
            self.revoked = true;
            return None;
        }
        self.issued += 1;
        Some(self.issued)
    }

    /// Whether the dead left a reply that follows what is stored.
    fn left_behind(&self) -> bool {
        let mut orphans = self.orphans.iter().flatten();
        orphans.any(|orphan| orphan.generation == self.generation + 1)
    }

    fn commit(&mut self, token: u8) {
        self.generation += 1;
        self.grant = token;
        self.used_up = false;
    }
}

impl Protocol {
    fn has(&self, part: Part) -> bool {
        self.without != Some(part)
    }

    /// What `who` does next, by itself.
    fn acts(&self, state: &State, who: u8, steps: &mut Vec<Step<State>>) {
        let process = state.of(who);
        let mut next = *state;
        let mut then = process;
        let name = match process.does {
            Does::Nothing => {
                if state.reauthorization {
                    return;
                }
                if !state.used_up {
                    if state.wishes == 0 {
                        return;
                    }
                    next.wishes -= 1;
                }
                then = process.then(Does::Load);
                then.generation = state.generation;
                "wants a token"
            }
            Does::Load => {
                let adopts = state.reauthorization
                    || (state.generation > process.generation && !state.used_up);
                let ended = state.attempt.and_then(|attempt| attempt.ended_unknown);
                then.was_unknown = ended == Some(true);
                then.generation = state.generation;
                then.grant = state.grant;
                let waits =
                    then.was_unknown && !state.used_up && self.has(Part::PatienceAfterUnknown);
                then = match adopts || waits {
                    true => process.idle(),
                    false => then.then(Does::Claim),
                };
                "looks"
            }
            Does::Claim => {
                let runs = state
                    .attempt
                    .filter(|attempt| attempt.ended_unknown.is_none());
                let gone = |attempt: Attempt| attempt.owner.is_none() && self.visible;
                let held = runs.is_some_and(|attempt| !attempt.over && !gone(attempt));
                if state.generation != process.generation {
                    then = process.then(Does::Load);
                } else if held && self.has(Part::Attempt) {
                    // Waiting is looking again: a step only where there is something new to see.
                    return;
                } else {
                    then.abandoned = runs.is_some();
                    then.follows = state.attempt.is_some();
                    let ended = state.attempt.and_then(|attempt| attempt.ended_unknown);
                    let changed = runs.is_none() && process.was_unknown != (ended == Some(true));
                    next.attempt = Some(Attempt {
                        owner: Some(who),
                        over: false,
                        ended_unknown: None,
                    });
                    then.late = false;
                    then.could_know = state.left_behind();
                    then = then.then(Does::Orphans);
                    if changed {
                        next.end(who, ended == Some(true));
                        then = then.then(Does::Load);
                    }
                }
                "claims"
            }
            Does::Orphans => {
                let mut orphans = next.orphans.iter_mut().filter(|orphan| orphan.is_some());
                let looks = process.follows && self.has(Part::OrphansFirst);
                if let Some(orphan) = orphans.next().filter(|_| looks).and_then(Option::take) {
                    next.orphans.sort_unstable();
                    if orphan.generation == state.generation + 1 {
                        next.commit(orphan.token);
                        next.end(who, false);
                        then = process.then(Does::Load);
                    }
                } else if process.abandoned
                    && !state.used_up
                    && self.has(Part::PatienceAfterUnknown)
                {
                    next.end(who, true);
                    then = process.idle();
                } else {
                    then = process.then(Does::Check);
                }
                "takes over what the dead left"
            }
            Does::Check => {
                let ours = state.is_running(who)
                    && !process.late
                    && state.generation == process.generation;
                if ours || !self.has(Part::RecheckBeforeSend) {
                    then = process.then(Does::Send);
                    then.may_replay = state.used_up;
                } else {
                    next.end(who, process.was_unknown || process.abandoned);
                    then = process.then(Does::Load);
                }
                "checks its attempt"
            }
            Does::Send => {
                steps.push(self.send(state, who));
                return;
            }
            Does::AwaitServer => {
                then = process.then(Does::AwaitReply(next.serve(process.grant)));
                "is served"
            }
            Does::AwaitReply(reply) => {
                then = match reply {
                    Some(token) if self.has(Part::SlotBeforeCommit) => {
                        process.then(Does::WriteSlot(token))
                    }
                    Some(token) => {
                        next.newest_reply = next.newest_reply.max(process.generation + 1);
                        process.then(Does::Commit(token))
                    }
                    None => process.then(Does::Refuse),
                };
                "reads the reply"
            }
            Does::HearNothing => {
                next.end(who, true);
                then = process.idle();
                "notes that nobody can know"
            }
            Does::WriteSlot(token) => {
                let generation = process.generation + 1;
                then.slot = Some(Reply { generation, token });
                next.newest_reply = next.newest_reply.max(generation);
                then = then.then(Does::Commit(token));
                "has the reply in its slot"
            }
            Does::Commit(token) => {
                let swaps = state.generation == process.generation;
                if swaps || !self.has(Part::CompareAndSwap) {
                    next.commit(token);
                    if next.is_running(who) {
                        next.attempt = None;
                    }
                } else {
                    next.end(who, false);
                }
                then = process.then(Does::ClearSlot);
                "commits"
            }
            Does::ClearSlot => {
                then.slot = None;
                then = then.idle();
                "empties its slot"
            }
            Does::Refuse => {
                let newer = state.generation > process.generation;
                if newer && self.has(Part::CompareAndSwap) {
                    next.end(who, false);
                    then = process.then(Does::Load);
                } else {
                    if newer {
                        let wrong = "a grant that could go on was given up";
                        steps.push(step(who, "records the refusal", Err(wrong)));
                        return;
                    }
                    next.generation += 1;
                    next.reauthorization = true;
                    if next.is_running(who) {
                        next.attempt = None;
                    }
                    then = process.idle();
                }
                "records the refusal"
            }
        };
        steps.push(step(who, name, Ok(next.with(who, then))));
    }

    /// The request leaves: the one step that can't be taken back.
    fn send(&self, state: &State, who: u8) -> Step<State> {
        let process = state.of(who);
        let bit = 1 << process.grant;
        let again = state.sent & bit != 0;
        let unknown = state.unknown & bit != 0;
        // Frozen between the check and this step: nothing can hold it back.
        let window = process.late;
        if again && !window && !(unknown && process.may_replay) {
            return step(who, "sends", Err("a used refresh token is sent"));
        }
        let others = (0..self.processes as u8).filter(|other| *other != who);
        let both = others
            .map(|other| state.of(other))
            .any(|other| other.is_out() && !other.late && other.grant == process.grant);
        if both && !window {
            return step(who, "sends", Err("two requests are out at once"));
        }
        if process.could_know {
            return step(
                who,
                "sends",
                Err("a request is sent whose reply lies in a slot"),
            );
        }
        let mut next = state.with(who, process.then(Does::AwaitServer));
        next.sent |= bit;
        step(who, "sends", Ok(next))
    }

    /// What may go wrong for `who`.
    fn fails(&self, state: &State, who: u8, steps: &mut Vec<Step<State>>) {
        let process = state.of(who);
        let mut fault = |name: &'static str, next: State| {
            steps.push(Step {
                name: (Some(who), name),
                to: Ok(next),
                fault: true,
            });
        };
        let bit = 1 << process.grant;
        if state.faults.kills > 0 && process.does != Does::Nothing {
            let mut next = state.with(who, Process::default());
            next.faults.kills -= 1;
            if process.does == Does::AwaitServer {
                put(&mut next.strays, process.grant);
            }
            if process.is_out()
                || matches!(
                    process.does,
                    Does::WriteSlot(_) | Does::Commit(_) | Does::Refuse
                )
            {
                next.unknown |= bit;
            }
            if let Some(reply) = process.slot {
                put(&mut next.orphans, reply);
            }
            if let Some(attempt) = &mut next.attempt
                && attempt.owner == Some(who)
            {
                attempt.owner = None;
            }
            fault("dies", next);
        }
        if state.faults.freezes > 0 && state.is_running(who) && !process.late {
            let mut next = state.with(
                who,
                Process {
                    late: true,
                    ..process
                },
            );
            next.faults.freezes -= 1;
            next.unknown |= bit;
            next.attempt = next.attempt.map(|attempt| Attempt {
                over: true,
                ..attempt
            });
            fault("is frozen until its lease is over", next);
        }
        if state.faults.losses > 0 && process.is_out() {
            let mut next = state.with(who, process.then(Does::HearNothing));
            next.faults.losses -= 1;
            next.unknown |= bit;
            let name = match process.does {
                Does::AwaitServer => "loses its request",
                _ => "loses its reply",
            };
            fault(name, next);
        }
        if state.faults.commits > 0 && matches!(process.does, Does::Commit(_)) {
            // It tries again.
            let mut next = *state;
            next.faults.commits -= 1;
            fault("can't commit", next);
        }
    }
}

impl Process {
    /// Its request or reply travels.
    fn is_out(self) -> bool {
        matches!(self.does, Does::AwaitServer | Does::AwaitReply(_))
    }
}

fn step(who: u8, name: &'static str, to: Result<State, &'static str>) -> Step<State> {
    Step {
        name: (Some(who), name),
        to,
        fault: false,
    }
}

/// Puts something where there is nothing yet; in order, so that equal states look equal.
fn put<T: Ord>(places: &mut [Option<T>], something: T) {
    let free = places.iter_mut().find(|place| place.is_none());
    *free.expect("no more die than there are places") = Some(something);
    places.sort_unstable();
}

impl Model for Protocol {
    type State = State;

    fn first(&self) -> State {
        State {
            faults: self.faults,
            expiries: self.expiries,
            wishes: self.wishes,
            reconnects: self.reconnects,
            generation: 1,
            grant: 0,
            used_up: false,
            reauthorization: false,
            attempt: None,
            processes: [Process::default(); MOST],
            orphans: [None; 2],
            strays: [None; 2],
            first: 0,
            issued: 0,
            revoked: false,
            sent: 0,
            unknown: 0,
            newest_reply: 1,
        }
    }

    fn steps(&self, state: &State) -> Vec<Step<State>> {
        let mut steps = Vec::new();
        for who in 0..self.processes as u8 {
            self.acts(state, who, &mut steps);
            self.fails(state, who, &mut steps);
        }
        let mut happens = |name: &'static str, next: State| {
            steps.push(Step {
                name: (None, name),
                to: Ok(next),
                fault: false,
            });
        };
        if state.expiries > 0 && !state.used_up {
            let mut next = *state;
            next.expiries -= 1;
            next.used_up = true;
            happens("the access token is used up", next);
        }
        if state.reconnects > 0 {
            let mut next = *state;
            next.reconnects -= 1;
            next.issued += 1;
            next.first = next.issued;
            next.commit(next.issued);
            next.attempt = None;
            (next.revoked, next.reauthorization) = (false, false);
            happens("a person connects anew", next);
        }
        if let Some(attempt) = state.attempt
            && attempt.ended_unknown.is_none()
            && attempt.owner.is_none()
            && !attempt.over
        {
            let mut next = *state;
            next.attempt = Some(Attempt {
                over: true,
                ..attempt
            });
            happens("the lease of the dead is over", next);
        }
        for place in 0..state.strays.len() {
            let mut next = *state;
            if let Some(token) = next.strays[place].take() {
                next.strays.sort_unstable();
                next.serve(token);
                happens("a request of the dead is served", next);
            }
        }
        // A process that opens the store finds what the dead left.
        if let Some(orphan) = state.orphans[1] {
            let mut next = *state;
            next.orphans[1] = None;
            next.orphans.sort_unstable();
            if orphan.generation == state.generation + 1 {
                next.commit(orphan.token);
            }
            happens("a new process opens the store", next);
        }
        for step in &mut steps {
            if let Ok(next) = &step.to
                && next.generation < state.generation
            {
                step.to = Err("the generation went back");
            }
        }
        steps
    }

    fn wrong(&self, state: &State) -> Option<&'static str> {
        let slots = state.processes.iter().filter_map(|process| process.slot);
        let held = slots
            .chain(state.orphans.into_iter().flatten())
            .any(|reply| reply.generation >= state.newest_reply);
        if state.newest_reply > state.generation && !held {
            return Some("a reply is lost");
        }
        if state.grant == OLD {
            return Some("a new consent is lost to the reply of an old one");
        }
        let unhurt = state.faults == self.faults;
        if unhurt && state.revoked {
            return Some("a family is revoked, and nothing went wrong");
        }
        let swapped = state.grant == state.issued || state.revoked || state.unknown != 0;
        let at_rest = state
            .processes
            .iter()
            .all(|process| process.does == Does::Nothing);
        if at_rest && !swapped && state.strays == [None; 2] && unhurt {
            return Some("the stored refresh token is an old one");
        }
        None
    }

    fn is_good_end(&self, state: &State) -> bool {
        let at_rest = state
            .processes
            .iter()
            .all(|process| process.does == Does::Nothing);
        at_rest && (state.reauthorization || !state.used_up) && state.orphans == [None; 2]
    }
}
