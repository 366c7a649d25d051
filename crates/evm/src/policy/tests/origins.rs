//! What is one origin, and what is none.

use crate::policy::origin_matches;

#[test]
fn origins_are_scheme_host_and_port() {
    for (one, other) in [
        ("https://a.example/x", "https://a.example/y?z#w"),
        ("https://A.Example", "HTTPS://a.eXample/"),
        ("https://a.example:443/", "https://a.example"),
        ("http://a.example:80?q", "http://a.example#f"),
        ("http://[::1]:8080/", "http://[::1]:8080/x"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
    ] {
        assert!(origin_matches(one, other), "{one} {other}");
        assert!(origin_matches(other, one), "{other} {one}");
    }
    for (one, other) in [
        ("https://a.example/", "http://a.example/"),
        ("https://a.example/", "https://b.example/"),
        ("https://a.example:443/", "http://a.example:443/"),
        ("https://a.example/", "https://a.example:444/"),
        ("https://a.example/", "https://a.example.:443/"),
        ("http://127.0.0.1/", "http://127.1/"),
    ] {
        assert!(!origin_matches(one, other), "{one} {other}");
    }
    // What is no plain URL has no origin, not even its own.
    for odd in [
        "",
        "a.example",
        "//a.example/",
        "https:/a.example",
        "https://",
        "https:///x",
        "https://:443/",
        "https://a.example:/",
        "https://a.example:+443/",
        "https://a.example:0443443/",
        "https://a.example:65536/",
        "https://a.example:\u{664}\u{664}\u{663}/",
        "https://b@a.example/",
        "https://a.example\\@b/",
        "https://a%2eexample/",
        "https://a example/",
        "https://a.example/\n",
        "https://\u{e4}.example/",
        "https://[::1/",
        "https://[]/",
        "https://[::1]x/",
        "mcp://tool/x",
        " https://a.example/",
        "javascript://a.example/",
    ] {
        assert!(!origin_matches(odd, odd), "{odd:?}");
    }
    let long = format!("https://a.example/{}", "x".repeat(9_000));
    assert!(!origin_matches(&long, &long));
}
