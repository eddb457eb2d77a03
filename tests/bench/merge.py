"""What rewriting costs: broker CPU and requests to the store for each GiB, stage by stage, on an S3-like store."""

from confluent_kafka.admin import AdminClient, NewTopic

import stages
from clients import MIB, RECORD_BYTES, create_topic

MIXED, FAT = (256, 1024), (8, 512)  # partitions, MiB
KEYED_PARTITIONS, KEYED_MIB, WRITES_PER_KEY = 8, 512, 4


def run(folder, scale):
    """Small parts of many partitions go through all levels; much of few becomes segments directly; keyed records are cleaned."""
    rows = []
    for partitions, mib in (MIXED, FAT):
        with stages.on_s3_like(folder / f"of-{partitions}") as on:
            create_topic(on.broker.bootstrap, "merge", partitions)
            stages.write(on, "merge", partitions, mib * scale)
            each = f"{mib * scale / partitions:.1f} MiB of each of {partitions} partitions"
            if (partitions, mib) == MIXED:
                rows.append(stages.merged(on, f"L0 to L1: {each}"))
                rows.append(stages.segmented(on, f"L1 to .kfs: {each}"))
            else:
                rows.append(stages.segmented(on, f"L0 to .kfs: {each}"))
    with stages.on_s3_like(folder / "keyed") as on:
        rows += cleaning(on, KEYED_MIB * scale)
    return rows


def cleaning(on, mib):
    """A compacted topic in which each key was written four times, in the order of the keys: three of four records go."""
    admin = AdminClient({"bootstrap.servers": on.broker.bootstrap, "log_level": 2})
    topic = NewTopic("keyed", KEYED_PARTITIONS, 1, config={"cleanup.policy": "compact"})
    admin.create_topics([topic], operation_timeout=60)["keyed"].result(120)
    keys = max(1, int(mib * MIB / RECORD_BYTES / KEYED_PARTITIONS / WRITES_PER_KEY))
    stages.write(on, "keyed", KEYED_PARTITIONS, mib, keys=keys)
    merged = stages.merged(on, f"L0 to L1: {KEYED_PARTITIONS} compacted partitions")
    # The newest batches of a partition are looked at as well: all of them were merged.
    whole = merged["mib"] * MIB * 0.99
    read = "compaction_read_bytes_total"
    what = f"log compaction, per GiB read: {keys * KEYED_PARTITIONS} keys, each {WRITES_PER_KEY} times"
    cleaned = stages.stage(on, what, stages.CLEANING, lambda counts: counts.sum(read),
                           lambda counts: counts.sum(read) >= whole and counts.reading("compaction_debt_partitions") == 0)
    return [merged, cleaned]


COLUMNS = [
    ("", "what", "{}"),
    ("MiB", "mib", "{:.0f}"),
    ("s", "seconds", "{:.1f}"),
    ("broker CPU s/GiB", "cpu_s_per_gib", "{:.2f}"),
    ("PUTs/GiB", "puts_per_gib", "{:.0f}"),
    ("GETs/GiB", "gets_per_gib", "{:.0f}"),
    ("memory at its highest, MiB", "memory_mib", "{:.0f}"),
]

