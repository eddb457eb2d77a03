"""Reading what lies in the store alone: whole topics against the raw store, single records, and the tail beside replays.

The broker is restarted before it is read, so its memory is empty. Readers are eight connections with the limits of Java's
consumer that do no more than find out where to go on.
"""

import json
import os
import random
import subprocess
import threading
import time

import stages
from clients import MIB, RECORD_BYTES, create_topic, franz_go
from fetches import Fetcher, read_side_by_side
from servers import setup

PARTITIONS, READERS = 16, 8
# As many GETs as the broker has under way at the most.
GETS = 16
TOPIC = "cold"
POINTS = 150
REPLAYS = 10
# Megabytes a second each way between the proxy and the broker: less than what the processor can do for all of them, so
# that it is the line that is full, as in a cloud.
LINE = 60
TAIL_RATE, TAIL_S = 2_000, 40


def forms(on, mib):
    """The same topic as flushes wrote it, merged, and as segments; each with the broker restarted and nothing rewritten."""
    create_topic(on.broker.bootstrap, TOPIC, PARTITIONS)
    stages.write(on, TOPIC, PARTITIONS, mib)
    yield from rested(on, "mixed objects, as flushes wrote them")
    move(on, stages.MERGING, "merged", "merge_debt_partitions")
    yield from rested(on, "merged objects")
    move(on, stages.SEGMENTS, "segment", "segment_debt_partitions")
    yield from rested(on, "segments")


def rested(on, form):
    stages.restart(on, stages.AT_REST)
    yield form


def move(on, settings, into, debt):
    stages.restart(on, settings)
    stages.until(on.broker, lambda counts: counts.rewritten(into) > 0 and counts.reading(debt) == 0)


def ends(mib):
    """What offsets the partitions end at: records are spread evenly."""
    records = int(mib) * MIB // RECORD_BYTES
    return {number: len(range(number, records, PARTITIONS)) for number in range(PARTITIONS)}


def cold(folder, scale):
    mib, rows = 1024 * scale, []
    with stages.on_directory(folder / "directory") as on:
        for form in forms(on, mib):
            row = sequential(on, f"directory: {form}", mib)
            row["raw_mib_per_s"] = raw_directory(on.broker.data, int(row["get_mib"] * MIB))
            rows.append(row)
    with stages.on_s3_like(folder / "bucket") as on:
        for form in forms(on, mib):
            for line, width in ((0, ""), (LINE, f" of {LINE} MB/s")):
                on.proxy.change(line_mb_per_s=line)
                if line:
                    stages.restart(on, stages.AT_REST)
                row = sequential(on, f"S3-like{width}: {form}", mib)
                row["raw_mib_per_s"] = raw_bucket(on, int(row["get_mib"] * MIB))
                rows.append(row)
            on.proxy.change(line_mb_per_s=0)
    for row in rows:
        row["share_of_raw"] = row["mib_per_s"] / row["raw_mib_per_s"]
    return rows


def sequential(on, what, mib):
    before = on.broker.cpu_seconds()
    size, seconds = read_side_by_side(on.broker.bootstrap, TOPIC, dict.fromkeys(range(PARTITIONS), 0), ends(mib), READERS)
    counts = stages.Counts(on.broker)
    loaded, gets = counts.reading("load_bytes"), counts.reading("load_gets")
    return {
        "what": what,
        "mib_per_s": size / MIB / seconds,
        "get_mib": loaded / gets / MIB,
        "gets_per_gib": gets / (size / MIB / 1024),
        "read_twice": loaded / size - 1,
        "cpu_s_per_gib": (counts.cpu_s - before) / (size / MIB / 1024),
        "memory_mib": on.broker.memory_mib("VmHWM"),
    }


def raw_bucket(on, size):
    """The same store through the same proxy by the same client code, without a broker: whole objects of the size of its GETs."""
    arguments = ["storage", "bench", "--store", f"{on.broker.store}-raw", "--size", size, "--concurrency", GETS]
    arguments += ["--total", 512 * MIB, "--duration", "16s", "-o", "json"]
    command = [setup("kafscale-release"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=on.broker.environment())
    if done.returncode != 0:
        raise RuntimeError(f"the raw store cannot be measured:\n{done.stderr[-2000:]}")
    return next(row for row in json.loads(done.stdout) if row["operation"] == "get")["mb_per_second"] * 1e6 / MIB


def raw_directory(folder, size):
    """All files that hold records, from the disk, in pieces of the size of the broker's GETs by as many threads."""
    stages.forget_pages(folder)
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > size // 2]
    pieces = [(path, at) for path in files for at in range(0, path.stat().st_size, size)]
    read, lock = [], threading.Lock()

    def reader():
        while True:
            with lock:
                if not pieces:
                    return
                path, at = pieces.pop()
            descriptor = os.open(path, os.O_RDONLY)
            read.append(len(os.pread(descriptor, size, at)))
            os.close(descriptor)

    threads = [threading.Thread(target=reader) for _ in range(GETS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(read) / MIB / (time.monotonic() - started)


def point(folder, scale):
    """One record each at random places, one after the other; what happened to be in memory already is left out."""
    mib, rows, dice = 1024 * scale, [], random.Random(1)
    with stages.on_s3_like(folder) as on:
        for form in forms(on, mib):
            rows.append(points(on, form, ends(mib), dice))
    return rows


def points(on, form, until, dice):
    """GETs of fetches as the broker counts them: the proxy counts what it asks in between as well, and second attempts."""
    gets, times = [], []
    on.proxy.reset()
    for _ in range(POINTS):
        partition = dice.randrange(PARTITIONS)
        before = stages.Counts(on.broker).reading("load_gets")
        with Fetcher(on.broker.bootstrap, TOPIC, {partition: dice.randrange(until[partition])}) as fetcher:
            started = time.monotonic()
            assert fetcher.fetch(partition_bytes_max=1) > 0
            took = time.monotonic() - started
        if asked := int(stages.Counts(on.broker).reading("load_gets") - before):
            gets.append(asked)
            times.append(took * 1000)
    times.sort()
    return {
        "what": form,
        "fetches": len(gets),
        "gets_mean": sum(gets) / len(gets),
        "gets_max": max(gets),
        "over_two": sum(count > 2 for count in gets),
        "others": on.proxy.figures().get("gets", 0) - sum(gets),
        "p50_ms": times[len(times) // 2],
        "p99_ms": times[len(times) * 99 // 100],
    }


def replays(folder, scale):
    """A tail at a steady rate, alone and while ten readers go through a cold topic from its start to its end, again and again."""
    mib, rows = 1024 * scale, []
    with stages.on_s3_like(folder) as on:
        create_topic(on.broker.bootstrap, TOPIC, PARTITIONS)
        stages.write(on, TOPIC, PARTITIONS, mib)
        move(on, stages.SEGMENTS, "segment", "segment_debt_partitions")
        stages.restart(on, stages.AT_REST)
        create_topic(on.broker.bootstrap, "tail", 16)
        on.proxy.change(line_mb_per_s=LINE)
        rows.append(tail(on, "the tail alone", scale))
        for count in (1, REPLAYS):
            with Replays(on.broker.bootstrap, count, ends(mib)) as beside:
                row = tail(on, f"beside {count} replay{'s' * (count > 1)}", scale)
            rows.append({**row, "replayed_mib_per_s": beside.mib_per_s})
    return rows


def tail(on, what, scale):
    on.proxy.reset()
    before, started = on.broker.cpu_seconds(), time.monotonic()
    result = franz_go("e2e", on.broker.bootstrap, "tail", partitions=16, rate=TAIL_RATE, records=int(TAIL_RATE * TAIL_S * min(1, max(0.6, scale))))
    cores = (on.broker.cpu_seconds() - before) / (time.monotonic() - started)
    return {"what": what, **result, **on.proxy.figures(), "broker_cores": cores}


class Replays:
    """Readers that begin anew whenever they come to the end."""

    def __init__(self, bootstrap, count, until):
        self.bootstrap, self.until, self.is_over, self.received, self.errors = bootstrap, until, False, 0, []
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(count)]

    def __enter__(self):
        self.started = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.mib_per_s = self.received / MIB / (time.monotonic() - self.started)
        self.is_over = True
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def run(self, number):
        try:
            while not self.is_over:
                with Fetcher(self.bootstrap, TOPIC, dict.fromkeys(range(PARTITIONS), 0)) as fetcher:
                    while not self.is_over and (left := [each for each, end in self.until.items() if fetcher.offsets[each] < end]):
                        # Ten consumers are not in step.
                        self.received += fetcher.fetch(left[number % len(left):] + left[: number % len(left)])
        except Exception as error:
            self.errors.append(error)


COLD = [
    ("cold, 8 readers", "what", "{}"),
    ("MiB/s", "mib_per_s", "{:.0f}"),
    ("raw store MiB/s", "raw_mib_per_s", "{:.0f}"),
    ("share", "share_of_raw", "{:.0%}"),
    ("MiB per GET", "get_mib", "{:.1f}"),
    ("GETs/GiB", "gets_per_gib", "{:.0f}"),
    ("read in vain", "read_twice", "{:.0%}"),
    ("broker CPU s/GiB", "cpu_s_per_gib", "{:.2f}"),
    ("memory at its highest, MiB", "memory_mib", "{:.0f}"),
]
POINT = [
    ("one record at a random offset, cold", "what", "{}"),
    ("fetches", "fetches", "{}"),
    ("GETs per fetch", "gets_mean", "{:.2f}"),
    ("at most", "gets_max", "{}"),
    ("fetches of more than 2", "over_two", "{}"),
    ("other GETs of the broker, and second attempts", "others", "{}"),
    ("p50 ms", "p50_ms", "{:.0f}"),
    ("p99 ms", "p99_ms", "{:.0f}"),
]
REPLAYED = [
    ("2 MB/s, send to receipt", "what", "{}"),
    ("p50 ms", "p50_ms", "{:.0f}"),
    ("p99 ms", "p99_ms", "{:.0f}"),
    ("PUT p50 ms", "put_p50_ms", "{:.0f}"),
    ("PUT p99 ms", "put_p99_ms", "{:.0f}"),
    ("replays MiB/s, all together", "replayed_mib_per_s", "{:.0f}"),
    ("cores of the broker", "broker_cores", "{:.2f}"),
]
