//! The page's files, inside the program. `style.css`, `words.js` and `panels.js` also serve a replica's own page.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

const FILES: [(&str, &str, &str); 10] = [
    (
        "index.html",
        "text/html; charset=utf-8",
        include_str!("page/index.html"),
    ),
    ("style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    (
        "page.js",
        "text/javascript; charset=utf-8",
        include_str!("page/page.js"),
    ),
    (
        "words.js",
        "text/javascript; charset=utf-8",
        include_str!("page/words.js"),
    ),
    (
        "strips.js",
        "text/javascript; charset=utf-8",
        include_str!("page/strips.js"),
    ),
    (
        "panels.js",
        "text/javascript; charset=utf-8",
        include_str!("page/panels.js"),
    ),
    (
        "acts.js",
        "text/javascript; charset=utf-8",
        include_str!("page/acts.js"),
    ),
    (
        "listener.js",
        "text/javascript; charset=utf-8",
        include_str!("page/listener.js"),
    ),
    (
        "discord.js",
        "text/javascript; charset=utf-8",
        include_str!("page/discord.js"),
    ),
    ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// One of the page's files, or 404.
pub fn file(name: &str) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => ([(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => (StatusCode::NOT_FOUND, "no such page").into_response(),
    }
}
