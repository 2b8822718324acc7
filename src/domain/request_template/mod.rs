//! What a downstream is sent in place of the payload as it is: templates for its url, headers and body.
//!
//! Owns how a message becomes a request, in which every value is escaped for the place where it stands, and what no
//! value may change: the scheme, the host and the port. Pure and bounded: a template cannot run for long, and what it
//! writes has a largest size. Refuses to know how a request travels (see `transport`), and what follows if there is
//! none (see `engine`).

mod address;
mod example;
mod factors;
mod filters;
mod json_text;
mod message;
mod place;
mod refused;
mod scalar;
mod surroundings;
mod template_text;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use url::Url;

pub use self::address::{URL_BYTES_MAX, hidden_query, literal_origin};
pub use self::message::TemplateMessage;
use self::message::Values;
use self::place::Place;
pub use self::refused::TemplateError;
pub use self::surroundings::BODY_BYTES_MAX;
pub use self::template_text::Written;
use self::template_text::{Audience, TemplateText};
use super::headers::{HEADER_VALUE_BYTES_MAX, is_json_type};

/// What a content type is where none is set.
pub const CONTENT_TYPE: &str = "application/json";
/// Messages of this many bytes together are rendered here and now; more are rendered aside.
pub const RENDERED_HERE_BYTES_MAX: usize = 64 << 10;

/// The parts of a request that templates say.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestParts {
    /// The method of the call.
    pub method: Method,
    /// Whether the request says it, and not the downstream.
    pub says_method: bool,
    /// Where it goes; `None`: to the downstream's own url.
    pub url: Option<Written>,
    /// Headers beside those of the downstream.
    pub headers: Vec<(HeaderName, Written)>,
    /// What the body is; `None`: [`CONTENT_TYPE`].
    pub content_type: Option<String>,
    /// The body; `None`: the payload as it is, or nothing with a method that needs none.
    pub body: Option<Written>,
    /// The payload of the message that the templates are tried on, as JSON.
    pub example: Option<serde_json::Value>,
}

/// The compiled templates of a downstream.
pub struct RequestTemplate {
    parts: RequestParts,
    is_batch: bool,
    origin: Option<Url>,
    url: Option<TemplateText>,
    headers: Vec<(HeaderName, TemplateText)>,
    body: Option<TemplateText>,
}

/// A request, ready to be laid over the queue's own headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedRequest {
    /// Where it goes, if the templates say so.
    pub url: Option<Url>,
    /// Its headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: RenderedBody,
}

/// What a request has for a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderedBody {
    /// The payload, or the list of a batch, as without templates.
    Payload,
    /// Nothing.
    Empty,
    /// What a template wrote.
    Written {
        /// Its content type.
        content_type: String,
        /// Its bytes.
        bytes: Bytes,
    },
}

/// A request as it may be shown: with `***` in place of the secrets that templates refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRequest {
    /// The url, if the templates say one.
    pub url: Option<String>,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body, where a template writes it.
    pub body: Option<String>,
}

impl RequestTemplate {
    /// Compiles the templates; `is_batch`: they get `messages`, a list.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn new(parts: RequestParts, is_batch: bool) -> Result<Self, TemplateError> {
        let content_type = parts.content_type.as_deref().unwrap_or(CONTENT_TYPE);
        let compile = |part: String, written: &Written, place: Place| {
            TemplateText::compile(part, written, place, is_batch)
        };
        let origin = match &parts.url {
            None => None,
            Some(url) => Some(
                literal_origin(&url.source).map_err(|what| TemplateError::of_part("url", what))?,
            ),
        };
        let url =
            parts.url.as_ref().map(|url| compile("url".to_owned(), url, Place::Url)).transpose()?;
        let header = |(name, written): &(HeaderName, Written)| {
            let text = compile(format!("headers.{name}"), written, Place::Header)?;
            Ok((name.clone(), text))
        };
        let headers = parts.headers.iter().map(header).collect::<Result<_, TemplateError>>()?;
        let place = Place::of_content_type(content_type);
        let body = match &parts.body {
            None => None,
            Some(body) => Some(compile("body".to_owned(), body, place)?),
        };
        Ok(Self { parts, is_batch, origin, url, headers, body })
    }

    /// As it was configured.
    #[must_use]
    pub const fn parts(&self) -> &RequestParts {
        &self.parts
    }

    /// Scheme, host and port of its url, which no message changes.
    #[must_use]
    pub const fn origin(&self) -> Option<&Url> {
        self.origin.as_ref()
    }

    /// The request of these messages: one, unless the templates are for batches.
    ///
    /// # Errors
    /// What a template lacks in them, or what it wrote that cannot be sent.
    pub fn render(&self, messages: &[TemplateMessage]) -> Result<RenderedRequest, TemplateError> {
        self.render_values(&Values::of(messages, self.is_batch)?)
    }

    /// The same for people.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn show(&self, messages: &[TemplateMessage]) -> Result<ShownRequest, TemplateError> {
        let values = Values::of(messages, self.is_batch)?;
        let show = |text: &TemplateText| text.render(&values, Audience::Masked, BODY_BYTES_MAX);
        let header =
            |(name, text): &(HeaderName, TemplateText)| Ok((name.to_string(), show(text)?));
        Ok(ShownRequest {
            url: self.url.as_ref().map(show).transpose()?,
            headers: self.headers.iter().map(header).collect::<Result<_, _>>()?,
            body: self.body.as_ref().map(show).transpose()?,
        })
    }

    /// Tries the templates on an example: the one of the configuration, or one in which every name of a payload has a
    /// value.
    ///
    /// # Errors
    /// What is surely wrong with a template. What an example that nobody wrote cannot show is not.
    pub fn check(&self) -> Result<(), TemplateError> {
        let values = match &self.parts.example {
            Some(payload) => Values::of_example(payload, self.is_batch),
            None => Values::of_anything(self.is_batch),
        };
        match self.render_values(&values) {
            Err(error) if self.parts.example.is_some() || error.is_certain() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn render_values(&self, values: &Values) -> Result<RenderedRequest, TemplateError> {
        let url = match (&self.url, &self.origin) {
            (Some(text), Some(origin)) => {
                let rendered = text.render(values, Audience::Wire, URL_BYTES_MAX)?;
                let url = address::checked(&rendered, origin);
                Some(url.map_err(|what| TemplateError::of_part("url", what))?)
            }
            _ => None,
        };
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, text) in &self.headers {
            let rendered = text.render(values, Audience::Wire, HEADER_VALUE_BYTES_MAX)?;
            let value = HeaderValue::from_bytes(rendered.as_bytes()).map_err(|_| {
                let part = format!("headers.{name}");
                TemplateError::of_part(&part, "has a line break or another control character")
            })?;
            headers.push((name.clone(), value));
        }
        Ok(RenderedRequest { url, headers, body: self.render_body(values)? })
    }

    fn render_body(&self, values: &Values) -> Result<RenderedBody, TemplateError> {
        let Some(text) = &self.body else {
            let needs_none = matches!(self.parts.method, Method::GET | Method::DELETE);
            return Ok(if needs_none { RenderedBody::Empty } else { RenderedBody::Payload });
        };
        let rendered = text.render(values, Audience::Wire, BODY_BYTES_MAX)?;
        let content_type = self.parts.content_type.as_deref().unwrap_or(CONTENT_TYPE);
        if is_json_type(content_type) {
            serde_json::from_str::<serde::de::IgnoredAny>(&rendered).map_err(|error| {
                // Where it is wrong, and not what stands there.
                let (line, column) = (error.line(), error.column());
                let what = format!(
                    "is not valid JSON when its values are filled in (line {line}, column {column}); write values without quotes, as in {{\"to\": {{{{ payload.to }}}}}}, or set content_type if it is not JSON"
                );
                TemplateError::of_part("body", what)
            })?;
        }
        let (content_type, bytes) = (content_type.to_owned(), Bytes::from(rendered));
        Ok(RenderedBody::Written { content_type, bytes })
    }
}

/// Two templates are the same if they were written alike.
impl PartialEq for RequestTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts && self.is_batch == other.is_batch
    }
}

impl fmt::Debug for RequestTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestTemplate").field(&self.parts).finish()
    }
}
