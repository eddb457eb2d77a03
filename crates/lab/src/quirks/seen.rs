//! What was asked, and what of it no client of ours may ever send.

use hyper::Method;
use kafscale_runtime::Instant;

use crate::exchange::Asked;

/// One request as it passed.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it came.
    pub at: Instant,
    /// The request, without its body.
    pub asked: Asked,
    /// Length of its body.
    pub body_len: usize,
    /// The rule that decided its answer, if one did.
    pub rule: Option<&'static str>,
}

/// A kind of request that providers answer in ways of their own, and how to recognise it.
type Kind = (&'static str, fn(&Asked) -> bool);

/// Requests that a client of ours never sends, so that the quirks about them cannot arise.
const NEVER: [Kind; 14] = [
    ("multipart upload", |asked| ["uploads", "uploadId", "partNumber"].iter().any(|name| has(asked, name))),
    ("If-Match", |asked| asked.headers.contains_key("if-match")),
    ("copy", |asked| asked.headers.contains_key("x-amz-copy-source")),
    ("aws-chunked body", |asked| {
        contains(asked, "content-encoding", "aws-chunked") || contains(asked, "x-amz-content-sha256", "STREAMING")
    }),
    ("trailer", |asked| asked.headers.contains_key("x-amz-trailer") || asked.headers.contains_key("trailer")),
    ("CRC-32 checksum", |asked| {
        asked.headers.contains_key("x-amz-checksum-crc32") || asked.headers.contains_key("x-amz-sdk-checksum-algorithm")
    }),
    ("body of unknown length", |asked| asked.method == Method::PUT && !asked.headers.contains_key("content-length")),
    ("Expect: 100-continue", |asked| asked.headers.contains_key("expect")),
    ("?x-id=", |asked| has(asked, "x-id")),
    ("signed Accept-Encoding", |asked| contains(asked, "authorization", "accept-encoding")),
    ("x-amz-* beside x-goog-*", |asked| begins(asked, "x-amz-") && begins(asked, "x-goog-")),
    ("making or deleting a bucket", |asked| {
        asked.key().is_empty() && matches!(asked.method, Method::PUT | Method::DELETE)
    }),
    ("ACL, versions, object lock, tags", |asked| {
        ["acl", "versioning", "versions", "versionId", "object-lock", "retention", "tagging"]
            .iter()
            .any(|name| has(asked, name))
            || ["x-amz-acl", "x-amz-tagging"].iter().any(|name| asked.headers.contains_key(*name))
            || begins(asked, "x-amz-object-lock-")
    }),
    ("suffix range", |asked| contains(asked, "range", "bytes=-")),
];

/// What of this should never have been sent; empty is good.
pub fn never_sent(seen: &[Seen]) -> Vec<String> {
    let odd = seen.iter().flat_map(|seen| {
        let kinds = NEVER.iter().filter(|(_, is)| is(&seen.asked));
        kinds.map(|(what, _)| format!("{what}: {} {}", seen.asked.method, seen.asked.path))
    });
    odd.collect()
}

fn has(asked: &Asked, parameter: &str) -> bool {
    asked.parameter(parameter).is_some()
}

fn contains(asked: &Asked, header: &str, part: &str) -> bool {
    asked.header(header).is_some_and(|value| value.contains(part))
}

fn begins(asked: &Asked, prefix: &str) -> bool {
    asked.headers.keys().any(|name| name.as_str().starts_with(prefix))
}
