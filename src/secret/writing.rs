//! The ways a secret is written where it leaks: as it is, percent-encoded, JSON-escaped, in base64 and in hexadecimal.

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// How many bytes at the end of a writing are looked for first: tokens of one issuer share their beginnings.
pub(super) const TAIL: usize = 16;

/// One way to write a secret.
pub(super) struct Writing {
    /// The characters that the secret determines whole.
    pub(super) text: Zeroizing<String>,
    /// Base64 only: the character before also holds bits of the secret.
    pub(super) shares_first: bool,
    /// Base64 only: the character behind, and padding, also belong to it.
    pub(super) shares_last: bool,
}

/// All ways to write `secret`, each once, the secret itself first.
///
/// Base64 (RFC 4648 sections 4 and 5) of a text that contains the secret depends on where in three bytes it begins; so
/// `Basic` credentials (RFC 7617, and with form-encoded parts RFC 6749 section 2.3.1) are found behind any client id.
pub(super) fn writings(secret: &str) -> Vec<Writing> {
    let mut all = Vec::new();
    let plain = |text: String| Writing {
        text: Zeroizing::new(text),
        shares_first: false,
        shares_last: false,
    };
    add(&mut all, plain(secret.to_owned()));
    for spelling in URL_SPELLINGS {
        add(&mut all, plain(spelling.write(secret)));
    }
    for escaped in [&['"', '\\'][..], &['"', '\\', '/'][..]] {
        add(&mut all, plain(backslashed(secret, escaped)));
    }
    let texts = all.len();
    for digits in [LOWER, UPPER] {
        add(&mut all, plain(hexadecimal(secret.as_bytes(), digits)));
    }
    for at in 0..texts {
        let text = Zeroizing::new(all[at].text.as_bytes().to_vec());
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for before in 0..3 {
                add(&mut all, base64(engine, before, &text));
            }
        }
    }
    all
}

/// The last `W` bytes of `bytes` (at most [`TAIL`]) as a number, its high end first; 0 where there are fewer than 8.
#[inline]
pub(super) fn tail<const W: usize>(bytes: &[u8]) -> u128 {
    if W == TAIL
        && let Some(last) = bytes.last_chunk::<TAIL>()
    {
        return u128::from_le_bytes(*last);
    }
    let last = bytes.last_chunk::<8>().copied().unwrap_or_default();
    u128::from(u64::from_le_bytes(last)) << 64
}

/// A spelling of URL components and form values.
struct UrlSpelling {
    /// What stays as it is, besides letters and digits.
    kept: &'static [u8],
    digits: &'static [u8; 16],
    space_is_plus: bool,
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// RFC 3986 in both cases, Python's `quote` and `quote_plus`, and `application/x-www-form-urlencoded` of the URL standard.
const URL_SPELLINGS: [UrlSpelling; 5] = [
    UrlSpelling::new(b"-._~", UPPER, false),
    UrlSpelling::new(b"-._~", LOWER, false),
    UrlSpelling::new(b"-._~/", UPPER, false),
    UrlSpelling::new(b"-._~", UPPER, true),
    UrlSpelling::new(b"*-._", UPPER, true),
];

impl UrlSpelling {
    const fn new(kept: &'static [u8], digits: &'static [u8; 16], space_is_plus: bool) -> Self {
        Self {
            kept,
            digits,
            space_is_plus,
        }
    }

    fn write(&self, text: &str) -> String {
        // Three times the length: a buffer that grows would leave pieces of the secret behind.
        let mut written = String::with_capacity(3 * text.len());
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || self.kept.contains(&byte) {
                written.push(char::from(byte));
            } else if byte == b' ' && self.space_is_plus {
                written.push('+');
            } else {
                written.push('%');
                push_hexadecimal(&mut written, byte, self.digits);
            }
        }
        written
    }
}

fn backslashed(text: &str, escaped: &[char]) -> String {
    let mut written = String::with_capacity(2 * text.len());
    for character in text.chars() {
        if escaped.contains(&character) {
            written.push('\\');
        }
        written.push(character);
    }
    written
}

fn hexadecimal(bytes: &[u8], digits: &[u8; 16]) -> String {
    let mut written = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        push_hexadecimal(&mut written, *byte, digits);
    }
    written
}

fn push_hexadecimal(text: &mut String, byte: u8, digits: &[u8; 16]) {
    text.push(char::from(digits[usize::from(byte >> 4)]));
    text.push(char::from(digits[usize::from(byte & 15)]));
}

/// Base64 of `bytes` behind `before` (0, 1 or 2) others, without the characters that these share.
fn base64(engine: &GeneralPurpose, before: usize, bytes: &[u8]) -> Writing {
    let mut whole = Zeroizing::new(Vec::with_capacity(before + bytes.len()));
    whole.resize(before, 0);
    whole.extend_from_slice(bytes);
    let encoded = Zeroizing::new(engine.encode(&*whole));
    let bits = 8 * whole.len();
    Writing {
        text: Zeroizing::new(encoded[(8 * before).div_ceil(6)..bits / 6].to_owned()),
        shares_first: before != 0,
        shares_last: bits % 6 != 0,
    }
}

fn add(all: &mut Vec<Writing>, writing: Writing) {
    if !all.iter().any(|other| *other.text == *writing.text) {
        all.push(writing);
    }
}
