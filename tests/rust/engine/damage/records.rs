//! One record is damaged or in the place of another: all others go on, and it says how it is replaced.

use std::path::Path;

use _core::model::State;
use rusqlite::types::Value;

use super::super::{SERVICE, USER, within};
use super::{Kept, helps};

/// Every sealed field of the store: table and column.
const SEALED: [(&str, &str); 6] = [
    ("data_keys", "wrapped"),
    ("integrations", "config_blob"),
    ("connections", "grant_blob"),
    ("tokens", "token_blob"),
    ("attempts", "note_blob"),
    ("pending", "session_blob"),
];

/// Flips a bit in the byte at `part` (0 to 1) of every field of a column, where `only` holds.
fn flip(path: &Path, (table, column): (&str, &str), only: &str, part: f64) -> usize {
    let connection = rusqlite::Connection::open(path).unwrap();
    let keys = "provider = ?2 AND grant_type = ?3";
    let select = match table {
        "data_keys" => format!("SELECT '', '', {column} FROM {table} WHERE {only}"),
        _ => format!(
            "SELECT provider, grant_type, {column} FROM {table} WHERE {column} IS NOT NULL AND {only}"
        ),
    };
    let rows: Vec<(String, String, Vec<u8>)> = connection
        .prepare(&select)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    for (provider, grant_type, mut blob) in rows.clone() {
        let before = blob.clone();
        let at = ((blob.len() - 1) as f64 * part) as usize;
        blob[at] ^= 0x10;
        let mut parameters = vec![
            Value::Blob(blob),
            Value::Text(provider),
            Value::Text(grant_type),
        ];
        let update = match table {
            "data_keys" => {
                parameters.truncate(1);
                format!("UPDATE {table} SET {column} = ?1 WHERE {only}")
            }
            _ => {
                parameters.push(Value::Blob(before));
                format!("UPDATE {table} SET {column} = ?1 WHERE {keys} AND {column} = ?4")
            }
        };
        connection
            .execute(&update, rusqlite::params_from_iter(parameters))
            .unwrap();
    }
    rows.len()
}

const PARTS: [f64; 5] = [0.0, 0.02, 0.2, 0.6, 1.0];

#[tokio::test]
async fn no_bit_of_a_sealed_field_can_flip_unnoticed() {
    let kept = Kept::new().await;
    for field in SEALED {
        for part in PARTS {
            let path = kept.copy();
            assert!(flip(&path, field, "true", part) > 0, "{field:?}");
            let tokens = kept.tokens(&path).await;
            let sent = kept.server.count();
            for (name, token) in &tokens {
                match (field.0, token) {
                    // What is damaged is not needed for a token that lives.
                    ("attempts" | "pending" | "connections" | "integrations", Ok(_)) => {}
                    ("tokens", Ok(token)) => assert!(
                        token
                            .strip_prefix("at-")
                            .is_some_and(|n| n.parse::<usize>().unwrap() > 3),
                        "{name} got {token} of a damaged record"
                    ),
                    ("tokens", Err(error)) => panic!("{name} can have another: {error}"),
                    (_, Err(error)) => assert!(helps(error, &path), "{name}: {error}"),
                    (_, Ok(token)) => panic!("{name} got {token} of {field:?}"),
                }
            }
            assert!(
                sent <= 5 + 3 * PARTS.len(),
                "{field:?}: one refresh for each"
            );
        }
    }
}

#[tokio::test]
async fn a_damaged_grant_stops_one_connection_and_says_how_to_connect_again() {
    let kept = Kept::new().await;
    let path = kept.copy();
    flip(
        &path,
        ("connections", "grant_blob"),
        "connection = 'bob'",
        0.5,
    );
    kept.clock.advance(std::time::Duration::from_secs(3600));
    let tokens = kept.tokens(&path).await;
    let error = tokens["bob"].as_ref().unwrap_err();
    assert_eq!(error.code(), "record_damaged");
    assert!(helps(error, &path), "{error}");
    let again = "evergrant connect acme --connection bob --again";
    assert_eq!(error.next_command(), Some(again));
    assert!(
        tokens["default"].is_ok() && tokens["service"].is_ok(),
        "{tokens:?}"
    );

    let engine = kept.open(&path).await.unwrap();
    let found = engine.connections(None, None).await.unwrap();
    let seen: Vec<_> = found
        .iter()
        .map(|one| (&*one.connection, one.state))
        .collect();
    assert_eq!(
        seen,
        [
            ("bob", State::ReauthorizationRequired),
            ("default", State::Connected),
            ("default", State::Connected)
        ]
    );
    assert_eq!(found[0].hint.as_deref(), Some(again));

    let imported = engine.import_refresh_token("acme", "rt-new".into(), Some(USER), "bob", &[]);
    assert_eq!(imported.await.unwrap().state, State::Connected);
}

#[tokio::test]
async fn a_connection_with_a_damaged_grant_can_be_disconnected() {
    let kept = Kept::new().await;
    let path = kept.copy();
    flip(
        &path,
        ("connections", "grant_blob"),
        "connection = 'bob'",
        0.5,
    );
    let engine = kept.open(&path).await.unwrap();
    let left = within(engine.disconnect("acme", Some(USER), "bob", true)).await;
    let report = left.unwrap();
    assert!(!report.ok, "what the record held may live on");
    assert_eq!(engine.connections(None, Some(USER)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_damaged_token_is_replaced_and_nothing_else_happens() {
    let kept = Kept::new().await;
    let path = kept.copy();
    flip(&path, ("tokens", "token_blob"), "connection = 'bob'", 0.5);
    let tokens = kept.tokens(&path).await;
    assert_eq!(tokens["default"].as_ref().unwrap(), "at-1");
    assert_eq!(tokens["service"].as_ref().unwrap(), "at-3");
    assert_eq!(tokens["bob"].as_ref().unwrap(), "at-5");
    assert_eq!(kept.server.refresh_tokens().last().unwrap(), "rt-2");
}

#[tokio::test]
async fn a_damaged_service_is_fetched_anew() {
    let kept = Kept::new().await;
    let path = kept.copy();
    let service = "grant_type = 'client_credentials'";
    flip(&path, ("connections", "grant_blob"), service, 0.5);
    flip(&path, ("tokens", "token_blob"), service, 0.5);
    assert_eq!(
        kept.tokens(&path).await["service"].as_ref().unwrap(),
        "at-5"
    );
}

#[tokio::test]
async fn a_damaged_configuration_stops_one_integration_and_is_configured_anew() {
    let kept = Kept::new().await;
    let path = kept.copy();
    let user = "grant_type = 'authorization_code'";
    flip(&path, ("integrations", "config_blob"), user, 0.5);
    kept.clock.advance(std::time::Duration::from_secs(3600));
    let tokens = kept.tokens(&path).await;
    assert!(tokens["service"].is_ok(), "{tokens:?}");
    for name in ["default", "bob"] {
        let error = tokens[name].as_ref().unwrap_err();
        assert!(helps(error, &path), "{error}");
    }
    let engine = kept.open(&path).await.unwrap();
    let found = engine.integrations().await.unwrap();
    let seen: Vec<_> = found
        .iter()
        .map(|one| (one.grant_type, one.state))
        .collect();
    assert_eq!(
        seen,
        [
            (Some(USER), State::NotConfigured),
            (Some(SERVICE), State::Connected)
        ]
    );
    let hint = found[0].hint.as_deref().unwrap();
    assert!(hint.starts_with("evergrant configure acme --grant-type authorization_code"));

    let mut request = _core::engine::configure::Configure {
        provider: "acme".to_owned(),
        grant_type: Some(USER),
        client_id: Some("client-1".to_owned()),
        client_secret: Some("s3cret".into()),
        ..Default::default()
    };
    let base = &kept.server.base;
    request.settings.endpoints = Some(
        [
            ("authorization_endpoint", "authorize"),
            ("token_endpoint", "token"),
        ]
        .map(|(name, path)| (name.to_owned(), format!("{base}/{path}")))
        .into(),
    );
    engine.configure(request).await.unwrap();
    assert!(
        kept.tokens(&path).await["bob"].is_ok(),
        "the grants were sound"
    );
}

#[tokio::test]
async fn an_integration_with_a_damaged_configuration_can_be_removed() {
    let kept = Kept::new().await;
    let path = kept.copy();
    let user = "grant_type = 'authorization_code'";
    flip(&path, ("integrations", "config_blob"), user, 0.5);
    let engine = kept.open(&path).await.unwrap();
    within(engine.remove("acme", Some(USER), true))
        .await
        .unwrap();
    assert_eq!(engine.integrations().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_damaged_data_key_is_an_error_that_names_the_workspace_and_the_file() {
    let kept = Kept::new().await;
    let path = kept.copy();
    flip(&path, ("data_keys", "wrapped"), "true", 0.5);
    for error in kept
        .tokens(&path)
        .await
        .into_values()
        .map(Result::unwrap_err)
    {
        assert_eq!(error.code(), "data_key_damaged");
        assert!(helps(&error, &path), "{error}");
        assert!(error.reason().contains("default"), "{error}");
    }
}

#[tokio::test]
async fn no_record_opens_in_the_place_of_another() {
    let kept = Kept::new().await;
    let bob = "connection = 'bob'";
    let default = "connection = 'default' AND grant_type = 'authorization_code'";
    let service = "grant_type = 'client_credentials'";
    let from = |table: &str, columns: &str, row: &str| {
        format!("({columns}) = (SELECT {columns} FROM {table} WHERE {row})")
    };
    let token = |row| from("tokens", "token_key, token_generation, token_blob", row);
    let grant = |row| {
        from(
            "connections",
            "grant_key, grant_generation, grant_blob",
            row,
        )
    };
    #[rustfmt::skip]
    let swaps = [
        ("another connection's token", format!("UPDATE tokens SET {} WHERE {bob}", token(default))),
        ("another connection's grant", format!("UPDATE connections SET {} WHERE {bob}", grant(default))),
        ("another connection's grant and token", format!("UPDATE tokens SET {} WHERE {bob}; UPDATE connections SET {} WHERE {bob}", token(default), grant(default))),
        ("a service's token", format!("UPDATE tokens SET {} WHERE {bob}", token(service))),
        ("the token of another resource", format!("UPDATE tokens SET resource = 'https://x.example' WHERE {default}; UPDATE tokens SET resource = '' WHERE {default}; UPDATE tokens SET {} WHERE {bob}", token(default))),
        ("a grant where a token is", format!("UPDATE tokens SET (token_key, token_generation, token_blob) = (SELECT grant_key, grant_generation, grant_blob FROM connections WHERE {bob}) WHERE {bob}")),
        ("another generation", format!("UPDATE tokens SET token_generation = token_generation + 1 WHERE {bob}; UPDATE connections SET grant_generation = grant_generation + 1 WHERE {bob}")),
        ("another connection's name", format!("UPDATE tokens SET connection = 'carol' WHERE {bob}; UPDATE tokens SET connection = 'bob' WHERE {default}; UPDATE connections SET connection = 'carol' WHERE {bob}; UPDATE connections SET connection = 'bob' WHERE {default}")),
        ("another workspace's rows", "UPDATE data_keys SET workspace = 'other'; INSERT INTO data_keys SELECT id + 1, 'default', master_key_id, wrapped, created_at FROM data_keys".to_owned()),
    ];
    for (what, sql) in swaps {
        let path = kept.changed(&sql);
        let tokens = kept.tokens(&path).await;
        match &tokens["bob"] {
            Ok(token) => {
                let number: usize = token.strip_prefix("at-").unwrap().parse().unwrap();
                assert!(number == 2 || number > 4, "{what}: bob got {token}");
            }
            Err(error) => assert_ne!(error.code(), "internal_error", "{what}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_row_that_is_no_row_of_ours_leaves_the_others_alone() {
    let kept = Kept::new().await;
    let path =
        kept.changed("UPDATE connections SET state = 'conn\u{1}cted' WHERE connection = 'bob'");
    let tokens = kept.tokens(&path).await;
    let error = tokens["bob"].as_ref().unwrap_err();
    assert!(helps(error, &path), "{error}");
    assert_eq!(tokens["default"].as_ref().unwrap(), "at-1");
    let engine = kept.open(&path).await.unwrap();
    let found = engine.connections(None, Some(USER)).await.unwrap();
    assert_eq!(found.len(), 1, "the sound ones are listed");
}

#[tokio::test]
async fn a_connection_that_cannot_be_read_stops_the_removal_of_its_integration_with_the_next_step()
{
    let kept = Kept::new().await;
    let path = kept.changed("UPDATE connections SET state = 'connectee' WHERE connection = 'bob'");
    let engine = kept.open(&path).await.unwrap();
    let error = within(engine.remove("acme", Some(USER), false))
        .await
        .unwrap_err();
    assert!(helps(&error, &path), "{error}");
}
