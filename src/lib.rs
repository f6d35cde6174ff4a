//! evergrant keeps OAuth 2.0 access tokens fresh: sealed at rest, refreshed once, handed to code that never sees a secret.
//!
//! A token's journey is a straight line down the layers: `engine`, `store`, `vault`, `oauth`, `http` and back.

pub mod action;
pub mod clock;
pub mod connect;
pub mod engine;
pub mod error;
pub mod fault;
pub mod http;
pub mod model;
pub mod oauth;
pub mod provider;
#[cfg(feature = "python")]
mod python;
pub mod secret;
pub mod store;
pub mod system;
pub mod vault;
