//! The tests of the core, one binary: each topic is a module.
#![allow(clippy::unwrap_used)]

mod provider;
//! The core's tests: one binary, one module per topic.
mod store;
mod system;
//! The tests of the core, one module per topic, in one binary.
mod layers;
mod redact;
mod secret;
