//! Object stores in memory that answer HTTP requests as strictly as a real one: they check what clients get wrong.
//!
//! A [`Double`] is a function from request to answer. [`S3Double`] speaks S3 as Amazon does, and can be given the ways of
//! others that no layer of rules could fake: conditions that are ignored, or checked without holding a lock. [`GcsDouble`]
//! speaks Google's own XML dialect, which nothing that can be installed does, and [`AzureDouble`] that of Azure Blob Storage.
//! [`serve`] puts any of them behind a socket.

mod azure;
mod gcs;
mod s3;
mod serve;

pub use azure::{AzureDouble, Container, error as azure_error};
pub use gcs::GcsDouble;
pub use s3::{Conditions, S3Double};
pub use serve::serve;

use crate::exchange::{Answer, Asked};

/// Answers one request at one instant.
pub trait Double: Send + Sync + 'static {
    /// The answer.
    fn answer(&self, asked: &Asked) -> Answer;
}

/// The part of an object that a `Range` header asks for, as an answer with the object's other headers.
fn part(object: &bytes::Bytes, range: Option<&str>, answer: Answer) -> Answer {
    let Some(range) = range else {
        return Answer { status: 200, body: object.clone(), ..answer };
    };
    let bounds = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let Some((start, last)) = bounds.and_then(|(start, last)| Some((start.parse::<u64>().ok()?, last))) else {
        return Answer::error(400, "InvalidArgument", "only ranges with a start are understood");
    };
    let len = object.len() as u64;
    let end = last.parse::<u64>().map_or(len, |last| last.saturating_add(1).min(len));
    if start >= end {
        return Answer::error(416, "InvalidRange", "The requested range is not satisfiable");
    }
    let (from, to) = (usize::try_from(start).unwrap_or(usize::MAX), usize::try_from(end).unwrap_or(usize::MAX));
    Answer { status: 206, body: object.slice(from..to), ..answer }
        .with("content-range", format!("bytes {start}-{}/{len}", end - 1))
}
