"""An independent reader and writer of `.kfs` segments and their `.index`, from the published format alone.

    kfs.py check FOLDER     reads ours.kfs and ours.index there, and compares by-hand.* with what this file makes
    kfs.py make FOLDER      writes by-hand.kfs and by-hand.index there
    kfs.py print FILE       prints the records of an uncompressed segment
"""

import pathlib
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def table_entry(value):
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


TABLE = [table_entry(value) for value in range(256)]


class Bad(Exception):
    """A file that breaks the format."""


def need(condition, what):
    if not condition:
        raise Bad(what)


def varint(data, at):
    shift = value = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), at


def put_varint(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def records(batch):
    """Offset, timestamp, key and value of each record of an uncompressed batch."""
    base, length, _, magic, crc = struct.unpack(">qiibI", batch[:21])
    need(magic == 2 and length + 12 == len(batch), "batch header")
    need(crc32c(batch[21:]) == crc, "batch checksum")
    attributes, _, first_time = struct.unpack(">hiq", batch[21:35])
    (count,) = struct.unpack(">i", batch[57:61])
    need(attributes & 7 == 0, "compressed batches are not opened here")
    at, found = 61, []
    for _ in range(count):
        size, at = varint(batch, at)
        end = at + size
        at += 1
        time, at = varint(batch, at)
        offset, at = varint(batch, at)
        key_len, at = varint(batch, at)
        key = None if key_len < 0 else batch[at : at + key_len]
        at += max(key_len, 0)
        value_len, at = varint(batch, at)
        value = None if value_len < 0 else batch[at : at + value_len]
        found.append((base + offset, first_time + time, key, value))
        at = end
    need(at == len(batch), "records end elsewhere than their batch")
    return found


def read(data):
    """Header fields, the batches with their positions, and the last offset of a segment."""
    magic, version, _, base, count, created, _ = struct.unpack(">4sHHqiqI", data[:32])
    need(magic == b"KAFS" and version == 1, "header")
    crc, last, end = struct.unpack(">Iq4s", data[-16:])
    need(end == b"END!", "footer")
    body = data[32:-16]
    need(crc32c(body) == crc, "body checksum")
    at, batches, total = 32, [], 0
    while at < len(data) - 16:
        (length,) = struct.unpack(">i", data[at + 8 : at + 12])
        batch = data[at : at + 12 + length]
        batches.append((at, batch))
        total += struct.unpack(">i", batch[57:61])[0]
        at += len(batch)
    need(at == len(data) - 16 and total == count, "batches do not add up")
    return {"base": base, "count": count, "created": created, "last": last, "batches": batches}


def read_index(data):
    magic, version, count, interval, _ = struct.unpack(">4sHiiH", data[:16])
    need(magic == b"IDX\0" and version == 1 and len(data) == 16 + 12 * count, "index header")
    return interval, [struct.unpack(">qi", data[16 + 12 * i : 28 + 12 * i]) for i in range(count)]


def record(offset_delta, value):
    body = b"\0" + put_varint(0) + put_varint(offset_delta) + put_varint(-1) + put_varint(len(value)) + value
    body += put_varint(0)
    return put_varint(len(body)) + body


def by_hand():
    """A segment of the records a, b and c at offsets 5 to 7, and its index."""
    payload = b"".join(record(delta, value) for delta, value in enumerate([b"a", b"b", b"c"]))
    time = 1_600_000_000_000
    covered = struct.pack(">hiqqqhii", 0, 2, time, time, -1, -1, -1, 3) + payload
    batch = struct.pack(">qiibI", 5, 9 + len(covered), 0, 2, crc32c(covered)) + covered
    header = struct.pack(">4sHHqiqI", b"KAFS", 1, 0, 5, 3, time + 1, 0)
    footer = struct.pack(">Iq4s", crc32c(batch), 7, b"END!")
    index = struct.pack(">4sHiiH", b"IDX\0", 1, 1, 100, 0) + struct.pack(">qi", 5, 32)
    return header + batch + footer, index


def check(folder):
    segment = read((folder / "ours.kfs").read_bytes())
    found = [record for _, batch in segment["batches"] for record in records(batch)]
    offsets = [*range(1000, 1210), *range(1220, 1290)]
    expected = [
        (offset, 1_700_000_000_000 + offset, b"key-%d" % offset, b"value-%d" % offset) for offset in offsets
    ]
    need(found == expected, "other records than were written")
    facts = (segment["base"], segment["count"], segment["created"], segment["last"])
    need(facts == (1000, 280, 1_700_000_000_123, 1299), f"other facts: {facts}")
    print("ok segments: one of ours is read by another program")
    interval, entries = read_index((folder / "ours.index").read_bytes())
    starts = {struct.unpack(">q", batch[:8])[0]: at for at, batch in segment["batches"]}
    need(interval == 100 and all(starts.get(offset) == at for offset, at in entries), "index points elsewhere")
    need([offset for offset, _ in entries] == [1000, 1140], "index has other entries")
    print("ok segments: its index points at batches")
    kfs, index = by_hand()
    need((folder / "by-hand.kfs").read_bytes() == kfs, "by-hand.kfs is another file")
    need((folder / "by-hand.index").read_bytes() == index, "by-hand.index is another file")
    print("ok segments: the file that our tests read was made by hand")


def main():
    command, path = sys.argv[1], pathlib.Path(sys.argv[2])
    if command == "make":
        kfs, index = by_hand()
        (path / "by-hand.kfs").write_bytes(kfs)
        (path / "by-hand.index").write_bytes(index)
    elif command == "print":
        for _, batch in read(path.read_bytes())["batches"]:
            for offset, time, key, value in records(batch):
                print(offset, time, key, value)
    else:
        try:
            check(path)
        except Bad as error:
            sys.exit(f"FAIL segments: {error}")


if __name__ == "__main__":
    main()
