//! The body of a request: given as text, as a form, as files, or as JSON.

use super::arguments::{Arguments, invalid};
use super::multipart::{self, File};
use super::url::form;
use crate::action::value::json::{Layout, write};
use crate::action::value::{Mapping, Value};
use crate::error::Result;

/// A body and the type that goes with it unless the template named one.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) content_type: Option<String>,
    pub(super) bytes: Vec<u8>,
}

/// The arguments that make a body.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts<'step> {
    pub(super) payload: Option<&'step Value>,
    pub(super) content: Option<&'step str>,
    pub(super) form_data: Option<&'step Mapping>,
    pub(super) files: Option<&'step Mapping>,
}

impl<'step> Parts<'step> {
    pub(super) fn read(arguments: &Arguments<'step>) -> Result<Self> {
        Ok(Self {
            payload: arguments.value("payload"),
            content: arguments.text("content")?,
            form_data: arguments.mapping("form_data")?,
            files: arguments.mapping("files")?,
        })
    }

    /// The body; `None` where the request has none.
    pub(super) fn body(&self) -> Result<Option<Body>> {
        let others = self.payload.is_some() || self.form_data.is_some() || self.files.is_some();
        if let Some(content) = self.content {
            if others {
                return Err(invalid(
                    "content goes alone: without payload, form_data and files",
                ));
            }
            return Ok(Some(Body {
                content_type: None,
                bytes: content.as_bytes().to_vec(),
            }));
        }
        let fields = self.form_data.filter(|fields| !fields.is_empty());
        if let Some(files) = self.files.filter(|files| !files.is_empty()) {
            let files = File::read(files)?;
            return multipart::body(fields, &files).map(Some);
        }
        if let Some(fields) = fields {
            let fields = fields.iter().map(|(key, value)| (key.value(), value));
            return Ok(Some(Body {
                content_type: Some("application/x-www-form-urlencoded".to_owned()),
                bytes: form(fields).into_bytes(),
            }));
        }
        Ok(self.payload.map(|payload| Body {
            content_type: Some("application/json".to_owned()),
            bytes: write(payload, Layout::Compact).into_bytes(),
        }))
    }

    /// Each argument that is there, with the word for its place in a request.
    pub(super) fn named(&self) -> [(&'static str, Option<Value>); 4] {
        let mapping = |mapping: Option<&Mapping>| mapping.cloned().map(Value::mapping);
        [
            ("body", self.payload.cloned()),
            ("body", self.content.map(Value::from)),
            ("form", mapping(self.form_data)),
            ("files", mapping(self.files)),
        ]
    }
}
