#!/usr/bin/env python3
"""Log compaction as a stock client sees it, over a restart and a kill.

    tests/compaction/run.sh

A broker on a directory merges and compacts within a second or two. A topic is filled with values of a few keys, compacted,
filled on while the broker is killed, changed to `delete` and back; after each step it is read from its beginning.
"""

import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent / "servers"), str(here.parent / "clients")]
from checks import CODECS, Checks, equal
from servers import Kafscale

TOPIC = "compacted"
KEYS = 20
PATIENCE_S = 120
QUICK = {
    "KAFSCALE_MERGE_INTERVAL": "500ms",
    "KAFSCALE_MERGE_AGE": "500ms",
    "KAFSCALE_SEGMENT_AGE": "1s",
    "KAFSCALE_SEGMENT_AGE_SMALL": "1s",
    "KAFSCALE_COMPACTION_INTERVAL": "500ms",
    # About a hundred keys in one pass.
    "KAFSCALE_COMPACTION_MEMORY": "3KiB",
}
checks = Checks("compaction")
written = []


def produce(bootstrap, entries, codec="none"):
    """Appends keys and values (None for a tombstone) in this order."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": codec, "linger.ms": 5})
    failed = []
    for key, value in entries:
        producer.produce(TOPIC, key=key, value=value, on_delivery=lambda error, _: error and failed.append(error))
    producer.flush(60)
    equal(failed, [], "failed records")
    written.extend(entries)


def read(bootstrap):
    """Offset, key and value of everything, from the beginning to the end that the client is told."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.partition.eof": True, "enable.auto.commit": False}
    consumer, rows = Consumer(settings), []
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    try:
        while True:
            message = consumer.poll(30)
            if message is None:
                raise AssertionError(f"the end does not come, {len(rows)} records so far")
            if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                equal(consumer.position([TopicPartition(TOPIC, 0)])[0].offset, len(written), "the end")
                return rows
            if message.error():
                raise AssertionError(message.error())
            rows.append((message.offset(), message.key(), message.value()))
    finally:
        consumer.close()


def last_values():
    """Offsets, keys and values of the last record of each key."""
    last = {key: (offset, key, value) for offset, (key, value) in enumerate(written)}
    return sorted(last.values())


def judge(rows):
    """What holds at every moment: each record is the one that was written there, and each key has its last value."""
    for offset, key, value in rows:
        equal((key, value), written[offset], f"the record at {offset}")
    equal([row[0] for row in rows], sorted(row[0] for row in rows), "the order")
    seen = {key: value for _, key, value in rows}
    for _, key, value in last_values():
        equal(seen.get(key), value, f"the last value of {key}")


def compacted(bootstrap, expected):
    """Reads again and again until exactly this is left."""
    until = time.monotonic() + PATIENCE_S
    while True:
        rows = read(bootstrap)
        judge(rows)
        if rows == expected or time.monotonic() > until:
            equal(rows, expected, "what is left")
            return
        time.sleep(0.5)


def values(round_):
    return [(f"key-{index % KEYS}".encode(), f"{round_}-{index}".encode()) for index in range(KEYS * 10)]


def alter(admin, name, value):
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)


def story(server):
    bootstrap = server.bootstrap
    admin = AdminClient({"bootstrap.servers": bootstrap})
    config = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0", "delete.retention.ms": "100000000"}

    def create():
        admin.create_topics([NewTopic(TOPIC, 1, config=config)])[TOPIC].result(30)

    def every_codec():
        for codec in CODECS:
            produce(bootstrap, values(codec), codec)
        compacted(bootstrap, last_values())

    def tombstones_stay():
        produce(bootstrap, [(f"key-{index}".encode(), None) for index in range(5)])
        compacted(bootstrap, last_values())

    def restarted():
        equal(server.stop(), 0, "exit status")
        server.start()
        compacted(bootstrap, last_values())
        produce(bootstrap, values("restarted"))
        compacted(bootstrap, last_values())

    def killed():
        for round_ in range(3):
            produce(bootstrap, values(f"killed-{round_}"))
            server.kill()
            server.start()
            judge(read(bootstrap))
        compacted(bootstrap, last_values())

    def more_keys_than_memory():
        produce(bootstrap, [(f"many-{index % 1000}".encode(), str(index).encode()) for index in range(2000)], "zstd")
        compacted(bootstrap, last_values())

    def policy_changed():
        alter(admin, "cleanup.policy", "delete")
        produce(bootstrap, values("delete"))
        until = time.monotonic() + PATIENCE_S
        while not list(server.data.glob("default/*/0/*.kfs")):
            if time.monotonic() > until:
                raise AssertionError("no segment was made")
            time.sleep(0.2)
        judge(read(bootstrap))
        alter(admin, "cleanup.policy", "compact")
        compacted(bootstrap, last_values())

    def tombstones_go():
        # A horizon that was given stays; it counts for what comes.
        alter(admin, "delete.retention.ms", "0")
        produce(bootstrap, [(f"key-{index}".encode(), None) for index in range(10, 15)] + values("end")[-5:])
        compacted(bootstrap, [row for row in last_values() if row[2] is not None])

    checks.run("a compacted topic is created", create)
    checks.run("the last value of each key stays, in every codec", every_codec)
    checks.run("tombstones stay", tombstones_stay)
    checks.run("after a restart it goes on", restarted)
    checks.run("after three kills it goes on", killed)
    checks.run("more keys than one pass holds", more_keys_than_memory)
    checks.run("to delete, with segments, and back", policy_changed)
    checks.run("tombstones go after delete.retention.ms", tombstones_go)
    removed = [line for line in server.metrics().splitlines() if line.startswith("kafscale_compaction_removed_records_total")]
    checks.run("the removed records are counted", lambda: equal(len(removed) == 1 and float(removed[0].split()[1]) > 0, True, removed))


with tempfile.TemporaryDirectory() as folder, Kafscale(folder, settings=QUICK) as server:
    story(server)
checks.finish()
