"""What a connection costs that does nothing: resident memory of a broker on a directory with thousands of them, beside Apache
Kafka's, whose heap may have 1 GiB.
"""

import socket
import struct
import time

from servers import Kafka, Kafscale

CONNECTIONS = 5_000
# ApiVersions version 0, correlation id 1, no client id: what every client asks first.
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
# A heap that is collected now and then never settles for good.
LOOKS = 20


def run(folder, scale):
    """Memory without connections, with connections that were only accepted, and with those that have asked once."""
    count = max(100, int(CONNECTIONS * scale))
    brokers = [Kafka(folder / "kafka"), Kafscale(folder / "kafscale", binary="kafscale-release")]
    return [row for broker in brokers for row in measure(broker, count)]


def measure(broker, count):
    with broker:
        warm = connect(broker)
        ask(warm)
        rows, before = [], settled(broker)
        connections = [connect(broker) for _ in range(count)]
        rows.append(row(broker, f"{count} accepted", count, before))
        for connection in connections:
            ask(connection)
        rows.append(row(broker, f"{count} that have asked for versions", count, before))
        for connection in [warm, *connections]:
            connection.close()
        rows.append(row(broker, "all closed", 0, before))
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
    """Resident memory once it no longer changes, or after a while."""
    last = broker.memory_mib()
    for _ in range(LOOKS):
        time.sleep(1)
        now = broker.memory_mib()
        if abs(now - last) < 0.1:
            break
        last = now
    return now


def row(broker, what, count, before):
    now = settled(broker)
    each = (now - before) * 1024 / count if count else None
    return {"broker": type(broker).__name__, "what": what, "before_mib": before, "mib": now, "kib_each": each}


def table(rows):
    head = ["broker", "connections", "before, MiB", "now, MiB", "KiB each"]
    each = [f"{row['kib_each']:.1f}" if row["kib_each"] is not None else "" for row in rows]
    figures = [[f"{row['before_mib']:.1f}", f"{row['mib']:.1f}"] for row in rows]
    return head, [[row["broker"], row["what"], *two, one] for row, two, one in zip(rows, figures, each)]
