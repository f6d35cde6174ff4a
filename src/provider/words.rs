//! Fields that may hold one of a few words: a word that is misspelt is a mistake, never a silent default.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

macro_rules! words {
    ($($name:ident: $($word:literal)|+;)*) => {$(
        pub(super) fn $name<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> std::result::Result<Option<String>, D::Error> {
            one_of(deserializer, &[$($word),+])
        }
    )*};
}

words! {
    account_source: "id_token" | "key" | "reply" | "request";
    assertion_key: "private_key" | "secret_jwk" | "service_account_json";
    assertion_use: "bearer" | "grant";
    expires_source: "introspection" | "jwt" | "none" | "reply";
    expires_unit: "iso8601" | "milliseconds" | "seconds" | "unix" | "unix_ms";
    method: "DELETE" | "GET" | "POST" | "PUT";
    redirect_match: "any" | "exact" | "host" | "prefix";
    refresh_uses: "access_token" | "refresh_token";
    resource_parameter: "audience" | "resource" | "scope";
    revoked_token: "access_token" | "either" | "refresh_token";
    separator: " " | ",";
}

fn one_of<'de, D: Deserializer<'de>>(
    deserializer: D,
    words: &'static [&'static str],
) -> std::result::Result<Option<String>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(word) if !words.contains(&word.as_str()) => {
            Err(D::Error::unknown_variant(&word, words))
        }
        word => Ok(word),
    }
}
