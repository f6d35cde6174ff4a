//! The tests of the core, one binary: each topic is a module.
#![allow(clippy::unwrap_used)]

mod provider;
