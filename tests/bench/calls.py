"""The slowest API calls under load: the scripted programs of tests/differential, told again and again while a producer and a
consumer move 10 MB/s over 64 partitions. Each request is timed from its last byte sent to the last byte of its answer.
"""

import sys
import threading
import time
import uuid
from collections import defaultdict
from pathlib import Path

from clients import RECORD_BYTES, create_topic, franz_go
from servers import Kafka, Kafscale
from stores import on_bucket

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "differential"))
from programs import PROGRAMS
from wire import World

SHOWN, PARTITIONS, MINUTE_S = 30, 64, 60
RATE = 10_000_000 // RECORD_BYTES
# A member that joins shall not wait for others: that would be the figure.
AT_ONCE = {"KAFSCALE_GROUP_INITIAL_REBALANCE_DELAY": "0s"}


class Timed(World):
    """A client that notes how long each of its requests took. Those whose answer waits for others are left out."""

    def __init__(self, bootstrap, times):
        super().__init__(bootstrap, f"calls-{uuid.uuid4().hex[:8]}")
        self.times = times

    def ask(self, api, version, on="main", **fields):
        started = time.monotonic()
        answer = super().ask(api, version, on, **fields)
        if answer is not None:
            self.times[api].append((time.monotonic() - started) * 1000)
        return answer


def run(folder, scale):
    seconds = max(15, MINUTE_S * scale)
    figures = {}
    with Kafka(folder / "kafka", extra="group.initial.rebalance.delay.ms=0\n") as broker:
        figures["Apache Kafka, directory"] = measure(broker, seconds)
    with Kafscale(folder / "kafscale", settings=AT_ONCE, binary="kafscale-release") as broker:
        figures["KafScale, directory"] = measure(broker, seconds)
    with on_bucket(folder / "bucket", suffix="-release", settings=AT_ONCE) as on:
        figures["KafScale, bucket"] = measure(on.broker, seconds)
    return figures


def measure(broker, seconds):
    """Median and slowest answer of each API."""
    create_topic(broker.bootstrap, "load", PARTITIONS)
    load = threading.Thread(target=franz_go, args=("e2e", broker.bootstrap, "load"),
                            kwargs={"partitions": PARTITIONS, "rate": RATE, "records": int(RATE * seconds)})
    load.start()
    times = defaultdict(list)
    while load.is_alive():
        for program in PROGRAMS:
            world = Timed(broker.bootstrap, times)
            try:
                program(world)
            finally:
                world.close()
            if not load.is_alive():
                break
    return {api: {"calls": len(each), "p50_ms": sorted(each)[len(each) // 2], "max_ms": max(each)} for api, each in times.items()}


def table(figures):
    """The calls that are slowest on a bucket."""
    ours = figures["KafScale, bucket"]
    slowest = sorted(ours, key=lambda api: -ours[api]["p50_ms"])[:SHOWN]
    shown = lambda of, api: f"{of[api]['p50_ms']:.1f} / {of[api]['max_ms']:.0f}" if api in of else ""
    rows = [(api, ours[api]["calls"], *(shown(of, api) for of in figures.values())) for api in slowest]
    return ["p50 / max ms", "calls on the bucket", *figures], rows
