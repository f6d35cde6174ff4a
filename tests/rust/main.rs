//! The tests of the core, one binary: each topic is a module.
#![allow(clippy::unwrap_used)]

mod layers;
mod provider;
mod redact;
mod secret;
mod store;
mod system;
