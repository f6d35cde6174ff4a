//! Turns the provider files into what the library carries: one table, sorted by id, with each file as JSON: as it is, and
//! over those that it extends, in the parts in which it is read.
//!
//! YAML is for people, and reading it is slow; a look-up then parses a few kilobytes of JSON, and only when it is asked.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde_json::Value;

#[path = "src/provider/merge.rs"]
mod merge;

const CATALOG: &str = "src/provider/catalog";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={CATALOG}");
    println!("cargo::rerun-if-changed=src/provider/merge.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(CATALOG)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let (id, file) = read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            files.insert(id, file);
        }
    }
    let mut table = String::from("&[\n");
    for (id, file) in &files {
        let entry = entry(id, file, &files).map_err(|error| format!("{id}: {error}"))?;
        writeln!(table, "    {entry},")?;
    }
    table.push_str("]\n");
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("catalog.rs"), table)?;
    Ok(())
}

/// A file, and the id it has.
fn read(path: &Path) -> Result<(String, Value), Box<dyn Error>> {
    // As `provider::file` reads the files of users.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    let mut file: Value = serde_saphyr::from_str_with_options(&fs::read_to_string(path)?, options)?;
    let fields = file.as_object_mut().ok_or("it is no map")?;
    fields.retain(|name, _| !merge::UNREAD.contains(&name.as_str()));
    let id = fields
        .get("id")
        .and_then(Value::as_str)
        .ok_or("it has no id")?;
    if path.file_stem().is_none_or(|stem| stem != id) {
        return Err(format!("its id is {id}").into());
    }
    Ok((id.to_owned(), file))
}

/// A file over those it extends.
fn merged(
    file: &Value,
    files: &BTreeMap<String, Value>,
    depth: usize,
) -> Result<Value, Box<dyn Error>> {
    let Some(parent) = file.get("extends").and_then(Value::as_str) else {
        return Ok(file.clone());
    };
    if depth > files.len() {
        return Err("it extends itself".into());
    }
    let parent = files.get(parent).ok_or("it extends none of the files")?;
    let parent = merged(parent, files, depth + 1)?;
    Ok(merge::extend(parent, file.clone()))
}

/// One entry of the table, as Rust.
fn entry(
    id: &str,
    file: &Value,
    files: &BTreeMap<String, Value>,
) -> Result<String, Box<dyn Error>> {
    let aliases = file.get("aliases").and_then(Value::as_array);
    let aliases: Vec<&str> = aliases
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let merged = merged(file, files, 0)?;
    let json = serde_json::to_string(file)?;
    let own = serde_json::to_string(&merge::own(&merged))?;
    let grants = ["authorization_code", "client_credentials"]
        .map(|grant_type| merge::flatten(&merged, grant_type).map(|grant| grant.to_string()));
    Ok(format!(
        "Builtin {{ id: {id:?}, aliases: &{aliases:?}, json: {json:?}, own: {own:?}, grants: {grants:?} }}"
    ))
}
