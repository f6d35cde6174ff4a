//! Rounds: what a vendor documents of its OAuth, played through the engine on the vendor's provider file; and whether a
//! file with one field otherwise would be noticed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::mutants::Mutant;
use self::round::Named;
use self::subject::Subject;

mod keys;
mod mutants;
mod play;
mod reading;
mod round;
mod subject;
mod vendor;

/// Mutants that no round can notice: file, field and what was done to it, and the reason.
const UNNOTICED: [(&str, &str, &str); 7] = [
    ("azure_log_analytics", "account.url taken away", ID_TOKEN),
    ("azure_management", "account.url taken away", ID_TOKEN),
    (
        "microsoft_defender_endpoint",
        "account.url taken away",
        ID_TOKEN,
    ),
    ("microsoft_defender_xdr", "account.url taken away", ID_TOKEN),
    ("microsoft_sentinel", "account.url taken away", ID_TOKEN),
    ("notion", "scopes.sent is true", NO_SCOPES),
    ("notion", "scopes.sent taken away", NO_SCOPES),
];
const ID_TOKEN: &str = "the account is read from the ID token, and no URL is asked; it is written so that nobody takes the parent's, which is not among the hosts";
const NO_SCOPES: &str = "there is no scope that could be sent";

fn rounds() -> Vec<Named> {
    round::all(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/rounds"
    )))
}

/// Plays a round and its variations on a provider file.
fn played(subject: &Subject, named: &Named) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for (number, round) in named.rounds.iter().enumerate() {
            let playing = tokio::time::timeout(Duration::from_secs(60), play::play(subject, round));
            let outcome = playing.await.unwrap_or(Err("it does not end".to_owned()));
            outcome.map_err(|why| match number {
                0 => why,
                number => format!("variation {number}: {why}"),
            })?;
        }
        Ok(())
    })
}

/// The file of a provider as its YAML stands in the catalogue.
fn file(id: &str) -> Value {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    let path = format!(
        "{}/src/provider/catalog/{id}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_str_with_options(&text, options).unwrap()
}

/// Of the environment: only rounds whose file name begins so.
fn chosen(rounds: Vec<Named>) -> Vec<Named> {
    match std::env::var("ROUND") {
        Ok(beginning) => rounds
            .into_iter()
            .filter(|named| named.file.starts_with(&beginning))
            .collect(),
        Err(_) => rounds,
    }
}

fn noted(name: &str, figure: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/figures");
    fs::create_dir_all(folder).unwrap();
    fs::write(format!("{folder}/{name}.txt"), figure).unwrap();
}

#[test]
fn every_round_goes_as_its_vendor_documents() {
    let rounds = chosen(rounds());
    let mut failed = Vec::new();
    for named in &rounds {
        assert!(!named.rounds[0].pages.is_empty(), "{}", named.file);
        let outcome = Subject::builtin(&named.provider, named.grant_type)
            .and_then(|subject| played(&subject, named));
        failed.extend(outcome.err().map(|why| format!("{}: {why}", named.file)));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_provider_file_with_one_field_otherwise_is_noticed() {
    let begun = Instant::now();
    let mut by_file: BTreeMap<String, Vec<Named>> = BTreeMap::new();
    for named in chosen(rounds()) {
        by_file
            .entry(named.provider.clone())
            .or_default()
            .push(named);
    }
    let mut work: Vec<(&str, Mutant)> = Vec::new();
    for (id, rounds) in &by_file {
        let file = file(id);
        assert_eq!(judged(&file, rounds), Ok(()), "{id} in its own place");
        let played = |mutant: &Mutant| {
            let grant_type = mutant.grant_type;
            grant_type.is_none_or(|own| rounds.iter().any(|named| named.grant_type == own))
        };
        let mutants = mutants::of(&file).into_iter().filter(played);
        work.extend(mutants.map(|mutant| (id.as_str(), mutant)));
    }
    let (next, survivors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((id, mutant)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !is_noticed(mutant, &by_file[*id]) {
                        let survivor = (id.to_string(), mutant.what.clone());
                        survivors.lock().unwrap().push(survivor);
                    }
                }
            });
        }
    });
    let excused = |(id, what): &(String, String)| {
        let named = |(file, field, _): &(&str, &str, &str)| file == id && field == what;
        UNNOTICED.iter().any(named)
    };
    let mut survivors = survivors.into_inner().unwrap();
    survivors.sort();
    let all = work.len();
    noted(
        "rounds",
        &format!(
            "rounds: {} of {} provider files; {all} files with one field otherwise, {} noticed ({:.0} s)\n",
            by_file.values().map(Vec::len).sum::<usize>(),
            by_file.len(),
            all - survivors.len(),
            begun.elapsed().as_secs_f64(),
        ),
    );
    let unexcused: Vec<String> = survivors
        .iter()
        .filter(|survivor| !excused(survivor))
        .map(|(id, what)| format!("{id}: {what}"))
        .collect();
    assert!(
        unexcused.is_empty(),
        "{} of {all} were not noticed:\n{}",
        unexcused.len(),
        unexcused.join("\n")
    );
}

/// The first thing that is otherwise than documented when the rounds of a provider are played on a file in the place of
/// its own.
fn judged<'a>(file: &Value, rounds: impl IntoIterator<Item = &'a Named>) -> Result<(), String> {
    let subject = Subject::instead(file)?;
    rounds
        .into_iter()
        .try_for_each(|named| played(&subject.for_grant(named.grant_type), named))
}

fn is_noticed(mutant: &Mutant, rounds: &[Named]) -> bool {
    let touched = rounds.iter().filter(|named| {
        let own = mutant.grant_type;
        own.is_none_or(|grant_type| grant_type == named.grant_type)
    });
    judged(&mutant.file, touched).is_err()
}
