//! Text that a server wrote, made fit to be shown: nothing that moves a cursor, and no secret.

use url::form_urlencoded;
use zeroize::Zeroizing;

/// The longest text shown, in characters.
const SHOWN: usize = 256;
/// What is read of a text at most, in characters: cleaning costs time by its square.
const READ: usize = 4096;
/// A secret shorter than this is no secret, and masking it would garble every text.
const MASKED: usize = 4;
/// A part of a secret this long gives it away.
const TELLING: usize = 12;
/// A run of token characters this long is taken for a token when it has letters and digits.
const TOKEN_LIKE: usize = 24;
const MASK: &str = "[redacted]";

/// `text` without control, escape and bidi characters, with `secrets` and whatever looks like one masked, cut to 256
/// characters.
pub fn clean(text: &str, secrets: &[&str]) -> String {
    let mut spellings: Zeroizing<Vec<String>> = Zeroizing::new(Vec::new());
    for secret in secrets.iter().filter(|secret| secret.len() >= MASKED) {
        spellings.push((*secret).to_owned());
        spellings.push(form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    }
    // The longest first: a short one may be part of it.
    spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    let mut cleaned = visible(text);
    for spelling in spellings.iter() {
        cleaned = cleaned.replace(spelling, MASK);
    }
    shorten(&mask_runs(&cleaned, secrets))
}

/// A name or an address that a server gave, made fit to be shown; a label has no secrets, and may look like one.
pub(super) fn clean_label(text: &str) -> String {
    shorten(&visible(text))
}

/// Spaces for line breaks and tabs, nothing for characters that don't show.
fn visible(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(READ) {
        if character.is_whitespace() {
            if !shown.ends_with(' ') {
                shown.push(' ');
            }
        } else if !is_hidden(character) {
            shown.push(character);
        }
    }
    shown.trim().to_owned()
}

/// Control characters, bidi marks and overrides, joiners, tags and other characters that are not seen.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

fn mask_runs(text: &str, secrets: &[&str]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|c| !is_token_character(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(length);
        if tells(run, secrets) || looks_like_a_token(run) {
            masked.push_str(MASK);
        } else {
            masked.push_str(run);
        }
        let between = after.find(is_token_character).unwrap_or(after.len());
        masked.push_str(&after[..between]);
        rest = &after[between..];
    }
    masked
}

/// The characters of base64url, base64, percent-encoding and JWTs.
fn is_token_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~+/=%|".contains(character)
}

/// Whether a run shows a telling part of a secret: cut off, encoded in part, or with something around it.
fn tells(run: &str, secrets: &[&str]) -> bool {
    run.len() >= TELLING
        && run.as_bytes().windows(TELLING).any(|part| {
            secrets
                .iter()
                .any(|secret| secret.as_bytes().windows(TELLING).any(|own| own == part))
        })
}

/// Long, with letters and digits, and neither a UUID (vendors' trace ids), a path, nor words with dots between.
fn looks_like_a_token(run: &str) -> bool {
    run.split('/').any(|part| {
        part.len() >= TOKEN_LIKE
            && part.bytes().any(|byte| byte.is_ascii_digit())
            && part.bytes().any(|byte| byte.is_ascii_alphabetic())
            && !is_uuid(part)
    })
}

fn is_uuid(text: &str) -> bool {
    let text = text.trim_end_matches('.');
    text.len() == 36
        && text.char_indices().all(|(index, character)| {
            if matches!(index, 8 | 13 | 18 | 23) {
                character == '-'
            } else {
                character.is_ascii_hexdigit()
            }
        })
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN - 1).chain(['…']).collect()
}
