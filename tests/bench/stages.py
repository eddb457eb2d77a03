"""The life of data in stages: a broker that leaves records where they are, or does one thing to them as fast as it can.

Between stages the broker is restarted with other settings, so that what it costs belongs to one stage alone, and what it reads
it must read from the store.
"""

import contextlib
import os
import re
import time
from pathlib import Path

from clients import GIB, MIB, RECORD_BYTES, franz_go
from servers import Kafscale
from stores import known, on_bucket

PATIENCE_S = 300

# Nothing is rewritten or deleted.
AT_REST = {
    "KAFSCALE_MERGE_INTERVAL": "1h",
    "KAFSCALE_MERGE_AGE": "1day",
    "KAFSCALE_SEGMENT_AGE": "7days",
    "KAFSCALE_SEGMENT_AGE_SMALL": "7days",
    "KAFSCALE_COMPACTION_INTERVAL": "1h",
    "KAFSCALE_REWRITE_BANDWIDTH": "0",
}
# All that lies where a flush put it is merged; all that is not in a segment becomes one.
MERGING = AT_REST | {"KAFSCALE_MERGE_INTERVAL": "1s", "KAFSCALE_MERGE_AGE": "1s"}
SEGMENTS = AT_REST | {"KAFSCALE_MERGE_INTERVAL": "1s", "KAFSCALE_SEGMENT_AGE": "1s", "KAFSCALE_SEGMENT_AGE_SMALL": "1s"}
CLEANING = AT_REST | {"KAFSCALE_COMPACTION_INTERVAL": "1s"}

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


class OnDirectory:
    """A broker on a directory, where no proxy counts requests."""

    def __init__(self, folder):
        self.broker = Kafscale(folder, settings=AT_REST, binary="kafscale-release")


@contextlib.contextmanager
def on_directory(folder):
    on = OnDirectory(folder)
    on.broker.start()
    try:
        yield on
    finally:
        on.broker.stop()


@contextlib.contextmanager
def on_s3_like(folder):
    with on_bucket(folder, suffix="-release", settings=AT_REST) as on:
        known(on.broker)
        yield on


def restart(on, settings):
    """The same store, other settings; all that was in the broker's memory is gone, on a directory from the page cache as well."""
    on.broker.stop()
    if isinstance(on, OnDirectory):
        forget_pages(on.broker.data)
    on.broker.settings = {**on.broker.settings, **settings}
    on.broker.start()


def write(on, topic, partitions, mib, **options):
    """A topic of so many MiB, spread evenly."""
    records = int(mib) * MIB // RECORD_BYTES
    return franz_go("produce", on.broker.bootstrap, topic, partitions=partitions, records=records, **options)


class Counts:
    """The metrics of a broker at one moment."""

    def __init__(self, broker):
        self.samples = [match.groups() for match in map(SAMPLE.match, broker.metrics().splitlines()) if match]
        self.cpu_s, self.at = broker.cpu_seconds(), time.monotonic()

    def sum(self, name, *labels):
        """All samples of a name whose labels hold these texts."""
        found = [float(value) for sample, tags, value in self.samples
                 if sample == f"kafscale_{name}" and all(label in (tags or "") for label in labels)]
        return sum(found)

    def reading(self, name):
        return self.sum("reading", f'name="{name}"')

    def rewritten(self, into, what="bytes"):
        return self.sum(f"rewritten_{what}_total", f'into="{into}"')


def until(broker, is_over):
    """Looks at the metrics until that holds; returns them."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_over(counts := Counts(broker)):
        if time.monotonic() > deadline:
            raise RuntimeError("it does not end: " + broker.metrics())
        time.sleep(0.1)
    return counts


def stage(on, what, settings, moved, is_over):
    """One stage from a cold start until `is_over`, and what it cost for each GiB that `moved` tells."""
    restart(on, settings)
    on.proxy.reset()
    before = Counts(on.broker)
    after = until(on.broker, is_over)
    asked = on.proxy.figures()
    size = moved(after)  # a broker that starts counts from 0
    row = {"what": what, "mib": size / MIB, "seconds": after.at - before.at, "cpu_s": after.cpu_s - before.cpu_s}
    row["cpu_s_per_gib"] = row["cpu_s"] / (size / GIB)
    row["memory_mib"] = on.broker.memory_mib("VmHWM")
    for kind in ("puts", "gets"):
        row[f"{kind}_per_gib"] = asked.get(kind, 0) / (size / GIB)
    return row


def merged(on, what="L0 to L1"):
    return stage(on, what, MERGING, lambda counts: counts.rewritten("merged"),
                 lambda counts: counts.rewritten("merged") > 0 and counts.reading("merge_debt_partitions") == 0)


def segmented(on, what="L1 to .kfs"):
    return stage(on, what, SEGMENTS, lambda counts: counts.rewritten("segment"),
                 lambda counts: counts.rewritten("segment") > 0 and counts.reading("segment_debt_partitions") == 0)


def forget_pages(folder):
    """Files of a directory leave the page cache, so that whoever reads next reads from the disk."""
    os.sync()
    for path in Path(folder).rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
