//! Clocks, processes, forks and wake-ups.

#![allow(unsafe_code)]

use std::fs::{self, File};
use std::future::{Future, poll_fn};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, SystemTime};

use _core::system::{
    self, ForkAware, Gated, Liveness, Owner, Signal, enter, epoch, liveness, owner, reserve_space,
    spawn_thread, unprepared_fork, wait_readable,
};

/// Runs one test of this binary in a process of its own, in which `name` is told to be the child by the environment.
pub(crate) fn in_child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test binary has a path"));
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("EVERGRANT_TEST_CHILD", name);
    command
}

/// Whether this process was started by [`in_child`] for the test `name`.
pub(crate) fn is_child(name: &str) -> bool {
    std::env::var("EVERGRANT_TEST_CHILD").is_ok_and(|child| child == name)
}

#[test]
fn the_coarse_wall_clock_agrees_with_the_fine_one() {
    let fine = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_millis() as i64;
    assert!((system::coarse_wall_millis() - fine).abs() < 1000);
}

#[test]
fn the_coarse_monotonic_clock_never_goes_back() {
    let earlier = system::coarse_monotonic_millis();
    assert!(earlier > 0);
    assert!(system::coarse_monotonic_millis() >= earlier);
}

#[test]
fn this_process_is_alive() {
    assert_eq!(owner().pid, std::process::id());
    assert_eq!(liveness(&owner()), Liveness::Alive);
}

#[test]
fn a_running_process_is_alive_and_a_killed_one_dead_before_and_after_it_is_reaped() {
    let mut child = sleeper();
    let other = owner_of(&child);
    assert_eq!(liveness(&other), Liveness::Alive);
    child.kill().expect("it is ours");
    wait_until_zombie(&child);
    assert_eq!(liveness(&other), Liveness::Dead);
    assert_eq!(child.wait().expect("it is ours").signal(), Some(9));
    assert_eq!(liveness(&other), Liveness::Dead);
}

#[test]
fn a_later_process_of_the_same_pid_is_another_owner() {
    let mut child = sleeper();
    let mut earlier = owner_of(&child);
    earlier.start_time -= 1;
    assert_eq!(liveness(&earlier), Liveness::Dead);
    child
        .kill()
        .and_then(|()| child.wait())
        .expect("it is ours");
}

#[test]
fn an_owner_of_another_boot_or_pid_namespace_is_unseen() {
    let other_boot = Owner {
        boot_id: "another".into(),
        ..owner()
    };
    let other_namespace = Owner {
        pid_namespace: owner().pid_namespace + 1,
        ..owner()
    };
    assert_eq!(liveness(&other_boot), Liveness::Unseen);
    assert_eq!(liveness(&other_namespace), Liveness::Unseen);
}

#[test]
fn a_raised_signal_is_readable_until_it_is_cleared() {
    let signal = Signal::new().expect("a descriptor is free");
    let soon = Some(Duration::from_millis(1));
    assert_eq!(wait_readable(&[signal.as_raw_fd()], soon).ok(), Some(None));
    signal.raise();
    signal.raise();
    assert_eq!(
        wait_readable(&[signal.as_raw_fd()], None).ok(),
        Some(Some(0))
    );
    signal.clear();
    assert_eq!(wait_readable(&[signal.as_raw_fd()], soon).ok(), Some(None));
}

#[test]
fn a_wait_says_which_of_several_is_readable() {
    let (quiet, raised) = (Signal::new().expect("free"), Signal::new().expect("free"));
    raised.raise();
    let fds = [quiet.as_raw_fd(), raised.as_raw_fd()];
    assert_eq!(wait_readable(&fds, None).ok(), Some(Some(1)));
}

#[test]
fn a_wait_on_a_number_that_is_no_open_file_is_an_error() {
    let error = wait_readable(&[1_000_000], None).expect_err("no such file");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
}

#[test]
fn a_signal_handler_that_ran_ends_a_wait() {
    const NAME: &str = "system::a_signal_handler_that_ran_ends_a_wait";
    extern "C" fn nothing(_: libc::c_int) {}
    if !is_child(NAME) {
        let status = in_child(NAME)
            .stdout(Stdio::null())
            .status()
            .expect("it starts");
        assert!(status.success());
        return;
    }
    let ended = AtomicUsize::new(0);
    // SAFETY: a handler that does nothing, and the id of this very thread.
    let waiting = unsafe {
        libc::signal(libc::SIGUSR1, nothing as *const () as libc::sighandler_t);
        libc::pthread_self()
    };
    let signal = Signal::new().expect("a descriptor is free");
    thread::scope(|scope| {
        scope.spawn(|| {
            while ended.load(Ordering::SeqCst) == 0 {
                // SAFETY: the thread outlives this scope.
                unsafe { libc::pthread_kill(waiting, libc::SIGUSR1) };
                thread::yield_now();
            }
        });
        let woken = wait_readable(&[signal.as_raw_fd()], Some(Duration::from_secs(30)));
        ended.store(1, Ordering::SeqCst);
        assert_eq!(
            woken.map_err(|error| error.kind()),
            Err(std::io::ErrorKind::Interrupted)
        );
    });
}

#[test]
fn what_is_registered_for_the_exit_runs_then() {
    const NAME: &str = "system::what_is_registered_for_the_exit_runs_then";
    extern "C" fn say_so() {
        // SAFETY: writes a literal to standard error.
        unsafe { libc::write(2, c"at exit".as_ptr().cast(), 7) };
    }
    if !is_child(NAME) {
        let output = in_child(NAME).output().expect("it starts");
        assert!(String::from_utf8_lossy(&output.stderr).ends_with("at exit"));
        return;
    }
    system::at_exit(say_so).expect("there is room for a handler");
}

#[test]
fn a_signal_raised_by_another_thread_ends_a_wait() {
    let signal = Arc::new(Signal::new().expect("a descriptor is free"));
    let raiser = Arc::clone(&signal);
    let thread = thread::spawn(move || raiser.raise());
    let woken = wait_readable(&[signal.as_raw_fd()], Some(Duration::from_secs(30)));
    assert_eq!(woken.ok(), Some(Some(0)));
    thread.join().expect("it raises and ends");
}

#[test]
fn threads_of_ours_have_signals_blocked_and_their_starter_has_not() {
    let (sender, blocked) = mpsc::channel();
    let thread = spawn_thread("evergrant-test", move || {
        sender.send(blocked_signals()).expect("the test waits");
    });
    let inside = blocked.recv().expect("the thread answers");
    thread
        .and_then(|thread| thread.join().map_err(|_| std::io::ErrorKind::Other.into()))
        .expect("it ends");
    let interrupt = 1 << (libc::SIGINT - 1);
    let fault = 1 << (libc::SIGSEGV - 1);
    assert_eq!(inside & (interrupt | fault), interrupt);
    assert_eq!(blocked_signals() & interrupt, 0);
}

#[test]
fn reserved_space_keeps_what_a_file_held_and_makes_room_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("reserved");
    fs::write(&path, b"before").expect("writable");
    let file = File::options()
        .write(true)
        .open(&path)
        .expect("it is there");
    reserve_space(&file, 0, 65_536).expect("the disk has room");
    let bytes = fs::read(&path).expect("readable");
    assert_eq!((&bytes[..6], bytes.len()), (&b"before"[..], 65_536));
}

#[test]
fn a_local_folder_is_on_no_network_file_system() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(system::network_file_system(folder.path()).ok(), Some(None));
}

#[test]
fn the_gate_is_re_entrant_in_any_order_of_leaving() {
    let outer = enter();
    let inner = enter();
    drop(outer);
    drop(inner);
    // Left entirely: a fork on this thread is prepared again.
    assert_eq!(fork_and(|| i32::from(unprepared_fork())), 0);
}

#[test]
fn a_gated_future_is_polled_inside_the_gate() {
    let polled = Gated::new(poll_fn(|_| {
        Poll::Ready(fork_and(|| i32::from(unprepared_fork())))
    }));
    let mut context = Context::from_waker(Waker::noop());
    // A fork from inside the gate can't be prepared for, and the child is told.
    assert_eq!(pin!(polled).poll(&mut context), Poll::Ready(1));
}

#[test]
fn a_fork_tells_what_must_not_be_copied_and_the_child_is_in_a_new_epoch() {
    struct Counting(AtomicUsize);
    impl ForkAware for Counting {
        fn before_fork(&self) {
            // A fork-aware object may use the gate itself.
            let _entered = enter();
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let counting = Arc::new(Counting(AtomicUsize::new(0)));
    let weak: Weak<Counting> = Arc::downgrade(&counting);
    system::on_fork(weak);
    let before = (epoch(), counting.0.load(Ordering::SeqCst));
    let child = fork_and(|| {
        let told = counting.0.load(Ordering::SeqCst) > before.1;
        i32::from(!(told && epoch() == before.0 + 1 && !unprepared_fork()))
    });
    assert_eq!(child, 0);
    assert!(counting.0.load(Ordering::SeqCst) > before.1);
    assert_eq!(epoch(), before.0);
}

#[test]
fn a_forked_child_is_another_owner() {
    let parent = owner();
    assert_eq!(
        fork_and(|| i32::from(owner() == parent || liveness(&owner()) != Liveness::Alive)),
        0
    );
}

#[test]
fn a_fork_waits_until_other_threads_have_left_the_gate() {
    let left = Arc::new(AtomicUsize::new(0));
    let (entered_sender, entered) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let leaving = Arc::clone(&left);
    let thread = thread::spawn(move || {
        let inside = enter();
        entered_sender.send(()).expect("the test waits");
        // Ends when the forking thread is about to fork; then it takes its time.
        let _ = wait.recv();
        thread::yield_now();
        leaving.store(1, Ordering::SeqCst);
        drop(inside);
    });
    entered.recv().expect("the thread enters");
    drop(go);
    let child = fork_and(|| i32::from(left.load(Ordering::SeqCst) != 1));
    assert_eq!(child, 0);
    thread.join().expect("it ends");
}

#[test]
fn a_fork_does_not_wait_for_what_runs_outside_the_gate() {
    let (began, begun) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _outer = enter();
        let _inner = enter();
        system::outside(|| {
            began.send(()).expect("the test waits");
            let _ = wait.recv();
        });
        // Inside again: a fork can't be prepared for.
        fork_and(|| i32::from(unprepared_fork()))
    });
    begun.recv().expect("the thread begins");
    assert_eq!(fork_and(|| i32::from(unprepared_fork())), 0);
    drop(go);
    assert_eq!(thread.join().expect("it ends"), 1);
}

#[test]
#[cfg(target_os = "linux")]
fn a_fork_that_runs_no_handlers_is_noticed() {
    const NAME: &str = "system::a_fork_that_runs_no_handlers_is_noticed";
    if !is_child(NAME) {
        let status = in_child(NAME)
            .stdout(Stdio::null())
            .status()
            .expect("it starts");
        assert!(status.success());
        return;
    }
    let before = epoch();
    assert!(!unprepared_fork());
    // SAFETY: the child makes no call but the ones under test and `_exit`.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if child == 0 {
        let _entered = enter();
        exit_now(i32::from(!(unprepared_fork() && epoch() == before + 1)));
    }
    assert_eq!(exit_code(child as i32), 0);
    assert!(!unprepared_fork());
}

/// Forks by the C library; the child runs `body` and ends with its answer, which is returned in the parent.
pub(crate) fn fork_and(body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs `body`, which touches nothing that another thread of the tests holds, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        exit_now(body());
    }
    exit_code(child)
}

pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process without running anything else in it.
    unsafe { libc::_exit(code) }
}

pub(crate) fn exit_code(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is a live local.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    match libc::WIFEXITED(status) {
        true => libc::WEXITSTATUS(status),
        false => -libc::WTERMSIG(status),
    }
}

fn sleeper() -> Child {
    Command::new("sleep")
        .arg("600")
        .spawn()
        .expect("sleep is there")
}

fn owner_of(child: &Child) -> Owner {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it runs");
    let start = stat
        .rsplit_once(')')
        .expect("a name")
        .1
        .split_whitespace()
        .nth(19);
    Owner {
        pid: child.id(),
        start_time: start
            .and_then(|start| start.parse().ok())
            .expect("a number"),
        ..owner()
    }
}

fn wait_until_zombie(child: &Child) {
    let path = format!("/proc/{}/stat", child.id());
    while !fs::read_to_string(&path).is_ok_and(|stat| stat.contains(") Z ")) {
        thread::yield_now();
    }
}

fn blocked_signals() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").expect("Linux");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .expect("a mask")
}
