//! The library of templates: what each of them has to hold to, and that docs/library.md is in step with it.

use std::fs;
use std::path::{Path, PathBuf};

use _core::action::inputs::{Input, validate};
use _core::action::needs::needs;
use _core::action::shape::{Shape, ShapeKind};
use _core::action::template::Template;
use _core::action::value::{Key, Mapping, Value};
use _core::model::GrantType;
use _core::provider::catalog::Catalog;
use url::Url;

mod broken;
mod cases;
mod exchange;
mod page;
mod python;
mod stage;
mod urls;
mod validated;

const TEMPLATES: &str = "python/evergrant/actions/library";

/// A template of the library.
struct Entry {
    /// Its provider: the folder that it lies in.
    vendor: String,
    /// Its file's name without the ending.
    name: String,
    text: String,
    template: Template,
}

impl Entry {
    /// The tokens that it declares: provider, grant type, and how an expression names it.
    fn tokens(&self) -> Vec<(String, GrantType, String)> {
        let needs = needs(&self.template).into_iter().map(|need| {
            let kind = match need.grant_type {
                GrantType::AuthorizationCode => "USER",
                GrantType::ClientCredentials => "SERVICE",
            };
            let provider = need.provider_id;
            let key = format!("{}_{kind}_TOKEN", provider.to_uppercase());
            let named = format!("SECRETS.{provider}_oauth.{key}");
            (provider, need.grant_type, named)
        });
        needs.collect()
    }

    fn input(&self, name: &str) -> Option<&Input> {
        let mut inputs = self.template.expects.iter().map(|(input, _)| input);
        inputs.find(|input| input.name == name)
    }

    /// The part behind the inputs, where they are used.
    fn behind_inputs(&self) -> &str {
        let (_, rest) = self.text.split_once("\n  steps:\n").unwrap();
        rest
    }
}

/// Every template, by provider and name.
fn library() -> Vec<Entry> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(TEMPLATES);
    let mut entries = Vec::new();
    for folder in sorted(&root) {
        for path in sorted(&folder) {
            let text = fs::read_to_string(&path).unwrap();
            let template = Template::parse(&text)
                .unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
            entries.push(Entry {
                vendor: stem(&folder),
                name: stem(&path),
                text,
                template,
            });
        }
    }
    entries
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::from_iter(
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// Fails with every template of which `problem` finds something to say.
fn assert_each(problem: impl Fn(&Entry) -> Vec<String>) {
    let mut found = Vec::new();
    for entry in library() {
        for problem in problem(&entry) {
            found.push(format!("{}.{}: {problem}", entry.vendor, entry.name));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn says(condition: bool, problem: impl Into<String>) -> Option<String> {
    condition.then(|| problem.into())
}

#[test]
fn there_are_forty_templates_at_least() {
    let count = library().len();
    assert!(count >= 40, "{count}");
}

#[test]
fn a_template_is_named_as_its_file_and_its_provider() {
    assert_each(|entry| {
        let expected = format!("tools.{}.{}", entry.vendor, entry.name);
        let action = &entry.template.action;
        Vec::from_iter(says(*action != expected, format!("is {action}")))
    });
}

#[test]
fn a_template_and_each_of_its_inputs_says_what_it_is() {
    assert_each(|entry| {
        let template = &entry.template;
        let is_sentence = |text: &str| text.ends_with('.') && !text.contains('\n');
        let inputs = template.expects.iter().filter_map(|(input, _)| {
            says(
                !is_sentence(&input.description),
                format!("{}: {:?}", input.name, input.description),
            )
        });
        let own = [
            says(!is_sentence(&template.description), "its description"),
            says(template.title.is_empty(), "no title"),
            says(template.title.ends_with('.'), "a full stop in its title"),
        ];
        own.into_iter().flatten().chain(inputs).collect()
    });
}

#[test]
fn a_template_names_the_https_page_of_its_call() {
    assert_each(|entry| {
        let url = entry.template.doc_url.as_deref().map(Url::parse);
        let is_page = url.is_some_and(|url| url.is_ok_and(|url| url.scheme() == "https"));
        Vec::from_iter(says(!is_page, format!("{:?}", entry.template.doc_url)))
    });
}

#[test]
fn every_input_is_used_and_only_inputs_are() {
    let named = regex::Regex::new(r"\binputs\.([a-z_0-9]+)").unwrap();
    assert_each(|entry| {
        let used: Vec<&str> = named
            .captures_iter(entry.behind_inputs())
            .map(|found| found.extract::<1>().1[0])
            .collect();
        let unused = entry.template.expects.iter().filter_map(|(input, _)| {
            let name = &input.name;
            says(
                !used.contains(&name.as_str()),
                format!("{name} is not used"),
            )
        });
        let unknown = used
            .iter()
            .filter_map(|name| says(entry.input(name).is_none(), format!("{name} is no input")));
        unused.chain(unknown).collect()
    });
}

#[test]
fn the_default_of_an_input_is_of_its_type() {
    assert_each(|entry| {
        let inputs = entry.template.expects.iter().map(|(input, _)| input);
        inputs
            .filter_map(|input| {
                let default = input.default.as_ref()?;
                let given = Mapping::from_iter([(Key::from(input.name.as_str()), default.clone())]);
                let validated = validate(std::slice::from_ref(input), &given);
                let is_same = validated.is_ok_and(|inputs| {
                    inputs
                        .get(&input.name)
                        .is_some_and(|value| value == default)
                });
                says(!is_same, format!("{}: {}", input.name, default.repr()))
            })
            .collect()
    });
}

#[test]
fn the_tokens_that_are_declared_are_those_that_are_used_and_the_catalogue_has_them() {
    let catalog = Catalog::builtin();
    let used = regex::Regex::new(r"SECRETS\.[A-Za-z_0-9.]+").unwrap();
    assert_each(|entry| {
        let tokens = entry.tokens();
        let mut problems = Vec::new();
        problems.extend(says(tokens.is_empty(), "declares no token"));
        for (provider, grant_type, named) in &tokens {
            let known = catalog.find(provider);
            let has = known.is_ok_and(|known| {
                known.id == *provider && known.grant_types().contains(grant_type)
            });
            problems.extend(says(!has, format!("no {provider} with {grant_type}")));
            let is_used = used
                .find_iter(&entry.text)
                .any(|found| found.as_str() == named);
            problems.extend(says(!is_used, format!("{named} is not used")));
        }
        for found in used.find_iter(&entry.text) {
            let is_declared = tokens.iter().any(|(_, _, named)| named == found.as_str());
            problems.extend(says(
                !is_declared,
                format!("{} is not declared", found.as_str()),
            ));
        }
        let is_choice = tokens.len() > 1;
        let are_optional = entry
            .template
            .secrets
            .iter()
            .all(|secret| secret.is_optional == is_choice);
        problems.extend(says(
            !are_optional,
            "one token is needed, each of several is optional",
        ));
        problems
    });
}

#[test]
fn tokens_stand_in_headers_only() {
    assert_each(|entry| {
        let steps = entry.template.steps.iter();
        let arguments = steps.flat_map(|step| members(&step.arguments));
        let others = arguments.filter(|(name, _)| *name != "headers");
        let others = others
            .map(|(_, shape)| shape)
            .chain([&entry.template.returns]);
        others
            .flat_map(Shape::patterns)
            .filter_map(|(at, _, text)| says(text.contains("SECRETS"), format!("line {}", at.line)))
            .collect()
    });
}

/// The members of a mapping whose keys are plain.
fn members(shape: &Shape) -> Vec<(&str, &Shape)> {
    let ShapeKind::Mapping(entries) = &shape.kind else {
        return Vec::new();
    };
    let entries = entries.iter().filter_map(|(key, member)| match &key.kind {
        ShapeKind::Plain(Value::Text(name)) => Some((&**name, member)),
        _ => None,
    });
    entries.collect()
}
