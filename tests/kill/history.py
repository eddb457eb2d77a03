"""What a run under load leaves behind: what was sent, what was acknowledged, what the log holds in the end.

A history lives in memory while the load runs and is a folder of four tables of numbers afterwards, so that
the checker can be run on it again, and on a damaged copy of it.
"""

import struct
import zlib
from collections import namedtuple
from pathlib import Path

# One acknowledged record; the offset is -1 where the broker said "known" without saying where it is.
Ack = namedtuple("Ack", "producer sequence partition offset")

# One record found in the log; `intact` is 1 if its checksum is right.
Found = namedtuple("Found", "partition offset producer sequence intact")

HEAD = struct.Struct(">IQI")


def encode(producer, sequence, padding):
    """The value of a record: who sent it, its number, a checksum over both and the padding."""
    checksum = zlib.crc32(padding, zlib.crc32(struct.pack(">IQ", producer, sequence)))
    return HEAD.pack(producer, sequence, checksum) + padding


def decode(partition, offset, value):
    """The opposite of `encode`, for any bytes."""
    if value is None or len(value) < HEAD.size:
        return Found(partition, offset, -1, -1, 0)
    producer, sequence, _ = HEAD.unpack_from(value)
    intact = encode(producer, sequence, value[HEAD.size :]) == value
    return Found(partition, offset, producer, sequence, int(intact))


class History:
    """`sent`: records sent, by producer. `ends`: the end offset of every partition."""

    def __init__(self):
        self.sent = {}
        self.acks = []
        self.found = []
        self.ends = {}

    def save(self, folder):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / "sent", self.sent.items())
        write_table(folder / "acks", self.acks)
        write_table(folder / "found", self.found)
        write_table(folder / "ends", self.ends.items())

    @classmethod
    def load(cls, folder):
        folder = Path(folder)
        history = cls()
        history.sent = dict(read_table(folder / "sent"))
        history.acks = [Ack(*row) for row in read_table(folder / "acks")]
        history.found = [Found(*row) for row in read_table(folder / "found")]
        history.ends = dict(read_table(folder / "ends"))
        return history


def write_table(path, rows):
    with open(path, "w") as table:
        table.writelines("\t".join(map(str, row)) + "\n" for row in rows)


def read_table(path):
    with open(path) as table:
        return [tuple(map(int, line.split("\t"))) for line in table]
