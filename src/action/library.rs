//! Templates by their names: looked for in folders when they are called.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::template::Template;
use super::yaml::Problem;
use crate::error::{Error, ErrorKind, Result};

/// A template and where it came from.
#[derive(Debug)]
pub struct Source {
    /// Its file; `None` for one that was given as text.
    pub path: Option<PathBuf>,
    /// The template.
    pub template: Template,
}

/// Larger than any template is, in bytes.
const LARGEST: u64 = 4 << 20;
/// Folders inside of each other.
const DEEPEST: usize = 16;

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// `TemplateError` with the place.
    pub fn read(path: &Path) -> Result<Arc<Self>> {
        let text = text_of(path).map_err(|reason| {
            let reason = format!("{} can't be read: {reason}", path.display());
            template_error("template_unreadable", Some(path), None, reason)
        })?;
        Self::parse(&text, Some(path))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// `TemplateError` with the place.
    pub fn parse(text: &str, path: Option<&Path>) -> Result<Arc<Self>> {
        let template = Template::parse(text).map_err(|problem| {
            template_error(
                "invalid_template",
                path,
                Some(&problem),
                said(path, &problem),
            )
        })?;
        Ok(Arc::new(Self {
            path: path.map(Path::to_owned),
            template,
        }))
    }

    /// The error for what is wrong in it.
    pub(super) fn error(&self, code: &'static str, problem: &Problem) -> Error {
        let path = self.path.as_deref();
        template_error(code, path, Some(problem), said(path, problem))
    }
}

fn said(path: Option<&Path>, problem: &Problem) -> String {
    match path {
        Some(path) => {
            let at = problem.at;
            let message = &problem.message;
            format!("{}:{}:{}: {message}", path.display(), at.line, at.column)
        }
        None => problem.to_string(),
    }
}

fn template_error(
    code: &'static str,
    path: Option<&Path>,
    problem: Option<&Problem>,
    reason: String,
) -> Error {
    let kind = ErrorKind::Template {
        path: path.map(|path| path.display().to_string()),
        line: problem.map(|problem| problem.at.line),
        column: problem.map(|problem| problem.at.column),
    };
    Error::new(kind, code, reason)
}

fn text_of(path: &Path) -> std::result::Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.len() > LARGEST {
        return Err("it is larger than 4 MiB".to_owned());
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Folders with templates.
#[derive(Clone, Debug, Default)]
pub struct Library {
    /// The folders, those first that win over others.
    pub folders: Vec<PathBuf>,
}

impl Library {
    /// The template of this name: the first in the order of folders, and in each of paths.
    ///
    /// # Errors
    /// `TemplateError`: a folder can't be read, or the file that names itself so is wrong.
    pub fn find(&self, name: &str) -> Result<Option<Arc<Source>>> {
        // A file that defines it holds the last part of its name; all others need not be read as YAML.
        let last = name.rsplit('.').next().unwrap_or(name);
        for path in self.files()? {
            let Ok(text) = text_of(&path) else {
                continue;
            };
            if !text.contains(last) {
                continue;
            }
            match Template::parse(&text) {
                Ok(template) if template.action == name => {
                    let path = Some(path);
                    return Ok(Some(Arc::new(Source { path, template })));
                }
                // Another's mistake is not this one's; a file of this very name is to be mended.
                Err(problem) if path.file_stem().is_some_and(|stem| stem == last) => {
                    let reason = said(Some(&path), &problem);
                    let error =
                        template_error("invalid_template", Some(&path), Some(&problem), reason);
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// All templates that can be read, by path.
    ///
    /// # Errors
    /// `TemplateError`: a folder can't be read.
    pub fn all(&self) -> Result<Vec<Arc<Source>>> {
        let files = self.files()?;
        Ok(files
            .iter()
            .filter_map(|path| Source::read(path).ok())
            .collect())
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for folder in &self.folders {
            let mut own = Vec::new();
            walk(folder, DEEPEST, &mut own).map_err(|error| {
                let reason = format!("the folder {} can't be read: {error}", folder.display());
                template_error("folder_unreadable", Some(folder), None, reason)
            })?;
            own.sort();
            files.append(&mut own);
        }
        Ok(files)
    }
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if depth > 0 {
                walk(&path, depth - 1, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
    }
    Ok(())
}
