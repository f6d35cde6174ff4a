//! Provider files of installed packages: what their metadata names, looked for in the folders of Python's path.
//!
//! No code of a package runs, and nothing is imported: Python's locks of modules that are being imported stay held in a
//! child that is forked meanwhile.

use std::path::{Path, PathBuf};

/// The group of entry points (PyPA, "Entry points specification").
const GROUP: &str = "evergrant.providers";

/// The folders of the packages that entry points of the group `evergrant.providers` name, each once. A package that is
/// not there is left out, with a warning.
pub fn folders(path: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for metadata in path.iter().flat_map(|folder| metadata(folder)) {
        let Ok(text) = std::fs::read_to_string(metadata.join("entry_points.txt")) else {
            continue;
        };
        for value in values(&text) {
            match folder_of(value, path) {
                Some(folder) if !found.contains(&folder) => found.push(folder),
                Some(_) => {}
                None => tracing::warn!(
                    value,
                    "an entry point of evergrant.providers names no package that has a folder"
                ),
            }
        }
    }
    found
}

/// The folders with the metadata of what is installed in `folder`, by name.
fn metadata(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_metadata = |path: &PathBuf| {
        path.extension()
            .is_some_and(|ending| ending == "dist-info" || ending == "egg-info")
    };
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(is_metadata)
        .collect();
    found.sort();
    found
}

/// What the entry points of the group are, in the text of an `entry_points.txt`.
fn values(text: &str) -> impl Iterator<Item = &str> {
    let mut is_ours = false;
    text.lines().map(str::trim).filter_map(move |line| {
        if let Some(group) = line.strip_prefix('[') {
            is_ours = group.trim_end_matches(']').trim() == GROUP;
            return None;
        }
        let is_comment = line.starts_with(['#', ';']);
        let (_name, value) = line.split_once('=').filter(|_| is_ours && !is_comment)?;
        // Extras may follow.
        Some(value.split('[').next().unwrap_or_default().trim())
    })
}

/// The folder of a package on the path.
fn folder_of(package: &str, path: &[PathBuf]) -> Option<PathBuf> {
    let is_name = |part: &str| {
        let mut characters = part.chars();
        !part.is_empty() && characters.all(|c| c.is_alphanumeric() || c == '_')
    };
    if !package.split('.').all(is_name) {
        return None;
    }
    let inside: PathBuf = package.split('.').collect();
    let mut folders = path.iter().map(|folder| folder.join(&inside));
    folders.find(|folder| folder.is_dir())
}
