"""Readers that speak Fetch by themselves, so that what is measured is the broker and not a client library: they look at the
heads of batches only, to learn where to go on.
"""

import socket
import struct
import threading
import time

from members import Reader, array, data, text

FETCH, VERSION = 1, 11
PARTITION_BYTES_MAX, BYTES_MAX = 1 << 20, 50 << 20
PATIENCE_S = 120


class Fetcher:
    """One connection that reads some partitions of a topic from given offsets on, with the limits of Java's consumer."""

    def __init__(self, bootstrap, topic, offsets):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.topic, self.offsets, self.correlation = topic, dict(offsets), 0
        self.buffer = bytearray(1 << 20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def fetch(self, partitions=None, partition_bytes_max=PARTITION_BYTES_MAX):
        """One request for these partitions; moves their offsets on, and returns the bytes of records that came."""
        asks = [
            struct.pack(">iiqqi", partition, -1, self.offsets[partition], -1, partition_bytes_max)
            for partition in (self.offsets if partitions is None else partitions)
        ]
        body = struct.pack(">iiiibii", -1, 500, 1, BYTES_MAX, 0, 0, -1)
        body += array([text(self.topic) + array(asks)]) + array([]) + text("")
        self.correlation += 1
        self.socket.sendall(data(struct.pack(">hhi", FETCH, VERSION, self.correlation) + text("fetcher") + body))
        (length,) = struct.unpack(">i", self.receive(4))
        answer = Reader(self.receive(length))
        assert answer.number("i") == self.correlation, "an answer out of turn"
        answer.number("i")
        assert answer.number("h") == 0, "Fetch failed"
        answer.number("i")
        received = 0
        for _ in range(answer.number("i")):
            answer.bytes("h")
            for _ in range(answer.number("i")):
                partition, error = answer.number("i"), answer.number("h")
                assert error == 0, f"Fetch of partition {partition}: error {error}"
                answer.at += 24
                assert answer.number("i") <= 0, "no transaction was aborted"
                answer.number("i")
                size = max(answer.number("i"), 0)
                self.advance(partition, answer.body, answer.at, size)
                answer.at += size
                received += size
        return received

    def advance(self, partition, body, at, size):
        end = at + size
        while at + 61 <= end:
            base, length = struct.unpack_from(">qi", body, at)
            (last,) = struct.unpack_from(">i", body, at + 23)
            self.offsets[partition] = max(self.offsets[partition], base + last + 1)
            at += 12 + length

    def receive(self, length):
        """So many bytes, where they arrived: they are good until the next ones."""
        if len(self.buffer) < length:
            self.buffer = bytearray(length)
        view, got = memoryview(self.buffer)[:length], 0
        while got < length:
            count = self.socket.recv_into(view[got:])
            if count == 0:
                raise RuntimeError("the broker closed the connection")
            got += count
        return view


def replay(bootstrap, topic, starts, ends):
    """Reads partitions from `starts` to `ends` over one connection; returns the bytes."""
    received = 0
    with Fetcher(bootstrap, topic, starts) as fetcher:
        while left := [partition for partition in starts if fetcher.offsets[partition] < ends[partition]]:
            received += fetcher.fetch(left)
    return received


def read_side_by_side(bootstrap, topic, starts, ends, readers):
    """Every partition once, shared out to so many readers: bytes and seconds."""
    shares = [[partition for partition in starts if partition % readers == number] for number in range(readers)]
    results, errors = [], []

    def read(share):
        try:
            results.append(replay(bootstrap, topic, {each: starts[each] for each in share}, ends))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(share,)) for share in shares if share]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(results), time.monotonic() - started
