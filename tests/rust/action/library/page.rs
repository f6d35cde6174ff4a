//! docs/library.md: the table of the library, made from the templates.

use std::fs;
use std::path::PathBuf;

use super::{Entry, library};

const OPENING: &str = "\
# The library of actions

This page is made from the templates, each of which is run by tests against what its vendor documents.

`evergrant run tools.github.list_issues --input owner=octocat --input repository=hello-world` runs one, and so does
`evergrant.actions.run(\"tools.github.list_issues\", {\"owner\": \"octocat\", \"repository\": \"hello-world\"})`. Of several tokens the
connected one is used, the first before the others. An input with `=` may be left out.
";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/library.md")
}

/// The text of the page.
fn page() -> String {
    let mut text = String::from(OPENING);
    let mut group = String::new();
    for entry in library() {
        let template = &entry.template;
        if template.display_group != group {
            group.clone_from(&template.display_group);
            text.push_str(&format!(
                "\n## {group}\n\n| Action | What it does | Needs | Inputs |\n|---|---|---|---|\n"
            ));
        }
        let name = format!(
            "[{}]({})",
            template.action,
            template.doc_url.as_deref().unwrap_or_default()
        );
        let cells = [
            name,
            template.description.clone(),
            needs(&entry),
            inputs(&entry),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn needs(entry: &Entry) -> String {
    let tokens = entry.tokens().into_iter();
    let tokens = tokens.map(|(provider, grant_type, _)| format!("{provider} ({grant_type})"));
    Vec::from_iter(tokens).join(" or ")
}

fn inputs(entry: &Entry) -> String {
    let inputs = entry.template.expects.iter().map(|(input, _)| {
        let default = input.default.as_ref();
        let default = default.map(|default| format!(" = {}", default.repr()));
        format!("`{}{}`", input.name, default.unwrap_or_default())
    });
    Vec::from_iter(inputs).join(", ")
}

#[test]
fn the_page_on_the_library_is_in_step_with_the_templates() {
    let written = fs::read_to_string(path()).unwrap_or_default();
    assert!(
        written == page(),
        "docs/library.md is not what the templates make; write it with: cargo test --test core write_the_library_page -- --ignored"
    );
}

#[test]
#[ignore = "writes docs/library.md"]
fn write_the_library_page() {
    fs::write(path(), page()).unwrap();
}
