//! Which versions of each API a broker speaks. The client library asks the same for itself and does not tell, so this
//! asks once more, with the oldest form of the question, which every broker answers before any login.

use std::time::Duration;

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Properties;
use crate::exit::{Exit, Failure};

/// Key, lowest and highest version of an API.
pub type Range = (i16, i16, i16);

/// An answer with more than this is no answer to the question.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Asks the first bootstrap server that answers. Only a plain connection is spoken here.
pub async fn ask(properties: &Properties) -> Result<Vec<Range>, Failure> {
    if !["PLAINTEXT", "SASL_PLAINTEXT"].contains(&properties.text("security.protocol").to_ascii_uppercase().as_str()) {
        return Err(Failure::new(Exit::Usage, anyhow::anyhow!("--api-versions is for connections without TLS only")));
    }
    let patience = Duration::from_millis(properties.number("request.timeout.ms")?);
    let mut last = anyhow::anyhow!("no bootstrap server is named");
    for server in properties.text("bootstrap.servers").split(',').map(str::trim) {
        match tokio::time::timeout(patience, ask_one(server)).await {
            Ok(Ok(ranges)) => return Ok(ranges),
            Ok(Err(error)) => last = error,
            Err(_) => last = anyhow::anyhow!("no answer within {patience:?}"),
        }
    }
    Err(Failure::new(Exit::Unreachable, last.context("cannot ask for the versions")))
}

async fn ask_one(server: &str) -> anyhow::Result<Vec<Range>> {
    let mut stream = TcpStream::connect(server).await.with_context(|| format!("cannot connect to {server}"))?;
    stream.write_all(&question()).await?;
    let length = usize::try_from(stream.read_i32().await?).context("the answer is no Kafka's")?;
    anyhow::ensure!(length <= ANSWER_BYTES_MAX, "the answer is no Kafka's: {length} bytes");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    ranges(&answer).context("the answer is no Kafka's")
}

/// ApiVersions, version 0: length; key 18, version 0, correlation 1, client id.
fn question() -> Vec<u8> {
    let client = b"kafscale";
    let mut body = vec![0, 18, 0, 0, 0, 0, 0, 1, 0, client.len() as u8];
    body.extend_from_slice(client);
    let length = body.len() as u32;
    [&length.to_be_bytes()[..], &body].concat()
}

/// Correlation id, error code, and an array of key, lowest and highest version.
fn ranges(answer: &[u8]) -> Option<Vec<Range>> {
    let (head, rest) = answer.split_first_chunk::<10>()?;
    let count = u32::from_be_bytes(head[6..10].try_into().ok()?) as usize;
    let code = i16::from_be_bytes([head[4], head[5]]);
    if code != 0 || rest.len() < count.checked_mul(6)? {
        return None;
    }
    let number = |range: &[u8], at: usize| i16::from_be_bytes([range[at], range[at + 1]]);
    Some(rest.chunks_exact(6).take(count).map(|range| (number(range, 0), number(range, 2), number(range, 4))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_within_its_bounds() {
        let answer = [0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 13, 0, 18, 0, 0, 0, 4];
        assert_eq!(ranges(&answer), Some(vec![(0, 3, 13), (18, 0, 4)]));
        for cut in 0..answer.len() {
            assert_eq!(ranges(&answer[..cut]), None, "{cut}");
        }
        let mut refused = answer;
        refused[5] = 35;
        assert_eq!(ranges(&refused), None);
    }
}
