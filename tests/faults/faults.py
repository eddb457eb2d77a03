#!/usr/bin/env python3
"""One broker under load lives through what a bucket may do to it, on a real S3 server with signatures on.

    tests/faults/run.sh [--outage SECONDS] [--keep FOLDER]

Some of it the proxy in front does (answers lost or wrong behind writes that were applied, bodies cut, listings that lack
the latest writes, 503 for a while), the rest is real: the server stops knowing the key, the broker's clock is twenty
minutes off (libfaketime), the bucket is deleted and made anew. Each time it is looked at what an operator sees: the log,
/readyz and the metrics must name the cause in the store's own words. Afterwards everything acknowledged must be there.

With --outage the store answers 503 to everything for so long, and nothing else happens to it; see outage.py.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "servers"), str(TESTS / "kill")]
import outage as long
import stores
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from load import QUIET, Load, create_topic
from scene import CHECKS, PARTITIONS, PATIENCE_S, PRODUCERS, SECRET, TOPIC, Scene, check, until
from servers import setup


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


def tell(folder, outage_s):
    for binary in ("kafscale", "lab"):
        setup(binary)
    with contextlib.ExitStack() as running:
        environment = running.enter_context(stores.seaweedfs(folder / "seaweedfs"))
        latency = ["--put-p50-ms=10", "--put-p99-ms=30"]
        proxy = running.enter_context(stores.Proxy(folder, environment["AWS_ENDPOINT_URL"], latency, "lab"))
        scene = Scene(folder, proxy, environment)
        running.enter_context(scene.broker)
        create_topic(scene.broker.bootstrap, TOPIC, PARTITIONS)
        # They never give up, however long it takes.
        patience = {"message.timeout.ms": 0}
        acks = folder / "acks.log"
        load = Load(scene.broker.bootstrap, TOPIC, PARTITIONS, PRODUCERS, scene.history, acks, seed=1, settings=patience)
        scene.load = load
        load.start()
        try:
            if outage_s:
                long.outage(scene, folder, environment, outage_s)
            else:
                for story in (answers_after_writes, answers_to_reads, outage, keys_revoked, clock_off):
                    story(scene)
        except BaseException:
            load.stop(patience_s=1)
            raise
        scene.nothing_is_lost()
        if not outage_s:
            bucket_deleted(scene)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder for logs and data; else a temporary one")
    parser.add_argument("--outage", type=float, metavar="SECONDS", help="this alone: 503 to everything for so long, 120 s at least")
    arguments = parser.parse_args()
    if arguments.outage is not None and arguments.outage < 120:
        parser.error("an outage of less than 120 s does not outlive the start that happens in it")
    with tempfile.TemporaryDirectory(prefix="kafscale-faults-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            tell(folder, arguments.outage)
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
