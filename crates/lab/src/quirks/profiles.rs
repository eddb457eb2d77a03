//! The rules of each provider, in its own words: status, code and message as they were documented, reported or measured.
//!
//! Some refuse what we never send; such a rule is there so that a test would meet it if we did. How often a provider gives
//! a transient answer is exaggerated, so that every run of a test meets it.

use std::time::Duration;

use hyper::Method;

use super::{After, Nth, Rule, Scope, Then, error, on, rule};
use crate::{
    double::azure_error,
    exchange::{Answer, Asked},
};

/// The profiles.
pub const NAMES: [&str; 19] = [
    "any",
    "aws",
    "azure",
    "b2",
    "b2-2025",
    "do-old-bucket",
    "do-spaces",
    "gcs-interop",
    "gcs-native",
    "ibm",
    "linode",
    "linode-e2",
    "minio-degraded",
    "oci",
    "oci-2026",
    "r2",
    "s3-plain",
    "vultr",
    "wasabi",
];

/// The rules of the profile of this name.
pub fn profile(name: &str) -> Option<Vec<Rule>> {
    Some(match name {
        "any" => any(),
        "aws" => aws(),
        "azure" => azure(),
        "b2" => b2(),
        "b2-2025" => b2_2025(),
        "do-old-bucket" => do_old_bucket(),
        "do-spaces" => do_spaces(),
        "gcs-interop" => gcs_interop(),
        "gcs-native" => gcs_native(),
        "ibm" => ibm(),
        "linode" => ceph("linode", 750.0),
        "linode-e2" => ceph("linode", 2000.0),
        // What it does wrong is done by the server below.
        "minio-degraded" | "s3-plain" => Vec::new(),
        "oci" => oci(),
        "oci-2026" => oci_2026(),
        "r2" => r2(),
        "vultr" => ceph("vultr", 400.0),
        "wasabi" => wasabi(),
        _ => return None,
    })
}

fn creates(asked: &Asked) -> bool {
    asked.method == Method::PUT && asked.headers.contains_key("if-none-match")
}

fn conditional_write(asked: &Asked) -> bool {
    asked.method == Method::PUT
        && (asked.headers.contains_key("if-none-match") || asked.headers.contains_key("if-match"))
}

fn writes_or_lists(asked: &Asked) -> bool {
    asked.writes() || asked.lists()
}

fn slow_down() -> Answer {
    error(503, "SlowDown", "Please reduce your request rate.")
}

fn limit(name: &'static str, per_second: f64, scope: Scope, over: Answer) -> Rule {
    rule(name).then(Then::Limit { per_second, scope, over })
}

fn aws() -> Vec<Rule> {
    vec![
        on(Method::PUT, "if-match on an absent key").header("if-match", "").respond(
            404,
            "NoSuchKey",
            "The specified key does not exist.",
        ),
        rule("conflict").is(creates).nth(Nth::Every(5)).respond(
            409,
            "ConditionalRequestConflict",
            "The conditional request cannot succeed due to a conflicting operation against this resource.",
        ),
        on(Method::POST, "error in a 200").query("uploadId").respond(
            200,
            "InternalError",
            "We encountered an internal error.",
        ),
        on(Method::PUT, "error in the 200 of a copy").header("x-amz-copy-source", "").respond(
            200,
            "InternalError",
            "We encountered an internal error.",
        ),
        rule("stalled body").is(creates).nth(Nth::Every(7)).respond(
            400,
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the timeout period.",
        ),
        limit("writes per prefix", 3500.0, Scope::Prefix, slow_down()).is(Asked::writes),
        limit("reads per prefix", 5500.0, Scope::Prefix, slow_down()).is(|asked| !asked.writes()),
    ]
}

fn trailers() -> Rule {
    rule("trailer").header("x-amz-trailer", "").respond(400, "InvalidArgument", "x-amz-trailer is not supported")
}

fn quoted_if_match() -> Rule {
    on(Method::PUT, "quoted if-match").header("if-match", "\"").respond(
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
    )
}

fn do_spaces() -> Vec<Rule> {
    vec![
        quoted_if_match(),
        trailers(),
        on(Method::PUT, "concurrent writes of a key").then(Then::Crowd { most: 10, over: slow_down() }),
        limit("requests of a client", 1500.0, Scope::All, slow_down()),
    ]
}

/// A bucket from before the newer clusters.
fn do_old_bucket() -> Vec<Rule> {
    let old = [
        limit("writes and lists", 300.0, Scope::All, slow_down()).is(writes_or_lists),
        limit("requests of a bucket", 500.0, Scope::All, slow_down()),
    ];
    old.into_iter().chain(do_spaces()).collect()
}

/// Ceph RGW, as Linode and Vultr run it.
fn ceph(provider: &str, per_second: f64) -> Vec<Rule> {
    let name = if provider == "vultr" { "requests of a subscription" } else { "requests of a bucket" };
    vec![
        rule("streaming checksum").header("x-amz-content-sha256", "STREAMING").respond(
            400,
            "XAmzContentSHA256Mismatch",
            "",
        ),
        on(Method::PUT, "no length").is(|asked| !asked.headers.contains_key("content-length")).respond(
            411,
            "MissingContentLength",
            "",
        ),
        on(Method::PUT, "bucket name clash").is(|asked| asked.key().is_empty()).respond(429, "TooManyRequests", ""),
        quoted_if_match(),
        on(Method::GET, "part number ignored").query("partNumber").then(Then::Mutate(|_, answer| answer.status = 200)),
        limit(name, per_second, Scope::All, slow_down()),
    ]
}

fn r2() -> Vec<Rule> {
    const CHECKSUM: &str = "Header 'x-amz-checksum-crc32' with value '..' not implemented";
    let header_501 = |name: &'static str, header: &'static str| {
        rule(name).header(header, "").respond(501, "NotImplemented", "Header not implemented")
    };
    vec![
        rule("commit latency").is(Asked::writes).then(Then::Delay(Duration::from_millis(200))),
        // What is put together of parts has an ETag that is no digest of it; so no parts are begun.
        on(Method::POST, "opaque etag").query("uploads").respond(501, "NotImplemented", ""),
        on(Method::POST, "unequal parts").query("uploadId").respond(
            400,
            "InvalidPart",
            "All non-trailing parts must have the same length.",
        ),
        rule("checksum header").header("x-amz-checksum-crc32", "").respond(501, "NotImplemented", CHECKSUM),
        rule("aws-chunked trailer").header("content-encoding", "aws-chunked").respond(
            401,
            "Unauthorized",
            "Unauthorized",
        ),
        header_501("encryption header", "x-amz-server-side-encryption"),
        header_501("object lock header", "x-amz-object-lock-mode"),
        header_501("tagging header", "x-amz-tagging"),
        header_501("acl header", "x-amz-acl"),
        rule("expect").header("expect", "").then(Then::Hang),
        rule("region").is(r2_foreign_region).respond(400, "InvalidRegionName", "The region name is not valid"),
        limit(
            "writes of a key",
            1.0,
            Scope::Key,
            error(429, "TooManyRequests", "Reduce your concurrent request rate for the same object."),
        )
        .is(|asked| asked.method == Method::PUT),
        rule("client disconnect").is(creates).nth(Nth::Every(4)).forward(After::Respond(error(
            499,
            "ClientDisconnect",
            "Client Disconnect",
        ))),
    ]
}

/// Whether the signature names a region that R2 does not have.
fn r2_foreign_region(asked: &Asked) -> bool {
    let scope = asked.header("authorization").and_then(|value| value.split("Credential=").nth(1));
    let region = scope.and_then(|scope| scope.split('/').nth(2));
    region.is_some_and(|region| !matches!(region, "auto" | "us-east-1" | ""))
}

fn b2() -> Vec<Rule> {
    let busy = error(503, "SlowDown", "Please reduce your request rate.").with("retry-after", 2);
    vec![
        rule("conditional write").is(conditional_write).respond(
            501,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
        ),
        limit("requests of a new account", 500.0, Scope::All, busy.clone()),
        rule("busy").is(Asked::writes).nth(Nth::Every(6)).then(Then::Respond(busy)),
        rule("deletions hide").then(Then::HideOnDelete),
    ]
}

/// As it was in the first half of 2025.
fn b2_2025() -> Vec<Rule> {
    let old = rule("sdk checksum").header("x-amz-sdk-checksum-algorithm", "").respond(
        400,
        "InvalidArgument",
        "Unsupported header 'x-amz-sdk-checksum-algorithm' received for this API call.",
    );
    [old].into_iter().chain(b2()).collect()
}

fn wasabi() -> Vec<Rule> {
    vec![rule("active requests").is(Asked::writes).nth(Nth::Every(5)).respond(
        503,
        "SlowDown",
        "Maximum number of server active requests exceeded",
    )]
}

fn gcs_interop() -> Vec<Rule> {
    const SIGNATURE: &str = "The request signature we calculated does not match the signature you provided.";
    vec![
        on(Method::POST, "bulk deletion").query("delete").chance(700).respond(
            501,
            "NotImplemented",
            "A header or query you provided requested a function that is not implemented.",
        ),
        rule("x-id").query("x-id").respond(403, "SignatureDoesNotMatch", SIGNATURE),
        rule("signed accept-encoding").header("authorization", "accept-encoding").respond(
            403,
            "SignatureDoesNotMatch",
            SIGNATURE,
        ),
        rule("checksum trailer").header("x-amz-trailer", "").respond(403, "SignatureDoesNotMatch", "Invalid argument."),
        on(Method::PUT, "part copy").header("x-amz-copy-source", "").respond(501, "NotImplemented", ""),
        rule("mixed headers")
            .is(|asked| {
                let begins = |prefix| asked.headers.keys().any(|name| name.as_str().starts_with(prefix));
                begins("x-amz-") && begins("x-goog-")
            })
            .respond(
                400,
                "ExcessHeaderValues",
                "Multiple HTTP headers with these names are not allowed: x-amz-*, x-goog-*",
            ),
        same_object_too_quickly(),
    ]
}

fn same_object_too_quickly() -> Rule {
    let over = error(
        429,
        "SlowDown",
        "The rate of change requests to the object exceeds the rate limit. Changing object b/k too quickly",
    );
    limit("changing an object too quickly", 1.0, Scope::Key, over).is(|asked| asked.method == Method::PUT)
}

fn gcs_native() -> Vec<Rule> {
    vec![
        same_object_too_quickly(),
        rule("busy").is(Asked::writes).nth(Nth::Every(6)).respond(503, "ServiceUnavailable", "Backend error"),
        rule("timeout").is(Asked::writes).nth(Nth::Every(7)).respond(408, "RequestTimeout", ""),
        on(Method::GET, "too many reads").nth(Nth::Every(9)).respond(429, "SlowDown", "Rate limit exceeded"),
    ]
}

fn oci() -> Vec<Rule> {
    const DIGEST: &str = "Missing required header: Content-MD5 or x-amz-checksum-sha256 or x-amz-checksum-crc32c";
    vec![
        on(Method::POST, "deletion with CRC32 alone")
            .query("delete")
            .is(|asked| {
                let good = ["content-md5", "x-amz-checksum-sha256", "x-amz-checksum-crc32c"];
                !good.iter().any(|name| asked.headers.contains_key(*name))
            })
            .respond(400, "InvalidRequest", DIGEST),
        on(Method::PUT, "condition on a part").query("partNumber").header("if-match", "").respond(
            412,
            "IfMatchFailed",
            "",
        ),
    ]
}

/// As it was until the summer of 2026.
fn oci_2026() -> Vec<Rule> {
    let old = [
        rule("aws-chunked").header("content-encoding", "aws-chunked").respond(
            501,
            "NotImplemented",
            "AWS chunked encoding not supported",
        ),
        rule("streaming digest").header("x-amz-content-sha256", "STREAMING").respond(
            400,
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value.",
        ),
    ];
    old.into_iter().chain(oci()).collect()
}

fn ibm() -> Vec<Rule> {
    const SIGNED: &str = "Content-MD5 HTTP header or AWS Signature Version 4 signed payload is required";
    vec![
        on(Method::POST, "deletion without a digest")
            .query("delete")
            .is(|asked| !asked.headers.contains_key("content-md5"))
            .respond(400, "InvalidRequest", "Missing required header for this request: Content-MD5"),
        on(Method::PUT, "unsigned payload under object lock")
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .respond(400, "InvalidRequest", SIGNED),
        // Other stores say `BucketAlreadyOwnedByYou` to the owner.
        on(Method::PUT, "bucket already exists").is(|asked| asked.key().is_empty()).respond(
            409,
            "BucketAlreadyExists",
            "The requested bucket name is not available.",
        ),
        rule("busy 503").is(Asked::writes).nth(Nth::Every(5)).respond(503, "SlowDown", "Reduce your request rate."),
        rule("busy 429").is(Asked::writes).nth(Nth::Every(7)).respond(
            429,
            "TooManyRequests",
            "Reduce your request rate.",
        ),
    ]
}

fn azure() -> Vec<Rule> {
    vec![
        rule("busy").is(Asked::writes).nth(Nth::Every(5)).then(Then::Respond(azure_error(503, "ServerBusy"))),
        rule("timed out")
            .is(Asked::writes)
            .nth(Nth::Every(7))
            .then(Then::Respond(azure_error(500, "OperationTimedOut"))),
        rule("suffix range").header("range", "bytes=-").then(Then::Respond(azure_error(400, "InvalidHeaderValue"))),
    ]
}

/// What happens everywhere, now and then.
fn any() -> Vec<Rule> {
    vec![
        rule("applied, reset").is(creates).nth(Nth::Every(5)).forward(After::Drop),
        rule("applied, 503").is(creates).nth(Nth::Every(7)).forward(After::Respond(slow_down())),
        rule("applied, no answer").is(creates).nth(Nth::Every(11)).forward(After::Hang),
        on(Method::GET, "cut body").nth(Nth::Every(6)).forward(After::CutBody),
        on(Method::GET, "empty 200").nth(Nth::Every(8)).then(Then::Respond(Answer::empty(200))),
        on(Method::GET, "wrong content-range").header("range", "").nth(Nth::Every(9)).then(Then::Mutate(
            |_, answer| {
                for (name, value) in &mut answer.headers {
                    if name == "content-range" {
                        *value = "bytes 1000000-1000009/2000000".to_owned();
                    }
                }
            },
        )),
        rule("list lag").is(Asked::lists).then(Then::StaleList(3)),
    ]
}
