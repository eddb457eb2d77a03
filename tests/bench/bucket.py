"""On an S3-like store: SeaweedFS behind the proxy, which delays PUTs log-normally with p50 60 and p99 250 ms, GETs with
25 and 120 ms, and measures what the store is asked. Every figure of a PUT is the proxy's own, of the same run.
"""

import time

from clients import GIB, MIB, RECORD_BYTES, columns, create_topic, franz_go, java_produce
from stores import on_bucket

# What one default producer may have in flight on one partition: five batches of its batch size.
WINDOWS = {"Java": 5 * 16 * 1024, "franz-go": 5 * 1_000_000}


def latency(folder, scale):
    """A client that sends one record at a time, and a steady load over many partitions, on each setting of the dial."""
    rows = []
    for dial in ("balanced", "fast"):
        with bucket(folder / dial, dial) as on:
            bootstrap = on.broker.bootstrap
            create_topic(bootstrap, "closed", 1)
            rows.append(measured(on, f"{dial}: one record at a time", "closed", "closed", scale, records=600))
            create_topic(bootstrap, "steady", 64)
            rows.append(measured(on, f"{dial}: 10 MB/s over 64 partitions, send to receipt", "e2e", "steady", scale,
                                 partitions=64, rate=10_000_000 // RECORD_BYTES, records=60 * 10_000_000 // RECORD_BYTES))
            create_topic(bootstrap, "answers", 64)
            rows.append(measured(on, f"{dial}: 10 MB/s over 64 partitions, send to answer", "produce", "answers", scale,
                                 partitions=64, rate=10_000_000 // RECORD_BYTES, records=60 * 10_000_000 // RECORD_BYTES))
    return rows


def window(folder, scale):
    """One default producer as fast as it goes, against its window limit: bytes in flight per mean PUT of the same run."""
    rows = []
    with bucket(folder) as on:
        for client, partitions, mib in [("Java", 1, 64), ("Java", 16, 512), ("franz-go", 1, 1024), ("franz-go", 16, 1024)]:
            topic = f"{client.lower()}-{partitions}"
            create_topic(on.broker.bootstrap, topic, partitions)
            records = int(mib * scale) * MIB // RECORD_BYTES
            on.proxy.reset()
            if client == "Java":
                result = java_produce(on.broker.bootstrap, topic, records)
            else:
                result = franz_go("produce", on.broker.bootstrap, topic, partitions=partitions, records=records)
            row = with_store(on, f"{client}, {partitions} partitions", result)
            row["limit_mib_per_s"] = WINDOWS[client] * partitions / MIB / (row["put_mean_ms"] / 1000)
            row["share_of_limit"] = row["mib_per_s"] / row["limit_mib_per_s"]
            rows.append(row)
    return rows


def spread(folder, scale):
    """1 MB/s, a minute long, over ever more partitions."""
    rows = []
    for partitions in (1, 1_000, 10_000):
        with bucket(folder / str(partitions)) as on:
            create_topic(on.broker.bootstrap, "spread", partitions)
            rate = 1_000_000 // RECORD_BYTES
            rows.append(measured(on, f"1 MB/s over {partitions} partitions", "produce", "spread", scale,
                                 partitions=partitions, rate=rate, records=60 * rate))
    return rows


def idle(folder, scale):
    """The requests of a start on an empty bucket, and of a minute without clients after a little load."""
    with bucket(folder) as on:
        start = with_store(on, "start on an empty bucket", {"seconds": on.started_s})
        create_topic(on.broker.bootstrap, "before", 4)
        franz_go("produce", on.broker.bootstrap, "before", partitions=4, records=10_000)
        time.sleep(5)
        on.proxy.reset()
        time.sleep(60 * min(1, scale))
        return [start, with_store(on, "no client for a minute", {"seconds": 60 * min(1, scale)})]


def bucket(folder, dial="balanced"):
    return on_bucket(folder, suffix="-release", settings={"KAFSCALE_LATENCY": dial})


def measured(on, what, mode, topic, scale, records, **options):
    """One run of the franz-go client, with what the proxy saw meanwhile."""
    on.proxy.reset()
    result = franz_go(mode, on.broker.bootstrap, topic, records=max(50, int(records * scale)), **options)
    return with_store(on, what, result)


def with_store(on, what, result):
    """Adds the proxy's figures to a client's."""
    row = {"what": what, **result, **on.proxy.figures()}
    if result.get("bytes"):
        row["requests_per_gib"] = row["requests"] / (result["bytes"] / GIB)
    row["requests_per_s"] = row["requests"] / result["seconds"]
    return row


COLUMNS = [
    ("", "what", "{}"),
    ("MiB/s", "mib_per_s", "{:.1f}"),
    ("p50 ms", "p50_ms", "{:.0f}"),
    ("p99 ms", "p99_ms", "{:.0f}"),
    ("PUT p50 ms", "put_p50_ms", "{:.0f}"),
    ("PUT p99 ms", "put_p99_ms", "{:.0f}"),
    ("PUT mean ms", "put_mean_ms", "{:.0f}"),
    ("PUTs", "puts", "{}"),
    ("requests/s", "requests_per_s", "{:.1f}"),
    ("requests/GiB", "requests_per_gib", "{:.0f}"),
    ("window limit MiB/s", "limit_mib_per_s", "{:.1f}"),
    ("share of it", "share_of_limit", "{:.0%}"),
]


table = columns(COLUMNS)
