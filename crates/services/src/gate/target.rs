//! Where a request goes: the upstream's origin and base path, and nothing above them.

use http::Uri;

/// An upstream's URL without a trailing slash.
#[derive(Clone)]
pub(super) struct Upstream(String);

/// Why nothing is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The upstream is not an absolute `http` or `https` URL without credentials and query.
    #[error("the upstream is not an absolute http or https url without credentials and query")]
    Upstream,
    /// The path has a dot segment or a backslash: an URL parser behind us would read another path
    /// than the one that was paid for, perhaps above the upstream's.
    #[error("the path has a dot segment or a backslash")]
    Path,
}

impl Upstream {
    pub(super) fn parse(url: &str) -> Result<Self, Refused> {
        let uri: Uri = url.parse().map_err(|_| Refused::Upstream)?;
        let authority = uri.authority().ok_or(Refused::Upstream)?;
        let is_plain = matches!(uri.scheme_str(), Some("http" | "https"))
            && !authority.as_str().contains('@')
            && uri.query().is_none()
            && !url.contains('#')
            && !is_ambiguous(uri.path());
        if !is_plain {
            return Err(Refused::Upstream);
        }
        Ok(Self(url.trim_end_matches('/').to_owned()))
    }

    /// The upstream's URL for a request: its path and query, byte for byte.
    pub(super) fn locate(&self, asked: &Uri) -> Result<Uri, Refused> {
        let path = asked.path();
        if !path.starts_with('/') || is_ambiguous(path) {
            return Err(Refused::Path);
        }
        let query = asked.query().map(|query| format!("?{query}"));
        let url = format!("{}{path}{}", self.0, query.unwrap_or_default());
        url.parse().map_err(|_| Refused::Path)
    }
}

/// Whether an URL parser (WHATWG) would read another path: `.` and `..` are segments in any spelling,
/// and a backslash is a slash.
fn is_ambiguous(path: &str) -> bool {
    let is_dots = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    path.contains('\\') || path.split('/').any(is_dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_what_it_is() {
        let upstream = Upstream::parse("http://127.0.0.1:8080/api/").unwrap();
        for (asked, sent) in [
            ("/", "http://127.0.0.1:8080/api/"),
            ("/a/b?c=d&e", "http://127.0.0.1:8080/api/a/b?c=d&e"),
            (
                "//evil.example/x",
                "http://127.0.0.1:8080/api//evil.example/x",
            ),
            ("/a%2Fb/..c/...", "http://127.0.0.1:8080/api/a%2Fb/..c/..."),
            ("http://evil.example/x?y", "http://127.0.0.1:8080/api/x?y"),
        ] {
            let located = upstream.locate(&asked.parse().unwrap()).unwrap();
            assert_eq!(located.to_string(), sent);
        }
    }

    #[test]
    fn no_spelling_leads_above_the_upstream() {
        let upstream = Upstream::parse("http://127.0.0.1:8080/api").unwrap();
        for asked in [
            "/..",
            "/../admin",
            "/a/../b",
            "/.",
            "/./a",
            "/%2e%2e/admin",
            "/%2E./admin",
            "/.%2e",
            "/%2e",
            "/a\\..\\b",
            "/a\\b",
            "*",
        ] {
            let Ok(asked) = asked.parse() else { continue };
            assert_eq!(upstream.locate(&asked), Err(Refused::Path), "{asked}");
        }
    }

    #[test]
    fn an_upstream_is_an_origin_and_a_path() {
        for refused in [
            "",
            "127.0.0.1:8080",
            "/api",
            "ftp://127.0.0.1",
            "http://me@127.0.0.1",
            "http://",
            "http://127.0.0.1/?q",
            "http://127.0.0.1/#f",
            "http://127.0.0.1/a/../b",
        ] {
            assert!(Upstream::parse(refused).is_err(), "{refused}");
        }
    }
}
