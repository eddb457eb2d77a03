//! Decoding allocates nothing, whatever the bytes say: so no count or length can make it allocate too much.

#![allow(unsafe_code, reason = "only an allocator can count allocations, and that trait is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use kafscale_protocol::messages::produce;
use kafscale_protocol::*;

use crate::seeds::{Seed, seeds};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, thus from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATIONS.get();
    let result = work();
    (ALLOCATIONS.get() - before, result)
}

#[test]
fn a_produced_batch_is_found_without_allocation() {
    let batch = vec![7u8; 16 * 1024];
    let partition = produce::PartitionProduceData { index: 3, records: Some(batch.as_slice().into()) };
    let topic =
        produce::TopicProduceData { name: "topic", partition_data: vec![partition].into(), ..Default::default() };
    let request = produce::Request { acks: -1, topic_data: vec![topic].into(), ..Default::default() };
    let frame = encode_request(9, 1, Some("client"), &request).unwrap().to_bytes();

    let (allocations, found) = allocations_of(|| {
        let (header, body) = RequestHeader::read(&frame[4..]).unwrap();
        let request = produce::Request::read(header.api_version, body).unwrap();
        let topic = request.topic_data.iter().next().unwrap();
        let partition = topic.partition_data.iter().next().unwrap();
        (topic.name == "topic", partition.index, partition.records.unwrap().borrowed().unwrap().len())
    });
    assert_eq!(found, (true, 3, batch.len()));
    assert_eq!(allocations, 0);
}

#[test]
fn no_body_makes_a_decoder_allocate() {
    assert_ne!(allocations_of(|| vec![1u8]).0, 0, "the counter counts");
    for &Seed { api, request, version, ref body } in seeds() {
        let mut body = body.clone();
        for place in 0..body.len() {
            // Giant counts and lengths, at every place.
            let kept = std::mem::replace(&mut body[place], 0x7f);
            let (allocations, ()) = allocations_of(|| {
                if request {
                    let _ = AnyRequest::read(api, version, &body);
                } else {
                    let _ = AnyResponse::read(api, version, &body);
                }
            });
            assert_eq!(allocations, 0, "{api:?} {version} with byte {place} changed");
            body[place] = kept;
        }
    }
}
