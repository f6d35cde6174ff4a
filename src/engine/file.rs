//! `evergrant.yaml`: integrations and imported connections as a file that can be committed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde::Deserialize;

use crate::engine::Engine;
use crate::engine::configure::{Configure, Discovery, Settings};
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::model::{ConnectionKey, GrantType, Report};
use crate::secret::Secret;
use crate::store::StoredState;
use crate::vault::source::KEY_VARIABLES;

/// How a variable of the environment is read; given by whoever owns the process.
pub type Lookup<'a> = dyn Fn(&str) -> Option<Secret> + Send + Sync + 'a;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    integrations: Vec<IntegrationEntry>,
    #[serde(default)]
    connections: Vec<ConnectionEntry>,
    /// Ordinary secrets and variables of action templates: not applied, but read by [`ActionFile`].
    #[serde(default)]
    secrets: BTreeMap<String, BTreeMap<String, Reference>>,
    #[serde(default)]
    variables: serde_json::Map<String, serde_json::Value>,
}

/// What `evergrant.yaml` says for action templates.
pub struct ActionFile {
    /// What `VARS` shows.
    pub variables: serde_json::Map<String, serde_json::Value>,
    secrets: BTreeMap<String, BTreeMap<String, Reference>>,
    folder: PathBuf,
    environment: HashMap<String, Secret>,
}

impl std::fmt::Debug for ActionFile {
    /// Without the environment.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ActionFile")
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

impl ActionFile {
    /// Reads a file; `environment` is what its references find.
    ///
    /// # Errors
    /// `InvalidParameter` naming file and place.
    pub fn read(path: &Path, environment: HashMap<String, Secret>) -> Result<Self> {
        let File {
            secrets, variables, ..
        } = read(path)?;
        Ok(Self {
            variables,
            secrets,
            folder: folder_of(path).to_owned(),
            environment,
        })
    }

    /// A secret by its name and key, read from where it is; `None` when the file names none.
    ///
    /// # Errors
    /// `InvalidParameter`: it is not there.
    pub fn secret(&self, name: &str, key: &str) -> Result<Option<Secret>> {
        let Some(reference) = self.secrets.get(name).and_then(|keys| keys.get(key)) else {
            return Ok(None);
        };
        let lookup = |name: &str| self.environment.get(name).cloned();
        resolve(reference, &self.folder, &lookup).map(Some)
    }
}

/// Where the relative paths of a file begin.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[derive(Debug, Deserialize)]
struct IntegrationEntry {
    provider: String,
    #[serde(default)]
    grant_type: Option<GrantType>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    client_secret: Option<Reference>,
    #[serde(flatten)]
    settings: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionEntry {
    provider: String,
    #[serde(default)]
    grant_type: Option<GrantType>,
    #[serde(default)]
    connection: Option<String>,
    refresh_token: Reference,
    #[serde(default)]
    scopes: Vec<String>,
}

/// Where a secret is: never the secret itself.
#[derive(Debug, Deserialize)]
#[serde(try_from = "serde_json::Value")]
enum Reference {
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReferenceFile {
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

impl TryFrom<serde_json::Value> for Reference {
    type Error = &'static str;

    /// The parser's own message would quote what stands there, which may be the secret.
    fn try_from(value: serde_json::Value) -> std::result::Result<Self, Self::Error> {
        match serde_json::from_value(value) {
            Ok(ReferenceFile::Env(name)) => Ok(Self::Env(name)),
            Ok(ReferenceFile::File(path)) => Ok(Self::File(path)),
            Ok(ReferenceFile::Command(words)) => Ok(Self::Command(words)),
            Err(_) => Err(
                "a secret is named by {env: NAME}, {file: PATH} or {command: [PROGRAM, ...]}, never written in the file",
            ),
        }
    }
}

impl Engine {
    /// Makes this workspace as the file says; what the file doesn't name is left alone, and so is a connection that
    /// exists, whose refresh token has moved on since.
    ///
    /// With `check` nothing changes, and the report is not `ok` when something differs.
    ///
    /// # Errors
    /// `InvalidParameter` naming the file, line and field; errors of `configure` and `import_refresh_token`.
    pub async fn apply(
        self: &Arc<Self>,
        path: &Path,
        check: bool,
        lookup: &Lookup<'_>,
    ) -> Result<Report> {
        self.apply_file(path, check, Discovery::Now, lookup).await
    }

    /// Applies the file that a workspace is opened with: without the network, which the first use asks.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), but that a server is away.
    pub async fn apply_at_open(
        self: &Arc<Self>,
        path: &Path,
        lookup: &Lookup<'_>,
    ) -> Result<Report> {
        self.apply_file(path, false, Discovery::AtFirstUse, lookup)
            .await
    }

    async fn apply_file(
        self: &Arc<Self>,
        path: &Path,
        check: bool,
        discovery: Discovery,
        lookup: &Lookup<'_>,
    ) -> Result<Report> {
        let file = read(path)?;
        let folder = folder_of(path);
        let mut report = Report::begin();
        for entry in file.integrations {
            let settings: Settings = serde_json::from_value(serde_json::Value::Object(
                entry.settings,
            ))
            .map_err(|error| invalid(path, &format!("integration {}: {error}", entry.provider)))?;
            let client_secret = match &entry.client_secret {
                Some(reference) => {
                    let secret = resolve(reference, folder, lookup);
                    let of_provider = |error: Error| error.of_provider(&entry.provider);
                    Some(secret.map_err(of_provider)?.into())
                }
                None => None,
            };
            let request = Configure {
                provider: entry.provider.clone(),
                grant_type: entry.grant_type,
                client_id: entry.client_id,
                client_secret,
                settings,
            };
            let outcome = self.configure_or_compare(request, discovery, check).await?;
            report.step(
                format!("integration {}", entry.provider),
                !(check && outcome.differs),
                outcome.words,
            );
        }
        for entry in file.connections {
            let name = entry.connection.unwrap_or_else(|| "default".to_owned());
            let what = format!("connection {}/{name}", entry.provider);
            let grant_type = entry.grant_type.unwrap_or(GrantType::AuthorizationCode);
            let key = ConnectionKey {
                integration: self.key(&self.canonical(&entry.provider), grant_type),
                connection: name.as_str().into(),
            };
            let state = self
                .store
                .load(&key, "")
                .await?
                .connection
                .map(|row| row.state);
            if matches!(
                state,
                Some(StoredState::Connected | StoredState::ReauthorizationRequired)
            ) {
                report.step(what, true, "exists, left alone");
            } else if check {
                report.step(what, false, "would be imported");
            } else {
                let refresh_token = resolve(&entry.refresh_token, folder, lookup)
                    .map_err(|error| error.of_provider(&entry.provider))?
                    .into();
                let imported = self.import_refresh_token(
                    &entry.provider,
                    refresh_token,
                    Some(grant_type),
                    &name,
                    &entry.scopes,
                );
                match imported.await {
                    Ok(_) => {
                        report.step(what, true, "imported");
                        fault::point("apply.imported");
                    }
                    // Whose issuer is away is imported when the workspace is opened again.
                    Err(error)
                        if discovery == Discovery::AtFirstUse
                            && matches!(error.kind(), ErrorKind::ProviderUnavailable { .. }) =>
                    {
                        tracing::warn!(reason = error.reason(), what, "not imported yet");
                        report.step(what, false, error.reason().to_owned());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if check && !report.ok {
            report.reason = Some("the workspace differs from the file".to_owned());
            report.hint = Some(self.command(&format!(
                "apply {}",
                crate::engine::complaint::quote(&path.to_string_lossy())
            )));
        }
        Ok(report)
    }
}

fn read(path: &Path) -> Result<File> {
    const LIMIT: u64 = 1 << 20;
    let text = match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > LIMIT => {
            return Err(invalid(path, "it is larger than 1 MiB"));
        }
        Ok(_) => {
            std::fs::read_to_string(path).map_err(|error| invalid(path, &error.to_string()))?
        }
        Err(error) => return Err(invalid(path, &error.to_string())),
    };
    // Without the snippet: a file that wrongly holds a secret must not be quoted.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| invalid(path, &error.to_string()))
}

fn resolve(reference: &Reference, folder: &Path, lookup: &Lookup<'_>) -> Result<Secret> {
    let missing = |what: String| Error::invalid_parameter("secret_not_found", what);
    match reference {
        Reference::Env(name) => lookup(name).ok_or_else(|| {
            missing(format!("the environment variable {name} is not set"))
                .hint(format!("export {name}=..."))
        }),
        Reference::File(path) => {
            let path = folder.join(path);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| missing(format!("{} can't be read: {error}", path.display())))?;
            Ok(Secret::from(text.trim_end_matches(['\r', '\n'])))
        }
        Reference::Command(words) => {
            let (program, arguments) = words
                .split_first()
                .ok_or_else(|| missing("an empty command".to_owned()))?;
            let mut command = Command::new(program);
            command
                .args(arguments)
                .stdin(Stdio::null())
                .stderr(Stdio::inherit())
                .current_dir(folder);
            for variable in KEY_VARIABLES {
                command.env_remove(variable);
            }
            let output = command
                .output()
                .map_err(|error| missing(format!("the command {program} can't be run: {error}")))?;
            let printed = crate::secret::SecretBytes::from(output.stdout);
            if !output.status.success() {
                return Err(missing(format!(
                    "the command {program} failed ({})",
                    output.status
                )));
            }
            let text = std::str::from_utf8(printed.expose()).map_err(|_| {
                missing(format!(
                    "the command {program} printed something that is no text"
                ))
            })?;
            Ok(Secret::from(text.trim_end_matches(['\r', '\n'])))
        }
    }
}

fn invalid(path: &Path, what: &str) -> Error {
    Error::invalid_parameter("invalid_file", format!("{}: {what}", path.display()))
}
