#!/usr/bin/env python3
"""One broker under load lives through what a bucket may do to it, on a real S3 server with signatures on.

    tests/faults/run.sh [--keep FOLDER]

Some of it the proxy in front does (answers lost or wrong behind writes that were applied, bodies cut, listings that lack
the latest writes, 503 for a while), the rest is real: the server stops knowing the key, the broker's clock is twenty
minutes off (libfaketime), the bucket is deleted and made anew. Each time it is looked at what an operator sees: the log,
/readyz and the metrics must name the cause in the store's own words. Afterwards everything acknowledged must be there.
"""

import argparse
import contextlib
import glob
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "servers"), str(TESTS / "kill")]
import stores
from checker import check as check_history, summary
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from history import History
from load import QUIET, Load, create_topic, read_all
from servers import setup

TOPIC, PARTITIONS, PRODUCERS = "faults", 3, 2
SECRET = "kafscale-test-secret"
PATIENCE_S = 90

CHECKS = {"passed": 0, "failed": 0}


def check(what, holds, otherwise=""):
    print(f"{'ok' if holds else 'FAIL'} {what}" + ("" if holds else f": {otherwise}"), flush=True)
    CHECKS["passed" if holds else "failed"] += 1


def until(holds, patience_s=PATIENCE_S):
    """Whether this becomes true in time."""
    deadline = time.monotonic() + patience_s
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return held


class Store:
    """The server behind the proxy, as its administrator sees it."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, command, argument):
        script = TESTS / "servers/seaweedfs.sh"
        subprocess.run([script, command, self.folder, argument], check=True, timeout=120)

    def keys(self, secret):
        self.run("keys", secret)

    def bucket(self, what):
        self.run("bucket", what)


class Clock:
    """The clock of a process, which can be set while it runs."""

    def __init__(self, folder):
        setup("faketime")
        libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        self.file = folder / "clock"
        self.set("+0")
        # Timers go by the monotonic clock, which is left alone.
        self.variables = {
            "LD_PRELOAD": libraries[0],
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, off):
        self.file.write_text(off + "\n")


class Scene:
    """A broker, its load, and what stands behind it."""

    def __init__(self, folder, proxy, environment):
        self.proxy = proxy
        self.store = Store(folder / "seaweedfs")
        self.clock = Clock(folder)
        self.on = stores.OnBucket(folder, proxy, environment, "kafscale", self.clock.variables)
        self.broker = self.on.broker
        self.history = History()

    def readyz(self):
        """Status and text."""
        try:
            with urllib.request.urlopen(f"http://{self.broker.http}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def is_well(self):
        return self.readyz()[0] == 200 and 'kafscale_reading{name="store_condition"} 0' in self.broker.metrics()

    def goes_on(self, what):
        """Every producer is acknowledged again, and the broker well by itself."""
        acknowledged = self.load.wait_for_acks_since(time.monotonic(), PATIENCE_S)
        check(f"{what}: producers are acknowledged", acknowledged, self.load.errors[:3])
        check(f"{what}: the broker is well again by itself", until(self.is_well), self.readyz())

    def is_told(self, what, words):
        """What an operator sees names the cause, while nothing is confirmed."""
        named = lambda text: any(word in text for word in words)
        seen = until(lambda: self.readyz()[0] == 503 and named(self.readyz()[1]))
        check(f"{what}: /readyz is 503 and names the cause", seen, self.readyz())
        print(f"   {self.readyz()[1].strip()}")
        warned = lambda: [line for line in self.broker.log_since_start().splitlines() if "WARN" in line and named(line)]
        check(f"{what}: the log names the cause", until(lambda: bool(warned())), self.broker.log_tail())
        metrics = self.broker.metrics()
        check(f"{what}: metrics say so", 'kafscale_reading{name="store_condition"} 2' in metrics, metrics)

    def restart(self):
        self.broker.kill()
        self.broker.start()

    def reads_all(self, what):
        """From what the store holds, past whatever goes wrong."""
        found = History()
        try:
            read_all(self.broker.bootstrap, TOPIC, PARTITIONS, found)
            check(f"{what}: everything can be read", len(found.found) >= sum(found.ends.values()))
        except Exception as error:
            check(f"{what}: everything can be read", False, repr(error))


def answers_after_writes(scene):
    """Applied and then reset, applied and then 503."""
    for what, rate in [("applied and reset", "applied_unanswered_rate"), ("applied and 503", "applied_503_rate")]:
        fault = rate.removesuffix("_rate")
        scene.proxy.reset()
        scene.proxy.change(**{rate: 0.4})
        met = lambda: sum(counts["faults"].get(fault, 0) for counts in scene.proxy.stats()["methods"].values())
        check(f"{what}: it is met", until(lambda: met() >= 15), met())
        scene.proxy.change(**{rate: 0.0})
        scene.goes_on(what)


def answers_to_reads(scene):
    """Bodies cut, empty or of another part, and listings that lack the latest writes, for a start and for its readers."""
    rules = ["cut body", "empty 200", "wrong content-range", "list lag"]
    scene.proxy.follow("any", rules)
    # So that there is something which listings can lack.
    scene.load.wait_for_acks_since(time.monotonic(), PATIENCE_S)
    scene.restart()
    scene.reads_all("answers to reads")
    fired = scene.proxy.stats()["quirks"]
    for rule in rules:
        check(f"{rule}: it is met", fired[rule] > 0, fired)
    scene.proxy.follow(None)
    scene.goes_on("answers to reads")


def outage(scene):
    scene.proxy.change(error_503_rate=1.0)
    scene.is_told("503 to everything", ["SlowDown"])
    scene.proxy.change(error_503_rate=0.0)
    scene.goes_on("503 to everything")


def keys_revoked(scene):
    scene.store.keys("another-secret")
    scene.is_told("keys revoked", ["SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied"])
    scene.store.keys(SECRET)
    scene.goes_on("keys revoked")


def clock_off(scene):
    for off in ("+20m", "-20m"):
        scene.clock.set(off)
        scene.is_told(f"clock {off}", ["RequestTimeTooSkewed"])
        check(f"clock {off}: /readyz speaks of the clock", "this machine's clock" in scene.readyz()[1], scene.readyz())
        scene.clock.set("+0")
        scene.goes_on(f"clock {off}")
    warned = scene.broker.log_since_start().count("the system clock differs from the store's clock")
    check("clock: the log says by how much it is off", warned > 0, scene.broker.log_tail())


def nothing_is_lost(scene):
    scene.load.stop(patience_s=120)
    scene.restart()
    read_all(scene.broker.bootstrap, TOPIC, PARTITIONS, scene.history)
    problems = [("producer", what) for what in scene.load.errors] + check_history(scene.history)
    sent, acked = sum(scene.history.sent.values()), len(scene.history.acks)
    check(f"nothing of {acked} acknowledged records ({sent} sent) is lost, doubled or moved", not problems, summary(problems))


def bucket_deleted(scene):
    """The broker acknowledges nothing more and ends; one of the new bucket begins with nothing."""
    outcomes = []
    # Whoever still asks for the topic would make it anew.
    scene.load.clients.clear()
    settings = {"bootstrap.servers": scene.broker.bootstrap, "message.timeout.ms": 10_000, "allow.auto.create.topics": False, **QUIET}
    producer = Producer(settings)
    scene.store.bucket("delete")
    producer.produce(TOPIC, b"late", on_delivery=lambda error, _: outcomes.append(error))
    ended = until(lambda: scene.broker.process.poll() is not None, 30)
    # It must not be written on, so it is made anew at once.
    status, said = scene.broker.process.returncode, scene.broker.log_tail(3)
    check("bucket deleted: the broker ends with 4 and says why", ended and status == 4 and "NoSuchBucket" in said, said)
    print("   " + said.splitlines()[-1])
    producer.flush(30)
    check("bucket deleted: nothing is acknowledged", len(outcomes) == 1 and outcomes[0] is not None, outcomes)
    try:
        scene.broker.start()
        check("bucket deleted: a start is refused", False, scene.broker.log_tail(3))
    except RuntimeError as error:
        refused = scene.broker.process.returncode == 3 and "NoSuchBucket" in str(error)
        check("bucket deleted: a start is refused with 3 and says why", refused, error)
    scene.store.bucket("create")
    scene.broker.start()
    there = AdminClient({"bootstrap.servers": scene.broker.bootstrap, **QUIET}).list_topics(timeout=30).topics
    check("bucket made anew: it holds nothing", TOPIC not in there, list(there))
    create_topic(scene.broker.bootstrap, "anew", 1)
    producer = Producer({**settings, "bootstrap.servers": scene.broker.bootstrap})
    producer.produce("anew", b"first", on_delivery=lambda error, _: outcomes.append(error))
    producer.flush(30)
    check("bucket made anew: it takes records", outcomes[1:] == [None], outcomes)


def tell(folder):
    for binary in ("kafscale", "lab"):
        setup(binary)
    with contextlib.ExitStack() as running:
        environment = running.enter_context(stores.seaweedfs(folder / "seaweedfs"))
        latency = ["--put-p50-ms=10", "--put-p99-ms=30"]
        proxy = running.enter_context(stores.Proxy(folder, environment["AWS_ENDPOINT_URL"], latency, "lab"))
        scene = Scene(folder, proxy, environment)
        running.enter_context(scene.broker)
        create_topic(scene.broker.bootstrap, TOPIC, PARTITIONS)
        load = Load(scene.broker.bootstrap, TOPIC, PARTITIONS, PRODUCERS, scene.history, folder / "acks.log", seed=1)
        scene.load = load
        load.start()
        try:
            for story in (answers_after_writes, answers_to_reads, outage, keys_revoked, clock_off):
                story(scene)
        except BaseException:
            load.stop(patience_s=1)
            raise
        nothing_is_lost(scene)
        bucket_deleted(scene)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder for logs and data; else a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kafscale-faults-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            tell(folder)
        except Exception as error:
            check("the story comes to its end", False, repr(error))
        if CHECKS["failed"]:
            for log in sorted(folder.glob("*.log")):
                if log.name != "acks.log":
                    print(f"--- tail of {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-40:]))
    print(f"{CHECKS['passed']} passed, {CHECKS['failed']} failed")
    sys.exit(CHECKS["failed"] > 0)


if __name__ == "__main__":
    main()
