//! The arrows between the modules of the Python package, read from its `import` statements.

/// The layers, lowest first; a module imports its own layer and those below.
const LAYERS: [&[&str]; 6] = [
    &["_core"],
    &[
        "_bridge",
        "_docstring",
        "_redact",
        "_signature",
        "_template",
        "_types",
        "exceptions",
    ],
    &["_api", "_sign_in"],
    &[
        "",
        "aio",
        "_decorator",
        "_token_source",
        "actions",
        "auth",
        "testing",
        "_pytest",
    ],
    &["cli"],
    &["__main__"],
];

/// Imports upwards that the interface asks for (`Workspace.oauth`): inside of a function only, when it is called.
const WHEN_CALLED: [(&str, &str); 1] = [("_api", "_decorator")];

/// Nobody imports this layer but what starts the program.
const TOP: &str = "cli";

const PACKAGE: &str = "evergrant";

/// What a module does against the design; `path` counts from the package.
pub(super) fn problems(path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    let name = module.first().map_or("", String::as_str);
    let Some(layer) = layer_of(name) else {
        return vec![format!("{path}: `{name}` is no module of the design")];
    };
    let mut problems = Vec::new();
    for Import {
        target,
        in_function,
    } in imports(path, text)
    {
        let allowed = layer_of(&target).is_some_and(|below| below <= layer)
            || in_function && WHEN_CALLED.contains(&(name, &target));
        if target != name && (!allowed || target == TOP && name != "__main__") {
            let target = if target.is_empty() { PACKAGE } else { &target };
            problems.push(format!("{path}: may not import {target}"));
        }
    }
    problems
}

fn layer_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&name))
}

/// The module of a file, as path from the package; empty for the package itself.
fn module_of(path: &str) -> Vec<String> {
    let path = path.rsplit_once('.').map_or(path, |(path, _)| path);
    path.split('/')
        .filter(|part| *part != "__init__")
        .map(str::to_owned)
        .collect()
}

/// An import of the module of that name directly below the package; of the package itself where it is empty.
struct Import {
    target: String,
    in_function: bool,
}

fn imports(path: &str, text: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for (in_function, statement) in statements(text) {
        let mut add = |module: &str, name: &str| {
            found.extend(below_package(module, name).map(|target| Import {
                target,
                in_function,
            }));
        };
        if let Some(names) = statement.strip_prefix("import ") {
            for name in names.split(',') {
                add(name.split_whitespace().next().unwrap_or(""), "");
            }
        } else if let Some((from, names)) = statement
            .strip_prefix("from ")
            .and_then(|rest| rest.split_once(" import "))
        {
            let from = absolute(path, from.trim());
            for name in names.split([',', '(', ')']) {
                if let Some(name) = name.split_whitespace().next() {
                    add(&from, name);
                }
            }
        }
    }
    found
}

/// Import statements on one line each, without comments and the breaks inside of parentheses; and whether each is indented.
fn statements(text: &str) -> Vec<(bool, String)> {
    // Every second piece is a documentation string.
    let code: Vec<&str> = text.split("\"\"\"").step_by(2).collect();
    let mut statements = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in code.join(" ").lines() {
        let indented = line.starts_with([' ', '\t']);
        let line = line.split('#').next().unwrap_or("").trim();
        let (indented, statement) = match open.take() {
            Some((indented, begun)) => (indented, format!("{begun} {line}")),
            None if line.starts_with("import ") || line.starts_with("from ") => {
                (indented, line.to_owned())
            }
            None => match line.split_once(": import ") {
                Some((_, names)) => (indented, format!("import {names}")),
                None => continue,
            },
        };
        let unfinished = statement.contains('(') && !statement.contains(')');
        if unfinished || statement.ends_with('\\') {
            open = Some((indented, statement.trim_end_matches('\\').to_owned()));
        } else {
            statements.push((indented, statement));
        }
    }
    statements
}

/// `from` of an import statement without leading dots.
fn absolute(path: &str, from: &str) -> String {
    let name = from.trim_start_matches('.');
    let dots = from.len() - name.len();
    if dots == 0 {
        return name.to_owned();
    }
    let folders: Vec<&str> = path.split('/').collect();
    let kept = folders.len().saturating_sub(dots);
    let mut parts = vec![PACKAGE];
    parts.extend(&folders[..kept]);
    if !name.is_empty() {
        parts.push(name);
    }
    parts.join(".")
}

/// The first name below the package of `module`, or of `module.name` where that is one; `None` for another package.
fn below_package(module: &str, name: &str) -> Option<String> {
    let mut parts = module.split('.');
    if parts.next() != Some(PACKAGE) {
        return None;
    }
    let is_module = |name: &str| !name.is_empty() && layer_of(name).is_some();
    Some(match parts.next() {
        Some(part) => part.to_owned(),
        None if is_module(name) => name.to_owned(),
        None => String::new(),
    })
}

#[test]
fn a_forbidden_python_import_is_found_however_it_is_written() {
    for text in [
        "from . import cli",
        "from .cli import main",
        "import evergrant.cli",
        "import os, evergrant.cli as c",
        "from evergrant import cli",
        "from evergrant.cli.connect import run",
        "def f():\n    from evergrant.cli import (  # lazily\n        main,\n    )",
        "from . import (\n    exceptions,\n    cli,\n)",
        "from . import \\\n    cli",
        "if TYPE_CHECKING: import evergrant.cli",
    ] {
        assert_eq!(
            problems("_api.py", text),
            ["_api.py: may not import cli"],
            "{text}"
        );
    }
}

#[test]
fn nobody_imports_the_command_line() {
    for path in [
        "__init__.py",
        "aio.py",
        "_decorator.py",
        "actions.py",
        "auth/httpx.py",
    ] {
        assert_eq!(problems(path, "import evergrant.cli").len(), 1, "{path}");
    }
    assert_eq!(problems("__main__.py", "from .cli import main"), [""; 0]);
    assert_eq!(
        problems("cli/__init__.py", "from .connect import run"),
        [""; 0]
    );
    assert_eq!(
        problems("cli/connect.py", "from evergrant.cli import x"),
        [""; 0]
    );
}

#[test]
fn a_python_module_imports_downwards_only() {
    assert_eq!(problems("aio.py", "from . import _api, _core"), [""; 0]);
    assert_eq!(problems("auth/httpx.py", "from .. import _api"), [""; 0]);
    assert_eq!(
        problems("_api.py", "from evergrant._core import call"),
        [""; 0]
    );
    assert_eq!(
        problems("_api.py", "from . import aio"),
        ["_api.py: may not import aio"]
    );
    assert_eq!(
        problems("exceptions.py", "from ._api import Workspace"),
        ["exceptions.py: may not import _api"]
    );
    assert_eq!(
        problems("_redact.py", "import evergrant"),
        ["_redact.py: may not import evergrant"]
    );
}

#[test]
fn an_import_that_a_method_needs_is_allowed_inside_of_it_only() {
    let text = "def oauth(self):\n    from evergrant import _decorator";
    assert_eq!(problems("_api.py", text), [""; 0]);
    assert_eq!(
        problems("_api.py", "from evergrant import _decorator"),
        ["_api.py: may not import _decorator"]
    );
}

#[test]
fn a_python_module_outside_the_table_is_reported() {
    assert_eq!(
        problems("helpers.py", ""),
        ["helpers.py: `helpers` is no module of the design"]
    );
}

#[test]
fn other_packages_comments_and_texts_are_no_business_of_the_layers() {
    for text in [
        "import sys\nfrom click import cli",
        "# from . import cli\nx = 'from . import cli'",
        "\"\"\"Words.\n\nfrom . import cli\n\"\"\"\n",
    ] {
        assert_eq!(problems("_api.py", text), [""; 0], "{text}");
    }
}
