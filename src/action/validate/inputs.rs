//! The inputs that a template expects: defaults that don't fit, and keys that do nothing.

use super::Check;
use super::check::shown;
use crate::action::value::Value;
use crate::action::yaml::{Content, Document, Node};

impl<'a> Check<'a> {
    /// Traps in what the template expects.
    pub(super) fn inputs(&mut self) {
        let expects = self.definition("expects");
        let template = self.template;
        for (input, _) in &template.expects {
            let Some(field) = expects.and_then(|expects| expects.get(&input.name)) else {
                continue;
            };
            if let (Some(default), Some(node)) = (&input.default, field.get("default"))
                && !matches!(default, Value::None)
                && !input.kind.keeps(default)
            {
                let message = format!(
                    "the default is not of the type {}, and nothing makes it so",
                    shown(&input.kind.to_string())
                );
                let hint = match (&node.content, default) {
                    (Content::Scalar { is_plain: true, .. }, Value::Text(_)) => None,
                    (Content::Scalar { is_plain: true, .. }, _) => {
                        Some("quote it if it is text".to_owned())
                    }
                    _ => None,
                };
                self.warn(node.at, message, hint);
            }
            if let Some(node) = field.get("enum") {
                let hint = "write type: enum[\"a\", \"b\"]".to_owned();
                self.warn(node.at, "enum has no effect here", Some(hint));
            }
            if let Some(node) = field.get("optional")
                && input.default.is_none()
            {
                let hint = "give it a default, as default: null".to_owned();
                self.warn(
                    node.at,
                    "optional has no effect: without a default the input has to be given",
                    Some(hint),
                );
            }
        }
    }

    /// A part of the definition, as it is written.
    pub(super) fn definition(&self, name: &str) -> Option<&'a Node> {
        let document: &'a Document<'a> = self.document;
        document.root.get("definition")?.get(name)
    }
}
