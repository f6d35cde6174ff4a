//! The tests of the core, one binary: each topic is a module.
#![allow(clippy::unwrap_used)]

mod account;
mod authorize;
mod discovery;
mod http;
mod paths;
mod provider;
mod response;
mod revoke;
mod support;
mod token;
mod untrusted;
mod vendors;
