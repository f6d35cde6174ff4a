//! Action templates: YAML whose expressions compute requests and results.

pub mod expression;
pub mod functions;
pub mod google_api;
pub mod inputs;
pub mod library;
pub mod manual;
pub mod needs;
pub mod placeholder;
pub mod plan;
pub mod run;
pub mod shape;
mod steps;
pub mod template;
pub mod validate;
pub mod value;
pub mod yaml;
