//! System calls, by name and by the file that they are about.

use std::fs;
use std::path::Path;

use libc::{c_long, user_regs_struct};
use nix::errno::Errno;
use nix::unistd::Pid;

use super::tracer::text_at;
use super::workspace::CALLBACK_FILE;

/// A call at its entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Call {
    /// Its name.
    pub(super) name: String,
    /// The file it is about: a name below the victim's folder, `socket`, or nothing that matters.
    pub(super) file: String,
    /// Whether it is about a file below the victim's folder.
    inside: bool,
    /// The open file that it names, if it names one.
    number: Option<u64>,
    /// Whether it may make a file.
    makes: bool,
}

/// Where a call names its file.
#[derive(Clone, Copy)]
enum Names {
    /// An open file, as this argument.
    Open(usize),
    /// A path, as this argument.
    Path(usize),
    Nothing,
}

use Names::{Nothing, Open, Path as ByPath};

/// Those that the victims make. The rest is named by its number.
const CALLS: [(c_long, &str, Names); 72] = [
    (libc::SYS_accept4, "accept4", Nothing),
    (libc::SYS_access, "access", ByPath(0)),
    (libc::SYS_bind, "bind", Nothing),
    (libc::SYS_brk, "brk", Nothing),
    (libc::SYS_chmod, "chmod", ByPath(0)),
    (libc::SYS_clone, "clone", Nothing),
    (libc::SYS_clone3, "clone3", Nothing),
    (libc::SYS_close, "close", Open(0)),
    (libc::SYS_connect, "connect", Open(0)),
    (libc::SYS_epoll_create1, "epoll_create1", Nothing),
    (libc::SYS_epoll_ctl, "epoll_ctl", Nothing),
    (libc::SYS_epoll_wait, "epoll_wait", Nothing),
    (libc::SYS_eventfd2, "eventfd2", Nothing),
    (libc::SYS_exit, "exit", Nothing),
    (libc::SYS_faccessat, "faccessat", ByPath(1)),
    (libc::SYS_faccessat2, "faccessat2", ByPath(1)),
    (libc::SYS_fallocate, "fallocate", Open(0)),
    (libc::SYS_fchmod, "fchmod", Open(0)),
    (libc::SYS_fchmodat, "fchmodat", ByPath(1)),
    (libc::SYS_fchown, "fchown", Open(0)),
    (libc::SYS_fcntl, "fcntl", Open(0)),
    (libc::SYS_fdatasync, "fdatasync", Open(0)),
    (libc::SYS_fstat, "fstat", Open(0)),
    (libc::SYS_fsync, "fsync", Open(0)),
    (libc::SYS_ftruncate, "ftruncate", Open(0)),
    (libc::SYS_futex, "futex", Nothing),
    (libc::SYS_getcwd, "getcwd", Nothing),
    (libc::SYS_getdents64, "getdents64", Open(0)),
    (libc::SYS_geteuid, "geteuid", Nothing),
    (libc::SYS_getpeername, "getpeername", Nothing),
    (libc::SYS_getpid, "getpid", Nothing),
    (libc::SYS_getrandom, "getrandom", Nothing),
    (libc::SYS_getsockname, "getsockname", Nothing),
    (libc::SYS_getsockopt, "getsockopt", Nothing),
    (libc::SYS_link, "link", ByPath(0)),
    (libc::SYS_linkat, "linkat", ByPath(1)),
    (libc::SYS_listen, "listen", Nothing),
    (libc::SYS_lseek, "lseek", Open(0)),
    (libc::SYS_lstat, "lstat", ByPath(0)),
    (libc::SYS_madvise, "madvise", Nothing),
    (libc::SYS_mkdir, "mkdir", ByPath(0)),
    (libc::SYS_mmap, "mmap", Open(4)),
    (libc::SYS_mprotect, "mprotect", Nothing),
    (libc::SYS_munmap, "munmap", Nothing),
    (libc::SYS_newfstatat, "newfstatat", ByPath(1)),
    (libc::SYS_open, "open", ByPath(0)),
    (libc::SYS_openat, "openat", ByPath(1)),
    (libc::SYS_poll, "poll", Nothing),
    (libc::SYS_pread64, "pread64", Open(0)),
    (libc::SYS_prctl, "prctl", Nothing),
    (libc::SYS_pwrite64, "pwrite64", Open(0)),
    (libc::SYS_read, "read", Open(0)),
    (libc::SYS_readlink, "readlink", ByPath(0)),
    (libc::SYS_recvfrom, "recvfrom", Open(0)),
    (libc::SYS_rename, "rename", ByPath(0)),
    (libc::SYS_renameat2, "renameat2", ByPath(1)),
    (libc::SYS_rseq, "rseq", Nothing),
    (libc::SYS_rt_sigprocmask, "rt_sigprocmask", Nothing),
    (libc::SYS_sched_yield, "sched_yield", Nothing),
    (libc::SYS_sendto, "sendto", Open(0)),
    (libc::SYS_set_robust_list, "set_robust_list", Nothing),
    (libc::SYS_setsockopt, "setsockopt", Nothing),
    (libc::SYS_shutdown, "shutdown", Open(0)),
    (libc::SYS_sigaltstack, "sigaltstack", Nothing),
    (libc::SYS_socket, "socket", Nothing),
    (libc::SYS_stat, "stat", ByPath(0)),
    (libc::SYS_statfs, "statfs", ByPath(0)),
    (libc::SYS_statx, "statx", ByPath(1)),
    (libc::SYS_unlink, "unlink", ByPath(0)),
    (libc::SYS_unlinkat, "unlinkat", ByPath(1)),
    (libc::SYS_write, "write", Open(0)),
    (libc::SYS_writev, "writev", Open(0)),
];

impl Call {
    /// The call that a thread of `process` is about to make.
    pub(super) fn read(process: Pid, folder: &Path, registers: &user_regs_struct) -> Self {
        let arguments = [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
        ];
        let known = CALLS
            .iter()
            .find(|(number, ..)| number.cast_unsigned() == registers.orig_rax);
        let (name, names) = match known {
            Some((_, name, names)) => ((*name).to_owned(), *names),
            None => (format!("call {}", registers.orig_rax), Nothing),
        };
        let (path, number) = match names {
            Open(at) => {
                let number = arguments[at] & u64::from(u32::MAX);
                let link = fs::read_link(format!("/proc/{process}/fd/{number}"));
                let path = link.ok().map(|path| path.to_string_lossy().into_owned());
                (path, Some(number))
            }
            ByPath(at) => {
                let path = text_at(process, arguments[at]);
                // With an empty path the open file is meant.
                let path = match path.as_deref() {
                    Some("") => fs::read_link(format!("/proc/{process}/fd/{}", arguments[0]))
                        .ok()
                        .map(|path| path.to_string_lossy().into_owned()),
                    _ => path,
                };
                (path, None)
            }
            Nothing => (None, None),
        };
        let path = path.unwrap_or_default();
        let inside = Path::new(&path).strip_prefix(folder).ok();
        let file = match inside {
            Some(inside) => word(&inside.to_string_lossy()),
            None if path.starts_with("socket:") => "socket".to_owned(),
            None => String::new(),
        };
        let creates = u64::from(libc::O_CREAT.cast_unsigned());
        let makes = match &*name {
            "openat" => arguments[2] & creates != 0,
            "open" => arguments[1] & creates != 0,
            _ => false,
        };
        Self {
            inside: inside.is_some(),
            name,
            file,
            number,
            makes,
        }
    }

    /// Whether it writes to the standard output.
    pub(super) fn is_word(&self) -> bool {
        self.name == "write" && self.number == Some(1)
    }

    /// Whether it hears from a server.
    pub(super) fn hears(&self) -> bool {
        self.name == "recvfrom"
    }

    /// Whether a disk can let this call fail so.
    pub(super) fn may_fail_with(&self, errno: Errno) -> bool {
        let grows = matches!(
            &*self.name,
            "write" | "writev" | "pwrite64" | "ftruncate" | "fallocate" | "fsync" | "fdatasync"
        ) || matches!(
            &*self.name,
            "mkdir" | "link" | "linkat" | "rename" | "renameat2"
        ) || self.makes;
        let harmless = matches!(&*self.name, "close" | "fcntl" | "lseek");
        self.inside
            && self.file != CALLBACK_FILE
            && match errno {
                Errno::ENOSPC => grows,
                _ => !harmless,
            }
    }
}

/// Whether it reads the standard input.
pub(super) fn is_reading(call: &Call) -> bool {
    call.name == "read" && call.number == Some(0)
}

/// A file's name without what differs from run to run.
fn word(inside: &str) -> String {
    let name = inside.rsplit('/').next().unwrap_or_default();
    match (inside, name) {
        _ if inside.contains(".spill/") => "slot".to_owned(),
        (_, name) if name.starts_with("key.") => "key.new".to_owned(),
        ("", _) => ".".to_owned(),
        (_, name) => name.to_owned(),
    }
}
