//! Keys that applications sign with, made once for all rounds.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// A private key in PEM, and its public half.
struct Key {
    pem: String,
    public: Vec<u8>,
}

static RSA: LazyLock<Key> = LazyLock::new(|| {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pair = RsaKeyPair::from_pkcs8(der.as_ref()).unwrap();
    Key {
        pem: pem(der.as_ref()),
        public: pair.public_key().as_ref().to_vec(),
    }
});

static P256: LazyLock<Key> = LazyLock::new(|| {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    Key {
        pem: pem(pair.to_pkcs8v1().unwrap().as_ref()),
        public: pair.public_key().as_ref().to_vec(),
    }
});

/// Whether one of the keys signed a JWT.
pub(super) fn is_signed(token: &str) -> bool {
    let Some((message, signature)) = token.rsplit_once('.') else {
        return false;
    };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return false;
    };
    let is_by = |algorithm: &'static dyn VerificationAlgorithm, key: &Key| {
        UnparsedPublicKey::new(algorithm, &key.public)
            .verify(message.as_bytes(), &signature)
            .is_ok()
    };
    is_by(&RSA_PKCS1_2048_8192_SHA256, &RSA) || is_by(&ECDSA_P256_SHA256_FIXED, &P256)
}

/// A client secret with `{rsa_key}` and `{p256_key}` as PEM, their line breaks written as `\n`: so they fit into JSON.
pub(super) fn filled_secret(secret: &str) -> String {
    let mut filled = secret.to_owned();
    for (name, key) in [("{rsa_key}", &RSA), ("{p256_key}", &P256)] {
        if filled.contains(name) {
            filled = filled.replace(name, &key.pem);
        }
    }
    filled
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\\n{text}\\n-----END PRIVATE KEY-----\\n")
}
