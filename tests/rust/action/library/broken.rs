//! A case can fail: each template is broken in every way that it can be, and one of its cases has to notice.

use _core::action::template::Template;
use regex::Regex;

use super::cases::{cases, differences};
use super::library;
use super::python::Python;
use super::stage::Token;

/// Ways to break a template: what is looked for, and what stands there afterwards.
const WAYS: [(&str, &str, &str); 7] = [
    ("the token is not sent", r"\n +Authorization: .*", ""),
    ("another path", r"(\n +url: .*)", "$1x"),
    ("another method", r"(\n +method: ).*", "${1}OPTIONS"),
    ("another parameter", r"(\n +params:\n +)(\S+:)", "${1}x$2"),
    (
        "another body",
        r"(\n +)(?:payload|content):",
        "${1}form_data:",
    ),
    (
        "one page only",
        r"(\n +stop_condition: (?:>-\n +|'))lambda page: [^\n']*",
        "${1}lambda page: True",
    ),
    (
        "another result",
        r"\n  returns:",
        "\n  returns: nothing\n  unread:",
    ),
];

#[tokio::test]
#[expect(
    clippy::print_stdout,
    reason = "how much was broken is worth to be seen"
)]
async fn every_template_that_is_broken_fails_one_of_its_cases() {
    let python = Python::start();
    let ways = WAYS.map(|(name, pattern, instead)| (name, Regex::new(pattern).unwrap(), instead));
    let mut unnoticed = Vec::new();
    let mut broken = [0; WAYS.len()];
    for entry in library() {
        let (provider, grant_type, _) = entry.tokens().swap_remove(0);
        let token = Token::new(&provider, grant_type);
        let cases = cases(&entry).unwrap_or_default();
        for (index, (name, pattern, instead)) in ways.iter().enumerate() {
            let text = pattern.replace(&entry.text, *instead);
            if text == entry.text {
                continue;
            }
            broken[index] += 1;
            // It is still a template, only another one.
            Template::parse(&text).unwrap();
            let mut is_noticed = false;
            for case in &cases {
                is_noticed = !differences(&text, case, &token, &python).await.is_empty();
                if is_noticed {
                    break;
                }
            }
            if !is_noticed {
                unnoticed.push(format!("{}: {name}", entry.template.action));
            }
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
    println!("{} ways, {broken:?} templates broken", WAYS.len());
    assert!(broken.iter().all(|count| *count > 0), "{broken:?}");
}
