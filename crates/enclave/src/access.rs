//! One line for each request, for whoever counts them: at `debug`, and nothing that a peer chose.

use axum::extract::Request;
use http::Method;

/// Notes which of our own routes was asked. Paths and methods of a peer's own making are `other`: they
/// could hold anything.
pub(crate) async fn note(request: Request) -> Request {
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        _ => "other",
    };
    tracing::debug!(method, route = route(request.uri().path()), "asked");
    request
}

fn route(path: &str) -> &'static str {
    const ROUTES: [&str; 8] = [
        "/enclave/attestation",
        "/health",
        "/signing-key",
        "/heartbeat/status",
        "/v1/models",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/ohttp",
    ];
    let known = ROUTES.into_iter().find(|route| *route == path);
    known.unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::route;

    #[test]
    fn a_path_of_a_peers_making_is_not_noted() {
        assert_eq!(route("/v1/chat/completions"), "/v1/chat/completions");
        for path in [
            "",
            "/",
            "/v1/models/secret",
            "/health/",
            "/v1/chat/completions?a",
        ] {
            assert_eq!(route(path), "other", "{path}");
        }
    }
}
