//! Which hosts may get a token, and which URLs may be asked.

use _core::provider::hosts::{judge_url, normal, owns};
use proptest::prelude::*;
use url::Url;

use super::texts;

fn owned(hosts: &[&str], url: &str) -> bool {
    owns(&texts(hosts), &Url::parse(url).unwrap())
}

#[test]
fn a_host_owns_its_own_name_in_any_spelling() {
    for url in [
        "https://api.github.com/user",
        "https://API.GitHub.com/user",
        "https://api.github.com./user",
        "https://api.github.com:443/user",
        "https://user:secret@api.github.com/",
    ] {
        assert!(owned(&["api.github.com"], url), "{url}");
    }
}

#[test]
fn look_alikes_of_a_host_are_not_owned() {
    for url in [
        "https://api.github.com.evil.example/",
        "https://api.github.com@evil.example/",
        "https://evil.example/api.github.com",
        "https://evil.example/?api.github.com",
        "https://evil.example/#api.github.com",
        "https://xapi.github.com/",
        "https://x.api.github.com/",
        "https://github.com/",
        "https://api.github.com:8443/",
        "https://api.g\u{456}thub.com/",
        "https://api.github.com%2eevil.example/",
        "http://api.github.com/",
        "wss://api.github.com/",
    ] {
        if let Ok(parsed) = Url::parse(url) {
            assert!(!owns(&texts(&["api.github.com"]), &parsed), "{url}");
        }
    }
}

#[test]
fn a_star_stands_for_one_or_more_labels_and_never_for_none() {
    let hosts = ["*.example.com"];
    assert!(owned(&hosts, "https://a.example.com/"));
    assert!(owned(&hosts, "https://a.b.example.com/"));
    for url in [
        "https://example.com/",
        "https://aexample.com/",
        "https://a.example.com.evil.org/",
        "https://.example.com/",
    ] {
        if let Ok(parsed) = Url::parse(url) {
            assert!(!owns(&texts(&hosts), &parsed), "{url}");
        }
    }
}

#[test]
fn a_listed_port_is_the_only_one() {
    assert!(owned(&["example.com:8443"], "https://example.com:8443/"));
    assert!(!owned(&["example.com:8443"], "https://example.com/"));
}

#[test]
fn an_international_host_is_compared_by_its_a_labels() {
    assert!(owned(
        &["b\u{fc}cher.example"],
        "https://xn--bcher-kva.example/"
    ));
    assert_eq!(
        normal("B\u{dc}CHER.example.").unwrap(),
        "xn--bcher-kva.example"
    );
}

#[test]
fn http_is_owned_only_at_a_loopback_address() {
    assert!(owned(&["127.0.0.1:8080"], "http://127.0.0.1:8080/"));
    assert!(owned(&["[::1]:8080"], "http://[::1]:8080/"));
    assert!(!owned(&["localhost:8080"], "http://localhost:8080/"));
    assert!(!owned(&["192.168.0.1:8080"], "http://192.168.0.1:8080/"));
}

#[test]
fn a_value_that_holds_a_url_counts_by_host_and_port() {
    assert_eq!(
        normal("https://acme.example.com:8443/api/v1").unwrap(),
        "acme.example.com:8443"
    );
    assert_eq!(normal("acme.example.com/api").unwrap(), "acme.example.com");
}

#[test]
fn an_entry_that_would_own_too_much_is_refused() {
    for entry in [
        "*",
        "*.com",
        "*.*.example.com",
        "a.*.example.com",
        "",
        "*.",
        "user@example.com",
        "exa mple.com",
        "*.10.0.0.1",
    ] {
        assert_eq!(
            normal(entry).map_err(|error| error.code()),
            Err("invalid_host"),
            "{entry}"
        );
    }
}

#[test]
fn a_url_is_https_without_userinfo_and_fragment() {
    assert!(judge_url("https://id.example.com/token?x=1", false).is_ok());
    for (url, word) in [
        ("http://id.example.com/token", "http"),
        ("https://user@id.example.com/token", "user name"),
        ("https://user:password@id.example.com/token", "user name"),
        ("https://@id.example.com/token", "user name"),
        ("https://id.example.com/token#part", "fragment"),
        ("https://id.example.com/token#", "fragment"),
        ("ftp://id.example.com/token", "not https"),
        ("javascript:alert(1)", "no host"),
        ("https://", "cannot be read"),
        ("/token", "cannot be read"),
        ("https://id.example.com\\@evil.example/", "backslash"),
        ("https://id.example.com/to\nken", "control"),
        (" https://id.example.com/", "space"),
    ] {
        let error = judge_url(url, true).unwrap_err();
        assert_eq!(error.code(), "invalid_url", "{url}");
        assert!(error.reason().contains(word), "{url}: {error}");
    }
}

#[test]
fn http_to_a_loopback_literal_needs_the_users_own_hand() {
    for url in [
        "http://127.0.0.1:8080/token",
        "http://[::1]/token",
        "http://127.9.9.9/",
    ] {
        assert!(judge_url(url, true).is_ok(), "{url}");
        assert!(judge_url(url, false).is_err(), "{url}");
    }
    for url in [
        "http://localhost/token",
        "http://127.0.0.1.example.com/",
        "http://0.0.0.0/",
    ] {
        assert!(judge_url(url, true).is_err(), "{url}");
    }
}

#[test]
fn a_refused_url_is_never_repeated_since_it_may_hold_a_password() {
    let error = judge_url("https://me:hunter2@id.example.com/", false).unwrap_err();
    assert!(!error.to_string().contains("hunter2"));
}

proptest! {
    #[test]
    fn no_text_makes_the_judges_panic_or_own_a_foreign_host(text in "\\PC{0,40}", host in "[a-z]{1,8}\\.evil\\.test") {
        let _ = judge_url(&text, true);
        let url = Url::parse(&format!("https://{host}/")).unwrap();
        if !text.contains("evil.test") {
            prop_assert!(!owns(&[text], &url));
        }
    }
}
