"""A store that answers 503 to everything for long, as a bucket does on a bad day.

Producers and the consumer of a group go on all the while, one broker serves them, and another is started in the midst of it.
What the broker answers must be errors upon which clients try again, its memory must stay as it is, and what an operator sees
must name the cause until the end. Then it must all go on by itself, within a bounded time: producers within seconds, the
consumer once the session of its former self has ended.
"""

import threading
import time

import stores
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from load import QUIET, create_topic
from scene import TOPIC, check, until

# Kafka's errors upon which a client tries again.
RETRIABLE = {
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "KAFKA_STORAGE_ERROR",
    "NOT_COORDINATOR",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "REQUEST_TIMED_OUT",
}

# Before the outage, so that there is something to compare with.
WARM_UP_S = 20

# What may come on top of a broker's memory in the outage: what its two producers have on their way, and allocators' habits.
GROWTH_MIB_MAX = 64

# A start gives up after a minute of waiting.
GIVES_UP_S = 60

# Producers have up to a second between their attempts, a broker that looks whether its store is back has a few, and health is
# counted over half a minute.
RECOVERS_S = 45

# librdkafka gives up its membership when heartbeats fail for so long, and joins anew; the group waits for the former self until
# its session ends, as it does on Apache Kafka after a coordinator was away for longer.
SESSION_S = 45


class Watcher:
    """A consumer of a group that commits as it goes."""

    def __init__(self, bootstrap):
        settings = {"bootstrap.servers": bootstrap, "group.id": "watcher", "auto.offset.reset": "earliest", **QUIET}
        self.consumer = Consumer({**settings, "auto.commit.interval.ms": 1_000})
        self.consumer.subscribe([TOPIC])
        self.read, self.errors, self.running = 0, [], True
        self.thread = threading.Thread(target=self.consume)
        self.thread.start()

    def consume(self):
        while self.running:
            message = self.consumer.poll(0.2)
            if message is None:
                continue
            if message.error():
                self.errors.append(message.error())
            else:
                self.read += 1

    def stop(self):
        self.running = False
        self.thread.join()
        self.consumer.close()


class Memory:
    """What a broker has resident, in MiB."""

    def __init__(self, broker):
        self.broker, self.highest = broker, 0.0

    def look(self):
        now = self.broker.memory_mib()
        self.highest = max(self.highest, now)
        return now


class Late:
    """A broker on a prefix of its own, with a record in it, that is started while nothing answers."""

    def __init__(self, scene, folder, environment):
        self.broker = stores.OnBucket(folder / "late", scene.proxy, environment, "kafscale", {}).broker
        with self.broker:
            create_topic(self.broker.bootstrap, "kept", 1)
            self.produce()

    def produce(self):
        outcomes = []
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, **QUIET})
        producer.produce("kept", b"x", on_delivery=lambda error, _: outcomes.append(error))
        producer.flush(30)
        return outcomes == [None]

    def starts_in_vain(self):
        """It says what it waits for, and ends."""
        began = time.monotonic()
        try:
            self.broker.start()
            check("a start in the outage: it is not served", False, self.broker.log_tail())
            self.broker.stop()
        except RuntimeError as error:
            took, status = time.monotonic() - began, self.broker.process.returncode
            said = str(error)
            lines = self.broker.log_since_start().splitlines()
            waited = [line for line in lines if "waiting for the store" in line and "SlowDown" in line]
            check("a start in the outage: the log says that it waits, and why", bool(waited), said)
            check("a start in the outage: it ends with 3 and names the cause", status == 3 and "SlowDown" in lines[-1], said)
            in_time = GIVES_UP_S - 5 <= took <= GIVES_UP_S + 30
            check(f"a start in the outage: it waits for a minute ({took:.0f} s)", in_time)
            print("   " + lines[-1])

    def starts_again(self):
        try:
            took = self.broker.start()
            with_records = AdminClient({"bootstrap.servers": self.broker.bootstrap, **QUIET}).list_topics(timeout=30).topics
            check(f"a start after the outage: it is served ({took:.1f} s)", "kept" in with_records and self.produce())
        finally:
            self.broker.stop()


def name_of(error):
    return error.name() if error is not None else "none"


def answers(bootstrap):
    """What a broker says to those who do not try again: to a record, and to a new topic."""
    said = []
    once = {"bootstrap.servers": bootstrap, "retries": 0, "message.timeout.ms": 60_000, **QUIET}
    producer = Producer(once)
    producer.produce("once", b"x", partition=0, on_delivery=lambda error, _: said.append(name_of(error)))
    producer.flush(90)
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    created = admin.create_topics([NewTopic("in-the-outage", 1)], operation_timeout=10)["in-the-outage"]
    error = created.exception(90)
    said.append(name_of(error and error.args[0]))
    return said


def until_over(scene, memory, ends_at, began):
    """Looks at the broker until the outage ends; what was wrong on the way."""
    wrong = set()
    next_line = time.monotonic()
    while time.monotonic() < ends_at:
        now = memory.look()
        status, text = scene.readyz()
        if status != 503 or "SlowDown" not in text:
            wrong.add(f"/readyz: {status} {text.strip()}")
        if scene.broker.process.poll() is not None:
            wrong.add("the broker has ended")
            break
        if time.monotonic() >= next_line:
            print(f"   {time.monotonic() - began:4.0f} s: {now:.0f} MiB, {scene.load.unanswered()} records wait", flush=True)
            next_line += 60
        time.sleep(1)
    return wrong


def outage(scene, folder, environment, length_s):
    """Everything of it, on a broker with its load."""
    late = Late(scene, folder, environment)
    create_topic(scene.broker.bootstrap, "once", 1)
    watcher = Watcher(scene.broker.bootstrap)
    memory = Memory(scene.broker)
    try:
        goes = scene.load.wait_for_acks_since(time.monotonic() + WARM_UP_S, WARM_UP_S + 60)
        check("before: producers and the consumer go on", goes and until(lambda: watcher.read > 0), scene.load.errors[:3])
        before = memory.look()
        print(f"   before: {before:.0f} MiB", flush=True)
        scene.proxy.reset()
        scene.proxy.change(error_503_rate=1.0)
        began = time.monotonic()
        ends_at = began + length_s
        scene.is_told(f"503 for {length_s:.0f} s", ["SlowDown"])
        acked = len(scene.history.acks)
        said = answers(scene.broker.bootstrap)
        check(f"503 for {length_s:.0f} s: what is answered can be tried again ({', '.join(said)})", set(said) <= RETRIABLE)
        late.starts_in_vain()
        wrong = until_over(scene, memory, ends_at, began)
        check("in the outage: /readyz names the cause all the time", not wrong, wrong)
        check("in the outage: nothing is acknowledged", len(scene.history.acks) == acked, len(scene.history.acks) - acked)
        grown = memory.highest - before
        check(f"in the outage: memory stays ({before:.0f} MiB before, {memory.highest:.0f} at the most)", grown < GROWTH_MIB_MAX)
        refused = sum(counts["requests"] for counts in scene.proxy.stats()["methods"].values())
        print(f"   {refused} requests were refused in {time.monotonic() - began:.0f} s", flush=True)
        is_over(scene, watcher, memory)
        fatal = sorted({name_of(error) for error in watcher.errors} - RETRIABLE)
        check("the consumer saw nothing but what can be tried again", not fatal, fatal)
    finally:
        watcher.stop()
    late.starts_again()


def is_over(scene, watcher, memory):
    """Everybody goes on by himself."""
    over, read = time.monotonic(), watcher.read
    scene.proxy.change(error_503_rate=0.0)

    def in_time(what, holds, otherwise, patience_s=RECOVERS_S):
        left_s = over + patience_s - time.monotonic()
        held = until(holds, left_s)
        check(f"after: {what} ({time.monotonic() - over:.1f} s)", held, otherwise())

    acknowledged = lambda: scene.load.wait_for_acks_since(over, 0.1)
    in_time("producers are acknowledged", acknowledged, lambda: scene.load.errors[:3])
    in_time("/readyz is 200", lambda: scene.readyz()[0] == 200, scene.readyz)
    in_time("the store counts as healthy", scene.is_well, scene.readyz)
    in_time("the consumer reads on", lambda: watcher.read > read, lambda: watcher.errors[-3:], SESSION_S + RECOVERS_S)
    behind = len(scene.history.acks)
    check("after: the consumer catches up", until(lambda: watcher.read >= behind), (watcher.read, behind))
    print(f"   after: {memory.look():.0f} MiB", flush=True)
