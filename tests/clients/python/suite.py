#!/usr/bin/env python3
"""confluent-kafka-python (librdkafka) with its default settings.

    suite.py HOST:PORT TOPIC

`group.id` is set where a consumer is made because this client demands one; no group is joined.
"""

import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from checks import CODECS, RECORDS, Checks, equal, value

bootstrap, topic = sys.argv[1:]
address = {"bootstrap.servers": bootstrap}
checks = Checks("confluent-kafka-python")
admin = AdminClient(address)
base_ms = int(time.time() * 1000) - 3_600_000
STEP_MS = 10


def create(partitions):
    admin.create_topics([NewTopic(topic, partitions)])[topic].result(30)
    wait_for_topic(True)


def delete():
    admin.delete_topics([topic])[topic].result(30)
    wait_for_topic(False)


def wait_for_topic(present):
    for _ in range(100):
        if (topic in admin.list_topics(timeout=10).topics) == present:
            return
        time.sleep(0.1)
    raise AssertionError(f"{topic} is {'absent' if present else 'still listed'} after 10 s")


def produce(codec, partition=0, settings=None):
    """Sends the records of one codec; returns the offsets acknowledged, by index."""
    producer = Producer({**address, "compression.type": codec, **(settings or {})})
    offsets = {}

    def delivered(index):
        def report(error, message):
            if error is not None:
                raise AssertionError(f"record {index}: {error}")
            offsets[index] = message.offset()

        return report

    start = CODECS.index(codec) * RECORDS
    for index in range(RECORDS):
        producer.produce(
            topic,
            key=f"k{index}",
            value=value(codec, index),
            headers={"codec": codec},
            partition=partition,
            timestamp=base_ms + (start + index) * STEP_MS,
            on_delivery=delivered(index),
        )
        producer.poll(0)
    equal(producer.flush(60), 0, "messages left after the flush")
    return [offsets[index] for index in range(RECORDS)]


def consumer():
    return Consumer({**address, "group.id": "not-joined"})


def consume(start, end, partition=0):
    """The records from offset `start` up to `end`, by assignment."""
    client = consumer()
    try:
        client.assign([TopicPartition(topic, partition, start)])
        rows = []
        deadline = time.monotonic() + 30
        while len(rows) < end - start:
            assert time.monotonic() < deadline, f"{len(rows)} of {end - start} records after 30 s"
            for message in client.consume(1000, timeout=1):
                if message.error():
                    raise AssertionError(str(message.error()))
                rows.append(message)
        return rows
    finally:
        client.close()


def same(rows, start):
    for offset, message in enumerate(rows, start):
        codec, index = CODECS[offset // RECORDS], offset % RECORDS
        equal(message.offset(), offset, "offset")
        equal(message.timestamp()[1], base_ms + offset * STEP_MS, f"timestamp at {offset}")
        equal(message.key().decode(), f"k{index}", f"key at {offset}")
        equal(message.value().decode(), value(codec, index), f"value at {offset}")
        equal(message.headers(), [("codec", codec.encode())], f"headers at {offset}")


def by_timestamp():
    client = consumer()
    try:
        def offset_for(timestamp):
            return client.offsets_for_times([TopicPartition(topic, 0, timestamp)], timeout=10)[0].offset

        for offset in [0, 1, 237, 1000, 1499, TOTAL - 1]:
            equal(offset_for(base_ms + offset * STEP_MS), offset, "offset of an exact timestamp")
        equal(offset_for(base_ms + 777 * STEP_MS - 1), 777, "offset of a timestamp between two records")
        equal(offset_for(base_ms - 1000), 0, "offset of a timestamp before all")
        equal(offset_for(base_ms + TOTAL * STEP_MS), -1, "offset of a timestamp after all")
    finally:
        client.close()
    same(consume(777, TOTAL), 777)


def watermarks(low, high):
    client = consumer()
    try:
        equal(client.get_watermark_offsets(TopicPartition(topic, 0), timeout=10), (low, high), "watermarks")
    finally:
        client.close()


def list_offsets():
    def offset_for(spec):
        (answer,) = admin.list_offsets({TopicPartition(topic, 0): spec}).values()
        return answer.result(10).offset

    equal(offset_for(OffsetSpec.earliest()), 0, "earliest")
    equal(offset_for(OffsetSpec.latest()), TOTAL, "latest")
    equal(offset_for(OffsetSpec.max_timestamp()), TOTAL - 1, "max timestamp")
    equal(offset_for(OffsetSpec.for_timestamp(base_ms + 321 * STEP_MS)), 321, "timestamp")


def describe():
    cluster = admin.describe_cluster().result(10)
    assert len(cluster.nodes) >= 1 and cluster.cluster_id, "cluster without nodes or id"
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (configs,) = [answer.result(10) for answer in admin.describe_configs([resource]).values()]
    assert "max.message.bytes" in configs, f"settings of the topic: {sorted(configs)}"


def beyond_the_end():
    """An offset out of range is an error the client acts on: by default it goes to the end and waits there."""
    client = consumer()
    try:
        client.assign([TopicPartition(topic, 0, TOTAL + 100)])
        message = client.poll(2)
        assert message is None or message.error().code() == KafkaError._AUTO_OFFSET_RESET, str(message.error())
    finally:
        client.close()


TOTAL = len(CODECS) * RECORDS
checks.run("create topic", lambda: create(2))
for number, codec in enumerate(CODECS):
    first = number * RECORDS
    checks.run(
        f"produce {codec}",
        lambda: equal(produce(codec), list(range(first, first + RECORDS)), "acknowledged offsets"),
    )
checks.run(
    "produce with idempotence",
    lambda: equal(produce("zstd", 1, {"enable.idempotence": True}), list(range(RECORDS)), "acknowledged offsets"),
)
checks.run("watermarks", lambda: watermarks(0, TOTAL))
checks.run("consume from the start by assignment, content, order, offsets", lambda: same(consume(0, TOTAL), 0))
for number, codec in enumerate(CODECS):
    middle = number * RECORDS + 237
    checks.run(f"from the middle of a batch, {codec}", lambda: same(consume(middle, TOTAL), middle))
checks.run("by timestamp", by_timestamp)
checks.run("offset out of range", beyond_the_end)
checks.run("list offsets by the admin client", list_offsets)
checks.run("describe cluster and topic settings", describe)
checks.run("delete topic", delete)
checks.run("create it again, empty", lambda: (create(1), watermarks(0, 0)))
checks.run("delete it again", delete)
checks.finish()
