//! What of a daemon is asked: a path, its query and the headers that go with it.

/// A path with its query, below the daemon's URL.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    pub(super) segments: Vec<String>,
    pub(super) query: Vec<(&'static str, String)>,
    /// The header Idempotency-Key.
    pub(super) key: Option<String>,
    /// The content type of a JSON body, if it is not plain JSON.
    pub(super) content_type: Option<&'static str>,
}

impl Target {
    /// The path made of these segments; they are escaped where needed.
    pub(crate) fn new(segments: &[&str]) -> Self {
        let segments = segments.iter().map(|&segment| segment.to_owned()).collect();
        Self { segments, query: Vec::new(), key: None, content_type: None }
    }

    /// The same with a body of this kind of JSON.
    pub(crate) fn typed(mut self, content_type: &'static str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// The same under an idempotency key, where no body carries it.
    pub(crate) fn keyed(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// The same with a query parameter.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }
}
