#!/usr/bin/env python3
"""What lives on compacted topics, over kills: a Streams application and Connect in distributed mode.

    tests/compaction/run.sh streams|connect...

A broker on a directory merges and compacts within a second. What the applications wrote is seen to be compacted, each key
once and offsets missing, then the broker is killed and started again, and all that an application has left are those topics:
Streams no state directory, Connect a worker that was killed as well.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent / "servers"), str(here.parent / "clients"), str(here.parent / "clients/connect")]
from checks import Checks, equal
from servers import Kafscale, setup
from worker import Worker, append, arrived, connector, until

QUICK = {
    "KAFSCALE_MERGE_INTERVAL": "500ms",
    "KAFSCALE_MERGE_AGE": "500ms",
    "KAFSCALE_COMPACTION_INTERVAL": "500ms",
}


def clean_at_once(bootstrap, topic):
    """Whatever is dirty is due, not only when it is half of all."""
    entry = ConfigEntry("min.cleanable.dirty.ratio", "0", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(30)


def records(bootstrap, topic):
    """The keys of all records of a topic, by partition, and how many offsets were ever given."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.partition.eof": True, "enable.auto.commit": False}
    consumer = Consumer(settings)
    try:
        partitions = list(consumer.list_topics(topic, 30).topics[topic].partitions)
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, each), 30)[1] for each in partitions]
        consumer.assign([TopicPartition(topic, each, 0) for each in partitions])
        keys, left = [], len(partitions)
        while left > 0:
            message = consumer.poll(30)
            assert message is not None, "the end does not come"
            if message.error() is None:
                keys.append((message.partition(), message.key()))
            else:
                equal(message.error().code(), KafkaError._PARTITION_EOF, "error")
                left -= 1
        return keys, sum(ends)
    finally:
        consumer.close()


def compacted(bootstrap, topic):
    """Waits until each key stands once in a topic, and fewer records than offsets are there."""
    clean_at_once(bootstrap, topic)

    def is_compacted():
        keys, offsets = records(bootstrap, topic)
        return 0 < len(keys) < offsets and len(set(keys)) == len(keys)

    until(is_compacted, f"{topic} is not compacted")


def killed(server):
    server.kill()
    server.start()


def streams(server, checks, folder):
    jars, topic = setup("kafka"), "words"

    def word_count(part):
        command = ["java", "-cp", f"{jars}/*", here.parent / "clients/streams/WordCount.java", server.bootstrap, topic, part]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        print(done.stdout, end="", flush=True)
        checks.failed += done.returncode != 0

    word_count("first")
    checks.run("the changelog is compacted", lambda: compacted(server.bootstrap, f"{topic}-counts-changelog"))
    checks.run("the broker is killed and starts", lambda: killed(server))
    word_count("again")


def connect(server, checks, folder):
    prefix, source, sink = "pipe", folder / "in.txt", folder / "out.txt"
    worker = Worker(folder, setup("kafka"), server.bootstrap, prefix)
    checks.run("the worker starts", worker.start)
    try:
        append(source, 0, 100)
        checks.run("file source", lambda: connector(worker, "source", "Source", {"file": str(source), "topic": f"{prefix}-lines"}))
        checks.run("file sink", lambda: connector(worker, "sink", "Sink", {"file": str(sink), "topics": f"{prefix}-lines"}))
        for number in range(100, 400, 100):
            checks.run(f"{number} lines go through", lambda: arrived(sink, number))
            # Offsets of both sides are flushed every second; each flush is a record of the same key.
            time.sleep(3)
            if number < 300:
                append(source, number, 100)
        checks.run("the offsets of the source are compacted", lambda: compacted(server.bootstrap, f"{prefix}-offsets"))
        worker.kill()
        checks.run("the broker is killed and starts", lambda: killed(server))
        append(source, 300, 100)
        checks.run("another worker starts", worker.start)
        checks.run("it goes on where it was, no line lost and none twice", lambda: arrived(sink, 400))
    finally:
        worker.stop()
    if checks.failed:
        print(worker.log_tail(60), file=sys.stderr)


STORIES = {"streams": streams, "connect": connect}


def main(names):
    failed = 0
    for name in names:
        checks = Checks(name)
        with tempfile.TemporaryDirectory(prefix="kafscale-applications-") as folder:
            with Kafscale(Path(folder) / "broker", settings=QUICK) as server:
                STORIES[name](server, checks, Path(folder))
        failed += checks.failed
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
