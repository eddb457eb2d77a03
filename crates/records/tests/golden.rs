//! Batches that Apache Kafka's Java client 4.3.1 encoded, one per codec: the same three records.

use kafscale_records::{Batch, BatchBuilder, Codec, Record, RecordHeader, search};

const NONE: &str = "000000000000000700000088ffffffff026545a1720000000000020000018bcfe569f40000018bcfe56b84000000000000126700030000002a0000000376000000046b315476616c7565206f6e652c2076616c7565206f6e652c2076616c7565206f6e652c2076616c7565206f6e65040468310278046832012000a00602011276616c75652074776f0012009f0604046b330100";
const GZIP: &str = "00000000000000070000007bffffffff0286e0d02f0001000000020000018bcfe569f40000018bcfe56b84000000000000126700030000002a000000031f8b08000000000000ff2b63606060c9360c294bcc294d55c8cf4bd55120c06461c93064aa60c93062546058c0c6c42804912929cf67106298cfc6c2926dccc800008ed06ad657000000";
const SNAPPY: &str = "000000000000000700000080ffffffff024c2094f80002000000020000018bcfe569f40000018bcfe56b84000000000000126700030000002a0000000382534e415050590000000001000000010000003b574876000000046b315476616c7565206f6e652c207a0b0040040468310278046832012000a00602011209303474776f0012009f0604046b330100";
const LZ4: &str = "00000000000000070000007cffffffff02fbcec64e0003000000020000018bcfe569f40000018bcfe56b84000000000000126700030000002a0000000304224d186040823c000000ff0476000000046b315476616c7565206f6e652c200b000cf202040468310278046832012000a0060201123000e074776f0012009f0604046b33010000000000";
const ZSTD: &str = "000000000000000700000079ffffffff02701669d50004000000020000018bcfe569f40000018bcfe56b84000000000000126700030000002a0000000328b52ffd0058e40100240376000000046b315476616c7565206f6e652c20040468310278046832012000a00602011274776f0012009f0604046b3301000200a71a5637250c010000";

const ALL: [(Codec, &str); 5] =
    [(Codec::None, NONE), (Codec::Gzip, GZIP), (Codec::Snappy, SNAPPY), (Codec::Lz4, LZ4), (Codec::Zstd, ZSTD)];

const VALUE_ONE: &[u8] = b"value one, value one, value one, value one";

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[test]
fn every_codec_of_the_java_client_is_accepted_and_opened() {
    for (codec, hex) in ALL {
        let bytes = bytes(hex);
        let batch = Batch::validate(&bytes).expect("a real client's batch");
        let header = batch.header();
        assert_eq!(header.attributes.codec(), Ok(codec));
        assert_eq!((header.base_offset, header.last_offset(), header.record_count), (7, 9, 3));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4711, 3, 42));
        assert_eq!((header.base_timestamp, header.max_timestamp), (1_700_000_000_500, 1_700_000_000_900));

        let opened = batch.open(1024).expect("opens");
        let records: Vec<Record<'_>> = opened.records().map(|record| record.expect("well formed")).collect();
        let [first, second, third] = records[..] else { panic!("{codec}: {records:?}") };
        assert_eq!((first.offset, first.timestamp), (7, 1_700_000_000_500));
        assert_eq!((first.key, first.value), (Some(&b"k1"[..]), Some(VALUE_ONE)));
        let headers: Vec<RecordHeader<'_>> = first.headers.collect();
        assert_eq!(headers, [RecordHeader { key: b"h1", value: Some(b"x") }, RecordHeader { key: b"h2", value: None }]);
        assert_eq!((second.offset, second.key, second.value), (8, None, Some(&b"value two"[..])));
        assert_eq!((third.offset, third.timestamp), (9, 1_700_000_000_100));
        assert_eq!((third.key, third.value, third.headers.len()), (Some(&b"k3"[..]), None, 0));

        let latest = search::max_timestamp(&batch, 0, 1024).expect("opens").expect("has records");
        assert_eq!((latest.offset, latest.timestamp), (8, 1_700_000_000_900));
    }
}

#[test]
fn the_builder_writes_the_java_clients_bytes() {
    let headers = [RecordHeader { key: b"h1", value: Some(b"x") }, RecordHeader { key: b"h2", value: None }];
    let built = BatchBuilder::new(Codec::None)
        .base_offset(7)
        .producer(4711, 3, 42)
        .record_with_headers(1_700_000_000_500, Some(b"k1"), Some(VALUE_ONE), &headers)
        .record(1_700_000_000_900, None, Some(b"value two"))
        .record(1_700_000_000_100, Some(b"k3"), None)
        .build();
    assert_eq!(built, bytes(NONE));
}
