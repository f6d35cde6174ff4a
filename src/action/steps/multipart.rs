//! Files of a request, and `multipart/form-data` (RFC 7578).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::arguments::invalid;
use super::body::Body;
use super::url::primitive;
use crate::action::value::{Mapping, Value};
use crate::error::{Error, Result};

const MOST_FILES: usize = 5;
/// Bytes of a file at most.
const LARGEST: usize = 20 << 20;
/// Bytes of all files of a request at most.
const LARGEST_TOGETHER: usize = 100 << 20;
const LONGEST_EXTENSION: usize = 10;

/// Types of files by what their names end with; the rest is `application/octet-stream`.
const TYPES: [(&str, &str); 26] = [
    ("csv", "text/csv"),
    ("css", "text/css"),
    ("doc", "application/msword"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("eml", "message/rfc822"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ics", "text/calendar"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("md", "text/markdown"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("webp", "image/webp"),
    ("xls", "application/vnd.ms-excel"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xml", "text/xml"),
    ("zip", "application/zip"),
];

/// A file of a request.
pub(super) struct File {
    field: String,
    name: String,
    content_type: String,
    bytes: Vec<u8>,
}

impl File {
    /// The files of an argument: field names with base64 text, or with a mapping that names the file too.
    pub(super) fn read(files: &Mapping) -> Result<Vec<Self>> {
        if files.len() > MOST_FILES {
            return Err(invalid(format!("more than {MOST_FILES} files")));
        }
        let mut together = 0;
        let mut read = Vec::new();
        for (key, value) in files {
            let file = Self::one(&key.value().to_string(), value)?;
            together += file.bytes.len();
            if together > LARGEST_TOGETHER {
                return Err(invalid("the files have more than 100 MiB together"));
            }
            read.push(file);
        }
        Ok(read)
    }

    fn one(field: &str, value: &Value) -> Result<Self> {
        let text = |name: &str| match value.get(name) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.to_string())),
            Some(other) => {
                let kind = other.kind();
                Err(invalid(format!(
                    "{name} of the file {field} is text, not {kind}"
                )))
            }
        };
        let (encoded, name, content_type) = match value {
            Value::Text(encoded) => (encoded.to_string(), None, None),
            Value::Mapping(_) => {
                let encoded = text("content_base64")?
                    .ok_or_else(|| invalid(format!("the file {field} has no content_base64")))?;
                (encoded, text("filename")?, text("content_type")?)
            }
            other => {
                let kind = other.kind();
                return Err(invalid(format!(
                    "the file {field} is base64 text or a mapping with content_base64, not {kind}"
                )));
            }
        };
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| invalid(format!("the file {field} is not base64")))?;
        if bytes.len() > LARGEST {
            return Err(invalid(format!("the file {field} has more than 20 MiB")));
        }
        let name = file_name(name.as_deref().unwrap_or(field));
        let content_type = match content_type {
            Some(given) if given.chars().any(char::is_control) => {
                return Err(invalid(format!(
                    "the content_type of the file {field} holds a control character"
                )));
            }
            Some(given) => given,
            None => guessed(&name).to_owned(),
        };
        Ok(Self {
            field: field.to_owned(),
            name,
            content_type,
            bytes,
        })
    }
}

/// The last part of a path, without what has a meaning to a shell or a file system.
fn file_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name: String = last
        .chars()
        .filter(|character| (' '..='~').contains(character))
        .filter(|character| !"<>:\"|?*;%$'`".contains(*character))
        .collect();
    while name.contains("..") {
        name = name.replace("..", ".");
    }
    let name = match name.rsplit_once('.') {
        Some((stem, extension)) => {
            let kept = extension.chars().filter(char::is_ascii_alphanumeric);
            let kept = String::from_iter(kept.take(LONGEST_EXTENSION));
            match kept.is_empty() {
                true => stem.to_owned(),
                false => format!("{stem}.{kept}"),
            }
        }
        None => name,
    };
    match name.trim().is_empty() {
        true => "unnamed".to_owned(),
        false => name,
    }
}

fn guessed(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    let known = TYPES.iter().find(|(known, _)| *known == extension);
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

/// Fields first, then files.
pub(super) fn body(fields: Option<&Mapping>, files: &[File]) -> Result<Body> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|_| Error::internal("the machine gives no random numbers"))?;
    let boundary: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut bytes = Vec::new();
    for (key, value) in fields.into_iter().flatten() {
        let values = match value {
            Value::List(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let name = quoted(&key.value().to_string());
            let head =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(primitive(value).as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    for file in files {
        let (field, name) = (quoted(&file.field), quoted(&file.name));
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
             Content-Type: {}\r\n\r\n",
            file.content_type
        );
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(&file.bytes);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(Body {
        content_type: Some(format!("multipart/form-data; boundary={boundary}")),
        bytes,
    })
}

/// A name between quotes, as browsers write it (HTML, multipart form data).
fn quoted(name: &str) -> String {
    name.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}
