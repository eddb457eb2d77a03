"""Many partitions with little in each: what 10,000 of them cost on a bucket, and how a broker with 100,000 starts."""

import subprocess
import time

from confluent_kafka.admin import AdminClient, NewTopic

import stages
from clients import GIB, MIB, RECORD_BYTES, create_topic, franz_go
from servers import Kafscale, setup

PARTITIONS, RATE, MINUTES_S = 10_000, 1_000_000, 120
# Of these segments the requests are counted.
SEGMENTS = 64
DAY_S = 86_400

START_SIZES, PER_TOPIC = (10_000, 100_000), 10_000
IDLE_S = 16


def run(folder, scale):
    """1 MB/s over all of them with the settings that a broker has by itself, and what becoming segments costs then."""
    seconds = max(30, MINUTES_S * scale)
    with stages.on_s3_like(folder) as on:
        on.broker.stop()
        resting = {name: on.broker.settings.pop(name) for name in stages.AT_REST}
        on.broker.start()
        create_topic(on.broker.bootstrap, "small", PARTITIONS)
        on.proxy.reset()
        before = stages.Counts(on.broker)
        records = int(seconds * RATE / RECORD_BYTES)
        result = franz_go("produce", on.broker.bootstrap, "small", partitions=PARTITIONS, records=records, rate=RATE // RECORD_BYTES)
        asked, after = on.proxy.figures(), stages.Counts(on.broker)
        took = after.at - before.at
        figures = {
            "seconds": took,
            "bytes": result["bytes"],
            "flushes": after.sum("flush_size_bytes_count") - before.sum("flush_size_bytes_count"),
            "merged_objects": after.rewritten("merged", "objects"),
            "p99_ms": result["p99_ms"],
            "cpu_ms_per_s": (after.cpu_s - before.cpu_s) / took * 1000,
            "memory_mib": on.broker.memory_mib("VmHWM"),
            **{kind: asked.get(kind, 0) for kind in ("puts", "gets", "requests")},
        }
        on.broker.settings |= resting
        stages.restart(on, stages.MERGING)
        stages.until(on.broker, lambda counts: counts.reading("merge_debt_partitions") == 0 and counts.reading("extents") > 0)
        stages.restart(on, stages.SEGMENTS)
        on.proxy.reset()
        counts = stages.until(on.broker, lambda counts: counts.rewritten("segment", "objects") >= SEGMENTS)
        asked = on.proxy.figures()
        made = counts.rewritten("segment", "objects")
        figures["puts_per_segment"], figures["gets_per_segment"] = asked["puts"] / made, asked["gets"] / made
        return extrapolated(figures)


def extrapolated(figures):
    """A day of it. A partition writes 8.6 MB, so every six hours there is over 1 MiB for a segment: four segments with an
    index each; flushes and merged objects are gone then."""
    segments_a_day = 4 * PARTITIONS
    gib_a_day = figures["bytes"] / figures["seconds"] * DAY_S / GIB
    per_s = {kind: figures[kind] / figures["seconds"] for kind in ("puts", "gets")}
    figures["puts_per_day"] = per_s["puts"] * DAY_S + figures["puts_per_segment"] * segments_a_day
    figures["gets_per_day"] = per_s["gets"] * DAY_S + figures["gets_per_segment"] * segments_a_day
    figures["fresh_objects_per_gib"] = figures["flushes"] / (figures["bytes"] / GIB)
    figures["merged_objects_per_gib"] = figures["merged_objects"] / (figures["bytes"] / GIB)
    figures["old_objects_per_gib"] = 2 * segments_a_day / gib_a_day
    return figures


def table(figures):
    rows = [
        ("measured for", f"{figures['seconds']:.0f} s, {figures['bytes'] / MIB:.0f} MiB"),
        ("objects per GiB: flushes (for 10 minutes at most)", f"{figures['fresh_objects_per_gib']:.0f}"),
        ("... merged objects (for 6 hours)", f"{figures['merged_objects_per_gib']:.0f}"),
        ("... segments with their indexes (4 a day and partition)", f"{figures['old_objects_per_gib']:.0f}"),
        ("PUTs / GETs a second, flushing and merging", f"{figures['puts'] / figures['seconds']:.1f} / {figures['gets'] / figures['seconds']:.1f}"),
        ("PUTs / GETs per segment", f"{figures['puts_per_segment']:.2f} / {figures['gets_per_segment']:.2f}"),
        ("PUTs / GETs a day", f"{figures['puts_per_day']:,.0f} / {figures['gets_per_day']:,.0f}"),
        ("produce p99 ms", f"{figures['p99_ms']:.0f}"),
        ("broker CPU ms per s", f"{figures['cpu_ms_per_s']:.0f}"),
        ("broker memory at its highest, MiB", f"{figures['memory_mib']:.0f}"),
    ]
    return ("10,000 partitions, 100 bytes a second each", "KafScale on a bucket"), rows


def start(folder, scale):
    """Compacted topics of 10,000 partitions with a record in each: started from the log, and from a snapshot."""
    rows = []
    for size in START_SIZES:
        topics = max(1, int(size * min(1, scale)) // PER_TOPIC)
        partitions = topics * PER_TOPIC
        here = folder / f"{size}"
        broker = Kafscale(here, binary="kafscale-release")
        broker.start()
        try:
            empty_mib = broker.memory_mib()
            created_s = fill(broker.bootstrap, topics)
        finally:
            broker.stop()
        rows.append({"what": f"{partitions:,}, replaying the log", "created_s": created_s,
                     **started(broker, partitions, empty_mib)})
        copy(broker, here)
        again = Kafscale(here / "again", binary="kafscale-release")
        rows.append({"what": f"{partitions:,}, from a snapshot", **started(again, partitions, empty_mib)})
        snapshot = max((again.data / "snapshot").rglob("*"), key=lambda path: path.stat().st_size)
        rows[-1]["snapshot_bytes_per_partition"] = snapshot.stat().st_size / partitions
    return rows


def fill(bootstrap, topics):
    """Makes the topics, one request each since that may create 10,000 partitions at the most, and writes a record with a key
    into each partition; seconds of the making."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    names = [f"start-{number}" for number in range(topics)]
    started = time.monotonic()
    for name in names:
        topic = NewTopic(name, PER_TOPIC, 1, config={"cleanup.policy": "compact"})
        admin.create_topics([topic], operation_timeout=60)[name].result(120)
    took = time.monotonic() - started
    for name in names:
        franz_go("produce", bootstrap, name, partitions=PER_TOPIC, records=PER_TOPIC, size=100, keys=1)
    return took


def copy(broker, folder):
    """A copy of its store whose state is one snapshot, as a backup that is restored has it."""
    for command in (["backup", "--data", broker.data, "--to", f"file:{folder}/backup"],
                    ["restore", "--from", f"file:{folder}/backup", "--data", folder / "again" / "data", "--yes"]):
        (folder / "again").mkdir(exist_ok=True)
        done = subprocess.run([setup("kafscale-release"), *map(str, command)], capture_output=True, text=True, env=broker.environment())
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed:\n{done.stderr[-2000:]}")


def started(broker, partitions, empty_mib):
    """A start, what it takes until `ready`, and some seconds in which nothing happens but the broker's own rounds."""
    seconds = broker.start()
    try:
        mib, cpu_s = broker.memory_mib(), broker.cpu_seconds()
        time.sleep(IDLE_S)
        return {
            "ready_s": seconds,
            "start_cpu_s": cpu_s,
            "memory_mib": mib,
            "memory_bytes_per_partition": (mib - empty_mib) * MIB / partitions,
            "idle_cpu_ms_per_s": (broker.cpu_seconds() - cpu_s) / IDLE_S * 1000,
        }
    finally:
        broker.stop()


START = [
    ("partitions", "what", "{}"),
    ("making them, s", "created_s", "{:.1f}"),
    ("ready, s", "ready_s", "{:.2f}"),
    ("CPU s", "start_cpu_s", "{:.2f}"),
    ("memory, MiB", "memory_mib", "{:.0f}"),
    ("bytes of memory per partition", "memory_bytes_per_partition", "{:.0f}"),
    ("bytes of snapshot per partition", "snapshot_bytes_per_partition", "{:.0f}"),
    ("CPU ms per s, idle", "idle_cpu_ms_per_s", "{:.1f}"),
]
