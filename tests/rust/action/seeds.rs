//! Templates changed at random, beginning with those in tests/data/actions: each is read and looked at, or refused, without
//! a panic, and what is said of it has a place in it. `EVERGRANT_FUZZ_CASES=1000000` tries more of them.

use std::fs;
use std::path::{Path, PathBuf};

use _core::action::needs::{hosts, needs};
use _core::action::template::Template;
use _core::action::validate::{Report, Severity, Surroundings, validate_texts};
use _core::provider::catalog::Catalog;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::contexts;

const CASES: u32 = 2000;

/// What is put in: the marks of YAML and of expressions, and what has a meaning in them.
const PIECES: [&str; 48] = [
    "${{",
    "}}",
    "${{ inputs.x }}",
    "${{ ${{",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\t",
    "\r\n",
    "'",
    "\"",
    "''",
    "\\",
    "\\u00e9",
    "\\x",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!x ",
    "|\n",
    ">-\n",
    "# ",
    "? ",
    ", ",
    "~",
    "NO",
    "012",
    ".nan",
    "2024-01-02",
    "definition:",
    "steps:",
    "secrets:",
    "type: oauth",
    "expects: {}",
    "FN.join(",
    "steps.ask.result",
    "SECRETS.a.B",
    " || ",
    " if ",
    "é🦀",
    "\u{7}",
    "\u{feff}",
];

/// A change of a text.
#[derive(Clone, Debug)]
enum Edit {
    Insert(Index, Index),
    Remove(Index, usize),
    Repeat(Index, usize),
    Splice(Index, Index, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let place = any::<Index>;
    let edit = prop_oneof![
        (place(), place()).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (place(), 1_usize..60).prop_map(|(at, length)| Edit::Remove(at, length)),
        (place(), 1_usize..60).prop_map(|(at, length)| Edit::Repeat(at, length)),
        (place(), place(), 1_usize..200)
            .prop_map(|(at, from, length)| Edit::Splice(at, from, length)),
    ];
    prop::collection::vec(edit, 1..4)
}

/// The texts in the folders of templates and of seeds, in the order of their names.
fn seeds() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/actions");
    let mut paths = Vec::new();
    for name in ["constructs", "seeds"] {
        let entries = fs::read_dir(folder.join(name)).unwrap();
        paths.extend(entries.map(|entry| entry.unwrap().path()));
    }
    paths.sort();
    let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    texts.collect()
}

/// A text with the changes made, and another one to take parts from.
fn edited(text: &str, other: &str, edits: &[Edit]) -> String {
    let mut characters = Vec::from_iter(text.chars());
    let other = Vec::from_iter(other.chars());
    for edit in edits {
        let place = |index: &Index| index.index(characters.len() + 1);
        let until = |at: usize, length: usize| (at + length).min(characters.len());
        match edit {
            Edit::Insert(at, piece) => {
                let at = place(at);
                let piece = PIECES[piece.index(PIECES.len())].chars();
                characters.splice(at..at, piece);
            }
            Edit::Remove(at, length) => {
                let at = place(at);
                let end = until(at, *length);
                characters.drain(at..end);
            }
            Edit::Repeat(at, length) => {
                let at = place(at);
                let part = characters[at..until(at, *length)].to_vec();
                characters.splice(at..at, part);
            }
            Edit::Splice(at, from, length) => {
                let at = place(at);
                let from = from.index(other.len() + 1);
                let part = other[from..(from + length).min(other.len())].to_vec();
                characters.splice(at..at, part);
            }
        }
    }
    String::from_iter(characters)
}

fn report(text: &str, catalog: &Catalog) -> Report {
    let surroundings = Surroundings {
        catalog,
        is_configured: &|_| false,
        is_action: &|_| false,
    };
    validate_texts(&[(PathBuf::from("a.yaml"), text.to_owned())], &surroundings)
}

/// Reads a text in all the ways there are; what can be read is evaluated. Whether it is a template.
fn look(text: &str, catalog: &Catalog) -> bool {
    let report = report(text, catalog);
    let shown = text.strip_prefix('\u{feff}').unwrap_or(text);
    // A carriage return alone ends a line, too.
    let lines = shown.replace("\r\n", "\n").replace('\r', "\n");
    for problem in &report.problems {
        let line = lines.split('\n').nth(problem.line - 1);
        let width = line.map(|line| line.chars().count());
        assert!(
            width.is_some_and(|width| (1..=width + 1).contains(&problem.column)),
            "{problem:?} has no place in {text:?}"
        );
    }
    let is_wrong = report
        .problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(problem) => {
            assert!(is_wrong, "nothing is said of {problem}");
            return false;
        }
    };
    let _ = (needs(&template), hosts(&template));
    for step in &template.steps {
        let _ = step.arguments.evaluate(&contexts());
    }
    let _ = template.returns.evaluate(&contexts());
    true
}

#[test]
fn every_seed_is_read_or_refused() {
    let catalog = Catalog::builtin();
    let templates = seeds().iter().filter(|seed| look(seed, &catalog)).count();
    assert!(templates >= 29, "{templates} of the seeds are templates");
}

#[test]
fn every_change_of_a_seed_is_read_or_refused() {
    let cases = std::env::var("EVERGRANT_FUZZ_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let (seeds, catalog) = (seeds(), Catalog::builtin());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let strategy = (any::<Index>(), any::<Index>(), edits());
    let counts = std::cell::Cell::new((0_u32, 0_u32));
    TestRunner::new_with_rng(config, chance)
        .run(&strategy, |(seed, other, edits)| {
            let text = edited(
                seed.get::<String>(&seeds),
                other.get::<String>(&seeds),
                &edits,
            );
            let (tried, templates) = counts.get();
            counts.set((tried + 1, templates + u32::from(look(&text, &catalog))));
            Ok(())
        })
        .unwrap();
    let (tried, templates) = counts.get();
    let figure = format!(
        "templates changed at random: {tried} from {} seeds, {templates} of them still templates, no panic\n",
        seeds.len()
    );
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/figures");
    fs::create_dir_all(folder).unwrap();
    fs::write(format!("{folder}/actions-seeds.txt"), figure).unwrap();
    assert_eq!(tried, cases);
}
