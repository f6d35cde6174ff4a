//! The built-in files, and finding providers.

use _core::error::ErrorKind;
use _core::model::GrantType;
use _core::provider::catalog::{Catalog, custom};
use _core::provider::{
    Grace, Meaning, Overrides, Pkce, RevocationKind, Rotates, check, hosts, parameters, scope,
};

use super::{CATALOG, SERVICE, USER, builtin, map, paths, with_files};

const MINIMAL: &str = "
id: sample
name: Sample
category: other
summary: A sample provider.
sources: [https://docs.example.com/oauth]
endpoints:
  authorization_endpoint: https://id.example.com/authorize
  token_endpoint: https://id.example.com/token
client: {authentication: [client_secret_post]}
grants: {authorization_code: {}}
";

/// Providers whose endpoints only their metadata names.
pub(super) const DISCOVERED: [&str; 5] = [
    "jira_mcp",
    "mcp_generic",
    "oidc_generic",
    "secureannex_mcp",
    "wiz_mcp",
];

/// Every grant of every built-in provider whose endpoints the files name.
fn grants() -> Vec<(String, GrantType)> {
    let catalog = &*CATALOG;
    let providers = catalog.all().unwrap();
    providers
        .iter()
        .filter(|provider| !DISCOVERED.contains(&provider.id.as_str()))
        .flat_map(|provider| {
            let grant_types = provider.grant_types();
            grant_types
                .into_iter()
                .map(|grant_type| (provider.id.clone(), grant_type))
        })
        .collect()
}

#[test]
fn every_built_in_file_makes_a_spec_of_each_of_its_grants() {
    for (id, grant_type) in grants() {
        let spec = builtin(&id, grant_type);
        // That of Lightspeed is the shop's, which the callback names.
        let token_endpoint = spec.endpoints.token_endpoint.or(spec.token.url);
        assert!(
            token_endpoint.is_some() || id == "lightspeed_retail",
            "{id}"
        );
        // Some hosts come with the sign-in.
        let hosts = CATALOG.find(&id).unwrap().api_hosts();
        assert!(!hosts.is_empty(), "{id}");
    }
}

#[test]
fn requests_with_a_token_go_to_hosts_that_may_have_it() {
    let mut foreign = Vec::new();
    for (id, grant_type) in grants() {
        let spec = builtin(&id, grant_type);
        let account = spec
            .account
            .as_ref()
            .and_then(|rules| rules.request.url.as_ref());
        let lookup = spec
            .lookup
            .as_ref()
            .and_then(|rules| rules.request.url.as_ref());
        for template in account.into_iter().chain(lookup) {
            let filled = parameters::fill(template, &|name| spec.values.get(name).cloned());
            // A host that the sign-in brings is judged then.
            let Some(url) = filled.unwrap() else { continue };
            let url = url::Url::parse(&url).unwrap();
            if !hosts::owns(&spec.api.hosts, &url) {
                foreign.push(format!("{id}: {url}"));
            }
        }
    }
    assert_eq!(foreign, [""; 0]);
}

#[test]
fn a_parameter_that_has_to_be_set_shows_what_it_looks_like() {
    for provider in CATALOG.all().unwrap() {
        for grant_type in provider.grant_types() {
            for (name, parameter) in provider.parameters(grant_type) {
                let shown = parameter.example.is_some() || parameter.choices.is_some();
                let free = parameter.optional || parameter.default.is_some() || parameter.secret;
                assert!(shown || free, "{}: {name}", provider.id);
                assert!(parameter.label.is_some(), "{}: {name}", provider.id);
            }
        }
    }
}

#[test]
fn the_providers_of_existing_templates_are_there_under_their_ids_and_grant_types() {
    let catalog = &*CATALOG;
    for (id, grant_types) in [
        ("azure_log_analytics", &[USER, SERVICE][..]),
        ("azure_management", &[USER, SERVICE]),
        ("github", &[USER]),
        ("github_mcp", &[USER]),
        ("google", &[SERVICE]),
        ("google_docs", &[SERVICE]),
        ("google_drive", &[USER]),
        ("google_gmail", &[USER]),
        ("google_sheets", &[SERVICE]),
        ("jamf", &[SERVICE]),
        ("jira_mcp", &[USER]),
        ("linear_mcp", &[USER]),
        ("microsoft_defender_endpoint", &[USER, SERVICE]),
        ("microsoft_defender_xdr", &[USER, SERVICE]),
        ("microsoft_entra", &[USER, SERVICE]),
        ("microsoft_graph", &[USER, SERVICE]),
        ("microsoft_sentinel", &[USER, SERVICE]),
        ("microsoft_teams", &[USER, SERVICE]),
        ("notion_mcp", &[USER]),
        ("runreveal_mcp", &[USER]),
        ("secureannex_mcp", &[USER]),
        ("sentry_mcp", &[USER]),
        ("servicenow", &[SERVICE]),
        ("slack", &[USER]),
        ("wiz_mcp", &[USER]),
    ] {
        let provider = catalog.find(id).unwrap();
        assert_eq!(provider.id, id);
        for grant_type in grant_types {
            assert!(provider.grant_types().contains(grant_type), "{id}");
        }
    }
}

#[test]
fn every_built_in_file_passes_the_check_that_users_files_get() {
    let problems: Vec<_> = check::check_provider(std::path::Path::new("src/provider/catalog"))
        .into_iter()
        .filter(|problem| !problem.message.contains("is taken by the provider"))
        .map(|problem| format!("{}:{}: {}", problem.path, problem.line, problem.message))
        .collect();
    assert_eq!(problems, [""; 0], "{problems:#?}");
}

#[test]
fn ids_and_aliases_of_the_table_are_those_of_the_files() {
    let catalog = &*CATALOG;
    for id in catalog.ids() {
        let provider = catalog.find(id).unwrap();
        assert_eq!(provider.id, id);
        for alias in &provider.aliases {
            assert_eq!(catalog.find(alias).unwrap().id, id);
        }
    }
    for alias in [
        "gmail",
        "microsoft",
        "microsoft_tenant",
        "microsoft_app",
        "entra_id",
    ] {
        let provider = catalog.find(alias).unwrap();
        assert!(
            provider.aliases.iter().any(|known| known == alias),
            "{alias}"
        );
    }
}

#[test]
fn every_built_in_file_names_the_vendors_pages() {
    for provider in CATALOG.all().unwrap() {
        assert!(!provider.sources.is_empty(), "{}", provider.id);
        assert!(
            provider
                .sources
                .iter()
                .all(|url| url.starts_with("https://")),
            "{}",
            provider.id
        );
    }
}

#[test]
fn a_provider_of_a_family_names_pages_of_its_own() {
    let mut without = Vec::new();
    for provider in CATALOG.all().unwrap() {
        let Some(parent) = &provider.extends else {
            continue;
        };
        let parent = CATALOG.find(parent).unwrap();
        if provider
            .sources
            .iter()
            .all(|page| parent.sources.contains(page))
        {
            without.push(provider.id.clone());
        }
    }
    assert_eq!(without, [""; 0]);
}

#[test]
fn every_sample_of_a_vendors_replies_comes_from_a_page_that_its_file_names() {
    let catalog = &*CATALOG;
    for file in std::fs::read_dir("tests/data/replies").unwrap() {
        let path = file.unwrap().path().display().to_string();
        let id = path.rsplit('/').next().unwrap().trim_end_matches(".json");
        let provider = catalog.find(id).unwrap();
        let sample: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let others = sample
            .as_object()
            .unwrap()
            .values()
            .filter_map(|part| part.get("source"));
        for source in std::iter::once(&sample["source"]).chain(others) {
            let source = source.as_str().unwrap().to_owned();
            assert!(provider.sources.contains(&source), "{path}: {source}");
        }
        assert!(
            sample["token"].is_object() && sample["error"].is_object(),
            "{path}"
        );
    }
}

#[test]
fn base_and_suggested_scopes_of_every_file_are_allowed_and_explained() {
    for (id, grant_type) in grants() {
        let spec = builtin(&id, grant_type);
        for scope in spec.scopes.base.iter().chain(spec.scopes.suggested.keys()) {
            scope::validate(&spec.scopes, &id, scope).unwrap();
        }
        for (scope, meaning) in &spec.scopes.suggested {
            assert!(meaning.ends_with('.'), "{id}: {scope}");
        }
    }
}

#[test]
fn google_keeps_its_refresh_token_and_asks_for_consent() {
    let spec = builtin("google_drive", USER);
    assert_eq!(spec.refresh.unwrap().rotates, Rotates::Never);
    assert_eq!(spec.authorization.parameters["access_type"], "offline");
    assert_eq!(spec.authorization.parameters["prompt"], "consent");
    assert_eq!(
        spec.api.hosts,
        ["www.googleapis.com", "driveactivity.googleapis.com"]
    );
    assert_eq!(spec.revocation.kind, RevocationKind::Rfc7009);
    assert!(spec.device.is_none());
}

#[test]
fn microsoft_rotates_and_leaves_the_old_refresh_token_alive() {
    let refresh = builtin("microsoft_graph", USER).refresh.unwrap();
    assert_eq!(refresh.rotates, Rotates::Always);
    assert_eq!(refresh.grace, Grace::Unlimited);
    assert_eq!(refresh.requires_scope.as_deref(), Some("offline_access"));
}

#[test]
fn a_service_grant_of_microsoft_asks_for_the_default_scope_of_its_cloud() {
    let spec = builtin("microsoft_graph", SERVICE);
    assert_eq!(spec.scopes.base, ["https://graph.microsoft.com/.default"]);
    assert!(spec.refresh.is_none());
}

#[test]
fn github_sends_pkce_and_asks_for_json() {
    let spec = builtin("github", USER);
    assert_eq!(spec.pkce, Pkce::Supported);
    assert_eq!(spec.token.headers["Accept"], "application/json");
    assert_eq!(
        spec.refresh.unwrap().request.headers["Accept"],
        "application/json"
    );
    assert_eq!(spec.expiry_signals[0].means, Meaning::Expired);
}

#[test]
fn slack_gets_no_pkce_and_each_token_is_read_from_its_own_place() {
    let user = builtin("slack", USER);
    assert_eq!(user.pkce, Pkce::Never);
    assert_eq!(user.authorization.rename["scope"], "user_scope");
    assert_eq!(
        user.reply.fields["access_token"].iter().next(),
        Some("authed_user.access_token")
    );
    let bot = builtin("slack_bot", USER);
    assert!(bot.authorization.rename.is_empty());
    assert_eq!(
        bot.reply.fields["access_token"].iter().next(),
        Some("access_token")
    );
}

#[test]
fn slack_of_the_public_sector_has_hosts_of_its_own() {
    let overrides = Overrides {
        parameters: map(&[("cloud", "govslack")]),
        ..Overrides::default()
    };
    let spec = CATALOG
        .find("slack_bot")
        .unwrap()
        .spec(USER, &overrides)
        .unwrap();
    assert_eq!(
        spec.endpoints.token_endpoint.as_deref(),
        Some("https://slack-gov.com/api/oauth.v2.access")
    );
    assert_eq!(spec.api.hosts, ["slack-gov.com"]);
    assert_eq!(
        builtin("slack_bot", USER).api.hosts,
        ["slack.com", "files.slack.com"]
    );
}

#[test]
fn an_unknown_provider_is_named_with_the_nearest_ones() {
    let error = CATALOG.find("gogle_drive").unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::UnknownProvider);
    assert!(error.reason().contains("google_drive"), "{error}");
    assert_eq!(
        error.next_command(),
        Some("evergrant providers google_drive")
    );
}

#[test]
fn a_name_near_nothing_leads_to_the_list() {
    let error = CATALOG.find("zzzz\u{1b}[31m").unwrap_err();
    assert_eq!(error.next_command(), Some("evergrant providers"));
    assert!(!error.to_string().contains('\u{1b}'));
}

#[test]
fn a_users_file_adds_a_provider() {
    let (_folder, catalog) = with_files(&[MINIMAL]);
    let catalog = catalog.unwrap();
    assert!(catalog.ids().contains(&"sample"));
    assert_eq!(catalog.find("sample").unwrap().name, "Sample");
}

#[test]
fn a_users_file_cannot_take_an_id_or_an_alias() {
    for taken in [
        "id: github",
        "id: gmail",
        "id: fresh\naliases: [slack]",
        "id: fresh\naliases: [microsoft]",
    ] {
        let (_folder, catalog) = with_files(&[&MINIMAL.replace("id: sample", taken)]);
        let error = catalog.unwrap_err();
        assert_eq!(error.code(), "invalid_provider_file", "{taken}");
        assert!(error.reason().contains("is taken by"), "{error}");
    }
}

#[test]
fn two_users_files_cannot_have_the_same_id() {
    let (_folder, catalog) = with_files(&[MINIMAL, MINIMAL]);
    assert!(catalog.unwrap_err().reason().contains("is taken by"));
}

#[test]
fn a_broken_users_file_is_named_with_its_line_and_the_check_to_run() {
    let (folder, catalog) = with_files(&["id: sample\nname: [\n"]);
    let error = catalog.unwrap_err();
    assert!(error.reason().contains("0.yaml: line "), "{error}");
    let command = format!(
        "evergrant check-provider {}",
        folder.path().join("0.yaml").display()
    );
    assert_eq!(error.next_command(), Some(command.as_str()));
}

#[test]
fn a_mistake_inside_one_users_file_leaves_the_other_providers_alone() {
    let (_folder, catalog) = with_files(&[&format!("{MINIMAL}lifetime: 5\n")]);
    let catalog = catalog.unwrap();
    assert!(catalog.find("github").is_ok());
    let error = catalog.find("sample").unwrap_err();
    assert_eq!(error.code(), "invalid_provider_file");
    assert!(
        error.reason().contains("unknown field `lifetime`"),
        "{error}"
    );
}

#[test]
fn hidden_files_and_other_endings_are_no_provider_files() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["._sample.yaml", ".hidden.yml", "notes.txt", "sample.yaml~"] {
        std::fs::write(folder.path().join(name), "\u{0}not yaml: [").unwrap();
    }
    let catalog = Catalog::with_folders(&paths(&folder)).unwrap();
    assert_eq!(catalog.ids(), Catalog::builtin().ids());
}

#[test]
fn a_folder_that_is_missing_is_an_error() {
    let missing = tempfile::tempdir().unwrap();
    let folders = paths(&missing);
    drop(missing);
    assert_eq!(
        Catalog::with_folders(&folders).unwrap_err().code(),
        "provider_folder_unreadable"
    );
}

/// Everything of a provider but its names.
fn rest(provider: &_core::provider::catalog::Provider) -> String {
    let shown = format!("{provider:?}");
    shown[shown.find("category: ").unwrap()..].to_owned()
}

#[test]
fn the_build_reads_every_file_as_it_is_read_from_a_folder() {
    let builtin = Catalog::builtin();
    for id in builtin.ids() {
        let path = format!(
            "{}/src/provider/catalog/{id}.yaml",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(path).unwrap();
        let mut file: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let fields = file.as_object_mut().unwrap();
        fields.remove("aliases");
        fields.insert("id".into(), "copy".into());
        let (_folder, catalog) = with_files(&[&file.to_string()]);
        let copy = catalog.unwrap().find("copy").unwrap();
        assert_eq!(rest(&copy), rest(&builtin.find(id).unwrap()), "{id}");
    }
}

#[test]
fn files_of_installed_packages_are_taken_when_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sample.yaml"), MINIMAL).unwrap();
    let catalog = Catalog::builtin();
    assert_eq!(
        catalog.find("sample").unwrap_err().code(),
        "unknown_provider"
    );
    assert!(!catalog.has_adopted());
    catalog.adopt(&paths(&folder)).unwrap();
    assert_eq!(catalog.find("sample").unwrap().id, "sample");
    assert_eq!(catalog.ids().len(), Catalog::builtin().ids().len() + 1);
}

#[test]
fn a_package_takes_no_id_that_a_users_file_has() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sample.yaml"), MINIMAL).unwrap();
    let (_users, catalog) = with_files(&[MINIMAL]);
    let catalog = catalog.unwrap();
    let error = catalog.adopt(&paths(&folder)).unwrap_err();
    assert!(error.reason().contains("`sample` is taken"), "{error}");
    assert!(!catalog.has_adopted());
}

#[test]
fn what_a_package_brought_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::builtin();
    catalog.adopt(&paths(&folder)).unwrap();
    std::fs::write(folder.path().join("sample.yaml"), MINIMAL).unwrap();
    catalog.adopt(&paths(&folder)).unwrap();
    assert!(catalog.find("sample").is_err());
}

#[test]
fn a_grant_that_needs_a_mechanism_says_so_before_anything_is_asked() {
    let text = MINIMAL.replace(
        "{authorization_code: {}}",
        "{authorization_code: {needs: [xml]}}",
    );
    let (_folder, catalog) = with_files(&[&text]);
    let error = catalog
        .unwrap()
        .find("sample")
        .unwrap()
        .spec(USER, &Overrides::default())
        .unwrap_err();
    assert_eq!(error.code(), "grant_type_unsupported");
}

#[test]
fn a_grant_type_that_the_provider_lacks_is_refused_by_name() {
    let error = CATALOG
        .find("slack")
        .unwrap()
        .spec(SERVICE, &Overrides::default())
        .unwrap_err();
    assert_eq!(error.code(), "grant_type_unknown");
    assert!(
        error.reason().contains("only authorization_code"),
        "{error}"
    );
}

#[test]
fn an_id_of_a_custom_provider_is_lower_snake_case() {
    for wrong in ["", "Acme", "1acme", "acme-corp", "acme\n", &"a".repeat(65)] {
        assert_eq!(
            custom(wrong).unwrap_err().code(),
            "invalid_provider_id",
            "{wrong:?}"
        );
    }
    assert_eq!(custom("acme_2").unwrap().grant_types(), [USER, SERVICE]);
}

#[test]
fn the_literal_address_is_preferred_to_localhost_where_a_provider_takes_both() {
    let redirect_uri = |id| {
        let provider = CATALOG.find(id).unwrap();
        provider.to_value()["redirect_uri"].clone()
    };
    assert_eq!(redirect_uri("google"), "http://127.0.0.1/callback");
    assert_eq!(redirect_uri("microsoft_graph"), "http://localhost/callback");
}

#[test]
fn what_a_provider_shows_has_every_field_that_the_python_object_needs() {
    let value = CATALOG.find("microsoft_graph").unwrap().to_value();
    assert_eq!(
        value["grant_types"],
        serde_json::json!(["authorization_code", "client_credentials"])
    );
    assert_eq!(
        value["base_scopes"]["client_credentials"][0],
        "https://graph.microsoft.com/.default"
    );
    assert_eq!(value["api_hosts"][0], "graph.microsoft.com");
    assert_eq!(value["redirect_uri"], "http://localhost/callback");
    assert_eq!(
        value["parameters"]["authorization_code"]["tenant"]["default"],
        "common"
    );
    assert!(value["parameters"]["client_credentials"]["tenant"]["default"].is_null());
    assert!(value["setup"]["authorization_code"]["steps"][0].is_string());
    for field in [
        "id",
        "aliases",
        "name",
        "category",
        "summary",
        "links",
        "suggested_scopes",
    ] {
        assert!(!value[field].is_null(), "{field}");
    }
}
