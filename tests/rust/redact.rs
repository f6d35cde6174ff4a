//! Every written form of a live secret is found, and nothing else is touched.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use _core::secret::live::{self, CURRENT_KEPT, Live, SUPERSEDED_KEPT};
use _core::secret::redact::redact;
use _core::secret::{AccessToken, ClientSecret, RefreshToken, Secret};

const TOKEN: &str = "ya29.a0AfH6SMBx-7Qz3w_kLmNoPqRsTuVwXyZ0123456789";

#[test]
fn nothing_is_live_in_the_beginning() {
    let live = Live::new();
    assert!(!live.any());
    assert_eq!(live.redact(TOKEN), None);
}

#[test]
fn a_live_token_is_masked_and_the_text_around_it_stays() {
    let live = with([TOKEN]);
    assert!(live.any());
    assert_eq!(
        live.redact(&format!("GET /?access_token={TOKEN}&page=2 «é»")),
        Some("GET /?access_token=[redacted]&page=2 «é»".to_owned())
    );
}

#[test]
fn every_occurrence_is_masked() {
    let live = with([TOKEN]);
    assert_eq!(
        live.redact(&format!("{TOKEN}{TOKEN} {TOKEN}")),
        Some("[redacted][redacted] [redacted]".to_owned())
    );
}

#[test]
fn of_two_secrets_where_one_contains_the_other_the_longer_is_masked_whole() {
    let live = with(["inner-secret-0001", "outer.inner-secret-0001.behind-it"]);
    assert_eq!(
        live.redact("a outer.inner-secret-0001.behind-it b inner-secret-0001 c"),
        Some("a [redacted] b [redacted] c".to_owned())
    );
}

#[test]
fn secrets_that_end_alike_are_told_apart_by_the_rest() {
    let live = with([
        "first.shared-ending-0123456789",
        "second.shared-ending-0123456789",
    ]);
    assert_eq!(
        live.redact("second.shared-ending-0123456789"),
        Some("[redacted]".to_owned())
    );
}

#[test]
fn a_secret_shorter_than_a_tail_is_found_whole_only() {
    let live = with(["pa55word", TOKEN]);
    assert_eq!(
        live.redact("user:pa55word@host pa55wor a55word"),
        Some("user:[redacted]@host pa55wor a55word".to_owned())
    );
    assert_eq!(live.redact(TOKEN), Some("[redacted]".to_owned()));
}

#[test]
fn a_secret_that_could_be_an_ordinary_word_is_not_looked_for() {
    let live = with(["secret", ""]);
    assert!(!live.any());
    assert_eq!(live.redact("client_secret"), None);
}

#[test]
fn the_rest_of_a_token_whose_beginning_is_cut_off_is_masked() {
    let live = with([TOKEN]);
    assert_eq!(
        live.redact(&format!("...{}", &TOKEN[TOKEN.len() - 30..])),
        Some("...[redacted]".to_owned())
    );
    assert_eq!(
        live.redact(&format!("...{}", &TOKEN[TOKEN.len() - 20..])),
        None
    );
}

#[test]
fn a_part_of_a_secret_outside_ascii_is_cut_at_a_character() {
    let live = with(["ééééééééééééééééééééééééé"]);
    assert_eq!(
        live.redact("ü\u{a9}éééééééééééééééé"),
        Some("ü\u{a9}[redacted]".to_owned())
    );
    // U+00A9 ends in the byte that é ends in, so the part begins inside of it.
    assert_eq!("\u{a9}".as_bytes()[1], "é".as_bytes()[1]);
}

#[test]
fn basic_credentials_are_masked_for_any_client_id_and_padding() {
    for length in 0..6 {
        let secret = format!("pa55word+with/{}", "x~ y".repeat(length));
        let live = with([secret.as_str()]);
        for id in ["", "a", "ab", "abc", "abcd"] {
            let plain = STANDARD.encode(format!("{id}:{secret}"));
            let form = STANDARD.encode(format!("{id}:{}", form_encoded(&secret)));
            for credentials in [plain, form] {
                let masked = live.redact(&format!("Basic {credentials}")).expect("found");
                let kept = STANDARD_NO_PAD.encode(format!("{id}:"));
                let (start, end) = masked.split_once("[redacted]").expect("masked");
                assert!(format!("Basic {kept}").starts_with(start), "{masked}");
                assert_eq!(end, "", "{masked}");
            }
        }
    }
}

#[test]
fn a_google_refresh_token_is_found_in_json_that_escapes_slashes() {
    let live = with(["1//0gAbCdEf/Gh-IjKlMnOpQrStUv/xYz"]);
    assert_eq!(
        live.redact(r#"{"refresh_token":"1\/\/0gAbCdEf\/Gh-IjKlMnOpQrStUv\/xYz"}"#),
        Some(r#"{"refresh_token":"[redacted]"}"#.to_owned())
    );
}

#[test]
fn a_superseded_secret_is_still_found() {
    let live = with([TOKEN]);
    live.supersede(&Secret::from(TOKEN));
    live.add(&Secret::from("the-next-token-0123456789"));
    assert_eq!(live.redact(TOKEN), Some("[redacted]".to_owned()));
}

#[test]
fn a_superseded_secret_is_forgotten_after_enough_others() {
    let live = with([TOKEN]);
    live.supersede(&Secret::from(TOKEN));
    for number in 0..SUPERSEDED_KEPT {
        assert!(live.redact(TOKEN).is_some(), "after {number}");
        let next = Secret::from(format!("rotated-token-{number:010}"));
        live.add(&next);
        live.supersede(&next);
    }
    assert_eq!(live.redact(TOKEN), None);
}

#[test]
fn a_superseded_secret_that_is_added_again_is_current() {
    let live = with([TOKEN]);
    live.supersede(&Secret::from(TOKEN));
    live.add(&Secret::from(TOKEN));
    for number in 0..=SUPERSEDED_KEPT {
        let next = Secret::from(format!("rotated-token-{number:010}"));
        live.add(&next);
        live.supersede(&next);
    }
    assert!(live.redact(TOKEN).is_some());
}

#[test]
fn a_secret_that_is_superseded_twice_takes_the_place_of_one() {
    let live = with([TOKEN, "comes-and-goes-0123456789"]);
    live.supersede(&Secret::from(TOKEN));
    for _ in 0..2 {
        live.add(&Secret::from("comes-and-goes-0123456789"));
        live.supersede(&Secret::from("comes-and-goes-0123456789"));
    }
    for number in 2..SUPERSEDED_KEPT {
        let next = Secret::from(format!("rotated-token-{number:010}"));
        live.add(&next);
        live.supersede(&next);
    }
    assert!(live.redact(TOKEN).is_some());
}

#[test]
fn superseding_what_was_never_live_changes_nothing() {
    let live = with([TOKEN]);
    live.supersede(&Secret::from("never-seen-0123456789"));
    assert_eq!(live.redact("never-seen-0123456789"), None);
}

#[test]
fn of_too_many_current_secrets_the_oldest_are_forgotten() {
    let live = Live::new();
    for number in 0..=CURRENT_KEPT {
        live.add(&Secret::from(format!("{number:010}-token")));
    }
    assert_eq!(live.redact("0000000000-token"), None);
    assert!(live.redact("0000000001-token").is_some());
    assert!(live.redact(&format!("{CURRENT_KEPT:010}-token")).is_some());
}

#[test]
fn the_process_looks_for_all_kinds_of_secrets_that_were_added() {
    let access = AccessToken::from("process-access-token-001");
    let refresh = RefreshToken::from("process-refresh-token-001");
    let client = ClientSecret::from("process-client-secret-001");
    live::add(&access);
    live::add(&refresh);
    live::add(&client);
    live::supersede(&refresh);
    assert!(live::any());
    assert_eq!(
        redact(&[access.expose(), refresh.expose(), client.expose()].join(" ")),
        Some("[redacted] [redacted] [redacted]".to_owned())
    );
}

#[test]
fn nothing_of_what_is_live_shows_when_the_set_is_formatted() {
    let live = with([TOKEN]);
    assert!(live.redact(TOKEN).is_some());
    assert_eq!(
        format!("{live:?} {live:#?}"),
        "Live([redacted]) Live([redacted])"
    );
}

#[test]
fn threads_that_add_and_look_at_once_lose_nothing() {
    let live = Live::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let live = &live;
            scope.spawn(move || {
                for number in 0..50 {
                    let secret = format!("thread-{thread}-secret-{number:06}");
                    live.add(&Secret::from(secret.as_str()));
                    assert!(live.redact(&secret).is_some());
                }
            });
        }
    });
    for thread in 0..4 {
        for number in 0..50 {
            let secret = format!("thread-{thread}-secret-{number:06}");
            assert!(live.redact(&secret).is_some(), "{secret}");
        }
    }
}

proptest! {
    #[test]
    fn every_form_of_every_secret_is_found_anywhere(
        secrets in prop::collection::vec("[!-~]{8,90}|[ -~]{8,40}|[A-Za-z0-9_.~+/=-]{16,400}", 1..6),
        which in any::<prop::sample::Index>(),
        before in "\\PC{0,40}",
        behind in "\\PC{0,40}",
    ) {
        let live = with(secrets.iter().map(String::as_str));
        for form in forms(which.get(secrets.as_slice()).as_str()) {
            let masked = live.redact(&format!("{before}\n{form}\n{behind}"));
            let masked = masked.expect("every form is found");
            prop_assert!(!masked.contains(&form), "{form} in {masked}");
        }
    }

    #[test]
    fn a_secret_behind_anything_in_base64_leaves_no_character_of_its_own(
        secret in "[!-~]{8,60}",
        before in prop::collection::vec(any::<u8>(), 0..20),
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let live = with([secret.as_str()]);
        let whole = [&before[..], secret.as_bytes(), &behind[..]].concat();
        for engine in [&STANDARD, &URL_SAFE, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let masked = live.redact(&engine.encode(&whole)).expect("found");
            let (start, end) = masked.split_once("[redacted]").expect("masked");
            prop_assert!(start.len() <= 8 * before.len() / 6, "{masked}");
            prop_assert!(end.len() <= (8 * behind.len()).div_ceil(6) + 2, "{masked}");
        }
    }

    #[test]
    fn a_text_without_a_secret_is_left_alone(
        secrets in prop::collection::vec("[A-Za-z0-9_-]{20,60}", 0..20),
        text in "[A-Za-z0-9_-]{0,300}|\\PC{0,300}",
    ) {
        let live = with(secrets.iter().map(String::as_str));
        prop_assert_eq!(live.redact(&text), None);
    }

    #[test]
    fn a_secret_with_another_last_character_is_left_alone(secret in "[A-Za-z0-9_-]{8,60}") {
        let live = with([secret.as_str()]);
        let other = format!("{}.", &secret[..secret.len() - 1]);
        prop_assert_eq!(live.redact(&other), None);
    }
}

fn with<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Live {
    let live = Live::new();
    for secret in secrets {
        live.add(&Secret::from(secret));
    }
    live
}

/// The secret as other programs write it, by other code than the core's.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let percent = |keep: &str| -> String {
        let character = |byte: &u8| match char::from(*byte) {
            kept if kept.is_ascii_alphanumeric() || keep.contains(kept) => kept.to_string(),
            _ => format!("%{byte:02X}"),
        };
        bytes.iter().map(character).collect()
    };
    let json = serde_json::to_string(secret).expect("text is JSON");
    let mut forms = vec![
        secret.to_owned(),
        percent("-._~"),
        percent("-._~/"),
        percent("-._~").replace("%20", "+"),
        lower_escapes(&percent("-._~")),
        form_encoded(secret),
        json.trim_start_matches('"')[..json.len() - 2].to_owned(),
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
    ];
    for id in ["", "a", "ab"] {
        forms.push(STANDARD.encode(format!("{id}{secret}")));
        forms.push(URL_SAFE_NO_PAD.encode(format!("{id}{secret}")));
    }
    forms
}

fn lower_escapes(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut written = pieces.next().unwrap_or("").to_owned();
    for piece in pieces {
        written += "%";
        written += &piece[..2].to_lowercase();
        written += &piece[2..];
    }
    written
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
