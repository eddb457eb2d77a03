"""Raw Kafka requests to one broker, and answers made comparable with those of another.

The codec is kafka-python's, which is generated from Kafka's own schemas: neither broker's code has a part in it.
"""

import re
import socket
import struct
import time

from kafka.protocol import admin, consumer, metadata, producer
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

PATIENCE_S = 15
# Long enough for an answer that does not wait for anybody.
AT_ONCE_S = 1.5

# What differs between any two brokers, or says nothing: throttling, texts, addresses, clocks, sizes on disk.
LEFT_OUT = {
    "throttle_time_ms", "error_message", "host", "port", "node_id", "leader_id", "controller_id", "cluster_id", "brokers",
    "replica_nodes", "isr_nodes", "offline_replicas", "eligible_leader_replicas", "last_known_elr", "log_append_time_ms",
    "client_host", "session_id", "coordinators_node", "responses_node_endpoints", "node_endpoints", "last_stable_offset",
    "synonyms", "documentation", "config_source", "is_default", "resource_id",
}


def find(api, kind):
    name = f"{api}{kind}"
    for module in (admin, consumer, metadata, producer):
        if hasattr(module, name):
            return getattr(module, name)
    raise KeyError(name)


def build(container, fields, version):
    """A message of nested dicts, as the codec's own classes."""
    values = {}
    for name, value in fields.items():
        if name not in container.fields:
            raise KeyError(f"{name} is not a field of {container.__name__}: {list(container.fields)}")
        field = container.fields[name]
        if field.is_struct_array() and value is not None:
            value = [build(field.data_class, each, version) for each in value]
        elif field.is_struct() and value is not None:
            value = build(field.data_class, value, version)
        values[name] = value
    return container(version=version, **values)


def batch(records, producer_id=-1, epoch=-1, sequence=-1):
    """One record batch of (key, value) pairs, uncompressed."""
    builder = MemoryRecordsBuilder(2, 0, 1 << 20)
    if producer_id >= 0:
        builder.set_producer_state(producer_id, epoch, sequence, False)
    for key, value in records:
        builder.append(timestamp=1_700_000_000_000, key=key, value=value)
    builder.close()
    return bytes(builder.buffer())


def unpack(data):
    """The records of a fetch answer as (offset, key, value)."""
    found = []
    batches = MemoryRecords(bytes(data or b""))
    while batches.has_next():
        found += [(record.offset, record.key, record.value) for record in batches.next_batch()]
    return found


class Connection:
    def __init__(self, bootstrap):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self.correlation = 0
        self.waiting = []

    def send(self, api, version, fields):
        self.correlation += 1
        request = build(find(api, "Request"), fields, version)
        request.with_header(correlation_id=self.correlation, client_id="differential")
        self.socket.sendall(bytes(request.encode(version=version, header=True, framed=True)))
        self.waiting.append((api, version))

    def receive(self, patience_s):
        """The next answer; None when there is none in time, `closed` when the broker closed the connection."""
        self.socket.settimeout(patience_s)
        try:
            head = self.exactly(4)
        except TimeoutError:
            return None
        except OSError:
            return "closed"
        if head is None:
            return "closed"
        self.socket.settimeout(PATIENCE_S)
        frame = self.exactly(struct.unpack(">i", head)[0])
        api, version = self.waiting.pop(0)
        return find(api, "Response").decode(frame, version=version, header=True)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                return None
            data += more
        return data

    def close(self):
        self.socket.close()


class World:
    """One broker as a program sees it. Every answer goes to the transcript, made comparable."""

    def __init__(self, bootstrap, prefix):
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.connections = {}
        self.names = {}
        self.transcript = []

    def name(self, symbol):
        """A topic or group of this run: both brokers get the same one."""
        return f"{self.prefix}-{symbol}"

    def connection(self, key):
        if key not in self.connections:
            self.connections[key] = Connection(self.bootstrap)
        return self.connections[key]

    def ask(self, api, version, on="main", **fields):
        """Sends a request and waits for its answer."""
        return self.send(api, version, on, patience_s=PATIENCE_S, **fields)

    def start(self, api, version, on="main", **fields):
        """Sends a request whose answer may wait for others; takes it if it comes at once."""
        return self.send(api, version, on, patience_s=AT_ONCE_S, **fields)

    def send(self, api, version, on, patience_s, **fields):
        try:
            self.connection(on).send(api, version, fields)
            answer = self.connection(on).receive(patience_s)
        except (OSError, AttributeError) as error:
            answer = f"broken: {type(error).__name__}"
        return self.note(f"{api} v{version}", on, answer)

    def await_answer(self, on, patience_s=PATIENCE_S):
        """The answer to a request that was started earlier."""
        return self.note("the answer", on, self.connection(on).receive(patience_s))

    def note(self, what, on, answer):
        if answer is None or isinstance(answer, str):
            shown = answer or "no answer yet"
            if shown != "no answer yet":
                self.connections.pop(on, None)
        else:
            shown = self.comparable(answer.to_dict(json=False))
        self.transcript.append((f"{what} on {on}", shown))
        return None if isinstance(answer, str) else answer

    def say(self, what, value):
        """Puts something that a program worked out itself on the transcript."""
        self.transcript.append((what, self.comparable(value)))

    def known_as(self, value, kind):
        """What a broker made up (ids of members, topics, producers) by the order in which it was first seen."""
        if not value:
            return value
        seen = self.names.setdefault(kind, {})
        return seen.setdefault(value, f"<{kind} {len(seen)}>")

    def comparable(self, value, key=""):
        if hasattr(value, "to_dict"):
            value = value.to_dict(json=False)
        if isinstance(value, dict):
            return {name: self.comparable(each, name) for name, each in value.items() if name not in LEFT_OUT}
        if key in ("records",):
            return [self.comparable(each) for each in unpack(value)]
        if isinstance(value, (list, tuple)):
            items = [self.comparable(each, key) for each in value]
            # Topics, groups and members come in any order.
            return sorted(items, key=repr) if all(isinstance(each, dict) for each in items) else items
        if key in ("member_id", "leader", "members") and isinstance(value, str) and re.search(r"[0-9a-f-]{36}", value):
            return self.known_as(value, "member")
        if key == "topic_id":
            return self.known_as(str(value), "topic") if str(value) != "00000000-0000-0000-0000-000000000000" else "zero"
        if key == "producer_id":
            return self.known_as(value, "producer") if value >= 0 else value
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        return value

    def until(self, condition, patience_s=PATIENCE_S):
        """Waits for something that may take a broker a moment; the requests in between are not on the transcript."""
        deadline = time.monotonic() + patience_s
        kept = list(self.transcript), {kind: dict(seen) for kind, seen in self.names.items()}
        while not condition():
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        self.transcript, self.names = kept

    def close(self):
        for connection in self.connections.values():
            connection.close()
