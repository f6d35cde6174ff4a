//! Finds providers: the built-in files, parsed when asked for, those of the user's folders, and those of installed packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

pub use super::entry::Provider;
use super::file::{Document, Mistake};
use super::merge::extend;
use super::parameters::whole;
use super::scope::ANY_SCOPE;
use crate::error::{Error, ErrorKind, Result};

/// What an id has to look like: it becomes part of file names, commands and secret names.
pub const ID_PATTERN: &str = "[a-z][a-z0-9_]{0,63}";

/// A built-in file. Id and aliases stand here too, so that listing them parses nothing.
struct Builtin {
    id: &'static str,
    aliases: &'static [&'static str],
    /// The file, which the build turns from YAML into JSON: a user's file may extend it.
    json: &'static str,
    /// What is its own, of the file over those it extends.
    own: &'static str,
    /// Its grants, each with all that is said of it; `authorization_code` first.
    grants: [Option<&'static str>; 2],
}

/// Sorted by id: the folder `catalog`.
static BUILTIN: &[Builtin] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

/// All providers known here: the built-in ones, those of the user's folders, and those of installed packages.
#[derive(Debug, Default)]
pub struct Catalog {
    users: Files,
    /// Empty until somebody looks for them.
    installed: OnceLock<Files>,
    parsed: Mutex<BTreeMap<String, Arc<Provider>>>,
}

/// Files that are not built in.
#[derive(Debug, Default)]
struct Files {
    /// By id.
    files: BTreeMap<String, UserFile>,
    /// Their aliases: to an id.
    aliases: BTreeMap<String, String>,
}

impl Files {
    fn id(&self, id_or_alias: &str) -> Option<&str> {
        let id = self
            .aliases
            .get(id_or_alias)
            .map_or(id_or_alias, String::as_str);
        self.files.get_key_value(id).map(|(id, _)| id.as_str())
    }
}

#[derive(Debug)]
struct UserFile {
    path: PathBuf,
    value: Value,
}

impl Catalog {
    /// The built-in providers. Nothing is parsed yet.
    pub fn builtin() -> Self {
        Self::default()
    }

    /// The built-in providers and the `*.yaml` and `*.yml` files in `folders`, which may extend built-in ones but never
    /// take their id or alias.
    ///
    /// # Errors
    /// `InvalidParameter`: a folder or file can't be read, is no YAML map with an `id`, or takes an id that is taken.
    /// Mistakes inside a file are reported by [`find`](Self::find), for that provider alone.
    pub fn with_folders(folders: &[PathBuf]) -> Result<Self> {
        let mut catalog = Self::builtin();
        catalog.users = catalog.read(folders)?;
        Ok(catalog)
    }

    /// Takes the files in `folders` of installed packages too, once. The rules are those of
    /// [`with_folders`](Self::with_folders), and a user's own id counts as taken.
    ///
    /// # Errors
    /// Those of [`with_folders`](Self::with_folders): then nothing was taken.
    pub fn adopt(&self, folders: &[PathBuf]) -> Result<()> {
        if self.has_adopted() {
            return Ok(());
        }
        let files = self.read(folders)?;
        // Another thread that was faster has read the same files.
        let _ = self.installed.set(files);
        Ok(())
    }

    /// Whether [`adopt`](Self::adopt) was called.
    pub fn has_adopted(&self) -> bool {
        self.installed.get().is_some()
    }

    fn read(&self, folders: &[PathBuf]) -> Result<Files> {
        let mut files = Files::default();
        for folder in folders {
            for path in yaml_files(folder)? {
                self.add(&mut files, &path)?;
            }
        }
        Ok(files)
    }

    /// The file of an id that is not built in.
    fn file(&self, id: &str) -> Option<&UserFile> {
        let installed = self.installed.get();
        let installed = || installed.and_then(|installed| installed.files.get(id));
        self.users.files.get(id).or_else(installed)
    }

    /// What files of `folder` may extend: the built-in providers, and those of the folder that can be read.
    pub(super) fn beside(folder: &Path) -> Self {
        let mut catalog = Self::builtin();
        let mut files = Files::default();
        for sibling in yaml_files(folder).unwrap_or_default() {
            // A broken sibling has problems of its own; it is reported when it is checked.
            let _ = catalog.add(&mut files, &sibling);
        }
        catalog.users = files;
        catalog
    }

    /// Whether the provider of that id is the file at `path`.
    pub(super) fn is_at(&self, id: &str, path: &Path) -> bool {
        self.file(id)
            .is_some_and(|file| file.path.file_name() == path.file_name())
    }

    /// The provider of that id or alias.
    ///
    /// # Errors
    /// `UnknownProvider`, with the nearest names; `InvalidParameter` when the user's file of that id is wrong.
    pub fn find(&self, id_or_alias: &str) -> Result<Arc<Provider>> {
        let Some(id) = self.id(id_or_alias) else {
            return Err(self.unknown(id_or_alias));
        };
        if let Some(provider) = self.parsed().get(id) {
            return Ok(Arc::clone(provider));
        }
        let provider = match builtin(id) {
            Some(file) => {
                Provider::built_in(file.own, file.grants).map_err(|error| broken(id, &error))?
            }
            None => Provider::parse(&self.merged(id, &mut BTreeSet::new())?)
                .map_err(|mistake| self.mistaken(id, &mistake))?,
        };
        let provider = Arc::new(provider);
        self.parsed().insert(id.to_owned(), Arc::clone(&provider));
        Ok(provider)
    }

    /// The ids of all providers, sorted. Parses nothing.
    pub fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = BUILTIN.iter().map(|file| file.id).collect();
        for files in [Some(&self.users), self.installed.get()] {
            ids.extend(
                files
                    .into_iter()
                    .flat_map(|files| files.files.keys().map(String::as_str)),
            );
        }
        ids.sort_unstable();
        ids
    }

    /// All providers, sorted by id. Parses every file.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn all(&self) -> Result<Vec<Arc<Provider>>> {
        self.ids().into_iter().map(|id| self.find(id)).collect()
    }

    /// The id behind an id or alias, if there is such a provider. Parses nothing.
    pub fn id<'a>(&'a self, id_or_alias: &str) -> Option<&'a str> {
        let builtin = builtin(id_or_alias).or_else(|| {
            let named = |file: &&Builtin| file.aliases.contains(&id_or_alias);
            BUILTIN.iter().find(named)
        });
        builtin
            .map(|file| file.id)
            .or_else(|| self.users.id(id_or_alias))
            .or_else(|| self.installed.get()?.id(id_or_alias))
    }

    /// The file of `id` over those it extends. `children` are the ids on the way here: none may come back.
    fn merged(&self, id: &str, children: &mut BTreeSet<String>) -> Result<Value> {
        let value = match self.file(id) {
            Some(file) => file.value.clone(),
            None => builtin_value(id)?,
        };
        self.extended(id, value, children)
    }

    /// `value`, the file of `id`, over the files that it extends.
    pub(super) fn extended(
        &self,
        id: &str,
        value: Value,
        children: &mut BTreeSet<String>,
    ) -> Result<Value> {
        let Some(parent) = value.get("extends").and_then(Value::as_str) else {
            return Ok(value);
        };
        let Some(parent) = self.id(parent) else {
            return Err(self.unknown(parent).of_provider(id));
        };
        children.insert(id.to_owned());
        if children.contains(parent) {
            return Err(Error::invalid_parameter(
                "invalid_provider_file",
                format!("{id} extends {parent}, which extends it in turn"),
            )
            .of_provider(id));
        }
        Ok(extend(self.merged(parent, children)?, value))
    }

    fn add(&self, files: &mut Files, path: &Path) -> Result<()> {
        let invalid = |reason: String| invalid_file(path, &reason);
        let refused = |reason: String| Err(invalid(reason));
        let text = std::fs::read_to_string(path)
            .map_err(|error| invalid(format!("it cannot be read: {error}")))?;
        let value = Document::parse(&text)
            .map_err(|error| {
                invalid(format!(
                    "line {}, column {}: {}",
                    error.at.line, error.at.column, error.message
                ))
            })?
            .value();
        let Some(id) = value.get("id").and_then(Value::as_str).map(str::to_owned) else {
            return refused("it has no `id`".into());
        };
        let aliases: Vec<String> = value
            .get("aliases")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|alias| alias.as_str().map(str::to_owned))
            .collect();
        for name in std::iter::once(&id).chain(&aliases) {
            if !is_id(name) {
                return refused(format!(
                    "`{}` is no id: it has to match {ID_PATTERN}",
                    name.escape_debug()
                ));
            }
            if let Some(owner) = self.id(name).or_else(|| files.id(name)) {
                return refused(format!(
                    "`{name}` is taken by the provider {owner}; `extends: {owner}` with an id of its own is the way to change it"
                ));
            }
        }
        let named = aliases.into_iter().map(|alias| (alias, id.clone()));
        files.aliases.extend(named);
        files.files.insert(
            id,
            UserFile {
                path: path.to_owned(),
                value,
            },
        );
        Ok(())
    }

    fn unknown(&self, name: &str) -> Error {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        let aliases = BUILTIN.iter().flat_map(|file| file.aliases.iter().copied());
        let names: Vec<&str> = self
            .ids()
            .into_iter()
            .chain(aliases)
            .chain(self.users.aliases.keys().map(String::as_str))
            .collect();
        let mut near: Vec<(f64, &str)> = names
            .iter()
            .map(|candidate| (strsim::jaro_winkler(&shown, candidate), *candidate))
            .filter(|(likeness, candidate)| {
                *likeness > 0.8 || candidate.contains(shown.as_str()) && shown.len() > 2
            })
            .collect();
        near.sort_by(|(left, _), (right, _)| right.total_cmp(left));
        let near: Vec<&str> = near.into_iter().map(|(_, name)| name).take(3).collect();
        let error = |reason| {
            Error::new(ErrorKind::UnknownProvider, "unknown_provider", reason).of_provider(&shown)
        };
        match near.as_slice() {
            [] => error(format!("no provider is called `{shown}`")).hint("evergrant providers"),
            near => error(format!(
                "no provider is called `{shown}`; near it are {}",
                near.join(", ")
            ))
            .hint(format!("evergrant providers {}", near[0])),
        }
    }

    /// What is wrong with a user's file.
    fn mistaken(&self, id: &str, mistake: &Mistake) -> Error {
        let reason = format!("{}: {}", mistake.path.join("."), mistake.message);
        match self.file(id) {
            Some(file) => invalid_file(&file.path, &reason).of_provider(id),
            None => broken(id, &reason),
        }
    }

    fn parsed(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Provider>>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A provider that is known only by the endpoints or the issuer that the user names. Any scope may be asked for, PKCE is
/// sent, whether refresh tokens rotate is not known, and tokens go to no host but those of `api_hosts`.
///
/// # Errors
/// `InvalidParameter` when `id` does not match [`ID_PATTERN`].
pub fn custom(id: &str) -> Result<Arc<Provider>> {
    if !is_id(id) {
        let shown: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(Error::invalid_parameter(
            "invalid_provider_id",
            format!("`{shown}` cannot be a provider's id: it has to match {ID_PATTERN}"),
        ));
    }
    let value = json!({
        "id": id,
        "name": id,
        "category": "other",
        "summary": "A provider that you added by its endpoints.",
        "client": {"authentication": ["client_secret_basic", "client_secret_post", "none"]},
        "scopes": {"allowed": [ANY_SCOPE]},
        "grants": {"authorization_code": {"refresh": {}}, "client_credentials": {}},
    });
    Provider::parse(&value).map(Arc::new).map_err(|mistake| {
        Error::internal(format!(
            "the custom provider is broken: {}",
            mistake.message
        ))
    })
}

/// The built-in entry of that id.
fn builtin(id: &str) -> Option<&'static Builtin> {
    let place = BUILTIN.binary_search_by_key(&id, |file| file.id).ok()?;
    BUILTIN.get(place)
}

fn builtin_value(id: &str) -> Result<Value> {
    let file =
        builtin(id).ok_or_else(|| Error::internal(format!("no file of {id} is built in")))?;
    serde_json::from_str(file.json).map_err(|error| broken(id, &error))
}

fn broken(id: &str, reason: &dyn fmt::Display) -> Error {
    Error::internal(format!("the built-in file of {id} is broken: {reason}"))
}

/// The provider files of a folder, in the order of their names. What editors and file systems hide there is none.
pub(super) fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<std::io::Result<Vec<_>>>()
    });
    let mut files = entries.map_err(|error| {
        Error::invalid_parameter(
            "provider_folder_unreadable",
            format!(
                "the folder {} of EVERGRANT_PROVIDERS cannot be read: {error}",
                folder.display()
            ),
        )
    })?;
    files.retain(|path| {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden
            && path
                .extension()
                .is_some_and(|ending| ending == "yaml" || ending == "yml")
    });
    files.sort();
    Ok(files)
}

fn invalid_file(path: &Path, reason: &str) -> Error {
    Error::invalid_parameter(
        "invalid_provider_file",
        format!("{}: {reason}", path.display()),
    )
    .hint(format!("evergrant check-provider {}", path.display()))
}

fn is_id(text: &str) -> bool {
    whole(ID_PATTERN).is_ok_and(|pattern| pattern.is_match(text))
}
