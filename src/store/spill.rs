//! Replies that are not committed yet: one file per process beside the store, slots of 64 KiB taken from the disk in
//! advance, each written with one call before anything else is done with a reply.
//!
//! A frame is its magic, the length and SHA-256 checksum of the rest, then the names in clear and the sealed reply. A
//! torn one fails its checksum and is nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{AttemptId, Orphan, Owner, Sealed, Slot, Spilled, lock};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::model::{ConnectionKey, GrantType, IntegrationKey};
use crate::system::{self, Liveness};

/// What one slot holds, its frame included.
pub const SLOT_SIZE: u64 = 64 * 1024;

/// The replies of all processes that share a store.
pub struct Spill {
    folder: PathBuf,
    /// Tells the files of this process apart: a store that was closed can leave slots behind that are still in use.
    instance: u64,
    own: Arc<Mutex<Own>>,
}

/// This process's file and its slots.
#[derive(Default)]
struct Own {
    /// The process it belongs to: a forked child starts anew.
    epoch: u64,
    file: Option<Arc<File>>,
    /// Slots ever made.
    made: u64,
    free: Vec<u64>,
    /// Dropped with a reply still in them.
    abandoned: Vec<u64>,
}

impl Spill {
    /// Replies in `folder`, which the first slot makes.
    pub fn new(folder: PathBuf) -> Self {
        static INSTANCES: AtomicU64 = AtomicU64::new(0);
        Self {
            folder,
            instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
            own: Arc::default(),
        }
    }

    /// A slot of this process's file, its space taken from the disk.
    ///
    /// # Errors
    /// `Store` errors: a full disk is found here, before anything is sent.
    pub fn reserve(&self) -> Result<Box<dyn Slot>> {
        let mut own = self.own();
        let file = match &own.file {
            // A folder that was removed took the file with it.
            Some(file) if file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) => {
                Arc::clone(file)
            }
            _ => {
                let file = Arc::new(self.create().map_err(|error| self.failed(&error))?);
                *own = Own {
                    epoch: own.epoch,
                    file: Some(Arc::clone(&file)),
                    ..Own::default()
                };
                file
            }
        };
        let number = match own.free.pop() {
            Some(number) => number,
            None => {
                system::reserve_space(&file, own.made * SLOT_SIZE, SLOT_SIZE)
                    .map_err(|error| self.failed(&error))?;
                own.made += 1;
                own.made - 1
            }
        };
        Ok(Box::new(FileSlot {
            file,
            path: self.own_path(),
            epoch: own.epoch,
            number,
            filled: Mutex::new(false),
            own: Arc::clone(&self.own),
        }))
    }

    /// Replies left by processes that are gone or can't be seen, by a store of this one that was closed, or by dropped
    /// slots of this one. Files that hold nothing are removed if their process is gone, or can't be seen and has not
    /// used its file for a week: it makes a new one when it needs one.
    ///
    /// # Errors
    /// `Store` errors when the folder is there and can't be read.
    pub fn orphans(&self, connection: Option<&ConnectionKey>) -> Result<Vec<Orphan>> {
        let files = self.files()?;
        let mut orphans = self.abandoned();
        let own_path = self.own_path();
        for (path, owner) in files {
            let liveness = self.liveness(&owner);
            // Of this process, but not of this store: closed by now, it answers to nobody.
            let closed = owner == system::owner() && path != own_path;
            if liveness == Liveness::Alive && !closed {
                continue;
            }
            // A file that can't be read, or went away meanwhile, holds nothing for us.
            let Ok(left) = read_all(&path) else { continue };
            if left.is_empty() && (liveness == Liveness::Dead || is_stale(&path)) {
                let _ = fs::remove_file(&path);
            }
            orphans.extend(left);
        }
        orphans.retain(|orphan| connection.is_none_or(|key| *key == orphan.spilled.connection));
        Ok(orphans)
    }

    /// The reply in the slot of this attempt, whoever made it.
    ///
    /// # Errors
    /// `Store` errors when the folder is there and can't be read.
    pub fn reply_of(&self, attempt: AttemptId) -> Result<Option<Spilled>> {
        let files = self.files()?.into_iter();
        // A file that can't be read, or went away meanwhile, holds nothing for us.
        let mut replies = files.flat_map(|(path, _)| read_all(&path).unwrap_or_default());
        let found = replies.find(|reply| reply.spilled.attempt == attempt);
        Ok(found.map(|reply| reply.spilled))
    }

    /// Empties the slot of an orphan, unless something else is in it by now.
    ///
    /// # Errors
    /// `Store` errors when the file can't be written.
    pub fn forget(&self, orphan: &Orphan) -> Result<()> {
        let (path, number) = &orphan.place;
        let mut own = self.own();
        let file = if *path == self.own_path() {
            let Some(at) = own
                .abandoned
                .iter()
                .position(|abandoned| abandoned == number)
            else {
                // Another caller was faster: the slot is free by now, or in use again.
                return Ok(());
            };
            own.abandoned.swap_remove(at);
            own.free.push(*number);
            own.file.clone()
        } else {
            open(path).ok().map(Arc::new)
        };
        let Some(file) = file else { return Ok(()) };
        if read(&file, *number).is_some_and(|spilled| spilled == orphan.spilled) {
            clear(&file, *number).map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// The files of all processes, each with its owner.
    fn files(&self) -> Result<Vec<(PathBuf, Owner)>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(&error)),
        };
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        Ok(paths
            .filter_map(|path| {
                let owner = parse_name(path.file_name()?.to_str()?)?;
                Some((path, owner))
            })
            .collect())
    }

    fn abandoned(&self) -> Vec<Orphan> {
        let own = self.own();
        let Some(file) = &own.file else {
            return Vec::new();
        };
        own.abandoned
            .iter()
            .filter_map(|&number| {
                read(file, number).map(|spilled| Orphan {
                    spilled,
                    place: (self.own_path(), number),
                })
            })
            .collect()
    }

    /// An owner of another boot is dead: the file is on this host.
    fn liveness(&self, owner: &Owner) -> Liveness {
        if owner.boot_id == system::owner().boot_id {
            system::liveness(owner)
        } else {
            Liveness::Dead
        }
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        let mut own = lock(&self.own);
        if own.epoch != system::epoch() {
            *own = Own {
                epoch: system::epoch(),
                ..Own::default()
            };
        }
        own
    }

    fn own_path(&self) -> PathBuf {
        self.folder.join(name_of(&system::owner(), self.instance))
    }

    fn create(&self) -> io::Result<File> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Ok(()) => fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if !fs::symlink_metadata(&self.folder)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(self.own_path())?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        Ok(file)
    }

    fn failed(&self, error: &io::Error) -> Error {
        failed(&self.folder, error)
    }
}

/// A slot in this process's file.
struct FileSlot {
    file: Arc<File>,
    path: PathBuf,
    epoch: u64,
    number: u64,
    filled: Mutex<bool>,
    own: Arc<Mutex<Own>>,
}

impl Slot for FileSlot {
    fn write(&self, reply: &Spilled) -> Result<()> {
        let _entered = system::enter();
        self.must_be_ours()?;
        let frame = encode(reply)?;
        // Half a frame is nothing to others, and something to be cleared to us.
        *lock(&self.filled) = true;
        self.file
            .write_all_at(&frame, self.number * SLOT_SIZE)
            .map_err(|error| failed(&self.path, &error))
    }

    /// With the names that lead to it, from the store's folder on: a power cut may undo those too.
    fn sync(&self) -> Result<()> {
        let folders = self.path.ancestors().skip(1).take(2);
        folders
            .map(|folder| File::open(folder)?.sync_all())
            .chain([self.file.sync_data()])
            .collect::<io::Result<()>>()
            .map_err(|error| failed(&self.path, &error))
    }

    fn clear(&self) -> Result<()> {
        let _entered = system::enter();
        self.must_be_ours()?;
        clear(&self.file, self.number).map_err(|error| failed(&self.path, &error))?;
        *lock(&self.filled) = false;
        Ok(())
    }
}

impl FileSlot {
    /// A forked child got the parent's slot, and must leave it alone.
    fn must_be_ours(&self) -> Result<()> {
        if self.epoch == system::epoch() {
            Ok(())
        } else {
            Err(Error::internal("a slot was used after a fork"))
        }
    }
}

impl Drop for FileSlot {
    fn drop(&mut self) {
        let _entered = system::enter();
        let mut own = lock(&self.own);
        let same_file = own
            .file
            .as_ref()
            .is_some_and(|file| Arc::ptr_eq(file, &self.file));
        if own.epoch != self.epoch || !same_file {
            return;
        }
        match *lock(&self.filled) {
            true => own.abandoned.push(self.number),
            false => own.free.push(self.number),
        }
    }
}

const MAGIC: [u8; 4] = *b"EGR1";
const CHECKSUM: usize = 32;
const HEADER: usize = MAGIC.len() + 4 + CHECKSUM;

fn name_of(owner: &Owner, instance: u64) -> String {
    let Owner {
        boot_id,
        pid_namespace,
        pid,
        start_time,
    } = owner;
    format!("{pid}-{start_time}-{pid_namespace}-{instance}-{boot_id}")
}

fn parse_name(name: &str) -> Option<Owner> {
    let mut parts = name.splitn(5, '-');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (pid, start_time, pid_namespace, _instance) = (number()?, number()?, number()?, number()?);
    Some(Owner {
        boot_id: parts.next()?.to_owned(),
        pid_namespace,
        pid: pid.try_into().ok()?,
        start_time,
    })
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

fn is_stale(path: &Path) -> bool {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    let changed =
        fs::symlink_metadata(path).map(|metadata| Timestamp::from_millis(metadata.mtime() * 1000));
    changed.is_ok_and(|changed| Clock::system().wall().since(changed) > WEEK)
}

fn read_all(path: &Path) -> io::Result<Vec<Orphan>> {
    let file = open(path)?;
    let slots = file.metadata()?.len().div_ceil(SLOT_SIZE);
    Ok((0..slots)
        .filter_map(|number| {
            read(&file, number).map(|spilled| Orphan {
                spilled,
                place: (path.to_owned(), number),
            })
        })
        .collect())
}

/// The reply in a slot; `None` when there is none, or half of one.
fn read(file: &File, number: u64) -> Option<Spilled> {
    let at = number * SLOT_SIZE;
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, at).ok()?;
    let (magic, rest) = header.split_at(MAGIC.len());
    let (length, checksum) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if magic != MAGIC || length > SLOT_SIZE as usize - HEADER {
        return None;
    }
    let mut body = vec![0; length];
    file.read_exact_at(&mut body, at + HEADER as u64).ok()?;
    (Sha256::digest(&body)[..] == *checksum).then_some(())?;
    decode(&body)
}

fn clear(file: &File, number: u64) -> io::Result<()> {
    file.write_all_at(&[0; HEADER], number * SLOT_SIZE)
}

fn encode(reply: &Spilled) -> Result<Vec<u8>> {
    let ConnectionKey {
        integration,
        connection,
    } = &reply.connection;
    let mut body = Vec::with_capacity(reply.sealed.blob.len() + 512);
    body.extend_from_slice(&reply.attempt.0);
    body.extend_from_slice(&reply.sealed.key_id.to_be_bytes());
    body.extend_from_slice(&reply.sealed.generation.to_be_bytes());
    for field in [
        integration.workspace.as_bytes(),
        integration.provider.as_bytes(),
        integration.grant_type.as_str().as_bytes(),
        connection.as_bytes(),
        &reply.sealed.blob,
    ] {
        body.extend_from_slice(&(field.len() as u64).to_be_bytes());
        body.extend_from_slice(field);
    }
    if body.len() > SLOT_SIZE as usize - HEADER {
        return Err(Error::store(
            "reply_too_big",
            format!(
                "a reply of {} bytes does not fit the space kept for it",
                body.len()
            ),
        ));
    }
    let mut frame = Vec::with_capacity(HEADER + body.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&Sha256::digest(&body));
    frame.append(&mut body);
    Ok(frame)
}

fn decode(body: &[u8]) -> Option<Spilled> {
    let (attempt, body) = body.split_first_chunk::<16>()?;
    let (key_id, body) = body.split_first_chunk::<8>()?;
    let (generation, mut rest) = body.split_first_chunk::<8>()?;
    let mut field = || {
        let (length, behind) = rest.split_first_chunk::<8>()?;
        let (field, behind) =
            behind.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
        rest = behind;
        Some(field)
    };
    let workspace = str::from_utf8(field()?).ok()?;
    let provider = str::from_utf8(field()?).ok()?;
    let grant_type = GrantType::parse(str::from_utf8(field()?).ok()?)?;
    let connection = str::from_utf8(field()?).ok()?;
    let blob = field()?.to_vec();
    rest.is_empty().then(|| Spilled {
        connection: ConnectionKey {
            integration: IntegrationKey {
                workspace: workspace.into(),
                provider: provider.into(),
                grant_type,
            },
            connection: connection.into(),
        },
        attempt: AttemptId(*attempt),
        sealed: Sealed {
            key_id: i64::from_be_bytes(*key_id),
            generation: u64::from_be_bytes(*generation),
            blob,
        },
    })
}

fn failed(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::store(
            "disk_full",
            format!(
                "the disk is full: {} has no room for a reply",
                path.display()
            ),
        ),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Error::store(
            "store_read_only",
            format!("{} can't be written: {error}", path.display()),
        ),
        _ => Error::store(
            "spill_failed",
            format!("{} can't be used to keep replies: {error}", path.display()),
        ),
    }
}
