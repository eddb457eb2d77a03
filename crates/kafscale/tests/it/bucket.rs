//! A bucket in this process's memory behind as much of S3 as a broker asks of it, or an S3 that refuses everything.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
};

/// Whatever is asked is answered like this: status and S3 code.
type Refusal = Option<(u16, &'static str)>;
type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// From some moment on no write is answered.
#[derive(Default)]
pub struct Silence {
    /// Whether it has begun, and how many writes have met it.
    state: Mutex<(bool, usize)>,
    met: Condvar,
}

impl Silence {
    pub fn begin(&self) {
        self.state.lock().unwrap().0 = true;
    }

    /// Waits until a write hangs.
    pub fn is_met(&self) {
        drop(self.met.wait_while(self.state.lock().unwrap(), |(_, met)| *met == 0).unwrap());
    }

    /// A write arrives; returns only if it may be answered.
    fn meet(&self) {
        let mut state = self.state.lock().unwrap();
        if state.0 {
            state.1 += 1;
            self.met.notify_all();
            drop(self.met.wait_while(state, |(begun, _)| *begun).unwrap());
        }
    }
}

/// What it does otherwise than S3.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ways {
    pub refusal: Refusal,
    /// `If-None-Match` is not looked at.
    pub ignores_conditions: bool,
    /// A connection is closed, without a word, after so many requests.
    pub closes_after: Option<usize>,
}

/// Starts one and returns the variables under which a broker finds it; the bucket's name is `bucket`.
pub fn start(refusal: Refusal) -> Vec<(String, String)> {
    start_as(Ways { refusal, ..Ways::default() }, Arc::default())
}

/// The same with other ways, and with writes that can be made to hang.
pub fn start_as(ways: Ways, silence: Arc<Silence>) -> Vec<(String, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let objects = Objects::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (objects, silence) = (Arc::clone(&objects), Arc::clone(&silence));
            // A client that goes away ends its thread.
            std::thread::spawn(move || {
                let mut requests = 0..ways.closes_after.unwrap_or(usize::MAX);
                while requests.next().is_some() && answer(&stream, &objects, ways, &silence).is_some() {}
            });
        }
    });
    at(&endpoint)
}

/// The variables that lead a broker to this endpoint.
pub fn at(endpoint: &str) -> Vec<(String, String)> {
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("KAFSCALE_S3_PATH_STYLE", "true"),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// The address of a server that answers these bytes to whatever comes, and closes the connection.
pub fn blunt(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer);
                // What is still on its way would turn the end into a reset.
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    address
}

/// Reads one request and answers it; nothing at the end of the connection.
fn answer(stream: &TcpStream, objects: &Objects, ways: Ways, silence: &Silence) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (reader.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let mut words = head.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = path.strip_prefix("/bucket").expect("path style").trim_start_matches('/').to_owned();
    if method == "PUT" {
        silence.meet();
    }
    let mut objects = objects.lock().unwrap();
    let plain = |status, body| (status, String::new(), body);
    let is_condition = header("if-none-match").is_some() && !ways.ignores_conditions;
    let (status, extra, body) = match (method, ways.refusal) {
        (_, Some((status, code))) => plain(status, error(code)),
        ("PUT", None) if is_condition && objects.contains_key(&key) => plain(412, error("PreconditionFailed")),
        ("PUT", None) => {
            objects.insert(key, body);
            plain(200, Vec::new())
        }
        ("GET", None) if key.is_empty() => plain(200, list(&objects, query)),
        ("GET", None) => match objects.get(&key) {
            None => plain(404, error("NoSuchKey")),
            Some(object) => part(object, header("range")),
        },
        _ => plain(501, error("NotImplemented")),
    };
    drop(objects);
    let length = body.len();
    let head = format!("HTTP/1.1 {status} so\r\ncontent-length: {length}\r\netag: \"e\"\r\n{extra}");
    let times = "last-modified: Mon, 23 Nov 2026 00:00:00 GMT\r\n\r\n";
    let mut stream = stream;
    stream.write_all(&[head.as_bytes(), times.as_bytes(), &body].concat()).ok()
}

/// A range of an object, with the header that says which.
fn part(object: &[u8], range: Option<String>) -> (u16, String, Vec<u8>) {
    let Some(range) = range else { return (200, String::new(), object.to_vec()) };
    let (start, end) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).expect("a range");
    let start: usize = start.parse().unwrap();
    let end = end.parse().map_or(object.len(), |last: usize| (last + 1).min(object.len()));
    if start >= end {
        return (416, String::new(), error("InvalidRange"));
    }
    let header = format!("content-range: bytes {start}-{}/{}\r\n", end - 1, object.len());
    (206, header, object[start..end].to_vec())
}

fn error(code: &str) -> Vec<u8> {
    format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>").into_bytes()
}

fn list(objects: &BTreeMap<String, Vec<u8>>, query: &str) -> Vec<u8> {
    let value = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
        value.replace("%2F", "/")
    };
    let (prefix, after) = (value("prefix"), value("start-after"));
    let keys = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
    let rows = keys.map(|(key, object)| {
        let size = object.len();
        format!(
            "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>e</ETag>\
             <LastModified>2026-11-23T00:00:00.000Z</LastModified></Contents>"
        )
    });
    let rows: String = rows.collect();
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>").into_bytes()
}
