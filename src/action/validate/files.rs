//! The files of the templates that are looked at.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Problem, Severity};

/// Larger than any template is, in bytes.
const LARGEST: u64 = 4 << 20;
/// Folders inside of each other.
const DEEPEST: usize = 16;

/// The files that are named, and those of the folders that are, each once, in the order of their paths. Of a folder what
/// ends in `.yaml` or `.yml` counts; what begins with a dot is left alone.
pub(super) fn collect(paths: &[PathBuf], problems: &mut Vec<Problem>) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            below(path, 0, &mut files, problems);
            if files.len() == before {
                problems.push(unreadable(
                    path,
                    "there is no .yaml or .yml file in the folder",
                ));
            }
        } else {
            files.insert(path.clone());
        }
    }
    files
}

fn below(folder: &Path, depth: usize, files: &mut BTreeSet<PathBuf>, problems: &mut Vec<Problem>) {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => return problems.push(unreadable(folder, &error.to_string())),
    };
    for entry in entries {
        let path = entry.path();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let ending = path.extension().and_then(|ending| ending.to_str());
        if is_hidden {
            continue;
        }
        if is_folder && depth < DEEPEST {
            below(&path, depth + 1, files, problems);
        } else if is_folder {
            problems.push(unreadable(&path, "folders are nested too deep"));
        } else if matches!(ending, Some("yaml" | "yml")) {
            files.insert(path);
        }
    }
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, String> {
    // A pipe or a device would have us wait for its end.
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err("it is larger than 4 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("byte {} is no UTF-8", at + 1)
    })
}

/// The problem with a file whose content is not known.
pub(super) fn unreadable(path: &Path, reason: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        path: path.display().to_string(),
        line: 1,
        column: 1,
        message: format!("it can't be read: {reason}"),
        hint: None,
        excerpt: None,
    }
}
