//! Azure Blob Storage in memory: one container of an account.
//!
//! What differs from S3: `If-None-Match: *` on what is there is 409 `BlobAlreadyExists`, codes are repeated in
//! `x-ms-error-code`, listings go on at a marker and may begin at a name that they include (`startFrom`), there are no
//! suffix ranges, and up to 256 blobs are deleted by one multipart request that answers 202 and says what became of each.
//! Signatures are a real server's to check; that there is one, and all that Azure demands beside it, is checked.

use std::{
    collections::BTreeMap,
    ops::Bound,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use hyper::{Method, Request};
use kafscale_runtime::Handle;
use parking_lot::Mutex;

use super::{Double, part};
use crate::exchange::{Answer, Asked, escaped};

const NAMES_PER_LISTING: usize = 5_000;
const DELETIONS_PER_BATCH: usize = 256;
const DATE: &str = "Mon, 23 Nov 2026 00:00:00 GMT";

/// A container.
pub struct AzureDouble {
    runtime: Handle,
    container: String,
    state: Mutex<State>,
}

/// How it is with a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// It is there.
    There,
    /// It was deleted a moment ago; for half a minute Azure says so.
    BeingDeleted,
    /// There is none.
    Gone,
}

struct State {
    blobs: BTreeMap<String, Blob>,
    container: Container,
    writes: u64,
    absent_in_batches: u64,
}

struct Blob {
    content: Bytes,
    e_tag: String,
}

impl AzureDouble {
    /// An empty container of this name.
    pub fn new(runtime: Handle, container: &str) -> Self {
        let state = State { blobs: BTreeMap::new(), container: Container::There, writes: 0, absent_in_batches: 0 };
        Self { runtime, container: container.to_owned(), state: Mutex::new(state) }
    }

    /// Deletes the container with all that is in it, or makes an empty one.
    pub fn set_container(&self, container: Container) {
        let mut state = self.state.lock();
        state.container = container;
        state.blobs.clear();
    }

    /// The names of all blobs.
    pub fn keys(&self) -> Vec<String> {
        self.state.lock().blobs.keys().cloned().collect()
    }

    /// How many blobs were to be deleted in batches and were not there.
    pub fn absent_in_batches(&self) -> u64 {
        self.state.lock().absent_in_batches
    }

    fn date(&self) -> String {
        let unix_ms = u64::try_from(self.runtime.wall_clock_ms()).unwrap_or(0);
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(unix_ms))
    }
}

impl Double for AzureDouble {
    fn answer(&self, asked: &Asked) -> Answer {
        let mut state = self.state.lock();
        let answer = match state.refusal(asked, &self.container) {
            Some(answer) => answer,
            None => state.served(asked),
        };
        let version = asked.header("x-ms-version").unwrap_or_default();
        answer.with("date", self.date()).with("x-ms-request-id", "lab").with("x-ms-version", version)
    }
}

impl State {
    /// Why a request is not looked at.
    fn refusal(&self, asked: &Asked, container: &str) -> Option<Answer> {
        let signed = asked.header("authorization").is_some_and(|value| {
            value.starts_with("Bearer ") || value.strip_prefix("SharedKey ").is_some_and(|rest| rest.contains(':'))
        });
        let dated = ["x-ms-date", "date"].iter().any(|name| asked.headers.contains_key(*name));
        let signed = signed && dated || asked.parameter("sig").is_some();
        if !signed {
            return Some(error(403, "AuthenticationFailed"));
        }
        if !asked.headers.contains_key("x-ms-version") {
            return Some(error(400, "MissingRequiredHeader"));
        }
        match (asked.header("content-length").map(str::parse), &asked.method) {
            (None, &Method::PUT | &Method::POST) => return Some(error(411, "MissingContentLengthHeader")),
            (Some(length), _) if length != Ok(asked.body.len()) => return Some(error(400, "InvalidInput")),
            _ => {}
        }
        match self.container {
            Container::There if asked.place().0 == container => None,
            Container::BeingDeleted => Some(error(409, "ContainerBeingDeleted")),
            Container::There | Container::Gone => Some(error(404, "ContainerNotFound")),
        }
    }

    fn served(&mut self, asked: &Asked) -> Answer {
        let of_container = asked.parameter("restype") == Some("container");
        match (&asked.method, asked.key(), asked.parameter("comp")) {
            (&Method::GET, "", Some("list")) if of_container => self.list(asked),
            (&Method::POST, "", Some("batch")) if of_container => self.batch(asked),
            (_, "", _) => error(400, "InvalidQueryParameterValue"),
            // Blocks, tags, leases: nothing of ours asks for them.
            (_, _, Some(_)) => error(400, "UnsupportedQueryParameter"),
            (&Method::PUT, ..) => self.put(asked),
            (&Method::GET | &Method::HEAD, ..) => self.read(asked),
            (&Method::DELETE, key, None) => self.delete(key),
            _ => error(405, "UnsupportedHttpVerb"),
        }
    }

    fn put(&mut self, asked: &Asked) -> Answer {
        match asked.header("x-ms-blob-type") {
            Some("BlockBlob") => {}
            Some(_) => return error(400, "InvalidHeaderValue"),
            None => return error(400, "MissingRequiredHeader"),
        }
        let key = asked.key();
        match asked.header("if-none-match") {
            Some("*") if self.blobs.contains_key(key) => return error(409, "BlobAlreadyExists"),
            None | Some("*") => {}
            Some(_) => return error(400, "InvalidHeaderValue"),
        }
        if let Some(wanted) = asked.header("if-match")
            && self.blobs.get(key).is_none_or(|blob| blob.e_tag != wanted)
        {
            return error(412, "ConditionNotMet");
        }
        self.writes += 1;
        let e_tag = format!("\"0x{:016X}\"", self.writes);
        let written = Answer::empty(201).with("etag", &e_tag).with("last-modified", DATE);
        self.blobs.insert(key.to_owned(), Blob { content: asked.body.clone(), e_tag });
        written
    }

    fn read(&self, asked: &Asked) -> Answer {
        let Some(blob) = self.blobs.get(asked.key()) else { return error(404, "BlobNotFound") };
        let range = asked.header("x-ms-range").or_else(|| asked.header("range"));
        if range.is_some_and(|range| range.starts_with("bytes=-")) {
            return error(400, "InvalidHeaderValue");
        }
        let described = Answer::empty(200)
            .with("etag", &blob.e_tag)
            .with("last-modified", DATE)
            .with("accept-ranges", "bytes")
            .with("x-ms-blob-type", "BlockBlob");
        let answer = match part(&blob.content, range, described) {
            Answer { status: 416, .. } => error(416, "InvalidRange"),
            answer => answer,
        };
        answer.to(&asked.method)
    }

    fn delete(&mut self, key: &str) -> Answer {
        match self.blobs.remove(key) {
            Some(_) => Answer::empty(202).with("x-ms-delete-type-permanent", "true"),
            None => error(404, "BlobNotFound"),
        }
    }

    fn list(&self, asked: &Asked) -> Answer {
        let parameter = |name| asked.parameter(name).unwrap_or_default();
        let prefix = parameter("prefix");
        // A marker is the next name; both it and `startFrom` are included.
        let from = prefix.max(parameter("startFrom")).max(parameter("marker"));
        let most = asked.parameter("maxresults").map_or(Ok(NAMES_PER_LISTING), str::parse);
        let Some(most) = most.ok().filter(|most| (1..=NAMES_PER_LISTING).contains(most)) else {
            return error(400, "OutOfRangeQueryParameterValue");
        };
        let behind = self.blobs.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        let mut found: Vec<_> = behind.take_while(|(name, _)| name.starts_with(prefix)).take(most + 1).collect();
        let next = if found.len() > most { found.pop().map(|(name, _)| escaped(name)) } else { None };
        let rows: String = found.iter().map(|(name, blob)| row(name, blob)).collect();
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Prefix>{}</Prefix>\
             <MaxResults>{most}</MaxResults><Blobs>{rows}</Blobs><NextMarker>{}</NextMarker></EnumerationResults>",
            escaped(prefix),
            next.unwrap_or_default()
        );
        Answer { status: 200, headers: Vec::new(), body: body.into() }.with("content-type", "application/xml")
    }

    fn batch(&mut self, asked: &Asked) -> Answer {
        let Some(parts) = deletions(asked) else { return error(400, "InvalidInput") };
        if parts.is_empty() || parts.len() > DELETIONS_PER_BATCH {
            return error(400, "InvalidInput");
        }
        let mut body = String::new();
        for Deletion { id, key } in parts {
            let answer = self.delete(&key);
            let status = if answer.status == 202 { "202 Accepted" } else { "404 The specified blob does not exist." };
            self.absent_in_batches += u64::from(answer.status == 404);
            body += &format!("--batchresponse_lab\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\n");
            body += &format!("HTTP/1.1 {status}\r\nx-ms-request-id: lab\r\n");
            for (name, value) in answer.headers.iter().filter(|(name, _)| name.starts_with("x-ms-")) {
                body += &format!("{name}: {value}\r\n");
            }
            body += "\r\n";
            body += &format!("{}\r\n", String::from_utf8_lossy(&answer.body));
        }
        body += "--batchresponse_lab--\r\n";
        Answer { status: 202, headers: Vec::new(), body: body.into() }
            .with("content-type", "multipart/mixed; boundary=batchresponse_lab")
    }
}

/// One part of a batch.
struct Deletion {
    id: usize,
    key: String,
}

/// The parts of a batch, if they all are deletions that are signed for themselves.
fn deletions(asked: &Asked) -> Option<Vec<Deletion>> {
    let boundary = asked.header("content-type")?.strip_prefix("multipart/mixed; boundary=")?;
    let text = std::str::from_utf8(&asked.body).ok()?;
    let (parts, _) = text.split_once(&format!("--{boundary}--"))?;
    let begin = format!("--{boundary}\r\n");
    let deletion = |part: &str| {
        let (head, request) = part.split_once("\r\n\r\n")?;
        let id = head.lines().find_map(|line| line.strip_prefix("Content-ID: "))?.parse().ok()?;
        let mut lines = request.lines();
        let uri = lines.next()?.strip_prefix("DELETE ")?.strip_suffix(" HTTP/1.1")?;
        let mut asked = Request::delete(uri);
        for (name, value) in lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(": ")) {
            asked = asked.header(name, value);
        }
        let asked = Asked::new(&asked.body(()).ok()?.into_parts().0, Bytes::new());
        let signed = asked.headers.contains_key("authorization") || asked.parameter("sig").is_some();
        signed.then(|| Deletion { id, key: asked.key().to_owned() })
    };
    parts.split(&begin).skip(1).map(deletion).collect()
}

fn row(name: &str, blob: &Blob) -> String {
    format!(
        "<Blob><Name>{}</Name><Properties><Last-Modified>{DATE}</Last-Modified><Etag>{}</Etag>\
         <Content-Length>{}</Content-Length><Content-Type>application/octet-stream</Content-Type>\
         <BlobType>BlockBlob</BlobType></Properties></Blob>",
        escaped(name),
        escaped(&blob.e_tag),
        blob.content.len()
    )
}

/// An error as Azure writes it.
pub fn error(status: u16, code: &str) -> Answer {
    Answer::error(status, code, "").with("x-ms-error-code", code)
}
