//! Where the master key comes from: the caller, the environment, or a key file made at first use.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use super::keys::MasterKey;
use super::{quoted, random};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::{Secret, SecretBytes};

/// All that may name a master key, in order of precedence.
#[derive(Clone, Debug, Default)]
pub struct KeySource {
    /// What the caller gave.
    pub explicit: Option<ExplicitKey>,
    /// What the environment says.
    pub environment: Environment,
    /// The folder of configuration (`$XDG_CONFIG_HOME`, `~/.config`): the generated key is `evergrant/key` in it.
    pub config_home: Option<PathBuf>,
}

/// A key that the caller gave.
#[derive(Clone, Debug)]
pub enum ExplicitKey {
    /// 32 bytes.
    Bytes(SecretBytes),
    /// Their base64 text.
    Text(Secret),
}

/// Values of the environment, read by whoever owns the process: here nothing reads a variable.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `EVERGRANT_KEY`: base64, standard or URL-safe, padding optional.
    pub key: Option<Secret>,
    /// `EVERGRANT_KEY_FILE`: a file with that text on one line, or with exactly 32 raw bytes.
    pub key_file: Option<PathBuf>,
    /// `EVERGRANT_KEY_COMMAND`: a command whose standard output is that text.
    pub key_command: Option<String>,
}

/// The variables that no child process of ours gets.
pub const KEY_VARIABLES: [&str; 3] = [
    "EVERGRANT_KEY",
    "EVERGRANT_KEY_FILE",
    "EVERGRANT_KEY_COMMAND",
];

impl KeySource {
    /// The key for `store`, which wants the key `wanted` if it holds records; made at first use if it holds none.
    ///
    /// May run the key command, so call it outside the fork gate, and not on a thread that has to answer.
    ///
    /// # Errors
    /// Those of [`read`](Self::read) and [`settle`](Self::settle).
    pub fn find(&self, store: &str, wanted: Option<&str>) -> Result<MasterKey> {
        self.settle(self.read()?, store, wanted)
    }

    /// The key that is there; `None` when nothing names one and none was generated yet. Needs no store.
    ///
    /// # Errors
    /// `WrongKey` for a malformed key or one that others can read; `VaultLocked` when a named source gives none.
    pub fn read(&self) -> Result<Option<MasterKey>> {
        let environment = &self.environment;
        match (
            &self.explicit,
            &environment.key,
            &environment.key_file,
            &environment.key_command,
        ) {
            (Some(ExplicitKey::Bytes(bytes)), ..) => {
                from_bytes(bytes.expose(), "the key given").map(Some)
            }
            (Some(ExplicitKey::Text(text)), ..) => {
                from_text(text.expose(), "the key given").map(Some)
            }
            (None, Some(text), ..) => from_text(text.expose(), "EVERGRANT_KEY").map(Some),
            (None, None, Some(path), _) => from_named_file(path).map(Some),
            (None, None, None, Some(command)) => from_command(command, COMMAND_LIMIT).map(Some),
            (None, None, None, None) => self
                .generated_path()
                .map_or(Ok(None), |path| from_generated_file(&path)),
        }
    }

    /// Holds the key that was `read` against the one that `store` wants; with neither, makes the generated one.
    ///
    /// # Errors
    /// `WrongKey` for another store's key; `VaultLocked` when the store holds records and there is no key, or when
    /// there is no place for a new one.
    pub fn settle(
        &self,
        read: Option<MasterKey>,
        store: &str,
        wanted: Option<&str>,
    ) -> Result<MasterKey> {
        match (read, wanted) {
            (Some(key), Some(wanted)) => key.must_be(wanted, store).map(|()| key),
            (Some(key), None) => Ok(key),
            (None, Some(wanted)) => Err(self.locked(store, wanted)),
            (None, None) => match self.generated_path() {
                Some(path) => generate(&path),
                None => Err(locked(
                    "key_has_no_place",
                    "there is no key and no home folder to keep a new one in",
                )
                .hint("export EVERGRANT_KEY=\"$(head -c 32 /dev/urandom | base64)\"")),
            },
        }
    }

    /// Where the generated key is, or would be.
    pub fn generated_path(&self) -> Option<PathBuf> {
        self.config_home
            .as_ref()
            .map(|home| home.join("evergrant").join("key"))
    }

    fn locked(&self, store: &str, wanted: &str) -> Error {
        let mut reason = format!(
            "the store {store} holds records under the key {wanted}, and no key was found: "
        );
        reason.push_str("none was given, EVERGRANT_KEY, EVERGRANT_KEY_FILE and EVERGRANT_KEY_COMMAND are not set");
        match self.generated_path() {
            // Writing to a string can't fail.
            Some(path) => drop(write!(reason, ", {} does not exist", path.display())),
            None => reason.push_str(", there is no home folder"),
        }
        locked("key_missing", reason).hint(NAME_THE_KEY)
    }
}

/// What helps against most mistakes with keys.
pub(super) const NAME_THE_KEY: &str = "export EVERGRANT_KEY_FILE=/path/to/the/key";

/// A person may have to touch a hardware key.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
const SLICE: Duration = Duration::from_millis(10);
/// More than any form of a key needs.
const LONGEST: usize = 4096;

/// Takes the standard alphabet with or without padding; the URL-safe one is translated first.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn from_bytes(bytes: &[u8], whence: &str) -> Result<MasterKey> {
    <[u8; 32]>::try_from(bytes)
        .map(MasterKey::new)
        .map_err(|_| {
            wrong(
                "key_length",
                format!("{whence} has {} bytes, and a key has 32", bytes.len()),
            )
            .hint(NAME_THE_KEY)
        })
}

fn from_text(text: &str, whence: &str) -> Result<MasterKey> {
    let standard: Zeroizing<String> = Zeroizing::new(
        text.trim()
            .chars()
            .map(|letter| match letter {
                '-' => '+',
                '_' => '/',
                other => other,
            })
            .collect(),
    );
    match BASE64.decode(standard.as_bytes()) {
        Ok(bytes) => from_bytes(SecretBytes::from(bytes).expose(), whence),
        Err(_) => Err(wrong(
            "key_text",
            format!("{whence} is not the base64 text of 32 bytes"),
        )
        .hint(NAME_THE_KEY)),
    }
}

/// A file's content: 32 raw bytes, or text on one line.
fn from_content(content: &SecretBytes, whence: &str) -> Result<MasterKey> {
    match (content.expose(), str::from_utf8(content.expose())) {
        (raw, _) if raw.len() == 32 => from_bytes(raw, whence),
        (_, Ok(text)) => from_text(text, whence),
        (raw, Err(_)) => from_bytes(raw, whence),
    }
}

/// A file that the user named: a link is followed and its target judged, as mounted secrets are links.
fn from_named_file(path: &Path) -> Result<MasterKey> {
    let whence = format!("EVERGRANT_KEY_FILE {}", path.display());
    // Opening a pipe must not wait for its writer.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    match opened {
        Ok(file) => from_file(file, path, &whence),
        Err(error) => Err(locked(
            "key_file_unreadable",
            format!("{whence} can't be read: {error}"),
        )),
    }
}

/// The generated file, which must not be a link; `None` when it is not there.
fn from_generated_file(path: &Path) -> Result<Option<MasterKey>> {
    let whence = format!("the key file {}", path.display());
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    match opened {
        Ok(file) => from_file(file, path, &whence).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Err(wrong(
            "key_file_is_link",
            format!("{whence} is a symbolic link, and the generated key must be a file"),
        )
        .hint(format!(
            "export EVERGRANT_KEY_FILE=\"$(readlink -f {})\"",
            quoted(&path.to_string_lossy())
        ))),
        Err(error) => Err(locked(
            "key_file_unreadable",
            format!("{whence} can't be read: {error}"),
        )),
    }
}

fn from_file(file: File, path: &Path, whence: &str) -> Result<MasterKey> {
    let unreadable = |error| {
        locked(
            "key_file_unreadable",
            format!("{whence} can't be read: {error}"),
        )
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(wrong(
            "key_file_is_no_file",
            format!("{whence} is no regular file"),
        ));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(wrong(
            "key_file_open_to_others",
            format!(
                "{whence} can be read or written by others (mode {:04o})",
                metadata.mode() & 0o7777
            ),
        )
        .hint(format!("chmod 600 {}", quoted(&path.to_string_lossy()))));
    }
    let mut content = Vec::with_capacity(LONGEST);
    let read = file.take(LONGEST as u64).read_to_end(&mut content);
    let content = SecretBytes::from(content);
    read.map_err(unreadable)?;
    from_content(&content, whence)
}

/// Makes the generated key so that of two first processes both get the same: a link never replaces a file.
fn generate(path: &Path) -> Result<MasterKey> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |error: io::Error| {
        locked(
            "key_file_unwritable",
            format!("the key file {} can't be made: {error}", path.display()),
        )
        .hint("export EVERGRANT_KEY=\"$(head -c 32 /dev/urandom | base64)\"")
    };
    make_private_folder(folder).map_err(failed)?;
    refuse_open_folder(folder)?;
    let mut suffix = [0; 8];
    random(&mut suffix)?;
    let draft = folder.join(format!("key.{:016x}.new", u64::from_ne_bytes(suffix)));
    let key = MasterKey::generate()?;
    let placed = write_draft(&draft, &key).and_then(|()| place(&draft, path));
    // After a rename it is gone already.
    let _ = fs::remove_file(&draft);
    placed.map_err(failed)?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)?;
    // Whichever process placed it, this is the key now.
    from_generated_file(path)?.ok_or_else(|| failed(io::Error::from(io::ErrorKind::NotFound)))
}

fn make_private_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn refuse_open_folder(folder: &Path) -> Result<()> {
    match fs::metadata(folder) {
        Ok(metadata) if metadata.mode() & 0o022 != 0 => Err(wrong(
            "key_folder_open_to_others",
            format!("the folder {} can be written by others", folder.display()),
        )
        .hint(format!("chmod 700 {}", quoted(&folder.to_string_lossy())))),
        _ => Ok(()),
    }
}

fn write_draft(draft: &Path, key: &MasterKey) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    // The mode above is narrowed by the umask; this one is exact.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    let text = Zeroizing::new(BASE64.encode(key.expose()) + "\n");
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Gives the draft its name unless that is taken; a name taken meanwhile is as good.
fn place(draft: &Path, path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match fs::hard_link(draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // File systems without links.
        Err(_) => match renameat_with(CWD, draft, CWD, path, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            outcome => Ok(outcome?),
        },
        Ok(()) => Ok(()),
    }
}

/// Runs the key command, without a shell and without the key variables. Its words and output appear in no message.
fn from_command(command: &str, limit: Duration) -> Result<MasterKey> {
    let failed = |how: String| locked("key_command_failed", format!("EVERGRANT_KEY_COMMAND {how}"));
    let words =
        split_words(command).ok_or_else(|| failed("has a quote that does not end".to_owned()))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(failed("is empty".to_owned()));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for variable in KEY_VARIABLES {
        command.env_remove(variable);
    }
    let mut child = command
        .spawn()
        .map_err(|error| failed(format!("({program}) can't be started: {error}")))?;
    let mut patience = limit;
    let outcome = read_output(&mut child, &mut patience)
        .and_then(|output| wait_for(&mut child, &mut patience).map(|status| (output, status)));
    match outcome {
        Ok((output, status)) if status.success() => {
            from_content(&output, "the output of EVERGRANT_KEY_COMMAND")
        }
        Ok((_, status)) => Err(failed(format!("({program}) failed: {status}"))),
        Err(error) => {
            // Killing one that ended meanwhile fails, and is fine.
            let _ = child.kill();
            let _ = child.wait();
            Err(failed(match error.kind() {
                io::ErrorKind::TimedOut => {
                    format!("({program}) gave no key within {} s", limit.as_secs())
                }
                _ => format!("({program}) can't be read: {error}"),
            }))
        }
    }
}

/// Reads until the end of the output. Waiting uses `patience` up; reading does not, and ends at [`LONGEST`].
fn read_output(child: &mut Child, patience: &mut Duration) -> io::Result<SecretBytes> {
    let mut output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    // Wiped with its whole capacity, which never grows: a move would leave a copy behind.
    let mut buffer = Zeroizing::new(vec![0; LONGEST]);
    let mut length = 0;
    loop {
        let slice = Timespec::try_from(SLICE).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&slice)) {
            Ok(0) => be_patient(patience)?,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => match output.read(&mut buffer[length..])? {
                0 => return Ok(SecretBytes::from(buffer[..length].to_vec())),
                count => length += count,
            },
        }
    }
}

fn wait_for(child: &mut Child, patience: &mut Duration) -> io::Result<std::process::ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        // It closed its output, so it is about to end.
        std::thread::sleep(SLICE);
        be_patient(patience)?;
    }
}

fn be_patient(patience: &mut Duration) -> io::Result<()> {
    *patience = patience.checked_sub(SLICE).ok_or(io::ErrorKind::TimedOut)?;
    Ok(())
}

/// Splits words as a POSIX shell does (XCU 2.2: quotes and backslashes), expanding nothing; `None` in an open quote.
fn split_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        quoted => word.push(quoted),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            '\n' => {}
                            special @ ('$' | '`' | '"' | '\\') => word.push(special),
                            other => word.extend(['\\', other]),
                        },
                        quoted => word.push(quoted),
                    }
                }
            }
            '\\' => match letters.next()? {
                '\n' => {}
                escaped => word.get_or_insert_default().push(escaped),
            },
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Some(words)
}

fn wrong(code: &'static str, reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::WrongKey, code, reason)
}

fn locked(code: &'static str, reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::VaultLocked, code, reason)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{from_command, split_words};

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let cases: [(&str, &[&str]); 6] = [
            ("pass show evergrant", &["pass", "show", "evergrant"]),
            (
                r#"op read "op://a b/key" 'it''s'"#,
                &["op", "read", "op://a b/key", "its"],
            ),
            (r#"x a\ b "\$\n" ''"#, &["x", "a b", r"$\n", ""]),
            ("  \t\n", &[]),
            ("a$HOME;b", &["a$HOME;b"]),
            (r#""""#, &[""]),
        ];
        for (text, words) in cases {
            assert_eq!(
                split_words(text).as_deref(),
                Some(
                    &words
                        .iter()
                        .map(|word| (*word).to_owned())
                        .collect::<Vec<_>>()[..]
                )
            );
        }
        for open in ["a 'b", "\"", "a\\"] {
            assert_eq!(split_words(open), None);
        }
    }

    #[test]
    fn a_command_that_does_not_end_is_stopped() {
        let error =
            from_command("sleep 600", Duration::from_millis(20)).expect_err("it takes too long");
        assert_eq!(error.code(), "key_command_failed");
    }
}
