//! The paths of methods, in which values are put in place of names (RFC 6570, as far as discovery documents use it).

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::action::value::Failure;

/// Left as they are beside letters and digits, in any part of a path.
const UNRESERVED: &str = "-._~";
/// Left as they are where a value may be several parts of a path. `?` and `#` are not among them: they would end it.
const RESERVED: &str = "-._~/:@!$&'()*+,;=";

/// `path` with values for `{name}` and `{+name}`.
pub(super) fn expand(path: &str, values: &BTreeMap<&str, String>) -> Result<String, Failure> {
    let (mut expanded, mut rest) = (String::new(), path);
    while let Some((before, behind)) = rest.split_once('{') {
        expanded.push_str(before);
        let Some((name, behind)) = behind.split_once('}') else {
            return Err(Failure::new(
                "the method's path is not one that can be filled in",
            ));
        };
        let (name, kept) = match name.strip_prefix('+') {
            Some(name) => (name, RESERVED),
            None => (name, UNRESERVED),
        };
        let Some(value) = values.get(name) else {
            return Err(Failure::new(format!(
                "the method needs the parameter {name}"
            )));
        };
        if kept == RESERVED && value.split('/').any(is_step) || is_step(value) {
            return Err(Failure::new(format!(
                "the parameter {name} holds an empty part, or one that is . or .."
            )));
        }
        encode(value, kept, &mut expanded);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Whether a part of a path leads elsewhere than it says, however it is encoded.
fn is_step(part: &str) -> bool {
    matches!(part, "" | "." | "..")
}

fn encode(value: &str, kept: &str, text: &mut String) {
    for byte in value.bytes() {
        let character = char::from(byte);
        if character.is_ascii_alphanumeric() || kept.contains(character) {
            text.push(character);
        } else {
            write!(text, "%{byte:02X}").expect("writing to text never fails");
        }
    }
}
