//! Action templates: YAML whose expressions compute requests and results.

pub mod expression;
pub mod functions;
pub mod inputs;
pub mod manual;
pub mod needs;
pub mod shape;
pub mod template;
pub mod value;
pub mod yaml;
