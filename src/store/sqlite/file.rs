//! The store's file and folder: found, judged and made, by name only.
//!
//! Nothing here opens an existing file: closing it again would drop the locks that SQLite holds on it (POSIX).

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error::{Error, Result};
use crate::system;

/// A store's place: an absolute path without links, of a file that may not exist yet.
#[derive(Clone, Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
}

/// Tells a file from the one that was under the same name before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// Of a file that is opened as one that never changes: its size and time, by which a change shows.
    content: Option<(u64, i64, i64)>,
}

impl StoreFile {
    /// The file that `path` names. Links above its folder are followed, so that equal stores have equal paths.
    pub(super) fn locate(path: &Path) -> Result<Self> {
        let unusable =
            |why: String| Error::store("store_path", format!("the store {} {why}", path.display()));
        let absolute =
            std::path::absolute(path).map_err(|error| unusable(format!("has no path: {error}")))?;
        let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(unusable("names no file".to_owned()));
        };
        refuse_link(folder)?;
        let folder =
            canonical(folder).map_err(|error| unusable(format!("can't be looked for: {error}")))?;
        Ok(Self {
            path: folder.join(name),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of reply slots beside it.
    pub(super) fn spill_folder(&self) -> PathBuf {
        self.beside(".spill")
    }

    /// Which file is there now; `None` when there is none, or one that nothing was written to yet.
    pub(super) fn look(&self) -> Result<Option<Identity>> {
        let metadata = match fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(self.error("store_unreadable", format!("can't be read: {error}")));
            }
        };
        self.judge(&metadata)?;
        Ok((metadata.len() > 0).then(|| Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            content: self
                .is_frozen()
                .then(|| (metadata.len(), metadata.mtime(), metadata.mtime_nsec())),
        }))
    }

    /// Whether it, or the folder that it would be made in, can be written.
    pub(super) fn writable(&self) -> bool {
        let mut place = self.path.as_path();
        if may_write(place) {
            return self.path.parent().is_some_and(may_write);
        }
        if fs::symlink_metadata(place).is_ok() {
            return false;
        }
        // The nearest folder that exists is where the others would be made.
        while let Some(folder) = place.parent() {
            if folder.exists() {
                return may_write(folder);
            }
            place = folder;
        }
        false
    }

    /// Whether it is read as a file that never changes: it can't be written, and no log of changes lies beside it.
    pub(super) fn is_frozen(&self) -> bool {
        !self.writable() && !is_filled(&self.beside("-wal"))
    }

    /// Makes folder and file, each open to nobody else from the start. One that is there is left as it is.
    pub(super) fn create(&self) -> Result<()> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull => self.disk_full("made"),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => self.read_only(),
            _ => self.error("store_unwritable", format!("can't be made: {error}")),
        };
        // In this order: another process that makes the store has the file before its log.
        if is_filled(&self.beside("-wal")) && fs::symlink_metadata(&self.path).is_err() {
            return Err(self.gone());
        }
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        if !folder.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(failed)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        self.refuse_place()?;
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)
        {
            // The mode above is narrowed by the umask; this one is exact.
            Ok(file) => file
                .set_permissions(fs::Permissions::from_mode(0o600))
                .map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }

    /// Refuses a folder where the file could be exchanged or where several kernels write.
    pub(super) fn refuse_place(&self) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        refuse_link(folder)?;
        let unreadable =
            |error: io::Error| self.error("store_unreadable", format!("can't be read: {error}"));
        let mode = fs::metadata(folder).map_err(unreadable)?.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(self
                .error(
                    "store_folder_open",
                    "is in a folder that everybody can write",
                )
                .hint(format!("chmod o-w {}", word(folder))));
        }
        self.refuse_network(system::network_file_system(folder).map_err(unreadable)?)
    }

    fn refuse_network(&self, kind: Option<String>) -> Result<()> {
        match kind {
            Some(kind) => Err(self
                .error(
                    "store_on_network",
                    format!("is on {kind}, where SQLite's log is not safe: it needs one kernel"),
                )
                .hint("export EVERGRANT_STORE=/a/local/folder/store.db")),
            None => Ok(()),
        }
    }

    /// Takes away what others may do with it, as after a restored backup.
    pub(super) fn close_to_others(&self) {
        let open = |metadata: &Metadata| metadata.mode() & 0o077 != 0;
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| open(&metadata)) {
            // Another user's file stays as it is; what it holds is sealed.
            let _ = fs::set_permissions(&self.path, fs::Permissions::from_mode(0o600));
        }
    }

    pub(super) fn gone(&self) -> Error {
        self.error(
            "store_gone",
            "was removed while it was in use; a new one would lose its grants",
        )
        .hint(format!("ls -l {}*", word(&self.path)))
    }

    pub(super) fn disk_full(&self, what: &str) -> Error {
        let folder = word(self.path.parent().unwrap_or(Path::new("/")));
        self.error("disk_full", format!("can't be {what}: the disk is full"))
            .hint(format!("df -h {folder}"))
    }

    fn listed(&self) -> String {
        format!("ls -l {}", word(&self.path))
    }

    /// One file under two names.
    pub(super) fn linked(&self, other: &Self) -> Error {
        let other = other.path();
        self.error(
            "store_linked",
            format!(
                "is the same file as {}, which is in use here, and SQLite keeps a log for each name",
                other.display()
            ),
        )
        .hint(format!("export EVERGRANT_STORE={}", word(other)))
    }

    pub(super) fn read_only(&self) -> Error {
        self.error("store_read_only", "can't be written")
            .hint(format!(
                "ls -ld {} {}",
                word(self.path.parent().unwrap_or(Path::new("/"))),
                word(&self.path)
            ))
    }

    /// The command that puts a damaged store away with its log, so that it can be mended or replaced by a backup.
    pub(super) fn set_aside(&self) -> String {
        let aside = word(&self.path().with_file_name("damaged"));
        format!("mkdir {aside} && mv {}* {aside}", word(self.path()))
    }

    /// An error of this store: `The store PATH WHY`.
    pub(super) fn error(&self, code: &'static str, why: impl std::fmt::Display) -> Error {
        Error::store(code, format!("the store {} {why}", self.path.display()))
    }

    fn judge(&self, metadata: &Metadata) -> Result<()> {
        let kind = metadata.file_type();
        let what = if kind.is_file() {
            None
        } else if kind.is_symlink() {
            Some("is a symbolic link, and has to be the file itself")
        } else if kind.is_dir() {
            Some("is a folder, and has to be a file")
        } else if kind.is_fifo() || kind.is_socket() {
            Some("is a pipe or socket, and has to be a file")
        } else {
            Some("is a device, and has to be a file")
        };
        if let Some(what) = what {
            let hint = match fs::canonicalize(&self.path) {
                Ok(target) if kind.is_symlink() => {
                    format!("export EVERGRANT_STORE={}", word(&target))
                }
                Ok(folder) if kind.is_dir() => {
                    format!("export EVERGRANT_STORE={}", word(&folder.join("store.db")))
                }
                _ => self.listed(),
            };
            return Err(self.error("store_no_file", what).hint(hint));
        }
        let own = rustix::process::geteuid().as_raw();
        if own != 0 && ![own, 0].contains(&metadata.uid()) {
            let error = self.error("store_of_another", "belongs to another user");
            return Err(error.hint(self.listed()));
        }
        Ok(())
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        name.into()
    }
}

/// Refuses a folder that is a link, unless only root could have made it (`/tmp` on macOS).
fn refuse_link(folder: &Path) -> Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(metadata)
            if metadata.file_type().is_symlink()
                && (metadata.uid() != 0 || rustix::process::geteuid().is_root()) =>
        {
            Err(Error::store(
                "store_folder_is_link",
                format!("the store's folder {} is a symbolic link", folder.display()),
            )
            .hint(format!(
                "export EVERGRANT_HOME=\"$(readlink -f {})\"",
                word(folder)
            )))
        }
        _ => Ok(()),
    }
}

/// The path without links of a folder that may not exist yet.
fn canonical(folder: &Path) -> io::Result<PathBuf> {
    match (
        fs::canonicalize(folder),
        folder.parent(),
        folder.file_name(),
    ) {
        (Err(error), Some(parent), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            Ok(canonical(parent)?.join(name))
        }
        (outcome, ..) => outcome,
    }
}

/// A path as one word of a shell.
pub(super) fn word(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

fn may_write(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

fn is_filled(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_and_quotes_is_one_word_of_a_hint() {
        let file = StoreFile {
            path: "/it's a/store.db".into(),
        };
        assert_eq!(
            file.read_only().next_command(),
            Some(r"ls -ld '/it'\''s a' '/it'\''s a/store.db'")
        );
        assert_eq!(
            file.gone().next_command(),
            Some(r"ls -l '/it'\''s a/store.db'*")
        );
    }

    #[test]
    fn a_network_file_system_is_refused_by_name_with_the_next_command() {
        let file = StoreFile {
            path: "/far/store.db".into(),
        };
        let error = file
            .refuse_network(Some("NFS".to_owned()))
            .expect_err("NFS is refused");
        assert_eq!(error.code(), "store_on_network");
        assert!(error.reason().contains("NFS"), "{error}");
        assert!(error.next_command().is_some());
        assert!(file.refuse_network(None).is_ok());
    }
}
