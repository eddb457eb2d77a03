#!/usr/bin/env python3
"""The same story told with every client library: topics, all codecs, a group of 1 -> 3 -> 1 members, resuming, timestamps.

    matrix.py HOST:PORT [LIBRARY]...        default: all of LIBRARIES

Each library has a short *agent* beside this file: a program that does what it is told with the library's default
settings. This driver tells it what to do and judges what it reports, so the story and the judgement exist once.

Agents read one JSON command per line and answer each with one line, `{"ok": ...}` or `{"failed": "why"}`:

    {"do": "create", "topic", "partitions"}      {"do": "describe", "topic"} -> {"partitions"}
    {"do": "delete", "topic"}                    {"do": "timestamp", "topic", "partition", "timestamp"} -> {"offset", "value"}
    {"do": "produce", "topic", "codec", "records": [{"partition", "key", "value", "timestamp", "headers": {}}]}
    {"do": "join", "member", "group", "topic", "protocol"}          {"do": "leave", "member"}

The first line of an agent says `{"client": NAME AND VERSION, "codecs", "can": [...], "tells"}`: what it can beyond producing and
groups (create, describe, delete, timestamp, stamp: records of a given time), and whether it reports who owns what, by
protocol if that differs. `settle` are seconds that it needs after a rebalance until only the owners read.
In between it reports `{"member", "owns": [PARTITION]}` whenever an assignment changes and `{"member", "record": {...}}`.
Members start at the earliest offset and commit the way the library does it by default. An agent ends when its input does.
"""

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "servers"))
from checks import Checks, equal, value
from servers import setup

PARTITIONS = 6
PATIENCE_S = 60

# By name: the command of the agent, and the group protocol where the library has a choice.
LIBRARIES = {
    "librdkafka": (lambda: [sys.executable, HERE / "python/librdkafka_agent.py"], None),
    "librdkafka-kip848": (lambda: [sys.executable, HERE / "python/librdkafka_agent.py"], "consumer"),
    "kafka-python": (lambda: [sys.executable, HERE / "python/kafka_python_agent.py"], None),
    "aiokafka": (lambda: [sys.executable, HERE / "python/aiokafka_agent.py"], None),
    "kcat": (lambda: [sys.executable, HERE / "kcat/agent.py", setup("kcat")], None),
    "java": (lambda: ["java", "-cp", f"{setup('kafka')}/*", HERE / "java/Agent.java"], None),
    "java-kip848": (lambda: ["java", "-cp", f"{setup('kafka')}/*", HERE / "java/Agent.java"], "consumer"),
    "franz-go": (lambda: [setup("franz-go-agent")], None),
    "sarama": (lambda: [setup("sarama-agent")], None),
    "kafka-go": (lambda: [setup("kafka-go-agent")], None),
    "kafkajs": (lambda: [setup("node"), HERE / "node/kafkajs.mjs"], None),
    "platformatic": (lambda: [setup("node"), HERE / "node/platformatic.mjs"], None),
    "platformatic-kip848": (lambda: [setup("node"), HERE / "node/platformatic.mjs"], "consumer"),
    "krafka": (lambda: [setup("krafka-agent")], None),
    "krafka-kip848": (lambda: [setup("krafka-agent")], "consumer"),
}


class Agent:
    """One process of a library's program. Reports that come in between answers go to `report`."""

    def __init__(self, command, bootstrap, report):
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [*map(str, command), bootstrap], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        self.report = report
        self.answers = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.about = self.answers.get(timeout=PATIENCE_S)
        if "client" not in self.about:
            raise AssertionError(f"the agent did not start: {self.about}")

    def read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            self.report(said) if "member" in said else self.answers.put(said)
        self.answers.put({"failed": "the agent ended"})

    def do(self, what, **arguments):
        """Gives one command and waits for its answer."""
        self.process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self.process.stdin.flush()
        try:
            answer = self.answers.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise AssertionError(f"{what} is not answered after {PATIENCE_S} s") from None
        if "failed" in answer:
            raise AssertionError(f"{what}: {answer['failed']}")
        return answer["ok"]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def complaints(self):
        """The end of what the agent wrote to standard error."""
        self.errors.seek(0)
        return "".join(self.errors.readlines()[-20:])


class Group:
    """What the members of one group have reported so far."""

    def __init__(self):
        self.changed = threading.Condition()
        self.owns = {}
        self.received = {}
        self.overlaps = []

    def report(self, said):
        with self.changed:
            member = said["member"]
            if "owns" in said:
                self.assigned(member, set(said["owns"]))
            elif "record" in said:
                record = said["record"]
                place = (record["partition"], record["offset"])
                self.received.setdefault(place, []).append((member, record))
            self.changed.notify_all()

    def assigned(self, member, partitions):
        """Takes down an assignment; nothing of it may belong to another member at this moment."""
        for other, owned in self.owns.items():
            if other != member and owned & partitions:
                self.overlaps.append(f"{member} got {sorted(owned & partitions)} while {other} had them")
        self.owns[member] = partitions

    def gone(self, member):
        with self.changed:
            self.owns.pop(member, None)

    def wait(self, condition, what):
        deadline = time.monotonic() + PATIENCE_S
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{what() if callable(what) else what}, after {PATIENCE_S} s")
                self.changed.wait(min(left, 0.5))


class Story:
    def __init__(self, name, command, protocol, bootstrap):
        self.name, self.command, self.protocol, self.bootstrap = name, command, protocol, bootstrap
        self.checks = Checks(name)
        self.topic = f"matrix-{name}-{uuid.uuid4().hex[:8]}"
        self.group_id = f"{self.topic}-group"
        self.group = Group()
        self.observer = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
        self.base_ms = int(time.time() * 1000) - 3_600_000
        self.sent = []

    def tell(self):
        agent = first = Agent(self.command, self.bootstrap, self.group.report)
        can = agent.about["can"]
        tells = agent.about["tells"]
        self.tells = tells[self.protocol or "classic"] if isinstance(tells, dict) else tells
        print(f"{self.name}: {agent.about['client']}", flush=True)
        check = self.checks.run
        try:
            check("create topic", lambda: self.create(agent))
            for codec in agent.about["codecs"]:
                check(f"produce {codec}", lambda: self.produce(agent, codec))
            check("one member owns all", lambda: self.membership(agent, join=["a"], members=["a"]))
            check("reads what was produced", self.all_received)
            check("keys, values, headers, timestamps", lambda: self.same(stamps="stamp" in can))
            check("three members share", lambda: self.membership(agent, join=["b", "c"], members=["a", "b", "c"]))
            check("three members read", lambda: self.produced_is_read(agent))
            check("one member takes over", lambda: self.membership(agent, leave=["b", "c"], members=["a"]))
            check("one member reads", lambda: self.produced_is_read(agent))
            check("leaves the group", lambda: self.leave(agent, "a"))
            check("no partition was owned twice", lambda: equal(self.group.overlaps, [], "overlaps"))
            check("no record was read twice", self.none_twice)
            check("produce while nobody reads", lambda: self.produce(agent))
        finally:
            agent.close()
        agent = Agent(self.command, self.bootstrap, self.group.report)
        try:
            check("resumes after a restart of the program", lambda: self.resume(agent))
            if "timestamp" in can:
                check("seeks by timestamp", lambda: self.by_timestamp(agent))
            if "describe" in can:
                check("describe topic", lambda: equal(
                    agent.do("describe", topic=self.topic)["partitions"], PARTITIONS, "partitions"))
            check("delete topic", lambda: self.delete(agent))
        finally:
            agent.close()
        if self.checks.failed:
            print(f"--- {self.name} said\n{first.complaints()}{agent.complaints()}---", file=sys.stderr)
        return self.checks.failed

    def create(self, agent):
        if "create" in agent.about["can"]:
            agent.do("create", topic=self.topic, partitions=PARTITIONS)
        else:
            self.observer.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result(30)
        self.until(lambda: self.topic in self.observer.list_topics(timeout=10).topics, "the topic is not listed")
        # A broker may list a topic before it serves all of its partitions, and not every producer repeats cleanly.
        self.until(self.served, "the topic is not served")

    def served(self):
        places = {TopicPartition(self.topic, partition): OffsetSpec.latest() for partition in range(PARTITIONS)}
        return all(answer.exception(30) is None for answer in self.observer.list_offsets(places).values())

    def delete(self, agent):
        if "delete" in agent.about["can"]:
            agent.do("delete", topic=self.topic)
        else:
            self.observer.delete_topics([self.topic])[self.topic].result(30)
        self.until(lambda: self.topic not in self.observer.list_topics(timeout=10).topics, "the topic is still listed")

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} after {PATIENCE_S} s")
            time.sleep(0.1)

    def produce(self, agent, codec="none"):
        """Sends ten records to each partition. The driver knows their offsets: it is the topic's only producer."""
        records = []
        for index in range(10 * PARTITIONS):
            number = len(self.sent) + index
            records.append({
                "partition": number % PARTITIONS,
                "key": f"k{number}",
                "value": value(codec, number),
                "timestamp": self.base_ms + 10 * number,
                "headers": {"codec": codec},
            })
        agent.do("produce", topic=self.topic, codec=codec, records=records)
        self.sent += records

    def place(self, number):
        return number % PARTITIONS, number // PARTITIONS

    def membership(self, agent, members, join=(), leave=()):
        """Changes who is in the group; waits until exactly these members own all partitions, each of them some."""
        for member in join:
            agent.do("join", member=member, group=self.group_id, topic=self.topic, protocol=self.protocol)
        for member in leave:
            self.leave(agent, member)
        if self.tells:
            self.group.wait(
                lambda: sorted(self.group.owns) == members
                and all(self.group.owns.values())
                and sum(map(len, self.group.owns.values())) == PARTITIONS
                and set().union(*self.group.owns.values()) == set(range(PARTITIONS)),
                lambda: f"the members own {self.group.owns}",
            )
        self.until(lambda: self.described() == [len(members), PARTITIONS], "the group is described otherwise")
        time.sleep(agent.about.get("settle", 0))

    def described(self):
        """Members and assigned partitions of the group as an admin client of another library sees them, when stable."""
        try:
            group = self.observer.describe_consumer_groups([self.group_id])[self.group_id].result(10)
        except KafkaException:
            return None
        assigned = [p.partition for member in group.members for p in member.assignment.topic_partitions]
        return [len(group.members), len(set(assigned))] if group.state.name == "STABLE" else None

    def leave(self, agent, member):
        self.group.gone(member)
        agent.do("leave", member=member)
        self.group.gone(member)

    def all_received(self):
        wanted = {self.place(number) for number in range(len(self.sent))}
        self.group.wait(
            lambda: wanted <= self.group.received.keys(),
            lambda: f"{len(wanted - self.group.received.keys())} of {len(wanted)} records were not read",
        )
        equal(sorted(self.group.received.keys() - wanted), [], "records that were never produced")

    def produced_is_read(self, agent):
        """In a quiet phase each partition is read by one member alone: its owner."""
        first = len(self.sent)
        self.produce(agent)
        self.all_received()
        readers = {}
        for number in range(first, len(self.sent)):
            partition, offset = self.place(number)
            readers.setdefault(partition, set()).update(member for member, _ in self.group.received[partition, offset])
        equal([len(members) for members in readers.values()], [1] * PARTITIONS, f"readers of each partition ({readers})")
        if self.tells:
            owners = {partition: {member} for member, owned in self.group.owns.items() for partition in owned}
            equal(readers, owners, "readers and owners")

    def none_twice(self):
        twice = [place for place, reads in self.group.received.items() if len(reads) > 1]
        equal(sorted(twice), [], "records read twice")

    def same(self, stamps):
        for number, sent in enumerate(self.sent):
            _, got = self.group.received[self.place(number)][0]
            for field in ["key", "value", "headers"] + ["timestamp"] * stamps:
                equal(got[field], sent[field], f"{field} of record {number}")

    def resume(self, agent):
        """A new member of the same group starts where the last one left off: it reads what is new and nothing else."""
        before = {place: len(reads) for place, reads in self.group.received.items()}
        self.membership(agent, join=["d"], members=["d"])
        self.all_received()
        agent.do("leave", member="d")
        again = [place for place, reads in self.group.received.items() if len(reads) != before.get(place, 0) + (place not in before)]
        equal(sorted(again), [], "records read again")

    def by_timestamp(self, agent):
        number = 4 * PARTITIONS + 2
        partition, offset = self.place(number)
        for early_ms in (0, 5):
            found = agent.do("timestamp", topic=self.topic, partition=partition, timestamp=self.sent[number]["timestamp"] - early_ms)
            equal(found, {"offset": offset, "value": self.sent[number]["value"]}, f"place of a timestamp, {early_ms} ms early")


def main(bootstrap, names):
    failed = 0
    for name in names or LIBRARIES:
        command, protocol = LIBRARIES[name]
        started = time.monotonic()
        try:
            failed += Story(name, command(), protocol, bootstrap).tell()
        except Exception as error:
            failed += 1
            print(f"FAIL {name}: the story ended: {error!r}", flush=True)
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
