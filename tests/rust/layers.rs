//! The layers of the design, as a test: who may import whom, and which file alone may name what.

use std::fs;
use std::path::{Path, PathBuf};

mod python;
mod rust;

/// What may be named where, beside the arrows between layers.
const LONGEST_FILE: usize = 900;

#[test]
fn no_module_imports_a_layer_that_the_design_does_not_allow() {
    let problems = in_every("src", &["rs"], rust::problems);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_python_module_imports_one_that_the_design_does_not_allow() {
    let problems = in_every("python/evergrant", &["py"], python::problems);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let too_long = |path: &str, text: &str| {
        let lines = text.lines().count();
        Vec::from_iter((lines > LONGEST_FILE).then(|| format!("{path}: {lines} lines")))
    };
    let mut problems = in_every("src", &["rs"], too_long);
    problems.extend(in_every("python", &["py", "pyi"], too_long));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Applies `check` to each file below `folder` of the repository that ends so, with its path from `folder` on.
fn in_every(
    folder: &str,
    endings: &[&str],
    check: impl Fn(&str, &str) -> Vec<String>,
) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    collect(&root, endings, &mut paths);
    assert!(!paths.is_empty(), "no files in {folder}");
    paths.sort();
    paths
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).expect("a source file is readable text");
            let path = path.strip_prefix(&root).expect("it was found below root");
            check(path.to_str().expect("our names are ASCII"), &text)
        })
        .collect()
}

fn collect(folder: &Path, endings: &[&str], paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder is readable") {
        let path = entry.expect("a source folder is readable").path();
        if path.is_dir() {
            collect(&path, endings, paths);
        } else if path
            .extension()
            .is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
        {
            paths.push(path);
        }
    }
}
