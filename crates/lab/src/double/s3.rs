//! S3 in memory.

use std::{
    collections::BTreeMap,
    ops::Bound,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use hyper::Method;
use kafscale_runtime::{Handle, Instant};
use parking_lot::Mutex;

use super::{Double, part};
use crate::exchange::{Answer, Asked, escaped, tags, unescaped};

/// What one listing gives and one deletion names at most.
const NAMES_PER_REQUEST: usize = 1_000;

/// What becomes of `If-None-Match: *`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// It is checked.
    Honoured,
    /// It is ignored: the write succeeds and replaces what is there.
    Ignored,
    /// It is checked, but a write that came less than this ago is not seen yet.
    Racy(Duration),
}

/// A bucket.
pub struct S3Double {
    runtime: Handle,
    bucket: String,
    state: Mutex<State>,
}

struct State {
    objects: BTreeMap<String, Object>,
    conditions: Conditions,
    bucket_exists: bool,
    clock_off_ms: i64,
    keeps_versions: bool,
    /// Objects that were deleted or overwritten, with their bytes and how long they lived.
    former: Vec<(u64, Duration)>,
    writes: u64,
}

struct Object {
    content: Bytes,
    e_tag: String,
    written_at: Instant,
}

impl S3Double {
    /// An empty bucket of this name that does everything right.
    pub fn new(runtime: Handle, bucket: &str) -> Self {
        let state = State {
            objects: BTreeMap::new(),
            conditions: Conditions::Honoured,
            bucket_exists: true,
            clock_off_ms: 0,
            keeps_versions: false,
            former: Vec::new(),
            writes: 0,
        };
        Self { runtime, bucket: bucket.to_owned(), state: Mutex::new(state) }
    }

    /// What becomes of conditions from now on.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.state.lock().conditions = conditions;
    }

    /// Deletes the bucket with all that is in it, or makes an empty one.
    pub fn set_bucket(&self, exists: bool) {
        let mut state = self.state.lock();
        state.bucket_exists = exists;
        state.objects.clear();
    }

    /// Sets the clock of the `Date` header wrong by so much.
    pub fn set_clock_off(&self, off_ms: i64) {
        self.state.lock().clock_off_ms = off_ms;
    }

    /// Keeps the bytes of what is deleted or overwritten, as versioned buckets do.
    pub fn keep_versions(&self) {
        self.state.lock().keeps_versions = true;
    }

    /// Bytes that are stored: those that can be read, and those of former versions.
    pub fn stored_bytes(&self) -> (u64, u64) {
        let state = self.state.lock();
        let current = state.objects.values().map(|object| object.content.len() as u64).sum();
        (current, if state.keeps_versions { state.former.iter().map(|(len, _)| len).sum() } else { 0 })
    }

    /// What a lifecycle rule for former versions does.
    pub fn expire_former_versions(&self) {
        self.state.lock().former.clear();
    }

    /// Byte-days that are billed for deleted objects until each has been billed for `days_min`.
    pub fn byte_days_billed_after_deletion(&self, days_min: u32) -> f64 {
        let day = 24.0 * 60.0 * 60.0;
        let short = |lived: Duration| (f64::from(days_min) - lived.as_secs_f64() / day).max(0.0);
        self.state.lock().former.iter().map(|(len, lived)| *len as f64 * short(*lived)).sum()
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        self.state.lock().objects.keys().cloned().collect()
    }

    /// An object's bytes.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.state.lock().objects.get(key).map(|object| object.content.clone())
    }

    /// Replaces an object's bytes behind everybody's back, as a store that forgets its conditions lets others do.
    pub fn overwrite(&self, key: &str, content: Bytes) {
        let now = self.runtime.now();
        self.state.lock().write(key, content, now);
    }

    fn date(&self, state: &State) -> String {
        let unix_ms = self.runtime.wall_clock_ms() + state.clock_off_ms;
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0)))
    }
}

impl Double for S3Double {
    fn answer(&self, asked: &Asked) -> Answer {
        let mut state = self.state.lock();
        let date = self.date(&state);
        let now = self.runtime.now();
        let (bucket, key) = asked.place();
        let answer = match unsigned(asked) {
            Some(answer) => answer,
            None if bucket != self.bucket || !state.bucket_exists => {
                Answer::error(404, "NoSuchBucket", "The specified bucket does not exist")
            }
            None => match (&asked.method, key) {
                (&Method::GET, "") if asked.parameter("list-type") == Some("2") => state.list(asked),
                (&Method::POST, "") if asked.parameter("delete").is_some() => state.delete_many(asked, now),
                (_, "") => Answer::error(501, "NotImplemented", "the double does nothing else with a bucket"),
                (&Method::GET | &Method::HEAD, _) => state.read(asked),
                (&Method::PUT, _) => state.put(asked, now),
                (&Method::DELETE, _) => {
                    state.remove(key, now);
                    Answer::empty(204)
                }
                _ => Answer::error(405, "MethodNotAllowed", "The method is not allowed against this resource."),
            },
        };
        answer.with("date", date).with("x-amz-request-id", "lab")
    }
}

/// What every request must carry; the signature itself is a real server's to check.
fn unsigned(asked: &Asked) -> Option<Answer> {
    let signed = asked
        .header("authorization")
        .is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 Credential=") && value.contains("SignedHeaders="));
    let digest = asked.header("x-amz-content-sha256").unwrap_or_default();
    let hex = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !signed || asked.header("x-amz-date").is_none() {
        return Some(Answer::error(403, "AccessDenied", "Access Denied"));
    }
    if !hex && digest != "UNSIGNED-PAYLOAD" {
        let message = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, or a valid sha256 value.";
        return Some(Answer::error(400, "InvalidArgument", message));
    }
    let length = asked.header("content-length").map(str::parse);
    match length {
        None if asked.method == Method::PUT => {
            Some(Answer::error(411, "MissingContentLength", "You must provide the Content-Length HTTP header."))
        }
        Some(length) if length != Ok(asked.body.len()) => {
            Some(Answer::error(400, "IncompleteBody", "The body is not as long as the Content-Length header says."))
        }
        _ => None,
    }
}

impl State {
    fn put(&mut self, asked: &Asked, now: Instant) -> Answer {
        let key = asked.key();
        let present = self.objects.get(key).filter(|object| match self.conditions {
            Conditions::Honoured => true,
            Conditions::Ignored => false,
            Conditions::Racy(window) => now.saturating_sub(object.written_at) >= window,
        });
        match asked.header("if-none-match") {
            None => {}
            Some("*") if present.is_some() => {
                let message = "At least one of the pre-conditions you specified did not hold";
                return Answer::error(412, "PreconditionFailed", message);
            }
            Some("*") => {}
            Some(_) => return Answer::error(501, "NotImplemented", "If-None-Match takes only *"),
        }
        let e_tag = self.write(key, asked.body.clone(), now);
        Answer::empty(200).with("etag", e_tag)
    }

    fn write(&mut self, key: &str, content: Bytes, now: Instant) -> String {
        self.writes += 1;
        let e_tag = format!("\"{:032x}\"", self.writes);
        let object = Object { content, e_tag: e_tag.clone(), written_at: now };
        if let Some(former) = self.objects.insert(key.to_owned(), object) {
            self.retire(&former, now);
        }
        e_tag
    }

    fn remove(&mut self, key: &str, now: Instant) {
        if let Some(former) = self.objects.remove(key) {
            self.retire(&former, now);
        }
    }

    fn retire(&mut self, former: &Object, now: Instant) {
        self.former.push((former.content.len() as u64, now.saturating_sub(former.written_at)));
    }

    fn read(&self, asked: &Asked) -> Answer {
        let Some(object) = self.objects.get(asked.key()) else {
            return Answer::error(404, "NoSuchKey", "The specified key does not exist.");
        };
        let described = Answer::empty(200)
            .with("etag", &object.e_tag)
            .with("last-modified", "Mon, 23 Nov 2026 00:00:00 GMT")
            .with("accept-ranges", "bytes");
        let answer = part(&object.content, asked.header("range"), described);
        answer.to(&asked.method)
    }

    fn list(&self, asked: &Asked) -> Answer {
        let parameter = |name| asked.parameter(name).unwrap_or_default();
        let prefix = parameter("prefix");
        // A token is the last key of the page before.
        let after = parameter("start-after").max(parameter("continuation-token"));
        let most = asked.parameter("max-keys").map_or(Some(NAMES_PER_REQUEST), |text| text.parse().ok());
        let Some(most) = most.map(|most: usize| most.min(NAMES_PER_REQUEST)) else {
            return Answer::error(400, "InvalidArgument", "max-keys is no number");
        };
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let behind = self.objects.range::<str, _>((from, Bound::Unbounded));
        let mut found: Vec<_> = behind.take_while(|(key, _)| key.starts_with(prefix)).take(most + 1).collect();
        let truncated = found.len() > most;
        found.truncate(most);
        let rows: String = found.iter().map(|(key, object)| row(key, object)).collect();
        let token = match found.last().filter(|_| truncated) {
            Some((key, _)) => format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(key)),
            None => String::new(),
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><KeyCount>{}</KeyCount>\
             <IsTruncated>{truncated}</IsTruncated>{token}{rows}</ListBucketResult>",
            found.len()
        );
        Answer { status: 200, headers: Vec::new(), body: body.into() }.with("content-type", "application/xml")
    }

    fn delete_many(&mut self, asked: &Asked, now: Instant) -> Answer {
        let digests = ["content-md5", "x-amz-checksum-sha256", "x-amz-checksum-crc64nvme", "x-amz-checksum-crc32c"];
        if !digests.iter().any(|name| asked.headers.contains_key(*name)) {
            let message = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*";
            return Answer::error(400, "InvalidRequest", message);
        }
        let xml = String::from_utf8_lossy(&asked.body).into_owned();
        let keys: Vec<_> = tags(&xml, "Key").into_iter().map(unescaped).collect();
        if keys.is_empty() || keys.len() > NAMES_PER_REQUEST {
            let message = "The XML you provided was not well-formed or did not validate against our published schema";
            return Answer::error(400, "MalformedXML", message);
        }
        let mut rows = String::new();
        for key in &keys {
            self.remove(key, now);
            rows.push_str(&format!("<Deleted><Key>{}</Key></Deleted>", escaped(key)));
        }
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><DeleteResult>{rows}</DeleteResult>");
        Answer { status: 200, headers: Vec::new(), body: body.into() }.with("content-type", "application/xml")
    }
}

fn row(key: &str, object: &Object) -> String {
    format!(
        "<Contents><Key>{}</Key><LastModified>2026-11-23T00:00:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size>\
         <StorageClass>STANDARD</StorageClass></Contents>",
        escaped(key),
        escaped(&object.e_tag),
        object.content.len()
    )
}
