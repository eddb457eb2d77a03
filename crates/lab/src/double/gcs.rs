//! Google Cloud Storage in memory, in its own XML dialect with OAuth tokens.
//!
//! What differs from S3: `Authorization: Bearer`, a generation number per write (`x-goog-generation`), the condition
//! `x-goog-if-generation-match` (0: only if absent), 401 on an expired token, and no deletion of many objects. Tokens are
//! given out at `/token`, as Google's token service does for a service account.

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
use crate::exchange::{Answer, Asked, escaped};

const NAMES_PER_REQUEST: usize = 1_000;

/// A bucket of Google's.
pub struct GcsDouble {
    runtime: Handle,
    bucket: String,
    state: Mutex<State>,
}

struct State {
    objects: BTreeMap<String, Object>,
    generation: u64,
    /// Each token that was given out, and until when it is valid.
    tokens: BTreeMap<String, Instant>,
    token_life: Duration,
    token_service_works: bool,
    asks_for_tokens: bool,
    bucket_exists: bool,
}

struct Object {
    content: Bytes,
    generation: u64,
}

impl GcsDouble {
    /// An empty bucket; a token lives for an hour.
    pub fn new(runtime: Handle, bucket: &str) -> Self {
        let state = State {
            objects: BTreeMap::new(),
            generation: 1_760_000_000_000_000,
            tokens: BTreeMap::new(),
            token_life: Duration::from_secs(3600),
            token_service_works: true,
            asks_for_tokens: true,
            bucket_exists: true,
        };
        Self { runtime, bucket: bucket.to_owned(), state: Mutex::new(state) }
    }

    /// How long tokens live that are given out from now on.
    pub fn set_token_life(&self, life: Duration) {
        self.state.lock().token_life = life;
    }

    /// Lets every token expire now.
    pub fn expire_tokens(&self) {
        self.state.lock().tokens.clear();
    }

    /// Whether new tokens are given out.
    pub fn set_token_service(&self, works: bool) {
        self.state.lock().token_service_works = works;
    }

    /// Serves everybody from now on, as emulators do.
    pub fn open_to_all(&self) {
        self.state.lock().asks_for_tokens = false;
    }

    /// Deletes the bucket with all that is in it, or makes an empty one.
    pub fn set_bucket(&self, exists: bool) {
        let mut state = self.state.lock();
        state.bucket_exists = exists;
        state.objects.clear();
    }

    /// A token as the metadata service or a test's settings would have it.
    pub fn token(&self) -> String {
        self.state.lock().new_token(self.runtime.now())
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        self.state.lock().objects.keys().cloned().collect()
    }

    fn date(&self) -> String {
        let unix_ms = u64::try_from(self.runtime.wall_clock_ms()).unwrap_or(0);
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(unix_ms))
    }
}

impl Double for GcsDouble {
    fn answer(&self, asked: &Asked) -> Answer {
        let now = self.runtime.now();
        let mut state = self.state.lock();
        let (bucket, key) = asked.place();
        let answer = match state.unauthorised(asked, now) {
            _ if asked.method == Method::POST && asked.path.ends_with("/token") => state.give_token(now),
            Some(answer) => answer,
            None if bucket != self.bucket || !state.bucket_exists => {
                Answer::error(404, "NoSuchBucket", "The specified bucket does not exist.")
            }
            None => match (&asked.method, key) {
                (&Method::GET, "") if asked.parameter("list-type") == Some("2") => state.list(asked),
                (_, "") => Answer::error(
                    400,
                    "NotImplemented",
                    "A header or query you provided requested a function that is not implemented.",
                ),
                (&Method::GET | &Method::HEAD, _) => state.read(asked),
                (&Method::PUT, _) => state.put(asked),
                (&Method::DELETE, _) => state.delete(key),
                _ => {
                    Answer::error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
                }
            },
        };
        answer.with("date", self.date()).with("x-guploader-uploadid", "lab")
    }
}

impl State {
    fn new_token(&mut self, now: Instant) -> String {
        let token = format!("ya29.lab-{}", self.tokens.len());
        self.tokens.insert(token.clone(), now + self.token_life);
        token
    }

    fn give_token(&mut self, now: Instant) -> Answer {
        if !self.token_service_works {
            return Answer::empty(503);
        }
        let token = self.new_token(now);
        let seconds = self.token_life.as_secs();
        let body = format!(r#"{{"access_token":"{token}","expires_in":{seconds},"token_type":"Bearer"}}"#);
        Answer { status: 200, headers: Vec::new(), body: body.into() }.with("content-type", "application/json")
    }

    fn unauthorised(&self, asked: &Asked, now: Instant) -> Option<Answer> {
        if !self.asks_for_tokens {
            return None;
        }
        let given = asked.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let until = given.and_then(|token| self.tokens.get(token));
        match until {
            Some(until) if *until > now => None,
            _ => Some(Answer::error(401, "AuthenticationRequired", "Authentication required.")),
        }
    }

    fn put(&mut self, asked: &Asked) -> Answer {
        if asked.header("content-length").and_then(|length| length.parse().ok()) != Some(asked.body.len()) {
            return Answer::error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.");
        }
        let key = asked.key();
        let present = self.objects.get(key).map_or(0, |object| object.generation);
        if let Some(wanted) = asked.header("x-goog-if-generation-match")
            && wanted.parse() != Ok(present)
        {
            let message = "At least one of the pre-conditions you specified did not hold.";
            return Answer::error(412, "PreconditionFailed", message);
        }
        self.generation += 1;
        let generation = self.generation;
        self.objects.insert(key.to_owned(), Object { content: asked.body.clone(), generation });
        described(generation)
    }

    fn read(&self, asked: &Asked) -> Answer {
        let Some(object) = self.objects.get(asked.key()) else {
            return Answer::error(404, "NoSuchKey", "The specified key does not exist.");
        };
        let described = described(object.generation).with("last-modified", "Mon, 23 Nov 2026 00:00:00 GMT");
        let answer = part(&object.content, asked.header("range"), described);
        answer.to(&asked.method)
    }

    fn delete(&mut self, key: &str) -> Answer {
        match self.objects.remove(key) {
            Some(_) => Answer::empty(204),
            // Unlike S3.
            None => Answer::error(404, "NoSuchKey", "The specified key does not exist."),
        }
    }

    fn list(&self, asked: &Asked) -> Answer {
        let parameter = |name| asked.parameter(name).unwrap_or_default();
        let prefix = parameter("prefix");
        let after = parameter("start-after").max(parameter("continuation-token"));
        let most = asked.parameter("max-keys").and_then(|text| text.parse().ok());
        let most: usize = most.unwrap_or(NAMES_PER_REQUEST).min(NAMES_PER_REQUEST);
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let behind = self.objects.range::<str, _>((from, Bound::Unbounded));
        let mut found: Vec<_> = behind.take_while(|(key, _)| key.starts_with(prefix)).take(most + 1).collect();
        let truncated = found.len() > most;
        found.truncate(most);
        let rows: String = found
            .iter()
            .map(|(key, object)| {
                format!(
                    "<Contents><Key>{}</Key><Generation>{}</Generation><MetaGeneration>1</MetaGeneration>\
                     <LastModified>2026-11-23T00:00:00.000Z</LastModified><ETag>\"{:x}\"</ETag><Size>{}</Size></Contents>",
                    escaped(key),
                    object.generation,
                    object.generation,
                    object.content.len()
                )
            })
            .collect();
        let token = match found.last().filter(|_| truncated) {
            Some((key, _)) => format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(key)),
            None => String::new(),
        };
        let body = format!(
            "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult><IsTruncated>{truncated}</IsTruncated>\
             {token}{rows}</ListBucketResult>"
        );
        Answer { status: 200, headers: Vec::new(), body: body.into() }.with("content-type", "application/xml")
    }
}

fn described(generation: u64) -> Answer {
    Answer::empty(200)
        .with("etag", format!("\"{generation:x}\""))
        .with("x-goog-generation", generation)
        .with("x-goog-metageneration", 1)
}
