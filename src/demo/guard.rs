//! Who may look at the page and press its buttons: this machine's browser, and only from this very page.

use axum::http::{HeaderMap, header};

/// The header that a page of another origin cannot send without asking first, which is never granted.
pub const HEADER: &str = "x-segue-demo";

/// Whether the request names this machine as its host. Otherwise a foreign name was made to point at 127.0.0.1.
pub fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

/// Whether the request may change something: local, with our header, and from a page of the same origin if from any.
pub fn may_act(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let own = match headers.get(header::ORIGIN) {
        Some(origin) => origin
            .to_str()
            .is_ok_and(|origin| origin.strip_prefix("http://") == Some(host)),
        None => true,
    };
    is_local(headers) && own && headers.contains_key(HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let parsed = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        parsed
            .collect::<Vec<(header::HeaderName, header::HeaderValue)>>()
            .into_iter()
            .collect()
    }

    #[test]
    fn only_this_machine_under_its_own_names_may_look() {
        for (host, local) in [
            ("127.0.0.1:8000", true),
            ("localhost:8000", true),
            ("localhost", true),
            ("[::1]:8000", true),
            ("[::1]", true),
            ("evil.example:8000", false),
            ("127.0.0.1.evil.example", false),
        ] {
            assert_eq!(is_local(&headers(&[("host", host)])), local, "{host}");
        }
        assert!(!is_local(&headers(&[])));
    }

    #[test]
    fn only_our_own_page_may_act() {
        let own = ("origin", "http://127.0.0.1:8000");
        let host = ("host", "127.0.0.1:8000");
        assert!(may_act(&headers(&[host, own, (HEADER, "1")])));
        assert!(may_act(&headers(&[host, (HEADER, "1")])));
        assert!(!may_act(&headers(&[host, own])));
        assert!(!may_act(&headers(&[
            host,
            ("origin", "http://127.0.0.1:9000"),
            (HEADER, "1")
        ])));
        assert!(!may_act(&headers(&[host, ("origin", "null"), (HEADER, "1")])));
        assert!(!may_act(&headers(&[
            ("host", "evil.example"),
            ("origin", "http://evil.example"),
            (HEADER, "1")
        ])));
    }
}
