//! Where pages are: the path under which a proxy shows this daemon, and the origins of other pages.
//!
//! Owns their form. Refuses to know which request comes from where (`api`, `dashboard`).

use std::fmt;
use std::str::FromStr;

use url::{Origin, Url};

/// The path under which a proxy shows this daemon, for example `/tidegate`; empty: it has the whole host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BasePath(String);

impl BasePath {
    /// The path, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl FromStr for BasePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.trim().trim_end_matches('/');
        let is_kept = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        let is_part = |part: &str| {
            !part.is_empty() && !matches!(part, "." | "..") && part.chars().all(is_kept)
        };
        let is_path =
            path.is_empty() || path.strip_prefix('/').is_some_and(|p| p.split('/').all(is_part));
        if text.trim().starts_with('/') && is_path {
            return Ok(Self(path.to_owned()));
        }
        Err(format!(
            "\"{text}\" is not a valid path; expected for example \"/tidegate\": a slash, then letters, digits, -, _, . and ~"
        ))
    }
}

/// The origin of pages: scheme, name and port, for example `https://ops.example`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// As browsers write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not a valid origin; expected scheme, name and port if it is not the usual one, for example \"https://ops.example\""
            )
        };
        let url = Url::parse(text).map_err(|_| wrong())?;
        let is_bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match (url.scheme(), url.origin()) {
            ("http" | "https", origin @ Origin::Tuple(..)) if is_bare => {
                Ok(Self(origin.ascii_serialization()))
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_no_slash_at_their_end() {
        let path = |text: &str| text.parse::<BasePath>().map(|path| path.as_str().to_owned());
        assert_eq!(path("/"), Ok(String::new()));
        assert_eq!(path("/tide/gate/"), Ok("/tide/gate".to_owned()));
        for bad in ["", "tidegate", "//a", "/a//b", "/..", "/a b", "/a?b", "https://x/"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        let origin = |text: &str| text.parse::<WebOrigin>().map(|it| it.to_string());
        assert_eq!(origin("https://Ops.example:443/"), Ok("https://ops.example".to_owned()));
        assert_eq!(origin("http://localhost:3000"), Ok("http://localhost:3000".to_owned()));
        for bad in ["*", "null", "ops.example", "https://a/b", "https://u@a", "ftp://a", "file:///"]
        {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
