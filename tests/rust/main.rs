//! The core's tests: one binary, one module per topic.

mod spill;
mod sqlite;
mod store;
mod system;
mod vault;
