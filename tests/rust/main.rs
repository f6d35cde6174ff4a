//! The tests of the core, one module per topic, in one binary.

mod layers;
mod redact;
mod secret;
