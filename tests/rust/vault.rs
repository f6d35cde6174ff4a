//! Sealing, keys, and every place a master key comes from.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Barrier;
use std::thread;

use _core::error::{Error, ErrorKind};
use _core::model::{ConnectionKey, GrantType, IntegrationKey};
use _core::secret::{RefreshToken, Secret, SecretBytes};
use _core::vault::source::{ExplicitKey, KEY_VARIABLES};
use _core::vault::{
    Context, DataKey, Environment, KeySource, Kind, MasterKey, Subject, fingerprint, open, seal,
};
use proptest::prelude::*;

use crate::system::{in_child, is_child};

const TEXT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn bytes() -> [u8; 32] {
    std::array::from_fn(|at| at as u8)
}

#[test]
fn what_was_sealed_for_a_row_opens_there() {
    let (key, row) = (
        data_key("default", 1),
        connection("default", "github", "alice"),
    );
    let context = context(&row, Kind::Grant, "", 3);
    let record = seal(&key, &context, b"a refresh token").expect("random numbers");
    assert_eq!(
        open(&key, &context, &record)
            .expect("it is its row")
            .expose(),
        b"a refresh token"
    );
    let text = String::from_utf8_lossy(&record);
    assert!(!text.contains("refresh") && !text.contains("github"));
}

#[test]
fn the_same_plaintext_is_never_sealed_to_the_same_record() {
    let (key, row) = (
        data_key("default", 1),
        connection("default", "github", "alice"),
    );
    let context = context(&row, Kind::Grant, "", 3);
    let once = seal(&key, &context, b"a refresh token").expect("random numbers");
    assert_ne!(
        once,
        seal(&key, &context, b"a refresh token").expect("random numbers")
    );
}

#[test]
fn a_record_opens_in_no_other_row() {
    let key = data_key("default", 1);
    let row = connection("default", "github", "alice");
    let record =
        seal(&key, &context(&row, Kind::Token, "a", 3), b"secret").expect("random numbers");
    let service = ConnectionKey {
        integration: IntegrationKey {
            grant_type: GrantType::ClientCredentials,
            ..row.integration.clone()
        },
        ..row.clone()
    };
    for (row, kind, resource, generation) in [
        (connection("other", "github", "alice"), Kind::Token, "a", 3),
        (
            connection("default", "gitlab", "alice"),
            Kind::Token,
            "a",
            3,
        ),
        (service, Kind::Token, "a", 3),
        (connection("default", "github", "bob"), Kind::Token, "a", 3),
        // Lengths are bound too: moving a letter across a border is another row.
        (
            connection("default", "githuba", "lice"),
            Kind::Token,
            "a",
            3,
        ),
        (row.clone(), Kind::Grant, "a", 3),
        (row.clone(), Kind::Token, "b", 3),
        (row.clone(), Kind::Token, "a", 2),
        (row.clone(), Kind::Token, "a", 4),
    ] {
        let error = open(&key, &context(&row, kind, resource, generation), &record)
            .expect_err("another row");
        assert_eq!(
            (error.kind(), error.code()),
            (&ErrorKind::Store, "record_damaged")
        );
    }
    let integration = Context {
        subject: Subject::from(&row.integration),
        ..context(&row, Kind::Token, "a", 3)
    };
    assert!(open(&key, &integration, &record).is_err());
}

#[test]
fn a_record_opens_under_no_other_key() {
    let row = connection("default", "github", "alice");
    let context = context(&row, Kind::Grant, "", 1);
    let record = seal(&data_key("default", 1), &context, b"secret").expect("random numbers");
    assert!(open(&data_key("default", 1), &context, &record).is_err());
    assert!(open(&data_key("default", 2), &context, &record).is_err());
}

#[test]
fn every_failure_to_open_gives_the_same_error_which_names_the_record_and_the_next_command() {
    let key = data_key("default", 1);
    let row = connection("default", "github", "o'hara");
    let context = context(&row, Kind::Grant, "", 1);
    let record = seal(&key, &context, b"secret").expect("random numbers");
    let mut messages: Vec<String> = (0..record.len())
        .map(|at| {
            let mut changed = record.clone();
            changed[at] ^= 1;
            changed
        })
        .chain([
            Vec::new(),
            record[..8].to_vec(),
            record[..record.len() - 1].to_vec(),
            [&record[..], b"x"].concat(),
        ])
        .map(|record| {
            open(&key, &context, &record)
                .expect_err("it was changed")
                .to_string()
        })
        .collect();
    messages.dedup();
    assert_eq!(
        messages,
        [
            "the grant of github/o'hara (authorization_code) in the store can't be opened\n\
          evergrant connect github --grant-type authorization_code --connection 'o'\\''hara' --again"
        ]
    );
}

proptest! {
    #[test]
    fn two_rows_are_never_bound_to_the_same_bytes(
        (provider, name, resource) in ("[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}"),
        (other_provider, other_name, other_resource) in ("[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}"),
    ) {
        let key = data_key("default", 1);
        let row = connection("default", &provider, &name);
        let other = connection("default", &other_provider, &other_name);
        let record = seal(&key, &context(&row, Kind::Token, &resource, 1), b"secret").expect("random numbers");
        let opened = open(&key, &context(&other, Kind::Token, &other_resource, 1), &record);
        prop_assert_eq!(opened.is_ok(), (row, resource) == (other, other_resource));
    }
}

#[test]
fn a_data_key_opens_only_for_its_workspace_and_under_its_master_key() {
    let master = MasterKey::new(bytes());
    let wrapped = master.new_data_key("default").expect("random numbers");
    assert_eq!(
        master.unwrap("default", 7, &wrapped).expect("its own").id(),
        7
    );
    for (master, workspace) in [
        (MasterKey::new(bytes()), "other"),
        (MasterKey::new([1; 32]), "default"),
    ] {
        let error = master
            .unwrap(workspace, 7, &wrapped)
            .expect_err("another's");
        assert_eq!(error.code(), "data_key_damaged");
    }
}

#[test]
fn a_data_key_that_is_wrapped_again_opens_the_same_records() {
    let (old, new) = (MasterKey::new(bytes()), MasterKey::new([1; 32]));
    let key = data_key("default", 1);
    let again = new.wrap("default", &key).expect("random numbers");
    assert!(old.unwrap("default", 1, &again).is_err());
    let row = connection("default", "github", "alice");
    let context = context(&row, Kind::Grant, "", 1);
    let record = seal(&key, &context, b"secret").expect("random numbers");
    let key = new.unwrap("default", 1, &again).expect("its own");
    assert_eq!(
        open(&key, &context, &record)
            .expect("the same key")
            .expose(),
        b"secret"
    );
}

#[test]
fn a_master_keys_id_is_stable_and_shows_nothing_of_it() {
    let key = MasterKey::new(bytes());
    assert_eq!(key.id(), "82ba0025a8875450");
    assert_eq!(format!("{key:?}"), "MasterKey(82ba0025a8875450)");
    assert!(!format!("{:?}", data_key("default", 1)).contains("00"));
}

#[test]
fn a_fingerprint_finds_equal_tokens_under_one_key_only() {
    let (key, other) = (data_key("default", 1), data_key("default", 1));
    let (token, another) = (RefreshToken::from("one"), RefreshToken::from("two"));
    assert_eq!(fingerprint(&key, &token), fingerprint(&key, &token));
    assert_ne!(fingerprint(&key, &token), fingerprint(&key, &another));
    assert_ne!(fingerprint(&key, &token), fingerprint(&other, &token));
}

#[test]
fn a_key_is_taken_as_bytes_or_as_any_base64_text() {
    let url_safe = TEXT.replace('+', "-").replace('/', "_");
    let wanted = MasterKey::new(bytes()).id();
    for explicit in [
        ExplicitKey::Bytes(SecretBytes::from(bytes().to_vec())),
        ExplicitKey::Text(Secret::from(TEXT)),
        ExplicitKey::Text(Secret::from(TEXT.trim_end_matches('='))),
        ExplicitKey::Text(Secret::from(url_safe)),
        ExplicitKey::Text(Secret::from(format!(" {TEXT}\n"))),
    ] {
        let source = KeySource {
            explicit: Some(explicit),
            ..KeySource::default()
        };
        assert_eq!(read(&source).id(), wanted);
    }
    let dashes = ExplicitKey::Text(Secret::from("-_-_".repeat(10) + "-_8"));
    let slashes = ExplicitKey::Text(Secret::from("+/+/".repeat(10) + "+/8="));
    let id = |explicit| {
        read(&KeySource {
            explicit: Some(explicit),
            ..KeySource::default()
        })
        .id()
    };
    assert_eq!(id(dashes), id(slashes));
}

#[test]
fn a_key_of_another_length_or_form_is_wrong() {
    for (text, code) in [
        ("", "key_length"),
        ("AAECAwQ=", "key_length"),
        (
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AAECA",
            "key_length",
        ),
        ("not base64 at all!", "key_text"),
        // The last letter of 43 carries two bits that must be zero.
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9", "key_text"),
    ] {
        let environment = Environment {
            key: Some(Secret::from(text)),
            ..Environment::default()
        };
        let error = failed(&KeySource {
            environment,
            ..KeySource::default()
        });
        assert_eq!(
            (error.kind(), error.code()),
            (&ErrorKind::WrongKey, code),
            "{text}"
        );
        assert!(error.reason().contains("EVERGRANT_KEY"));
        assert!(text.is_empty() || !error.to_string().contains(text));
    }
    let short = ExplicitKey::Bytes(SecretBytes::from(vec![1; 31]));
    let error = failed(&KeySource {
        explicit: Some(short),
        ..KeySource::default()
    });
    assert_eq!(
        error.reason(),
        "the key given has 31 bytes, and a key has 32"
    );
}

#[test]
fn the_argument_wins_over_the_environment_and_that_in_its_order_over_the_generated_key() {
    let home = tempfile::tempdir().expect("a folder");
    let write = |name: &str, key: u8| {
        let path = home.path().join(name);
        fs::write(&path, [key; 32]).expect("writable");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
        path
    };
    let mut source = KeySource {
        explicit: Some(ExplicitKey::Bytes(SecretBytes::from(vec![1; 32]))),
        environment: Environment {
            key: Some(Secret::from(base64(2))),
            key_file: Some(write("named", 3)),
            key_command: Some(format!("echo {}", base64(4))),
        },
        config_home: Some(home.path().to_owned()),
    };
    fs::create_dir(home.path().join("evergrant")).expect("a folder");
    write("evergrant/key", 5);
    let is =
        |source: &KeySource, key: u8| assert_eq!(read(source).id(), MasterKey::new([key; 32]).id());
    is(&source, 1);
    source.explicit = None;
    is(&source, 2);
    source.environment.key = None;
    is(&source, 3);
    source.environment.key_file = None;
    is(&source, 4);
    source.environment.key_command = None;
    is(&source, 5);
}

#[test]
fn a_key_file_holds_text_on_one_line_or_32_raw_bytes() {
    for content in [
        TEXT.as_bytes().to_vec(),
        format!("{TEXT}\n").into_bytes(),
        bytes().to_vec(),
    ] {
        let (_folder, path) = key_file(&content, 0o600);
        assert_eq!(read(&named(&path)).id(), MasterKey::new(bytes()).id());
    }
    let (_folder, path) = key_file(&[0xff; 33], 0o600);
    assert_eq!(failed(&named(&path)).code(), "key_length");
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_the_command_that_closes_it() {
    for mode in [0o640, 0o604, 0o620, 0o610] {
        let (_folder, path) = key_file(TEXT.as_bytes(), mode);
        let error = failed(&named(&path));
        assert_eq!(
            (error.kind(), error.code()),
            (&ErrorKind::WrongKey, "key_file_open_to_others")
        );
        assert_eq!(
            error.next_command(),
            Some(&*format!("chmod 600 {}", path.display()))
        );
    }
}

#[test]
fn a_link_to_a_key_file_is_followed_and_its_target_judged() {
    for (mode, code) in [(0o600, None), (0o644, Some("key_file_open_to_others"))] {
        let (folder, path) = key_file(TEXT.as_bytes(), mode);
        let link = folder.path().join("link");
        symlink(path, &link).expect("a link");
        assert_eq!(named(&link).read().err().map(|error| error.code()), code);
    }
}

#[test]
fn a_key_file_that_is_missing_or_no_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing");
    let error = failed(&named(&missing));
    assert_eq!(
        (error.kind(), error.code()),
        (&ErrorKind::VaultLocked, "key_file_unreadable")
    );
    assert!(error.reason().contains(&*missing.to_string_lossy()));
    assert_eq!(failed(&named(folder.path())).code(), "key_file_is_no_file");
}

#[test]
fn a_key_command_runs_without_a_shell_and_without_the_key_variables() {
    let source = commanded(&format!("printf '%s\\n' '{TEXT}'"));
    assert_eq!(read(&source).id(), MasterKey::new(bytes()).id());
    // With a shell this would print the key.
    assert_eq!(
        failed(&commanded(&format!("true; echo {TEXT}"))).code(),
        "key_command_failed"
    );
}

#[test]
fn a_key_command_gets_none_of_the_key_variables() {
    const NAME: &str = "vault::a_key_command_gets_none_of_the_key_variables";
    if !is_child(NAME) {
        let mut child = in_child(NAME);
        for variable in KEY_VARIABLES {
            child.env(variable, TEXT);
        }
        let status = child.stdout(Stdio::null()).status().expect("it starts");
        assert!(status.success());
        return;
    }
    for variable in KEY_VARIABLES {
        assert_eq!(std::env::var(variable).as_deref(), Ok(TEXT));
        // It would print a key if it got the variable.
        let error = failed(&commanded(&format!("printenv {variable}")));
        assert_eq!(error.code(), "key_command_failed");
    }
}

#[test]
fn a_key_command_that_fails_locks_the_vault_and_its_words_stay_unsaid() {
    for (command, why) in [
        ("false --password=hunter2", "(false) failed"),
        (
            "/nonexistent/program hunter2",
            "(/nonexistent/program) can't be started",
        ),
        ("'hunter2", "a quote that does not end"),
        ("", "is empty"),
    ] {
        let error = failed(&commanded(command));
        assert_eq!(
            (error.kind(), error.code()),
            (&ErrorKind::VaultLocked, "key_command_failed")
        );
        assert!(error.reason().contains(why), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
    let error = failed(&commanded("echo hunter2"));
    assert_eq!(
        (error.code(), error.to_string().contains("hunter2")),
        ("key_text", false)
    );
}

#[test]
fn a_key_is_made_at_first_use_and_found_at_the_next() {
    let home = tempfile::tempdir().expect("a folder");
    let source = generated(home.path());
    assert!(source.read().expect("nothing is wrong").is_none());
    let key = source.find("store.db", None).expect("writable");
    let path = home.path().join("evergrant").join("key");
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("it was made")
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(
        (mode(&path), mode(&home.path().join("evergrant"))),
        (0o600, 0o700)
    );
    assert_eq!(
        source
            .find("store.db", Some(&key.id()))
            .expect("the same")
            .id(),
        key.id()
    );
    assert_eq!(
        fs::read_dir(home.path().join("evergrant"))
            .expect("a folder")
            .count(),
        1
    );
}

#[test]
fn two_first_uses_at_once_agree_on_one_key() {
    let home = tempfile::tempdir().expect("a folder");
    let threads = 8;
    let barrier = Barrier::new(threads);
    let mut ids: Vec<String> = thread::scope(|scope| {
        let uses: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    generated(home.path())
                        .settle(None, "store.db", None)
                        .expect("writable")
                        .id()
                })
            })
            .collect();
        uses.into_iter()
            .map(|one| one.join().expect("no panic"))
            .collect()
    });
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[test]
fn no_key_is_made_beside_records_and_the_error_says_which_one_is_wanted_and_where_it_was_looked_for()
 {
    let home = tempfile::tempdir().expect("a folder");
    let error = generated(home.path())
        .find("/data/store.db", Some("0123456789abcdef"))
        .expect_err("no key");
    assert_eq!(
        (error.kind(), error.code()),
        (&ErrorKind::VaultLocked, "key_missing")
    );
    let place = home.path().join("evergrant/key");
    for word in [
        "/data/store.db",
        "0123456789abcdef",
        "EVERGRANT_KEY_COMMAND",
        &place.to_string_lossy(),
    ] {
        assert!(error.reason().contains(word), "{word}");
    }
    assert!(!place.exists());
}

#[test]
fn another_stores_key_is_wrong() {
    let environment = Environment {
        key: Some(Secret::from(TEXT)),
        ..Environment::default()
    };
    let source = KeySource {
        environment,
        ..KeySource::default()
    };
    let error = source
        .find("/data/store.db", Some("0123456789abcdef"))
        .expect_err("another's");
    assert_eq!(
        (error.kind(), error.code()),
        (&ErrorKind::WrongKey, "key_of_another_store")
    );
    assert!(
        error.reason().contains("0123456789abcdef")
            && error.reason().contains(&MasterKey::new(bytes()).id())
    );
}

#[test]
fn a_generated_key_that_is_a_link_is_refused() {
    let (folder, path) = key_file(TEXT.as_bytes(), 0o600);
    fs::create_dir(folder.path().join("evergrant")).expect("a folder");
    symlink(path, folder.path().join("evergrant/key")).expect("a link");
    assert_eq!(failed(&generated(folder.path())).code(), "key_file_is_link");
}

#[test]
fn a_dangling_link_in_the_place_of_the_generated_key_is_refused_and_not_written_through() {
    let home = tempfile::tempdir().expect("a folder");
    fs::create_dir(home.path().join("evergrant")).expect("a folder");
    symlink(
        home.path().join("target"),
        home.path().join("evergrant/key"),
    )
    .expect("a link");
    let error = generated(home.path())
        .settle(None, "store.db", None)
        .expect_err("a link");
    assert_eq!(error.code(), "key_file_is_link");
    assert!(!home.path().join("target").exists());
}

#[test]
fn no_key_is_made_in_a_folder_that_others_can_write() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("evergrant");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("ours");
    let error = generated(home.path())
        .find("store.db", None)
        .expect_err("anybody could exchange it");
    assert_eq!(
        (error.code(), error.next_command()),
        (
            "key_folder_open_to_others",
            Some(&*format!("chmod 700 {}", folder.display()))
        )
    );
}

#[test]
fn without_a_home_folder_no_key_is_made() {
    let error = KeySource::default()
        .find("store.db", None)
        .expect_err("no place");
    assert_eq!(
        (error.kind(), error.code()),
        (&ErrorKind::VaultLocked, "key_has_no_place")
    );
}

#[test]
fn nothing_secret_is_seen_in_a_source() {
    let source = KeySource {
        explicit: Some(ExplicitKey::Text(Secret::from(TEXT))),
        environment: Environment {
            key: Some(Secret::from(TEXT)),
            ..Environment::default()
        },
        config_home: None,
    };
    assert!(!format!("{source:?}").contains(&TEXT[..8]));
}

fn data_key(workspace: &str, id: i64) -> DataKey {
    let master = MasterKey::new(bytes());
    let wrapped = master.new_data_key(workspace).expect("random numbers");
    master.unwrap(workspace, id, &wrapped).expect("its own")
}

fn connection(workspace: &str, provider: &str, name: &str) -> ConnectionKey {
    ConnectionKey {
        integration: IntegrationKey {
            workspace: workspace.into(),
            provider: provider.into(),
            grant_type: GrantType::AuthorizationCode,
        },
        connection: name.into(),
    }
}

fn context<'a>(
    row: &'a ConnectionKey,
    kind: Kind,
    resource: &'a str,
    generation: u64,
) -> Context<'a> {
    Context {
        subject: row.into(),
        kind,
        resource,
        generation,
    }
}

fn read(source: &KeySource) -> MasterKey {
    source
        .read()
        .unwrap_or_else(|error| panic!("{error}"))
        .expect("a source names one")
}

fn failed(source: &KeySource) -> Error {
    source.read().expect_err("no key can come of it")
}

fn named(path: &Path) -> KeySource {
    let environment = Environment {
        key_file: Some(path.to_owned()),
        ..Environment::default()
    };
    KeySource {
        environment,
        ..KeySource::default()
    }
}

fn commanded(command: &str) -> KeySource {
    let environment = Environment {
        key_command: Some(command.to_owned()),
        ..Environment::default()
    };
    KeySource {
        environment,
        ..KeySource::default()
    }
}

fn generated(home: &Path) -> KeySource {
    KeySource {
        config_home: Some(home.to_owned()),
        ..KeySource::default()
    }
}

fn key_file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("named-key");
    fs::write(&path, content).expect("writable");
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
    (folder, path)
}

fn base64(byte: u8) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode([byte; 32])
}
