"""The load of the kill test: idempotent producers that never give up, and a reader of everything.

Every acknowledgement goes into the history and, line by line, into a file of this process: the broker has
no part in remembering what it promised.
"""

import random
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from history import Ack, decode, encode

# Lost connections are the point of the test; the client need not report each.
QUIET = {"log_level": 2}


def create_topic(bootstrap, topic, partitions, **config):
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    admin.create_topics([NewTopic(topic, partitions, config=config)])[topic].result(60)


class Expiring:
    """A topic whose records are kept for a second, and a producer that goes on writing to it."""

    topic = "expiring"

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.sent = 0
        self.running = True
        create_topic(bootstrap, self.topic, 1, **{"retention.ms": "1000"})
        self.thread = threading.Thread(target=self.produce)
        self.thread.start()

    def produce(self):
        client = Producer({"bootstrap.servers": self.bootstrap, **QUIET})
        while self.running:
            client.produce(self.topic, value=b"x" * 500)
            self.sent += 1
            client.poll(0.05)
        client.flush(60)

    def stop(self):
        self.running = False
        self.thread.join()

    def end(self, patience_s=60):
        """Writes no more, and waits until everything has expired; what is wrong."""
        self.stop()
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "not-joined", **QUIET})
        deadline = time.monotonic() + patience_s
        try:
            while True:
                low, high = consumer.get_watermark_offsets(TopicPartition(self.topic, 0), timeout=patience_s)
                if 0 < low == high:
                    return []
                if time.monotonic() > deadline:
                    return [f"records {low} to {high} are still there after {patience_s} s"]
                time.sleep(0.2)
        finally:
            consumer.close()


class Load:
    """Producers on threads of their own; each numbers its records from 0 and spreads them over the partitions."""

    def __init__(self, bootstrap, topic, partitions, producers, history, acks_path, seed, settings=None):
        self.bootstrap = bootstrap
        self.topic = topic
        self.partitions = partitions
        self.history = history
        self.acks_file = open(acks_path, "w", buffering=1)
        self.lock = threading.Lock()
        self.running = True
        self.patience_s = 0
        self.errors = []
        self.last_ack = {}
        self.clients = []
        self.threads = []
        for number in range(producers):
            self.history.sent[number] = 0
            client = {"bootstrap.servers": bootstrap, "enable.idempotence": True, **QUIET, **(settings or {})}
            self.clients.append(Producer(client))
            self.threads.append(threading.Thread(target=self.produce, args=(number, random.Random(f"{seed}-{number}"))))

    def start(self):
        for thread in self.threads:
            thread.start()

    def produce(self, number, rng):
        """Bursts of 0 to 20 records, a hundred times a second."""
        client = self.clients[number]
        while self.running:
            for _ in range(rng.randrange(21)):
                self.send(client, number, rng)
            client.poll(0.01)
        if client.flush(self.patience_s) > 0:
            self.errors.append(f"producer {number}: {len(client)} records without an answer after {self.patience_s} s")

    def send(self, client, number, rng):
        sequence = self.history.sent[number]
        partition = rng.randrange(self.partitions)
        value = encode(number, sequence, rng.randbytes(rng.randrange(50, 800)))

        def delivered(error, message):
            if error is not None:
                self.errors.append(f"record {sequence} of producer {number}: {error}")
                return
            offset = message.offset() if message.offset() is not None else -1
            with self.lock:
                self.history.acks.append(Ack(number, sequence, partition, offset))
                self.acks_file.write(f"{number}\t{sequence}\t{partition}\t{offset}\n")
                self.last_ack[number] = time.monotonic()

        self.history.sent[number] = sequence + 1
        while True:
            try:
                client.produce(self.topic, value=value, partition=partition, on_delivery=delivered)
                return
            except BufferError:
                client.poll(0.1)
            except KafkaException as error:
                self.errors.append(f"producer {number} is dead: {error}")
                self.running = False
                return

    def unanswered(self):
        return sum(len(client) for client in self.clients)

    def wait_for_acks_since(self, moment, patience_s):
        """Waits until every producer has been acknowledged after `moment`; false if one was not."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if self.errors:
                return False
            if all(self.last_ack.get(number, 0) > moment for number in range(len(self.clients))):
                return True
            time.sleep(0.02)
        return False

    def stop(self, patience_s):
        """Sends nothing more, and waits so long for the answers to what was sent."""
        self.patience_s = patience_s
        self.running = False
        for thread in self.threads:
            thread.join()
        self.acks_file.close()


def read_all(bootstrap, topic, partitions, history, patience_s=60):
    """Reads every partition from its start to its end by assignment into the history."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "not-joined", "enable.auto.commit": False, **QUIET}
    consumer = Consumer({**settings, "enable.partition.eof": False, "check.crcs": True})
    try:
        for partition in range(partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=patience_s)
            if low != 0:
                raise RuntimeError(f"partition {partition} starts at {low}")
            history.ends[partition] = high
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        missing = sum(history.ends.values())
        deadline = time.monotonic() + patience_s
        while missing > 0:
            messages = consumer.consume(10_000, timeout=0.2)
            for message in messages:
                if message.error():
                    raise RuntimeError(f"reading: {message.error()}")
                history.found.append(decode(message.partition(), message.offset(), message.value()))
                missing -= 1
            if messages:
                deadline = time.monotonic() + patience_s
            elif time.monotonic() > deadline:
                raise RuntimeError(f"{missing} records cannot be read: nothing came for {patience_s} s")
    finally:
        consumer.close()
    history.found.sort(key=lambda row: row.partition)
