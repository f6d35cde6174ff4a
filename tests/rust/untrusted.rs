//! Text of a server is shown without what moves a cursor, and without secrets.

use _core::oauth::clean;
use proptest::prelude::*;

#[test]
fn characters_that_are_not_seen_are_removed() {
    let text = "a\u{0}b\u{1b}[2Jc\u{202e}d\u{2066}e\u{200b}f\u{feff}g\u{9b}h\u{e0041}i\u{7f}j";
    assert_eq!(clean(text, &[]), "ab[2Jcdefghij");
}

#[test]
fn line_breaks_and_tabs_become_one_space() {
    assert_eq!(
        clean("  first\r\n\t second\u{2028}third  ", &[]),
        "first second third"
    );
}

#[test]
fn words_in_any_script_stay() {
    assert_eq!(
        clean("Der Zugriff wurde gelöscht: ファイル «x»", &[]),
        "Der Zugriff wurde gelöscht: ファイル «x»"
    );
}

#[test]
fn a_known_secret_is_masked_in_every_spelling() {
    let secret = "tok/en+1";
    let text = "plain tok/en+1, encoded tok%2Fen%2B1, split tok/\u{200b}en+1";
    assert_eq!(
        clean(text, &[secret]),
        "plain [redacted], encoded [redacted], split [redacted]"
    );
}

#[test]
fn a_part_of_a_known_secret_is_masked() {
    let secret = "alpha-bravo-charlie-delta-echo";
    assert_eq!(
        clean("token alpha-bravo-char… is used", &[secret]),
        "token [redacted]… is used"
    );
}

#[test]
fn the_longer_of_two_secrets_is_masked_whole() {
    assert_eq!(clean("abcd1234", &["abcd", "abcd1234"]), "[redacted]");
}

#[test]
fn what_looks_like_a_token_is_masked() {
    for token in [
        "ya29.a0AfH6SMBx1234567890abcd",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "0123456789abcdef01234567",
    ] {
        assert_eq!(
            clean(&format!("bad token {token}, sorry"), &[]),
            "bad token [redacted], sorry"
        );
    }
}

#[test]
fn trace_ids_dates_and_urls_stay() {
    for text in [
        "Trace ID: 5c1d3d0a-1111-2222-3333-444455556666.",
        "2026-01-01 00:00:00Z",
        "see https://login.example.com/oauth2/v2.0/authorize",
        "AADSTS700082: expired due to inactivity",
    ] {
        assert_eq!(clean(text, &[]), text);
    }
}

#[test]
fn at_most_256_characters_are_shown() {
    let shown = clean(&"wörd ".repeat(100), &[]);
    assert_eq!(shown.chars().count(), 256);
    assert!(shown.ends_with('…'));
}

proptest! {
    #[test]
    fn a_secret_never_gets_through(before in ".{0,300}", secret in "[a-zA-Z0-9/+=_-]{12,60}", after in ".{0,300}") {
        let shown = clean(&format!("{before}{secret}{after}"), &[&secret]);
        prop_assert!(!shown.contains(&secret));
        prop_assert!(shown.chars().count() <= 256);
        prop_assert!(!shown.contains(char::is_control));
    }
}
