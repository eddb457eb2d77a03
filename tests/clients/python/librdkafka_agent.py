"""confluent-kafka-python (librdkafka) as an agent of ../matrix.py."""

import sys

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from agent import Member, serve

address = {"bootstrap.servers": sys.argv[1], "log_level": 3}
admin = AdminClient(address)
members = {}


class GroupMember(Member):
    def __init__(self, name, group, topic, protocol):
        super().__init__(name)
        choice = {"group.protocol": protocol} if protocol else {}
        self.consumer = Consumer({**address, **choice, "group.id": group, "auto.offset.reset": "earliest"})
        self.owned = set()
        self.consumer.subscribe([topic], on_assign=self.gained, on_revoke=self.lost, on_lost=self.lost)

    def gained(self, _, partitions):
        self.owned |= {each.partition for each in partitions}
        self.owns(self.owned)

    def lost(self, _, partitions):
        self.owned -= {each.partition for each in partitions}
        self.owns(self.owned)

    def poll(self):
        for message in self.consumer.consume(100, timeout=0.1):
            if message.error():
                raise RuntimeError(str(message.error()))
            self.record(
                partition=message.partition(),
                offset=message.offset(),
                timestamp=message.timestamp()[1],
                key=message.key().decode(),
                value=message.value().decode(),
                headers={name: data.decode() for name, data in message.headers() or []},
            )

    def close(self):
        self.consumer.close()


def create(topic, partitions):
    admin.create_topics([NewTopic(topic, partitions)])[topic].result(30)


def describe(topic):
    described = admin.describe_topics(confluent_kafka.TopicCollection([topic]))[topic].result(30)
    return {"partitions": len(described.partitions)}


def delete(topic):
    admin.delete_topics([topic])[topic].result(30)


def produce(topic, codec, records):
    producer = Producer({**address, "compression.type": codec})
    failures = []
    for record in records:
        producer.produce(topic, **record, on_delivery=lambda error, _: error and failures.append(error))
    left = producer.flush(30)
    if failures or left:
        raise RuntimeError(f"{left} records without an answer, failures {failures[:1]}")


def join(member, group, topic, protocol):
    members[member] = GroupMember(member, group, topic, protocol)
    members[member].start()


def leave(member):
    members.pop(member).leave()


def timestamp(topic, partition, timestamp):
    consumer = Consumer({**address, "group.id": "not-joined"})
    try:
        place = consumer.offsets_for_times([TopicPartition(topic, partition, timestamp)], timeout=10)[0]
        consumer.assign([place])
        return {"offset": place.offset, "value": consumer.poll(30).value().decode()}
    finally:
        consumer.close()


serve(
    {
        "client": f"confluent-kafka {confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})",
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "can": ["create", "describe", "delete", "timestamp", "stamp"],
        "tells": True,
    },
    {each.__name__: each for each in (create, describe, delete, produce, join, leave, timestamp)},
)
