#!/usr/bin/env python3
"""MirrorMaker 2 from one broker to another: records, topic settings, offsets of a group.

    suite.py JARS SOURCE-HOST:PORT TARGET-HOST:PORT TOPIC       in a Python with confluent-kafka
"""

import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent.parent / "servers"))
from checks import Checks, equal
from servers import Server

jars, source, target, topic = sys.argv[1:]
checks = Checks("mirror-maker")
target_admin = AdminClient({"bootstrap.servers": target})
mirrored = f"source.{topic}"
group = f"{topic}-group"


class MirrorMaker(Server):
    name = "mirror-maker"

    def __init__(self, folder):
        super().__init__(folder)
        self.properties = self.folder / "mm2.properties"
        self.properties.write_text(
            f"""clusters=source,target
plugin.discovery=service_load
source.bootstrap.servers={source}
target.bootstrap.servers={target}
source->target.enabled=true
source->target.topics={topic}
source->target.sync.group.offsets.enabled=true
target->source.enabled=false
replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
offset-syncs.topic.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
config.storage.replication.factor=1
refresh.topics.interval.seconds=2
refresh.groups.interval.seconds=2
emit.checkpoints.interval.seconds=2
sync.group.offsets.interval.seconds=2
sync.topic.configs.interval.seconds=2
"""
        )

    def command(self):
        return ["java", "-Xmx512m", "-cp", f"{jars}/*", "org.apache.kafka.connect.mirror.MirrorMaker", self.properties]

    def is_ready(self):
        return True


def produce(start, count):
    producer = Producer({"bootstrap.servers": source})
    for number in range(start, start + count):
        producer.produce(topic, key=f"k{number}", value=f"v{number}", partition=number % 3)
    equal(producer.flush(30), 0, "records without an answer")


def read(bootstrap, name, count, group_id, patience_s=90):
    """The keys of the first `count` records that a new group reads, even if it subscribes before the topic is there; commits."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group_id, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([name])
    keys = []
    deadline = time.monotonic() + patience_s
    while len(keys) < count:
        assert time.monotonic() < deadline, f"{len(keys)} of {count} records after {patience_s} s"
        for message in consumer.consume(count - len(keys), timeout=1):
            if not message.error():
                keys.append(message.key().decode())
    consumer.commit(asynchronous=False)
    consumer.close()
    return keys


def arrived(count, group_id, patience_s=90):
    equal(sorted(read(target, mirrored, count, group_id, patience_s)), sorted(f"k{number}" for number in range(count)), "keys in the target")


def until(condition, what, patience_s=90):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}, after {patience_s} s"
        time.sleep(0.5)


def setting():
    resource = ConfigResource(ResourceType.TOPIC, mirrored)
    (answer,) = target_admin.describe_configs([resource]).values()
    return answer.result(10)["max.message.bytes"].value


def group_offsets():
    asked = ConsumerGroupTopicPartitions(group)
    (answer,) = target_admin.list_consumer_group_offsets([asked]).values()
    return {place.topic: place.offset for place in answer.result(10).topic_partitions or []}


with tempfile.TemporaryDirectory(prefix="kafscale-mirror-") as folder:
    admin = AdminClient({"bootstrap.servers": source})
    checks.run("create topic", lambda: admin.create_topics([NewTopic(topic, 3, config={"max.message.bytes": "1500000"})])[topic].result(30))
    checks.run("produce", lambda: produce(0, 300))
    checks.run("a group reads the source", lambda: read(source, topic, 300, group))
    with MirrorMaker(folder) as mirror:
        # MirrorMaker itself takes a while to start, minutes on a busy machine.
        checks.run("records arrive", lambda: arrived(300, f"{topic}-reader", 300))
        checks.run("more records", lambda: produce(300, 90))
        checks.run("they arrive too", lambda: arrived(390, f"{topic}-reader-2"))
        checks.run("settings of the topic", lambda: until(lambda: setting() == "1500000", "max.message.bytes is not mirrored"))
        checks.run("offsets of the group", lambda: until(lambda: mirrored in group_offsets(), "the group is not mirrored"))
    if checks.failed:
        print(mirror.log_tail(60), file=sys.stderr)
checks.finish()
