//! Reading a snapshot in parts.
//!
//! One may be hundreds of megabytes, on a line that is slow. A read of bounded size has a limit of its own, is asked again
//! if it hangs, and costs little when it must be repeated.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use kafscale_runtime::Runtime;
use kafscale_store::{Body, ReadError, ReadRange, Store};

use crate::patient;

/// Reads that are under way at once.
const AT_ONCE: usize = 4;
/// Memory that is taken before the first byte has come; a listing may say anything.
const RESERVED_MAX: u64 = 1 << 30;

/// The first `size` bytes of an object.
pub(super) async fn read(
    store: &dyn Store,
    runtime: &dyn Runtime,
    name: &str,
    size: u64,
    part_bytes: u64,
) -> Result<Bytes, ReadError> {
    let mut whole = BytesMut::with_capacity(usize::try_from(size.min(RESERVED_MAX)).unwrap_or(0));
    let mut parts = std::pin::pin!(parts(store, runtime, name, size, part_bytes));
    while let Some(part) = parts.next().await {
        whole.extend_from_slice(&part?.1);
    }
    Ok(whole.freeze())
}

/// Whether the object holds these bytes and no more.
pub(super) async fn is_stored(
    store: &dyn Store,
    runtime: &dyn Runtime,
    name: &str,
    body: &Body,
    part_bytes: u64,
) -> Result<bool, ReadError> {
    // One byte more than there should be.
    let mut parts = std::pin::pin!(parts(store, runtime, name, body.len() + 1, part_bytes));
    while let Some(part) = parts.next().await {
        let (start, bytes) = part?;
        if bytes != body.slice(start, part_bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The parts of an object in order, each with the place of its first byte.
fn parts<'a>(
    store: &'a dyn Store,
    runtime: &'a dyn Runtime,
    name: &'a str,
    size: u64,
    part_bytes: u64,
) -> impl Stream<Item = Result<(u64, Bytes), ReadError>> + Send + 'a {
    #[cfg(feature = "planted-bugs")]
    let size = match crate::planted::is(crate::planted::Bug::LastPartForgotten) {
        true => size / part_bytes * part_bytes,
        false => size,
    };
    let starts = (0..size.div_ceil(part_bytes)).map(move |part| part * part_bytes);
    let read = move |start: u64| async move {
        let range = ReadRange::At { start, len: part_bytes.min(size - start) };
        let bytes = patient::read(runtime, name, part_bytes, || store.get(name, range)).await?;
        Ok((start, bytes))
    };
    stream::iter(starts).map(read).buffered(AT_ONCE)
}
