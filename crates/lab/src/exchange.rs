//! One HTTP request and its answer, whole, as the doubles and the quirk layer handle them.

use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method, http::request::Parts};

/// A request with its body. Path and query are decoded.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// From the first slash on.
    pub path: String,
    /// Names and values, in order.
    pub query: Vec<(String, String)>,
    /// As they were sent; nobody edits them on the way.
    pub headers: HeaderMap,
    /// The content.
    pub body: Bytes,
}

impl Asked {
    /// A request from its head and body.
    pub fn new(head: &Parts, body: Bytes) -> Self {
        let query = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")))
        };
        Self {
            method: head.method.clone(),
            path: decoded(head.uri.path()),
            query: query.map(pair).collect(),
            headers: head.headers.clone(),
            body,
        }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A query parameter's value (empty if it has none).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The bucket and the key of a path-style request; the key is empty where the bucket itself is meant.
    pub fn place(&self) -> (&str, &str) {
        self.path.trim_start_matches('/').split_once('/').unwrap_or((self.path.trim_start_matches('/'), ""))
    }

    /// The object that it is about, with its bucket.
    pub fn key(&self) -> &str {
        self.place().1
    }

    /// Whether it may change the store.
    pub fn writes(&self) -> bool {
        matches!(self.method, Method::PUT | Method::POST | Method::DELETE)
    }

    /// Whether it deletes: one object, or many as S3 and Azure have it.
    pub fn deletes(&self) -> bool {
        let many = self.parameter("delete").is_some() || self.parameter("comp") == Some("batch");
        self.method == Method::DELETE || many && self.method == Method::POST
    }

    /// Whether it lists a bucket.
    pub fn lists(&self) -> bool {
        self.method == Method::GET && self.key().is_empty()
    }
}

/// An answer with its body.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names and values; the length is added when it is sent.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: Bytes,
}

impl Answer {
    /// One without content.
    pub fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// An S3 error. 304 and answers to HEAD carry no body; a caller that knows the method drops it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>\
             <RequestId>lab</RequestId></Error>",
            escaped(code),
            escaped(message)
        );
        Self { status, headers: vec![("content-type".to_owned(), "application/xml".to_owned())], body: body.into() }
    }

    /// The same with another header.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The same as a request with this method gets it: HEAD is told the length of the body in its place.
    pub fn to(self, method: &Method) -> Self {
        match *method {
            Method::HEAD => {
                let len = self.body.len();
                Self { body: Bytes::new(), ..self }.with("content-length", len)
            }
            _ => self,
        }
    }

    /// The same said by a clock that is so much ahead.
    pub fn put_ahead(&mut self, ahead: Duration) {
        for (_, value) in self.headers.iter_mut().filter(|(name, _)| name == "date") {
            if let Ok(date) = httpdate::parse_http_date(value) {
                *value = httpdate::fmt_http_date(date + ahead);
            }
        }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Text as it may stand in XML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The reverse.
pub fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

/// The contents of every `<tag>` in flat XML.
pub fn tags<'a>(xml: &'a str, tag: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split_once(&close)).map(|(text, _)| text).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (byte, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_apart() {
        let request = hyper::Request::get("/bucket/a%2Fb/c%20d?list-type=2&prefix=x%2Fy&flag").body(()).unwrap();
        let asked = Asked::new(&request.into_parts().0, Bytes::new());
        assert_eq!(asked.place(), ("bucket", "a/b/c d"));
        assert_eq!(asked.parameter("prefix"), Some("x/y"));
        assert_eq!((asked.parameter("flag"), asked.parameter("none")), (Some(""), None));
        assert_eq!(tags("<a><Key>1</Key><Key>2</Key></a>", "Key"), ["1", "2"]);
    }
}
