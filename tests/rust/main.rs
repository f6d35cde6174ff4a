//! The tests of the core, one binary: each topic is a module.
#![allow(clippy::unwrap_used)]

mod account;
mod authorize;
mod clock;
mod discovery;
mod engine;
mod http;
mod layers;
mod model;
mod opening;
mod paths;
mod provider;
mod redact;
mod response;
mod review;
mod revoke;
mod secret;
mod simulation;
mod spill;
mod sqlite;
mod store;
mod support;
mod system;
mod token;
mod untrusted;
mod vault;
mod vendors;
