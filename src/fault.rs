//! Named points at which a test kills, freezes or breaks this process: what no system call marks.
//!
//! A build without debug assertions, so every release, has none: [`point`] is nothing there.

/// What happens at a point, once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// SIGKILL: no handler runs.
    Kill,
    /// SIGSTOP, until somebody sends SIGCONT.
    Freeze,
    /// A panic.
    Panic,
}

impl Action {
    /// An action by its name: `kill`, `freeze` or `panic`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "kill" => Some(Self::Kill),
            "freeze" => Some(Self::Freeze),
            "panic" => Some(Self::Panic),
            _ => None,
        }
    }
}

#[cfg(debug_assertions)]
pub use self::armed::{arm, point};

/// Nothing: a release has no points.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &'static str) {}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};

    use super::Action;
    use crate::system;

    static ARMED: AtomicUsize = AtomicUsize::new(0);
    static POINTS: Mutex<Vec<(String, Action)>> = Mutex::new(Vec::new());

    /// Lets `action` happen when this process next passes the point `name`.
    pub fn arm(name: &str, action: Action) {
        let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
        points.push((name.to_owned(), action));
        ARMED.store(points.len(), Ordering::Release);
    }

    /// A place in the code that a test can arm.
    #[inline]
    pub fn point(name: &'static str) {
        if ARMED.load(Ordering::Acquire) > 0 {
            pass(name);
        }
    }

    fn pass(name: &str) {
        let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = points.iter().position(|(armed, _)| armed == name) else {
            return;
        };
        let (_, action) = points.swap_remove(at);
        ARMED.store(points.len(), Ordering::Release);
        drop(points);
        match action {
            Action::Kill => kill(),
            Action::Freeze => system::stop(),
            Action::Panic => panic!("the fault at {name}"),
        }
    }

    fn kill() {
        // A process may always signal itself.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
