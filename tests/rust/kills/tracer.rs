//! Runs a process under ptrace from its word "ready" to its next one, counts its system calls over all threads, and
//! at one of them kills it or lets the call fail.
//!
//! A stop at the entry of a call is before the call: who is killed there has not made it. The stop after the call
//! needs no point of its own, as nothing but memory changes before the next entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls::{Call, is_reading};

/// A victim that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// `PTRACE_EVENT_STOP`: a thread that was seized, or is new.
const EVENT_STOP: i32 = 128;

/// What happens to the process.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    /// SIGKILL before the call of this number, from 0 on.
    Kill(usize),
    /// The call of this number among those that may fail so fails, and is not made.
    FailOnce(usize, Errno),
    /// The same, and so do all that come later.
    FailFrom(usize, Errno),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// The process it was.
    pub(super) pid: u32,
    /// The call before which it was killed, or that failed first.
    pub(super) struck: Option<Call>,
    /// The calls that came back, in order.
    pub(super) made: Vec<Call>,
    /// What it printed after "ready".
    pub(super) words: String,
    /// What it complained of.
    pub(super) complaints: String,
    /// Whether it ended by itself, without an error.
    pub(super) succeeded: bool,
}

impl Run {
    /// Whether such a call came back, among those after the process first heard from a server.
    pub(super) fn has_made_after_reply(&self, such: impl Fn(&Call) -> bool) -> bool {
        let after = self.made.iter().skip_while(|call| !call.hears());
        after.into_iter().any(such)
    }
}

/// A thread between the entry of a call and its end.
enum Within {
    Call(Call),
    Failing(Errno),
}

struct Tracer<'a> {
    folder: &'a Path,
    plan: Plan,
    leader: Pid,
    within: BTreeMap<Pid, Within>,
    begun: bool,
    ended: bool,
    count: usize,
    run: Run,
}

/// Runs `command`, whose files are in `folder`.
pub(super) fn run(command: &mut Command, folder: &Path, plan: Plan) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    wait_for_ready(&mut stdout);
    let leader = Pid::from_raw(child.id().cast_signed());
    let threads = seize(leader);
    for thread in threads {
        ptrace::syscall(thread, None).unwrap();
    }
    let watch = watch(leader);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"go\n").unwrap();
    let mut tracer = Tracer {
        folder,
        plan,
        leader,
        within: BTreeMap::new(),
        begun: false,
        ended: false,
        count: 0,
        run: Run {
            pid: child.id(),
            ..Run::default()
        },
    };
    tracer.follow();
    drop(watch);
    let mut run = tracer.run;
    stdout.read_to_string(&mut run.words).unwrap();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut run.complaints).unwrap();
    forget(child);
    run
}

impl Tracer<'_> {
    fn follow(&mut self) {
        // Of this thread's children only: other tests have theirs.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(flags)).unwrap() {
                WaitStatus::PtraceSyscall(thread) => self.stopped_at_call(thread),
                WaitStatus::PtraceEvent(thread, ..) => self.resume(thread, None),
                WaitStatus::Stopped(thread, signal) => self.resume(thread, Some(signal)),
                WaitStatus::Exited(process, status) if process == self.leader => {
                    self.run.succeeded = status == 0;
                    return;
                }
                WaitStatus::Signaled(process, ..) if process == self.leader => return,
                _ => {}
            }
        }
    }

    fn stopped_at_call(&mut self, thread: Pid) {
        match self.within.remove(&thread) {
            None => self.entered(thread),
            Some(within) => self.left(thread, within),
        }
    }

    fn entered(&mut self, thread: Pid) {
        let Ok(registers) = ptrace::getregs(thread) else {
            return;
        };
        let call = Call::read(self.leader, self.folder, &registers);
        if self.begun && !self.ended {
            if call.is_word() {
                self.ended = true;
            } else if self.strikes(&call) {
                self.run.struck.get_or_insert_with(|| call.clone());
                match self.plan {
                    Plan::Kill(_) => return kill(self.leader, Signal::SIGKILL).unwrap(),
                    Plan::FailOnce(_, errno) | Plan::FailFrom(_, errno) => {
                        let mut none = registers;
                        none.orig_rax = u64::MAX;
                        ptrace::setregs(thread, none).unwrap();
                        self.within.insert(thread, Within::Failing(errno));
                        return self.resume(thread, None);
                    }
                }
            }
        }
        self.within.insert(thread, Within::Call(call));
        self.resume(thread, None);
    }

    fn left(&mut self, thread: Pid, within: Within) {
        let Ok(mut registers) = ptrace::getregs(thread) else {
            return;
        };
        match within {
            Within::Failing(errno) => {
                registers.rax = (-(errno as i64)).cast_unsigned();
                ptrace::setregs(thread, registers).unwrap();
            }
            Within::Call(call) if self.begun => {
                if !self.ended && registers.rax.cast_signed() >= 0 {
                    self.run.made.push(call);
                }
            }
            Within::Call(call) => {
                self.begun = is_reading(&call) && registers.rax.cast_signed() > 0;
            }
        }
        self.resume(thread, None);
    }

    fn strikes(&mut self, call: &Call) -> bool {
        let counts = match self.plan {
            Plan::Kill(_) => true,
            Plan::FailOnce(_, errno) | Plan::FailFrom(_, errno) => call.may_fail_with(errno),
        };
        if !counts {
            return false;
        }
        let number = self.count;
        self.count += 1;
        match self.plan {
            Plan::Kill(at) | Plan::FailOnce(at, _) => number == at,
            Plan::FailFrom(from, _) => number >= from,
        }
    }

    /// After the last word nothing is looked at any more. A thread that was killed meanwhile can't be resumed.
    fn resume(&self, thread: Pid, signal: Option<Signal>) {
        let _ = match self.ended && !self.within.contains_key(&thread) {
            true => ptrace::cont(thread, signal),
            false => ptrace::syscall(thread, signal),
        };
    }
}

fn wait_for_ready(stdout: &mut impl std::io::Read) {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(b"ready\n") {
        stdout.read_exact(&mut byte).expect("the victim gets ready");
        said.extend(byte);
    }
}

/// Takes hold of every thread, and of those that these will start; answers with them, stopped.
fn seize(leader: Pid) -> BTreeSet<Pid> {
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_EXITKILL;
    let mut threads = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{leader}/task")).unwrap() {
        let name = entry.unwrap().file_name();
        let thread = Pid::from_raw(name.to_str().unwrap().parse().unwrap());
        ptrace::seize(thread, options).unwrap();
        ptrace::interrupt(thread).unwrap();
        match waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::PtraceEvent(_, _, EVENT_STOP) => threads.insert(thread),
            other => panic!("a victim that waits stops, and does not {other:?}"),
        };
    }
    threads
}

/// Kills a process that hangs, unless what this returns is dropped in time.
fn watch(leader: Pid) -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    thread::spawn(move || {
        if receiver.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = kill(leader, Signal::SIGKILL);
        }
    });
    sender
}

/// It was waited for already.
fn forget(child: Child) {
    drop(child);
}

/// The text at an address of a process, up to its end.
pub(super) fn text_at(process: Pid, address: u64) -> Option<String> {
    let memory = fs::File::open(format!("/proc/{process}/mem")).ok()?;
    let mut text = Vec::new();
    let mut piece = [0; 256];
    loop {
        let count = memory
            .read_at(&mut piece, address + text.len() as u64)
            .ok()?;
        match piece[..count].iter().position(|byte| *byte == 0) {
            Some(end) => {
                text.extend(&piece[..end]);
                return String::from_utf8(text).ok();
            }
            None if count == 0 || text.len() > 4096 => return None,
            None => text.extend(&piece[..count]),
        }
    }
}
