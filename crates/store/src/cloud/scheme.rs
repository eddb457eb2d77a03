//! An endpoint that speaks the other one of http and https than its address says, which shows in how a request fails.

/// What follows a failure's own words: the likely cause, or nothing. `error` is the text of a request, made to an address of
/// this scheme, that failed without an answer.
pub(crate) fn of_failure(scheme: Option<&str>, error: &str) -> &'static str {
    match scheme {
        // Where a record of TLS should begin stands `HTTP/1.1 400 Bad Request`.
        Some("https") if error.contains("InvalidContentType") => {
            ": the endpoint speaks plain http: its address must begin with http:"
        }
        Some("https") if error.contains("tls handshake eof") => {
            ": the endpoint ended the TLS handshake: it may speak plain http, and then its address must begin with http:"
        }
        // An alert of TLS where the status line of HTTP should stand.
        Some("http") if error.contains("invalid HTTP version") => {
            ": the endpoint speaks TLS: its address must begin with https:"
        }
        _ => "",
    }
}

/// The same of an answer in plain words, without a code of S3: what servers of Go, nginx and Apache say to http on a port of
/// theirs that speaks TLS.
pub(crate) fn of_answer(status: u16, body: &str) -> &'static str {
    let marks = ["HTTP request to an HTTPS server", "HTTP request was sent to HTTPS port", "SSL-enabled server port"];
    if status == 400 && marks.iter().any(|mark| body.contains(mark)) {
        "the endpoint speaks TLS: its address must begin with https:"
    } else {
        ""
    }
}
