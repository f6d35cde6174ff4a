//! OAuth 2.0 as providers speak it: what is sent, and what their answers mean.
//!
//! [`authorize`] begins a sign-in, [`token`] asks the token endpoint, [`response`] says what came of it. Every deviation
//! of a vendor is data (`provider`), read here.

pub mod account;
pub mod assertion;
pub mod authorize;
mod client;
mod content;
pub mod device;
pub mod discovery;
mod expiry;
mod id_token;
pub mod introspection;
mod keep;
mod key;
mod lookup;
pub mod paths;
mod protected_resource;
pub mod pushed;
mod refusal;
pub mod registration;
mod request;
pub mod response;
pub mod revoke;
mod scope;
pub mod signal;
pub mod token;
mod untrusted;

pub use client::Client;
pub use id_token::IdClaims;
pub use untrusted::clean;
use untrusted::clean_label;
