//! Scopes: allowed, asked for, granted.

use _core::error::ErrorKind;
use _core::provider::ScopeRules;
use _core::provider::scope::{authorization_parameters, covers, requested, validate};

use super::{SERVICE, USER, builtin, custom_spec, texts};

const AUTH: &str = "https://www.googleapis.com/auth/";

#[test]
fn scopes_of_the_vendors_are_allowed() {
    for (id, grant_type, scope) in [
        (
            "google_drive",
            USER,
            "https://www.googleapis.com/auth/drive.readonly",
        ),
        ("google_gmail", USER, "https://mail.google.com/"),
        (
            "google",
            USER,
            "https://www.googleapis.com/auth/admin.directory.user.readonly",
        ),
        ("github", USER, "repo"),
        ("github", USER, "read:org"),
        ("github", USER, "admin:repo_hook"),
        (
            "microsoft_graph",
            USER,
            "https://graph.microsoft.com/.default",
        ),
        (
            "microsoft_graph",
            USER,
            "https://graph.microsoft.com/User.Read",
        ),
        ("microsoft_graph", USER, "User.Read"),
        (
            "microsoft_graph",
            SERVICE,
            "https://vault.azure.net/.default",
        ),
        ("microsoft_graph", SERVICE, "api://4b8a/.default"),
        ("slack", USER, "users:read.email"),
        ("slack", USER, "incoming-webhook"),
    ] {
        validate(&builtin(id, grant_type).scopes, id, scope).unwrap();
    }
}

#[test]
fn a_pattern_matches_the_whole_scope() {
    for (id, grant_type, scope) in [
        (
            "google_drive",
            USER,
            "xhttps://www.googleapis.com/auth/drive",
        ),
        (
            "google_drive",
            USER,
            "https://www.googleapis.com/auth/drive!",
        ),
        (
            "google_drive",
            USER,
            "https://www.googleapis.com/auth/gmail.send",
        ),
        (
            "google_drive",
            USER,
            "https://wwwXgoogleapis.com/auth/drive",
        ),
        ("github", USER, "repos"),
        ("microsoft_graph", SERVICE, "User.Read"),
        ("microsoft_graph", USER, "https://evil.example/User.Read"),
    ] {
        assert!(
            validate(&builtin(id, grant_type).scopes, id, scope).is_err(),
            "{id} {scope}"
        );
    }
}

#[test]
fn a_pattern_cannot_escape_its_anchors() {
    let rules = ScopeRules {
        allowed: texts(&["a)|(b"]),
        ..ScopeRules::default()
    };
    assert_eq!(
        validate(&rules, "sample", "xb").unwrap_err().code(),
        "invalid_provider_file"
    );
}

#[test]
fn a_denied_pattern_wins_over_an_allowed_one() {
    let rules = ScopeRules {
        allowed: texts(&["[a-z]+"]),
        denied: texts(&["root"]),
        ..ScopeRules::default()
    };
    assert!(validate(&rules, "sample", "reader").is_ok());
    assert!(
        validate(&rules, "sample", "root")
            .unwrap_err()
            .reason()
            .contains("not offered")
    );
}

#[test]
fn the_last_segment_of_a_scope_finds_the_whole_scope() {
    let spec = builtin("google_drive", USER);
    let error = validate(&spec.scopes, "google_drive", "drive.readonly").unwrap_err();
    assert_eq!(
        error.next_command(),
        Some(
            "evergrant configure google_drive --scope https://www.googleapis.com/auth/drive.readonly"
        )
    );
}

#[test]
fn an_invalid_scope_names_itself_the_patterns_and_the_nearest() {
    let spec = builtin("google_drive", USER);
    let error = validate(
        &spec.scopes,
        "google_drive",
        "https://www.googleapis.com/auth/drvie.readonly",
    )
    .unwrap_err();
    let ErrorKind::InvalidScope {
        scope,
        patterns,
        nearest,
    } = error.kind()
    else {
        panic!("{error}");
    };
    assert_eq!(scope, "https://www.googleapis.com/auth/drvie.readonly");
    assert_eq!(
        nearest.as_deref(),
        Some("https://www.googleapis.com/auth/drive.readonly")
    );
    assert!(
        patterns.contains(&"openid, email, profile".to_owned()),
        "{patterns:?}"
    );
    assert!(
        patterns[0].contains("such as https://www.googleapis.com/auth/drive"),
        "{patterns:?}"
    );
    assert_eq!(
        error.next_command(),
        Some(
            "evergrant configure google_drive --scope https://www.googleapis.com/auth/drive.readonly"
        )
    );
}

#[test]
fn several_scopes_in_one_text_are_refused_with_the_remedy() {
    let google = builtin("google", USER);
    assert!(
        validate(&google.scopes, "google", "openid email")
            .unwrap_err()
            .reason()
            .contains("one by one")
    );
    let slack = builtin("slack", USER);
    assert!(
        validate(&slack.scopes, "slack", "chat:write,users:read")
            .unwrap_err()
            .reason()
            .contains("one by one")
    );
}

#[test]
fn a_custom_provider_takes_every_scope_of_the_rfc_and_nothing_else() {
    let spec = custom_spec(|_| {}).unwrap();
    for scope in ["read", "https://api.example.com/.default", "!#[]~", "a:b/c"] {
        validate(&spec.scopes, "acme", scope).unwrap();
    }
    for scope in ["", "a b", "a\"b", "a\\b", "\u{e9}", "a\n"] {
        assert!(validate(&spec.scopes, "acme", scope).is_err(), "{scope:?}");
    }
}

#[test]
fn requested_scopes_are_base_additional_and_the_connections_each_once() {
    let mut spec = custom_spec(|_| {}).unwrap();
    spec.scopes.base = texts(&["openid", "email"]);
    let scopes = requested(
        &spec,
        &texts(&["write", "email"]),
        &texts(&["admin", "write", "openid"]),
    );
    assert_eq!(scopes, ["openid", "email", "write", "admin"]);
}

#[test]
fn openid_with_offline_access_asks_for_consent() {
    let spec = custom_spec(|_| {}).unwrap();
    assert_eq!(
        authorization_parameters(&spec, &texts(&["openid", "offline_access"]))["prompt"],
        "consent"
    );
    assert!(authorization_parameters(&spec, &texts(&["openid"])).is_empty());
    assert!(authorization_parameters(&spec, &texts(&["offline_access"])).is_empty());
}

#[test]
fn a_prompt_of_the_users_own_is_kept() {
    let spec = custom_spec(|overrides| {
        overrides
            .authorization_parameters
            .insert("prompt".into(), "login".into());
    });
    let parameters =
        authorization_parameters(&spec.unwrap(), &texts(&["openid", "offline_access"]));
    assert_eq!(parameters["prompt"], "login");
}

#[test]
fn microsoft_gives_offline_access_without_a_forced_consent() {
    let spec = builtin("microsoft_graph", USER);
    let parameters = authorization_parameters(&spec, &texts(&["openid", "offline_access"]));
    assert!(!parameters.contains_key("prompt"));
}

#[test]
fn a_scope_is_covered_by_itself_and_not_by_its_neighbours() {
    let spec = custom_spec(|_| {}).unwrap();
    assert!(covers(&texts(&["read", "write"]), "write", &spec));
    assert!(!covers(&texts(&["read"]), "write", &spec));
    assert!(!covers(&texts(&["READ"]), "read", &spec));
    assert!(!covers(&[], "read", &spec));
}

#[test]
fn google_grants_email_and_profile_as_urls() {
    let spec = builtin("google_drive", USER);
    let granted = texts(&["openid", &format!("{AUTH}userinfo.email")]);
    assert!(covers(&granted, "email", &spec));
    assert!(covers(&granted, "openid", &spec));
    assert!(!covers(&granted, "profile", &spec));
    assert!(covers(
        &texts(&["profile"]),
        &format!("{AUTH}userinfo.profile"),
        &spec
    ));
}

#[test]
fn a_wider_scope_of_google_covers_the_narrower_ones() {
    let drive = builtin("google_drive", USER);
    assert!(covers(
        &texts(&[&format!("{AUTH}drive")]),
        &format!("{AUTH}drive.metadata.readonly"),
        &drive
    ));
    assert!(!covers(
        &texts(&[&format!("{AUTH}drive.readonly")]),
        &format!("{AUTH}drive"),
        &drive
    ));
    let gmail = builtin("google_gmail", USER);
    assert!(covers(
        &texts(&["https://mail.google.com/"]),
        &format!("{AUTH}gmail.send"),
        &gmail
    ));
    assert!(!covers(
        &texts(&[&format!("{AUTH}gmail.send")]),
        &format!("{AUTH}gmail.readonly"),
        &gmail
    ));
}

#[test]
fn repo_of_github_swallows_its_children_in_several_steps() {
    let spec = builtin("github", USER);
    assert!(covers(&texts(&["repo"]), "public_repo", &spec));
    assert!(covers(&texts(&["admin:org"]), "read:org", &spec));
    assert!(covers(&texts(&["user"]), "user:email", &spec));
    assert!(!covers(&texts(&["public_repo"]), "repo", &spec));
    assert!(!covers(&texts(&["read:org"]), "admin:org", &spec));
}

#[test]
fn microsoft_scopes_mean_the_same_with_and_without_the_default_resource() {
    let spec = builtin("microsoft_graph", USER);
    let granted = texts(&[
        "openid",
        "https://graph.microsoft.com/User.Read",
        "Mail.Send",
    ]);
    assert!(covers(&granted, "User.Read", &spec));
    assert!(covers(
        &granted,
        "https://graph.microsoft.com/mail.send",
        &spec
    ));
    assert!(covers(
        &granted,
        "https://graph.microsoft.com/.default",
        &spec
    ));
    assert!(covers(&granted, "offline_access", &spec));
    assert!(!covers(&granted, "Files.Read.All", &spec));
    assert!(!covers(
        &granted,
        "https://vault.azure.net/User.Read",
        &spec
    ));
    assert!(!covers(&granted, "https://vault.azure.net/.default", &spec));
}

#[test]
fn the_default_scope_of_a_resource_stands_for_all_that_was_consented_there() {
    let spec = builtin("microsoft_graph", SERVICE);
    let granted = texts(&["https://graph.microsoft.com/.default"]);
    assert!(covers(&granted, "User.Read.All", &spec));
    assert!(!covers(&granted, "https://vault.azure.net/.default", &spec));
}
