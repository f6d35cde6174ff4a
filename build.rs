//! Turns the provider files into what the library carries: one table, sorted by id, with each file as JSON.
//!
//! YAML is for people, and reading it is slow; a look-up then parses a few kilobytes of JSON, and only when it is asked.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde_json::Value;

const CATALOG: &str = "src/provider/catalog";

/// Fields for people who read the files; nothing in the library reads them.
const UNREAD: [&str; 2] = ["evidence", "variants"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={CATALOG}");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = fs::read_dir(CATALOG)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    let mut table = String::from("&[\n");
    for path in files {
        let entry = entry(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        writeln!(table, "    {entry},")?;
    }
    table.push_str("]\n");
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("catalog.rs"), table)?;
    Ok(())
}

/// One entry of the table, as Rust.
fn entry(path: &Path) -> Result<String, Box<dyn Error>> {
    // As `provider::file` reads the files of users.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    let mut file: Value = serde_saphyr::from_str_with_options(&fs::read_to_string(path)?, options)?;
    let fields = file.as_object_mut().ok_or("it is no map")?;
    fields.retain(|name, _| !UNREAD.contains(&name.as_str()));
    let id = fields
        .get("id")
        .and_then(Value::as_str)
        .ok_or("it has no id")?;
    if path.file_stem().is_none_or(|stem| stem != id) {
        return Err(format!("its id is {id}").into());
    }
    let aliases: Vec<&str> = fields
        .get("aliases")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let json = serde_json::to_string(fields)?;
    Ok(format!(
        "Builtin {{ id: {id:?}, aliases: &{aliases:?}, json: {json:?} }}"
    ))
}
