//! What only the operating system knows: coarse clocks, processes, forks, wake-ups, file systems. The only `unsafe`.
//!
//! # The fork gate
//!
//! A fork copies locks as they are and threads not at all. So all that holds a lock of ours, or is inside SQLite, runs
//! inside the gate ([`enter`], [`Gated`]); a `pthread_atfork` handler takes it alone before a fork, closes what must
//! not be copied ([`ForkAware`]) and opens it again on both sides. Two rules follow: nobody inside waits for another
//! thread that has to enter, or for Python's GIL, which the forking thread holds.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::fs::File;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{ptr, thread};

use rustix::time::{ClockId, clock_gettime};

#[cfg(target_os = "linux")]
const WALL: ClockId = ClockId::RealtimeCoarse;
#[cfg(not(target_os = "linux"))]
const WALL: ClockId = ClockId::Realtime;
#[cfg(target_os = "linux")]
const MONOTONIC: ClockId = ClockId::MonotonicCoarse;
#[cfg(not(target_os = "linux"))]
const MONOTONIC: ClockId = ClockId::Monotonic;

/// The wall clock in milliseconds since the Unix epoch (UTC), to the kernel's tick (1-4 ms) where that is cheaper.
#[inline]
pub fn coarse_wall_millis() -> i64 {
    millis_of(WALL)
}

/// The monotonic clock in milliseconds since an instant of this boot. It stands still in suspend.
#[inline]
pub fn coarse_monotonic_millis() -> i64 {
    millis_of(MONOTONIC)
}

/// A process, so that others can see whether it still lives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// The boot it belongs to; empty where the system does not say.
    pub boot_id: String,
    /// The inode of its PID namespace, 0 where there is none.
    pub pid_namespace: u64,
    /// Its PID there.
    pub pid: u32,
    /// When it started, in the system's own unit: tells it from a later process of the same PID.
    pub start_time: u64,
}

/// What can be told of an [`Owner`] from here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It is gone.
    Dead,
    /// It belongs to another boot or PID namespace: nobody here can tell.
    Unseen,
}

/// This process. Read once per process: a forked child is another owner.
pub fn owner() -> Owner {
    static OWNER: Mutex<Option<(u64, Owner)>> = Mutex::new(None);
    let _entered = enter();
    let mut known = OWNER.lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some((epoch, owner)) if *epoch == self::epoch() => owner.clone(),
        _ => {
            let pid = std::process::id();
            let owner = Owner {
                boot_id: process::boot_id(),
                pid_namespace: process::pid_namespace(),
                pid,
                start_time: match process::look(pid) {
                    Seen::Running(start_time) => start_time,
                    Seen::Zombie | Seen::Nothing => 0,
                },
            };
            *known = Some((epoch(), owner.clone()));
            owner
        }
    }
}

/// Names the monotonic clock of this process: the boot, and the time namespace (time_namespaces(7)), which shifts it.
/// `None` where the system names no boot.
pub fn monotonic_origin() -> Option<Arc<str>> {
    static ORIGIN: OnceLock<Option<Arc<str>>> = OnceLock::new();
    let named = || {
        let boot = process::boot_id();
        (!boot.is_empty()).then(|| format!("{boot}/{}", process::time_namespace()).into())
    };
    if let Some(origin) = ORIGIN.get() {
        return origin.clone();
    }
    let _entered = enter();
    ORIGIN.get_or_init(named).clone()
}

/// Whether `other` still runs, as far as can be seen from this process.
pub fn liveness(other: &Owner) -> Liveness {
    let own = owner();
    if other.boot_id.is_empty()
        || (&other.boot_id, other.pid_namespace) != (&own.boot_id, own.pid_namespace)
    {
        return Liveness::Unseen;
    }
    if *other == own {
        return Liveness::Alive;
    }
    match process::look(other.pid) {
        Seen::Running(start_time) if start_time == other.start_time => Liveness::Alive,
        Seen::Running(_) | Seen::Zombie => Liveness::Dead,
        // Hidden (`hidepid`, another user) is not gone.
        Seen::Nothing if exists(other.pid) => Liveness::Alive,
        Seen::Nothing => Liveness::Dead,
    }
}

/// Something that must not be copied by a fork.
pub trait ForkAware: Send + Sync {
    /// Called on the forking thread just before the fork, while no other thread is inside the gate.
    fn before_fork(&self);
}

/// Being inside the fork gate: until it is dropped no fork happens in this process (on this thread included).
#[must_use = "the gate is left when this is dropped"]
#[derive(Debug)]
pub struct Entered(PhantomData<*const ()>);

/// Enters the fork gate, waiting while another thread forks. Shared, and re-entrant on a thread.
pub fn enter() -> Entered {
    watch_forks();
    let depth = DEPTH.get();
    if depth == 0 {
        let guard = gate().read().unwrap_or_else(PoisonError::into_inner);
        SHARED.set(Some(ManuallyDrop::new(guard)));
    }
    DEPTH.set(depth + 1);
    Entered(PhantomData)
}

/// Runs `body` outside the fork gate, which this thread enters again afterwards: for what may take long.
///
/// The caller holds no lock of ours.
pub fn outside<T>(body: impl FnOnce() -> T) -> T {
    struct Back(u32);
    impl Drop for Back {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::mem::forget(enter());
                DEPTH.set(self.0);
            }
        }
    }
    let _back = Back(DEPTH.replace(0));
    if let Some(guard) = SHARED.take() {
        drop(ManuallyDrop::into_inner(guard));
    }
    body()
}

impl Drop for Entered {
    fn drop(&mut self) {
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == 0
            && let Some(guard) = SHARED.take()
        {
            drop(ManuallyDrop::into_inner(guard));
        }
    }
}

/// Has `aware` told before every fork of this process, for as long as it lives.
pub fn on_fork(aware: Weak<dyn ForkAware>) {
    let _entered = enter();
    let mut all = AWARE.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|known| known.strong_count() > 0);
    all.push(aware);
}

/// A number that grows in a forked child: what was made under another one belongs to the parent.
pub fn epoch() -> u64 {
    watch_forks();
    EPOCH.load(Ordering::Acquire)
}

/// Whether this process came from a fork that ran no handlers (a raw `clone`, or a fork from inside the gate).
///
/// What was open then can be neither used nor closed: SQLite believes to hold locks that the parent holds.
pub fn unprepared_fork() -> bool {
    watch_forks();
    UNPREPARED.load(Ordering::Acquire)
}

/// Starts to watch for forks, once per process; all else here does it on need, a module may do it when loaded.
#[inline]
pub fn watch_forks() {
    match PAGE.load(Ordering::Acquire) {
        page if page.is_null() => install(),
        // SAFETY: a non-null pointer is a page that is mapped for ever and only used as this atomic.
        page if unsafe { &*page }.load(Ordering::Acquire) != PREPARED => survive_raw_fork(),
        _ => {}
    }
}

/// A future whose every poll happens inside the fork gate, and whose drop does too.
#[derive(Debug)]
pub struct Gated<F>(Option<Pin<Box<F>>>);

impl<F: Future> Gated<F> {
    /// Wraps `future`.
    pub fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<F: Future> Future for Gated<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = enter();
        match &mut self.0 {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Gated<F> {
    fn drop(&mut self) {
        let _entered = enter();
        self.0 = None;
    }
}

/// A wake-up that can be polled beside other file descriptors: an eventfd on Linux, a pipe elsewhere.
///
/// A forked child shares it with its parent, so it has to make its own.
#[derive(Debug)]
pub struct Signal {
    reader: OwnedFd,
    /// The pipe's other end; `None` for an eventfd, which is both.
    writer: Option<OwnedFd>,
}

impl Signal {
    /// A signal that is not raised. Neither end blocks, and neither is inherited by an executed program.
    pub fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            use rustix::event::{EventfdFlags, eventfd};
            let reader = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
            Ok(Self {
                reader,
                writer: None,
            })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let (reader, writer) = rustix::pipe::pipe()?;
            for end in [&reader, &writer] {
                rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
                rustix::fs::fcntl_setfl(end, rustix::fs::OFlags::NONBLOCK)?;
            }
            Ok(Self {
                reader,
                writer: Some(writer),
            })
        }
    }

    /// Makes it readable. Raising it again changes nothing.
    pub fn raise(&self) {
        let end = self.writer.as_ref().unwrap_or(&self.reader);
        while let Err(error) = rustix::io::write(end, &1_u64.to_ne_bytes()) {
            // A full pipe or counter is raised already.
            if error != rustix::io::Errno::INTR {
                break;
            }
        }
    }

    /// Makes it unreadable until it is raised again.
    pub fn clear(&self) {
        let mut bytes = [0_u8; 512];
        loop {
            match rustix::io::read(&self.reader, &mut bytes) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(count) if count == bytes.len() => {}
                _ => break,
            }
        }
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl AsRawFd for Signal {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

/// Waits until one of `fds` is readable or closed by its other end: its position, or `None` after `timeout`.
///
/// A signal handler that ran ends the wait with [`io::ErrorKind::Interrupted`], so that the caller can answer it.
/// A number that is no open file gives `EBADF`.
pub fn wait_readable(fds: &[RawFd], timeout: Option<Duration>) -> io::Result<Option<usize>> {
    let mut entries: Vec<libc::pollfd> = fds
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let millis = timeout.map_or(-1, |timeout| {
        i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
    });
    // SAFETY: the pointer and the count are those of one live vector, and the kernel writes only to `revents`.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, millis) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    match entries.iter().position(|entry| entry.revents != 0) {
        Some(at) if entries[at].revents & libc::POLLNVAL != 0 => {
            Err(io::Error::from_raw_os_error(libc::EBADF))
        }
        position => Ok(position),
    }
}

/// Starts a thread that no signal is delivered to, so that they reach the threads that wait for them.
pub fn spawn_thread<F>(name: &str, body: F) -> io::Result<JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    with_signals_blocked(|| thread::Builder::new().name(name.to_owned()).spawn(body))
}

/// Runs `body` with all signals blocked on this thread; threads that it starts keep them blocked.
///
/// Those that a fault of the thread itself raises stay open: the runtime's crash reports need them.
pub fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: `self.0` was filled in by the kernel, and a null pointer asks for no copy of the old mask.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
        }
    }
    // SAFETY: a signal set is plain data; zeroed is a valid value, and each call gets a pointer to a live local.
    let _restore = unsafe {
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut blocked);
        for fault in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGTRAP,
            libc::SIGABRT,
        ] {
            libc::sigdelset(&raw mut blocked, fault);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, &raw mut before);
        Restore(before)
    };
    body()
}

/// Stops this process (SIGSTOP), and the calling thread before it goes on: sent to the process alone, the signal may reach
/// it some instructions later.
#[cfg(debug_assertions)]
pub(crate) fn stop() {
    // SAFETY: it touches no memory.
    let _ = unsafe { libc::raise(libc::SIGSTOP) };
}

/// Has the C library call `function` when the process exits normally, after what was registered later.
pub fn at_exit(function: extern "C" fn()) -> io::Result<()> {
    // SAFETY: `function` lives as long as the program, and the C library copies only its address.
    match unsafe { libc::atexit(function) } {
        0 => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::OutOfMemory)),
    }
}

/// Takes space for `len` bytes at `offset` of `file` from the disk now, so that writing there can't find it full.
///
/// The file grows if need be; what it held before stays. On copy-on-write file systems nothing can promise this.
pub fn reserve_space(file: &File, offset: u64, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), offset, len) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        outcome => return Ok(outcome?),
    }
    let start = file.metadata()?.len().max(offset);
    let end = offset.saturating_add(len);
    let zeros = [0_u8; 4096];
    let mut at = start;
    while at < end {
        let count = usize::try_from(end - at).map_or(zeros.len(), |rest| rest.min(zeros.len()));
        std::os::unix::fs::FileExt::write_all_at(file, &zeros[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

/// The kind of network or shared file system that `path` is on, by name; `None` where one kernel sees all writes.
pub fn network_file_system(path: &Path) -> io::Result<Option<String>> {
    files::network_kind(path)
}

static EPOCH: AtomicU64 = AtomicU64::new(0);
static UNPREPARED: AtomicBool = AtomicBool::new(false);
static AWARE: Mutex<Vec<Weak<dyn ForkAware>>> = Mutex::new(Vec::new());
/// The gate; a process that a raw fork made leaves its parent's behind, whose readers don't exist there.
static GATE: AtomicPtr<RwLock<()>> = AtomicPtr::new(ptr::null_mut());
/// One byte that the kernel wipes in a forked child (`MADV_WIPEONFORK`), and the child handler restores.
static PAGE: AtomicPtr<AtomicU8> = AtomicPtr::new(ptr::null_mut());
const PREPARED: u8 = 1;
const RECOVERING: u8 = 2;

// Without destructors, so that they work while a thread ends.
thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static SHARED: Cell<Option<ManuallyDrop<RwLockReadGuard<'static, ()>>>> = const { Cell::new(None) };
    static ALONE: Cell<Option<ManuallyDrop<RwLockWriteGuard<'static, ()>>>> = const { Cell::new(None) };
    static NESTED_FORK: Cell<bool> = const { Cell::new(false) };
}

#[inline]
fn millis_of(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

fn gate() -> &'static RwLock<()> {
    // SAFETY: `install` ran before (every caller went through `watch_forks`), and a gate is never freed.
    unsafe { &*GATE.load(Ordering::Acquire) }
}

#[cold]
fn install() {
    static INSTALLING: AtomicBool = AtomicBool::new(false);
    if INSTALLING.swap(true, Ordering::AcqRel) {
        while PAGE.load(Ordering::Acquire).is_null() {
            thread::yield_now();
        }
        return;
    }
    GATE.store(Box::leak(Box::default()), Ordering::Release);
    // SAFETY: the three functions live as long as the program and keep to what a fork handler may do: they take
    // locks that no thread holds outside the gate, which they hold alone.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    let page = wiped_page();
    page.store(PREPARED, Ordering::Release);
    PAGE.store(ptr::from_ref(page).cast_mut(), Ordering::Release);
}

/// A byte that is zero in a forked child; where the kernel has no such page, a byte that stays as it is.
fn wiped_page() -> &'static AtomicU8 {
    #[cfg(target_os = "linux")]
    // SAFETY: a fresh anonymous mapping, never unmapped; its first byte is valid for the atomic it is used as.
    unsafe {
        // Both calls round up to whole pages.
        let size = 4096;
        let page = libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if page != libc::MAP_FAILED {
            // Kernels before 4.14 refuse; then only forks that run handlers are noticed.
            libc::madvise(page, size, libc::MADV_WIPEONFORK);
            return AtomicU8::from_ptr(page.cast());
        }
    }
    Box::leak(Box::new(AtomicU8::new(0)))
}

extern "C" fn prepare() {
    if DEPTH.get() > 0 {
        // Waiting for ourselves would hang; the child learns that nothing was prepared.
        NESTED_FORK.set(true);
        return;
    }
    let guard = gate().write().unwrap_or_else(PoisonError::into_inner);
    ALONE.set(Some(ManuallyDrop::new(guard)));
    DEPTH.set(1);
    let aware: Vec<Arc<dyn ForkAware>> = AWARE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .filter_map(Weak::upgrade)
        .collect();
    // A panic must not unwind into the C library.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        for one in &aware {
            one.before_fork();
        }
        drop(aware);
    }));
}

extern "C" fn parent() {
    leave_alone();
}

extern "C" fn child() {
    if NESTED_FORK.get() {
        // The wiped page, where there is one, would say the same; this also works without.
        UNPREPARED.store(true, Ordering::Release);
        // What other threads held of the gate is held for ever here.
        GATE.store(Box::leak(Box::default()), Ordering::Release);
    }
    EPOCH.fetch_add(1, Ordering::AcqRel);
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: a non-null pointer is a page that is mapped for ever and only used as this atomic.
        unsafe { &*page }.store(PREPARED, Ordering::Release);
    }
    leave_alone();
}

fn leave_alone() {
    if NESTED_FORK.replace(false) {
        return;
    }
    DEPTH.set(0);
    if let Some(guard) = ALONE.take() {
        drop(ManuallyDrop::into_inner(guard));
    }
}

/// The page is wiped: a fork ran no handlers. Its gate and all that was open belong to the parent.
#[cold]
fn survive_raw_fork() {
    // SAFETY: `watch_forks` saw a non-null pointer: a page mapped for ever and only used as this atomic.
    let page = unsafe { &*PAGE.load(Ordering::Acquire) };
    match page.compare_exchange(0, RECOVERING, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            GATE.store(Box::leak(Box::default()), Ordering::Release);
            UNPREPARED.store(true, Ordering::Release);
            EPOCH.fetch_add(1, Ordering::AcqRel);
            page.store(PREPARED, Ordering::Release);
        }
        Err(_) => {
            while page.load(Ordering::Acquire) == RECOVERING {
                thread::yield_now();
            }
        }
    }
}

/// What a look at a PID shows.
enum Seen {
    /// A process that started then, in the system's own unit.
    Running(u64),
    /// One that only waits to be reaped.
    Zombie,
    /// None, or one that we may not look at.
    Nothing,
}

fn exists(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(target_os = "linux")]
mod process {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::Seen;

    pub(super) fn boot_id() -> String {
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default()
    }

    pub(super) fn pid_namespace() -> u64 {
        fs::metadata("/proc/self/ns/pid").map_or(0, |file| file.ino())
    }

    pub(super) fn time_namespace() -> u64 {
        fs::metadata("/proc/self/ns/time").map_or(0, |file| file.ino())
    }

    /// Reads `/proc/PID/stat` (proc_pid_stat(5)); times are clock ticks since boot.
    pub(super) fn look(pid: u32) -> Seen {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .and_then(|stat| parse(&stat))
            .unwrap_or(Seen::Nothing)
    }

    fn parse(stat: &str) -> Option<Seen> {
        // The command's name may hold anything, parentheses included: the rest begins with field 3, the state.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let threads: u32 = fields.get(17)?.parse().ok()?;
        // A leader that ended before its other threads is a zombie too, but the process lives.
        if matches!(*fields.first()?, "Z" | "X" | "x") && threads <= 1 {
            return Some(Seen::Zombie);
        }
        Some(Seen::Running(fields.get(19)?.parse().ok()?))
    }
}

#[cfg(target_vendor = "apple")]
mod process {
    use std::mem;

    use super::Seen;

    pub(super) fn boot_id() -> String {
        let mut text = [0_u8; 64];
        let mut length = text.len();
        // SAFETY: the name ends in a zero byte; pointer and length are those of one live array.
        let failed = unsafe {
            libc::sysctlbyname(
                c"kern.bootsessionuuid".as_ptr(),
                text.as_mut_ptr().cast(),
                &raw mut length,
                std::ptr::null_mut(),
                0,
            )
        };
        if failed != 0 {
            return String::new();
        }
        String::from_utf8_lossy(&text[..length.min(text.len())])
            .trim_end_matches('\0')
            .to_owned()
    }

    pub(super) fn pid_namespace() -> u64 {
        0
    }

    pub(super) fn time_namespace() -> u64 {
        0
    }

    /// Times are microseconds since the Unix epoch. Another user's process shows nothing.
    pub(super) fn look(pid: u32) -> Seen {
        // SAFETY: plain data that the kernel fills in, of the size it is told.
        let (read, info) = unsafe {
            let mut info: libc::proc_bsdinfo = mem::zeroed();
            let size = mem::size_of_val(&info) as libc::c_int;
            let read = libc::proc_pidinfo(
                pid as libc::c_int,
                libc::PROC_PIDTBSDINFO,
                0,
                (&raw mut info).cast(),
                size,
            );
            (read == size, info)
        };
        match read {
            true if info.pbi_status == libc::SZOMB => Seen::Zombie,
            true => Seen::Running(info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec),
            false => Seen::Nothing,
        }
    }
}

#[cfg(target_os = "linux")]
mod files {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::{fs, io};

    const FUSE: u64 = 0x6573_5546;

    /// Magic numbers of statfs(2) and the kernel's `magic.h`: file systems whose writers may be other kernels.
    const NETWORK: [(u64, &str); 18] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xfe53_4d42, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0x0102_1997, "9p"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
        (0x5346_414f, "AFS"),
        (0x6b41_4653, "AFS"),
        (0x7375_7245, "Coda"),
        (0x564c, "NCP"),
        (0x0116_1970, "GFS2"),
        (0x7461_636f, "OCFS2"),
        (0x4750_4653, "GPFS"),
        (0x1983_0326, "BeeGFS"),
        (0x786f_4256, "a VirtualBox shared folder"),
        (0xbacb_acbc, "a VMware shared folder"),
        (0x7c7c_6673, "a Parallels shared folder"),
    ];

    /// Of the file systems in user space, those with other writers, by their name in `mountinfo`.
    const REMOTE_FUSE: [&str; 16] = [
        "sshfs",
        "glusterfs",
        "s3fs",
        "rclone",
        "gcsfuse",
        "blobfuse",
        "blobfuse2",
        "goofys",
        "mount-s3",
        "ceph-fuse",
        "juicefs",
        "mfs",
        "curlftpfs",
        "virtiofs",
        "grpcfuse",
        "osxfs",
    ];

    pub(super) fn network_kind(path: &Path) -> io::Result<Option<String>> {
        // The field's type and sign differ by architecture; the number has 32 bits.
        let magic = u64::from(rustix::fs::statfs(path)?.f_type as u32);
        if magic != FUSE {
            return Ok(network_name(magic).map(str::to_owned));
        }
        let device = fs::metadata(path)?.dev();
        let kind = mounted_kind(&fs::read_to_string("/proc/self/mountinfo")?, device);
        Ok(kind.filter(|kind| is_remote(kind)))
    }

    fn network_name(magic: u64) -> Option<&'static str> {
        let (_, name) = NETWORK.iter().find(|(number, _)| *number == magic)?;
        Some(name)
    }

    fn is_remote(kind: &str) -> bool {
        REMOTE_FUSE.contains(&kind.strip_prefix("fuse.").unwrap_or(kind))
    }

    /// The type of the mounted `device`, by proc_pid_mountinfo(5): `36 35 98:0 / /mnt rw shared:1 - fuse.sshfs host: rw`.
    fn mounted_kind(mountinfo: &str, device: u64) -> Option<String> {
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let wanted = format!("{major}:{minor}");
        mountinfo
            .lines()
            .find(|line| line.split(' ').nth(2) == Some(wanted.as_str()))
            .and_then(|line| line.split(" - ").nth(1)?.split(' ').next())
            .map(str::to_owned)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const MOUNTINFO: &str = "\
            25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
            36 30 0:98 / /far rw,nosuid shared:1 - fuse.sshfs ada@far: rw,user_id=0\n\
            37 30 0:99 / /near rw - fuse.portal portal rw\n";

        #[test]
        fn a_network_file_system_is_known_by_its_number_and_a_local_one_is_none() {
            assert_eq!(network_name(0x6969), Some("NFS"));
            assert_eq!(network_name(0xff53_4d42), Some("CIFS"));
            for local in [0xef53, 0x0102_1994, 0x5846_5342, 0x9123_683e] {
                assert_eq!(network_name(local), None, "{local:x}");
            }
        }

        #[test]
        fn a_file_system_in_user_space_is_known_by_the_type_of_its_mount() {
            let kind = |minor| mounted_kind(MOUNTINFO, rustix::fs::makedev(0, minor));
            assert_eq!(kind(98).as_deref(), Some("fuse.sshfs"));
            assert_eq!(kind(99).as_deref(), Some("fuse.portal"));
            assert_eq!(kind(9), None);
        }

        #[test]
        fn only_a_file_system_in_user_space_with_other_writers_is_remote() {
            assert!(is_remote("fuse.sshfs"));
            assert!(is_remote("virtiofs"));
            assert!(!is_remote("fuse.portal"));
        }
    }
}

#[cfg(target_vendor = "apple")]
mod files {
    use std::io;
    use std::path::Path;

    pub(super) fn network_kind(path: &Path) -> io::Result<Option<String>> {
        let file_system = rustix::fs::statfs(path)?;
        let local = file_system.f_flags & libc::MNT_LOCAL as u32 != 0;
        Ok((!local).then(|| "a network file system".to_owned()))
    }
}
