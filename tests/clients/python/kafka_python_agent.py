"""kafka-python as an agent of ../matrix.py."""

import logging
import sys

import kafka
from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from agent import Member, serve

logging.basicConfig(level=logging.ERROR)
bootstrap = sys.argv[1]
members = {}


class GroupMember(Member, ConsumerRebalanceListener):
    def __init__(self, name, group, topic, protocol):
        super().__init__(name)
        self.consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest")
        self.consumer.subscribe([topic], listener=self)

    def on_partitions_assigned(self, assigned):
        self.owns({each.partition for each in self.consumer.assignment()})

    def on_partitions_revoked(self, revoked):
        self.owns({each.partition for each in self.consumer.assignment()} - {each.partition for each in revoked})

    def poll(self):
        for messages in self.consumer.poll(timeout_ms=100).values():
            for message in messages:
                self.record(
                    partition=message.partition,
                    offset=message.offset,
                    timestamp=message.timestamp,
                    key=message.key.decode(),
                    value=message.value.decode(),
                    headers={name: data.decode() for name, data in message.headers},
                )

    def close(self):
        self.consumer.close()


def with_admin(body):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        return body(admin)
    finally:
        admin.close()


def create(topic, partitions):
    with_admin(lambda admin: admin.create_topics([NewTopic(topic, partitions, 1)]))


def describe(topic):
    (described,) = with_admin(lambda admin: admin.describe_topics([topic]))
    return {"partitions": len(described["partitions"])}


def delete(topic):
    with_admin(lambda admin: admin.delete_topics([topic]))


def produce(topic, codec, records):
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec)
    try:
        answers = [
            producer.send(
                topic,
                key=record["key"].encode(),
                value=record["value"].encode(),
                partition=record["partition"],
                timestamp_ms=record["timestamp"],
                headers=[(name, data.encode()) for name, data in record["headers"].items()],
            )
            for record in records
        ]
        for answer in answers:
            answer.get(30)
    finally:
        producer.close()


def join(member, group, topic, protocol):
    members[member] = GroupMember(member, group, topic, protocol)
    members[member].start()


def leave(member):
    members.pop(member).leave()


def timestamp(topic, partition, timestamp):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    try:
        place = TopicPartition(topic, partition)
        offset = consumer.offsets_for_times({place: timestamp})[place].offset
        consumer.assign([place])
        consumer.seek(place, offset)
        return {"offset": offset, "value": next(consumer).value.decode()}
    finally:
        consumer.close()


serve(
    {
        "client": f"kafka-python {kafka.__version__}",
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "can": ["create", "describe", "delete", "timestamp", "stamp"],
        "tells": True,
    },
    {each.__name__: each for each in (create, describe, delete, produce, join, leave, timestamp)},
)
