"""What a connection costs that does nothing: resident memory of a broker on a directory with thousands of them."""

import socket
import struct
import time

from servers import Kafscale

CONNECTIONS = 5_000
# ApiVersions version 0, correlation id 1, no client id: what every client asks first.
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def run(folder, scale):
    """Memory without connections, with connections that were only accepted, and with those that have asked once."""
    count = max(100, int(CONNECTIONS * scale))
    with Kafscale(folder, binary="kafscale-release") as broker:
        warm = connect(broker)
        ask(warm)
        rows, before = [], settled(broker)
        connections = [connect(broker) for _ in range(count)]
        rows.append(row(f"{count} accepted", count, before, settled(broker)))
        for connection in connections:
            ask(connection)
        rows.append(row(f"{count} that have asked for versions", count, before, settled(broker)))
        for connection in [warm, *connections]:
            connection.close()
        rows.append(row("all closed", 0, before, settled(broker)))
        return rows


def connect(broker):
    return socket.create_connection(("127.0.0.1", broker.port))


def ask(connection):
    connection.sendall(API_VERSIONS)
    (length,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
    answer = connection.recv(length, socket.MSG_WAITALL)
    if len(answer) != length or answer[4:6] != b"\0\0":
        raise RuntimeError(f"no versions in {answer!r}")


def settled(broker):
    """Resident memory once it no longer changes."""
    last = broker.memory_mib()
    while True:
        time.sleep(1)
        now = broker.memory_mib()
        if abs(now - last) < 0.1:
            return now
        last = now


def row(what, count, before, now):
    return {"what": what, "before_mib": before, "mib": now, "kib_each": (now - before) * 1024 / count if count else None}


def table(rows):
    head = ["connections", "before, MiB", "now, MiB", "KiB each"]
    each = [f"{row['kib_each']:.1f}" if row["kib_each"] is not None else "" for row in rows]
    return head, [[row["what"], f"{row['before_mib']:.1f}", f"{row['mib']:.1f}", one] for row, one in zip(rows, each)]
