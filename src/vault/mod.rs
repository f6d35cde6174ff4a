//! Seals and opens records, each bound to its row: moved, swapped or edited, it does not open.
//!
//! A record is a version byte, the data key's id (8 bytes, big-endian), a random 96-bit nonce, AES-256-GCM ciphertext
//! and its 128-bit tag (NIST SP 800-38D). Random nonces are safe for 2^32 records under one data key.

pub mod keys;
pub mod source;

use std::sync::Arc;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::model::{ConnectionKey, IntegrationKey};
use crate::secret::SecretBytes;

pub use keys::{DataKey, MasterKey, fingerprint};
pub use source::{Environment, KeySource};

/// What a record holds. Bound into it, so that one kind can't stand in for another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Configuration of an integration, its client secret included.
    Integration,
    /// A grant.
    Grant,
    /// An access token.
    Token,
    /// Verifier, nonce, redirect URI and session of a sign-in.
    Pending,
    /// A reply that is not committed yet.
    Spill,
    /// A provider's words about a failure.
    Note,
}

/// The row that a record belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Whose record it is.
    pub subject: Subject<'a>,
    /// What it holds.
    pub kind: Kind,
    /// The resource of a token, empty for the default one and for other kinds.
    pub resource: &'a str,
    /// The generation, or revision, that it is written for.
    pub generation: u64,
}

/// Whose record it is.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// An integration's.
    Integration(&'a IntegrationKey),
    /// A connection's.
    Connection(&'a ConnectionKey),
}

impl<'a> Subject<'a> {
    /// The workspace, whose data key seals it.
    pub fn workspace(self) -> &'a str {
        match self {
            Self::Integration(key) => &key.workspace,
            Self::Connection(key) => &key.integration.workspace,
        }
    }
}

impl<'a> From<&'a IntegrationKey> for Subject<'a> {
    fn from(key: &'a IntegrationKey) -> Self {
        Self::Integration(key)
    }
}

impl<'a> From<&'a ConnectionKey> for Subject<'a> {
    fn from(key: &'a ConnectionKey) -> Self {
        Self::Connection(key)
    }
}

/// Seals `plaintext` for its row.
///
/// # Errors
/// `random_unavailable` when the system gives no random numbers.
pub fn seal(key: &DataKey, context: &Context<'_>, plaintext: &[u8]) -> Result<Vec<u8>> {
    seal_with(key, &random_array()?, context, plaintext)
}

/// A data key and a nonce for one record, both in hand before the record exists: sealing it then asks nobody.
#[derive(Debug)]
pub struct Envelope {
    key: Arc<DataKey>,
    nonce: [u8; NONCE],
}

impl Envelope {
    /// An envelope under `key`.
    ///
    /// # Errors
    /// `random_unavailable` when the system gives no random numbers.
    pub fn new(key: Arc<DataKey>) -> Result<Self> {
        let nonce = random_array()?;
        Ok(Self { key, nonce })
    }

    /// The data key's row.
    pub fn key_id(&self) -> i64 {
        self.key.id()
    }

    /// Seals `plaintext` for its row. The envelope is gone then: a nonce is good for one record.
    ///
    /// # Errors
    /// An internal error for a record that is too long for AES-GCM.
    pub fn seal(self, context: &Context<'_>, plaintext: &[u8]) -> Result<Vec<u8>> {
        seal_with(&self.key, &self.nonce, context, plaintext)
    }
}

/// Opens a record of the row that `context` names.
///
/// # Errors
/// `record_damaged`, whatever the cause: the wrong key, row or generation, and any changed bit, look the same.
pub fn open(key: &DataKey, context: &Context<'_>, record: &[u8]) -> Result<SecretBytes> {
    record
        .split_at_checked(HEADER)
        .filter(|(header, _)| header[0] == VERSION && header[1..] == key.id().to_be_bytes())
        .and_then(|(_, sealed)| decrypt(key.bytes(), &context.additional_data(), sealed))
        .ok_or_else(|| context.damaged())
}

const VERSION: u8 = 1;
const HEADER: usize = 1 + size_of::<i64>();
const NONCE: usize = 12;

impl Context<'_> {
    /// Every field behind its length, so that no two contexts give the same bytes.
    fn additional_data(&self) -> Vec<u8> {
        let (tag, integration, connection) = match self.subject {
            Subject::Integration(key) => (0, key, ""),
            Subject::Connection(key) => (1, &key.integration, &*key.connection),
        };
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(b"evergrant record");
        bytes.extend([VERSION, tag, self.kind.number()]);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        for field in [
            &*integration.workspace,
            &*integration.provider,
            integration.grant_type.as_str(),
            connection,
            self.resource,
        ] {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field.as_bytes());
        }
        bytes
    }

    fn damaged(&self) -> Error {
        let what = self.kind.words();
        let (provider, grant_type) = match self.subject {
            Subject::Integration(key) => (&key.provider, key.grant_type),
            Subject::Connection(key) => (&key.integration.provider, key.integration.grant_type),
        };
        match self.subject {
            Subject::Integration(_) => Error::store(
                "record_damaged",
                format!("{what} of {provider} ({grant_type}) in the store can't be opened"),
            )
            .hint(format!(
                "evergrant configure {provider} --grant-type {grant_type}"
            ))
            .of_provider(provider),
            Subject::Connection(ConnectionKey { connection, .. }) => Error::store(
                "record_damaged",
                format!(
                    "{what} of {provider}/{connection} ({grant_type}) in the store can't be opened"
                ),
            )
            .hint(format!(
                "evergrant connect {provider} --grant-type {grant_type} --connection {} --again",
                quoted(connection)
            ))
            .of_provider(provider)
            .of_connection(connection),
        }
    }
}

impl Kind {
    /// Bound into every record: never change one.
    const fn number(self) -> u8 {
        match self {
            Self::Integration => 1,
            Self::Grant => 2,
            Self::Token => 3,
            Self::Pending => 4,
            Self::Spill => 5,
            Self::Note => 6,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Integration => "the configuration",
            Self::Grant => "the grant",
            Self::Token => "a token",
            Self::Pending => "the pending sign-in",
            Self::Spill => "the unfinished reply",
            Self::Note => "the last error",
        }
    }
}

fn seal_with(
    key: &DataKey,
    nonce: &[u8; NONCE],
    context: &Context<'_>,
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    let ciphertext = encrypt_with(key.bytes(), nonce, &context.additional_data(), plaintext)?;
    let id = key.id().to_be_bytes();
    Ok([&[VERSION][..], &id, nonce, &ciphertext].concat())
}

/// A random nonce, ciphertext and tag.
fn encrypt(key: &[u8; 32], additional: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
    let nonce = random_array()?;
    let ciphertext = encrypt_with(key, &nonce, additional, plaintext)?;
    Ok([&nonce[..], &ciphertext].concat())
}

/// Opens what [`encrypt`] made; `None` whatever the cause.
fn decrypt(key: &[u8; 32], additional: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>()?;
    let payload = Payload {
        msg: ciphertext,
        aad: additional,
    };
    Aes256Gcm::new(key.into())
        .decrypt(nonce.into(), payload)
        .ok()
        .map(SecretBytes::from)
}

fn encrypt_with(
    key: &[u8; 32],
    nonce: &[u8; NONCE],
    additional: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    let payload = Payload {
        msg: plaintext,
        aad: additional,
    };
    Aes256Gcm::new(key.into())
        .encrypt(nonce.into(), payload)
        .map_err(|_| Error::internal("a record is too long for AES-GCM"))
}

/// 32 random bytes for a new key.
/// Random bytes of the operating system.
///
/// # Errors
/// `random_unavailable` when it gives none.
pub fn random_array<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    random(&mut bytes)?;
    Ok(bytes)
}

fn random_key() -> Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    random(&mut *key)?;
    Ok(key)
}

fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        Error::store(
            "random_unavailable",
            format!("the system gives no random numbers: {error}"),
        )
    })
}

/// One word for a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./@:+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{decrypt, encrypt_with, quoted};

    /// McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test cases 13 to 16 (AES-256, 96-bit IV):
    /// key, IV, plaintext, additional data, ciphertext and tag.
    const KNOWN: [[&str; 5]; 4] = [
        [
            ZERO_KEY,
            ZERO_IV,
            "",
            "",
            "530f8afbc74536b9a963b4f1c4cb738b",
        ],
        [
            ZERO_KEY,
            ZERO_IV,
            "00000000000000000000000000000000",
            "",
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
        ],
        [
            KEY,
            IV,
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
            "",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad\
             b094dac5d93471bdec1a502270e3cc6c",
        ],
        [
            KEY,
            IV,
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
             76fc6ece0f4e1768cddf8853bb2d551b",
        ],
    ];
    const ZERO_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000000";
    const ZERO_IV: &str = "000000000000000000000000";
    const KEY: &str = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    const IV: &str = "cafebabefacedbaddecaf888";

    #[test]
    fn sealing_gives_the_published_answers() {
        for [key, nonce, plaintext, additional, answer] in KNOWN {
            let sealed = encrypt_with(
                &array(key),
                &array(nonce),
                &bytes(additional),
                &bytes(plaintext),
            );
            assert_eq!(sealed.ok(), Some(bytes(answer)));
        }
    }

    #[test]
    fn opening_takes_the_published_answers_and_none_with_a_bit_changed() {
        for [key, nonce, plaintext, additional, answer] in KNOWN {
            let mut sealed = [bytes(nonce), bytes(answer)].concat();
            let opened = decrypt(&array(key), &bytes(additional), &sealed);
            assert_eq!(
                opened.map(|opened| opened.expose().to_vec()),
                Some(bytes(plaintext))
            );
            for at in 0..sealed.len() {
                sealed[at] ^= 1;
                assert!(decrypt(&array(key), &bytes(additional), &sealed).is_none());
                sealed[at] ^= 1;
            }
        }
    }

    #[test]
    fn a_name_in_a_command_is_one_word_of_a_shell() {
        assert_eq!(quoted("alice@example.org"), "alice@example.org");
        assert_eq!(quoted("a b; rm -rf 'x'"), r"'a b; rm -rf '\''x'\'''");
        assert_eq!(quoted(""), "''");
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex
            .bytes()
            .map(|digit| (digit as char).to_digit(16).expect("hex digits") as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    fn array<const N: usize>(hex: &str) -> [u8; N] {
        bytes(hex).try_into().expect("the length of a key or nonce")
    }
}
