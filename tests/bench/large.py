"""A state of hundreds of megabytes: what a broker's own snapshot of it takes, and what a start from it.

Partitions alone are small in a snapshot (37 bytes each); offsets that groups commit with a kilobyte of metadata, as some
applications keep a checkpoint there, are what makes one large.
"""

import re
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition

import small
from clients import create_topic
from servers import Kafscale

TOPICS, PER_TOPIC, METADATA_BYTES = 20, small.PER_TOPIC, 1_000
# Partitions of one commit, which then has a megabyte.
PER_COMMIT = 1_000
# A snapshot is due a minute after the start at the earliest, and it is looked once a minute whether one is.
SNAPSHOT_WITHIN_S = 180


def run(folder, scale):
    """The state is made while nothing is due, then a snapshot is taken under one record at a time, and the broker restarts."""
    topics = max(1, int(TOPICS * min(1, scale)))
    rows = []
    with Kafscale(folder, binary="kafscale-release") as broker:
        fill(broker, topics)
        lone = Lone(broker.bootstrap)
        bytes_, seconds = snapshot(broker, topics * PER_TOPIC * METADATA_BYTES / 2)
        rows.append({"what": f"{topics * PER_TOPIC:,} partitions, one record and one committed offset each, while a snapshot is taken",
                     "memory_mib": broker.memory_mib(), "highest_mib": broker.memory_mib("VmHWM"),
                     "snapshot_mb": bytes_ / 1e6, "within_s": seconds, "slowest_ms": lone.stop()})
    for _ in range(2):
        ready_s = broker.start()
        rows.append({"what": "started from it", "ready_s": ready_s, "start_cpu_s": broker.cpu_seconds(),
                     "memory_mib": broker.memory_mib(), "highest_mib": broker.memory_mib("VmHWM")})
        check(broker, topics)
        broker.stop()
    return rows


def name(number):
    return f"start-{number}"


def fill(broker, topics):
    """One record and one committed offset for each partition; one group for each topic."""
    small.fill(broker.bootstrap, topics)
    create_topic(broker.bootstrap, "lone", 1)
    for number in range(topics):
        group = member(broker, number)
        for first in range(0, PER_TOPIC, PER_COMMIT):
            offsets = [TopicPartition(name(number), partition, 1, metadata=metadata(number, partition))
                       for partition in range(first, first + PER_COMMIT)]
            group.commit(offsets=offsets, asynchronous=False)
        group.close()


def member(broker, number):
    return Consumer({"bootstrap.servers": broker.bootstrap, "group.id": f"group-{number}", "log_level": 2})


def metadata(number, partition):
    return f"{number}/{partition} ".ljust(METADATA_BYTES, "m")


def snapshot(broker, least):
    """Waits for one of that size; its bytes, and the seconds from here on."""
    started = time.monotonic()
    while time.monotonic() - started < SNAPSHOT_WITHIN_S:
        taken = re.findall(r"snapshot taken.*bytes=(\d+)", broker.log_since_start())
        if taken and int(taken[-1]) > least:
            return int(taken[-1]), time.monotonic() - started
        time.sleep(0.2)
    raise RuntimeError(f"no snapshot in {SNAPSHOT_WITHIN_S} s:\n{broker.log_tail()}")


def check(broker, topics):
    """What was committed is there."""
    for number in (0, topics - 1):
        group = member(broker, number)
        asked = [TopicPartition(name(number), partition) for partition in range(PER_COMMIT)]
        for told in group.committed(asked, timeout=30):
            if told.error or told.offset != 1 or told.metadata != metadata(number, told.partition):
                raise RuntimeError(f"{told} of {name(number)}")
        group.close()


class Lone:
    """A producer of one record at a time; how long the slowest took."""

    def __init__(self, bootstrap):
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 2})
        self.slowest_s, self.goes_on = 0.0, True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while self.goes_on:
            began = time.monotonic()
            self.producer.produce("lone", b"x" * 100)
            self.producer.flush(60)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            time.sleep(0.01)

    def stop(self):
        self.goes_on = False
        self.thread.join()
        return self.slowest_s * 1000


COLUMNS = [
    ("a state of hundreds of megabytes", "what", "{}"),
    ("snapshot, MB", "snapshot_mb", "{:.0f}"),
    ("slowest record meanwhile, ms", "slowest_ms", "{:.0f}"),
    ("ready, s", "ready_s", "{:.2f}"),
    ("CPU s", "start_cpu_s", "{:.1f}"),
    ("memory, MiB", "memory_mib", "{:.0f}"),
    ("at its highest, MiB", "highest_mib", "{:.0f}"),
]
