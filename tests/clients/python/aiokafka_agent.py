"""aiokafka as an agent of ../matrix.py."""

import asyncio
import logging
import sys
import threading

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agent import say, serve

logging.basicConfig(level=logging.ERROR)
bootstrap = sys.argv[1]
members = {}
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def on_loop(function):
    """The commands of the driver come on one thread, and the client lives on the loop of another."""

    def call(**arguments):
        return asyncio.run_coroutine_threadsafe(function(**arguments), loop).result(60)

    call.__name__ = function.__name__
    return call


class GroupMember(ConsumerRebalanceListener):
    def __init__(self, name, consumer):
        self.member = name
        self.consumer = consumer

    def tell(self, partitions):
        say(member=self.member, owns=sorted(each.partition for each in partitions))

    def on_partitions_assigned(self, assigned):
        self.tell(assigned)

    def on_partitions_revoked(self, revoked):
        self.tell([])

    async def read(self):
        async for message in self.consumer:
            say(
                member=self.member,
                record={
                    "partition": message.partition,
                    "offset": message.offset,
                    "timestamp": message.timestamp,
                    "key": message.key.decode(),
                    "value": message.value.decode(),
                    "headers": {name: data.decode() for name, data in message.headers},
                },
            )


async def with_admin(body):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return await body(admin)
    finally:
        await admin.close()


@on_loop
async def create(topic, partitions):
    answer = await with_admin(lambda admin: admin.create_topics([NewTopic(topic, partitions, 1)]))
    refused = [error for error in answer.topic_errors if error[1]]
    if refused:
        raise RuntimeError(str(refused))


@on_loop
async def describe(topic):
    (described,) = await with_admin(lambda admin: admin.describe_topics([topic]))
    return {"partitions": len(described["partitions"])}


@on_loop
async def delete(topic):
    answer = await with_admin(lambda admin: admin.delete_topics([topic]))
    refused = [error for error in answer.topic_error_codes if error[1]]
    if refused:
        raise RuntimeError(str(refused))


@on_loop
async def produce(topic, codec, records):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec)
    await producer.start()
    try:
        answers = [
            await producer.send(
                topic,
                key=record["key"].encode(),
                value=record["value"].encode(),
                partition=record["partition"],
                timestamp_ms=record["timestamp"],
                headers=[(name, data.encode()) for name, data in record["headers"].items()],
            )
            for record in records
        ]
        await asyncio.gather(*answers)
    finally:
        await producer.stop()


@on_loop
async def join(member, group, topic, protocol):
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest")
    joined = GroupMember(member, consumer)
    consumer.subscribe([topic], listener=joined)

    async def live():
        await consumer.start()
        await joined.read()

    members[member] = (consumer, loop.create_task(live()))


@on_loop
async def leave(member):
    consumer, reading = members.pop(member)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await consumer.stop()


@on_loop
async def timestamp(topic, partition, timestamp):
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        offset = (await consumer.offsets_for_times({place: timestamp}))[place].offset
        consumer.seek(place, offset)
        return {"offset": offset, "value": (await consumer.getone()).value.decode()}
    finally:
        await consumer.stop()


serve(
    {
        "client": f"aiokafka {aiokafka.__version__}",
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "can": ["create", "describe", "delete", "timestamp", "stamp"],
        "tells": True,
    },
    {each.__name__: each for each in (create, describe, delete, produce, join, leave, timestamp)},
)
