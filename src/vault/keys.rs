//! Keys: the master key wraps the data key of each workspace, which seals its records.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{decrypt, encrypt, quoted, random_key};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::RefreshToken;

/// The key of a person or deployment: 32 bytes that wrap data keys and nothing else.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// The key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new random key.
    ///
    /// # Errors
    /// `random_unavailable` when the system gives no random numbers.
    pub fn generate() -> Result<Self> {
        random_key().map(Self)
    }

    /// Tells keys apart and gives none away: 16 hex digits of a SHA-256 over it.
    pub fn id(&self) -> String {
        Sha256::new()
            .chain_update(b"evergrant master key")
            .chain_update(*self.0)
            .finalize()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// A new random data key of `workspace`, wrapped: a version byte, nonce, ciphertext and tag, bound to the workspace.
    ///
    /// # Errors
    /// `random_unavailable` when the system gives no random numbers.
    pub fn new_data_key(&self, workspace: &str) -> Result<Vec<u8>> {
        self.wrap_bytes(workspace, &*random_key()?)
    }

    /// Wraps a data key, which another master key wrapped before.
    ///
    /// # Errors
    /// `random_unavailable` when the system gives no random numbers.
    pub fn wrap(&self, workspace: &str, key: &DataKey) -> Result<Vec<u8>> {
        self.wrap_bytes(workspace, key.bytes())
    }

    /// Unwraps the data key of `workspace` that is stored in row `id`.
    ///
    /// # Errors
    /// `data_key_damaged`, whatever the cause. Compare [`MasterKey::id`] with the row's first.
    pub fn unwrap(&self, workspace: &str, id: i64, wrapped: &[u8]) -> Result<DataKey> {
        wrapped
            .split_first()
            .filter(|(version, _)| **version == VERSION)
            .and_then(|(_, sealed)| decrypt(&self.0, &bound_to(workspace), sealed))
            .and_then(|opened| <[u8; 32]>::try_from(opened.expose()).ok())
            .map(|bytes| DataKey {
                id,
                bytes: Zeroizing::new(bytes),
            })
            .ok_or_else(|| {
                Error::store(
                    "data_key_damaged",
                    format!(
                        "the data key of the workspace {} can't be opened",
                        quoted(workspace)
                    ),
                )
            })
    }

    /// Refuses a key that is not the one a store wants.
    ///
    /// # Errors
    /// `WrongKey`, code `key_of_another_store`.
    pub fn must_be(&self, wanted: &str, store: &str) -> Result<()> {
        if self.id() == wanted {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::WrongKey,
            "key_of_another_store",
            format!(
                "the store {store} was sealed under the key {wanted}, and this is the key {}",
                self.id()
            ),
        )
        .hint(super::source::NAME_THE_KEY))
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn wrap_bytes(&self, workspace: &str, bytes: &[u8; 32]) -> Result<Vec<u8>> {
        let mut wrapped = vec![VERSION];
        wrapped.append(&mut encrypt(&self.0, &bound_to(workspace), bytes)?);
        Ok(wrapped)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MasterKey({})", self.id())
    }
}

/// The key of a workspace's records.
#[derive(Clone)]
pub struct DataKey {
    id: i64,
    bytes: Zeroizing<[u8; 32]>,
}

impl DataKey {
    /// Its row in the store, named by every record under it.
    pub fn id(&self) -> i64 {
        self.id
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DataKey({})", self.id)
    }
}

/// A keyed hash of a refresh token (HMAC-SHA-256, RFC 2104, under a key of its own): finds equal tokens, shows none.
pub fn fingerprint(key: &DataKey, token: &RefreshToken) -> Vec<u8> {
    let derived = Zeroizing::new(hmac_sha256(key.bytes(), b"evergrant fingerprint"));
    hmac_sha256(&derived, token.expose().as_bytes()).to_vec()
}

const VERSION: u8 = 1;

fn bound_to(workspace: &str) -> Vec<u8> {
    [b"evergrant data key\x01", workspace.as_bytes()].concat()
}

/// RFC 2104 with SHA-256, for keys of one block at most.
fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = Zeroizing::new([with; 64]);
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let inner = Sha256::new()
        .chain_update(*pad(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(*pad(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::hmac_sha256;

    #[test]
    fn the_keyed_hash_gives_the_published_answers() {
        // RFC 4231, cases 1 and 2; a shorter key is padded with zeros to a block, as RFC 2104 does.
        let cases = [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ];
        for (short, message, answer) in cases {
            let mut key = [0; 32];
            key[..short.len()].copy_from_slice(short);
            let hash: String = hmac_sha256(&key, message)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(hash, answer);
        }
    }
}
