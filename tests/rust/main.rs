//! The tests of the core, one binary: each topic is a module.
#![allow(clippy::unwrap_used)]

mod account;
mod action;
mod assertion;
mod authorize;
mod clock;
mod discovery;
mod engine;
mod exchange;
mod http;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod kills;
mod layers;
mod model;
mod opening;
mod paths;
mod protected_resource;
mod provider;
mod pushed;
mod redact;
mod response;
mod review;
mod revoke;
mod rounds;
mod secret;
mod simulation;
mod spill;
mod sqlite;
mod steps;
mod store;
mod support;
mod system;
mod token;
mod untrusted;
mod vault;
mod vendors;

/// A test that can't run says so, and fails where all have to.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[test]
fn kills_at_system_calls_are_tested_on_linux_on_x86_64_only() {
    let ci = std::env::var("CI").unwrap_or_default();
    assert_ne!(
        ci, "true",
        "the tests of kills/ know the registers of x86_64 only"
    );
}
