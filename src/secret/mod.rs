//! Secrets as types: no format, error or serializer shows one; [`expose`](Secret::expose) is the one way out.

pub mod live;
pub mod redact;
mod writing;

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Text that must not be seen. Compared in constant time, wiped when dropped.
///
/// It can neither be written nor read by serde, on purpose: only what was exposed can.
///
/// ```
/// serde_json::to_string(&_core::secret::Secret::from("hidden").expose());
/// serde_json::from_str::<String>("\"hidden\"");
/// ```
/// ```compile_fail,E0277
/// serde_json::to_string(&_core::secret::Secret::from("hidden"));
/// ```
/// ```compile_fail,E0277
/// serde_json::from_str::<_core::secret::Secret>("\"hidden\"");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// The plain text. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        // Not `into_boxed_str`: it may move the text to a smaller place and leave the old one as it is.
        Self::from(Zeroizing::new(text).as_str())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

impl AsRef<Secret> for Secret {
    fn as_ref(&self) -> &Secret {
        self
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret([redacted])")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

/// Bytes that must not be seen: keys and opened records. Wiped when dropped.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// The plain bytes. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretBytes([redacted])")
    }
}

macro_rules! secret_words {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Eq, PartialEq)]
        pub struct $name(Secret);

        impl $name {
            /// The plain text. Whoever calls this answers for where it goes.
            pub fn expose(&self) -> &str {
                self.0.expose()
            }
        }

        impl AsRef<Secret> for $name {
            fn as_ref(&self) -> &Secret {
                &self.0
            }
        }

        impl<T: Into<Secret>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("[redacted]")
            }
        }
    )*};
}

secret_words! {
    /// An access token (RFC 6749 section 1.4).
    AccessToken;
    /// An authorization code (RFC 6749 section 1.3.1).
    AuthorizationCode;
    /// A client secret (RFC 6749 section 2.3.1).
    ClientSecret;
    /// An ID token (OpenID Connect Core section 2), still encoded.
    IdToken;
    /// A PKCE code verifier (RFC 7636 section 4.1).
    PkceVerifier;
    /// A refresh token (RFC 6749 section 1.5).
    RefreshToken;
}
