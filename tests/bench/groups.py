"""Groups beside Apache Kafka, in one run: rebalances of 1, 100 and 1,000 members, and 1,000 groups that commit; the latter
on an S3-like store as well.
"""

import asyncio
import time
from pathlib import Path

from clients import create_topic
from members import Member, form
from servers import Kafka, Kafscale
from stores import on_bucket

MEMBERS = (1, 100, 1000)
REBALANCES = 5
GROUPS, INTERVAL_S, MINUTE_S = 1000, 5, 60


def run(folder, scale):
    """Each broker on a directory, one after the other. `scale` shortens the committing only."""
    brokers = {
        "Apache Kafka": Kafka(folder / "kafka"),
        "KafScale": Kafscale(folder / "kafscale", binary="kafscale-release"),
    }
    return {name: measure(broker, max(2 * INTERVAL_S, MINUTE_S * scale)) for name, broker in brokers.items()}


def measure(broker, seconds):
    with broker:
        create_topic(broker.bootstrap, "read", 1)
        figures = {f"rebalance, {count} members": asyncio.run(rebalances(broker, count)) for count in MEMBERS}
        figures["commits"] = asyncio.run(commits(broker, seconds, lambda: stored(broker)))
    return figures


def on_an_s3_like_store(folder, scale):
    """The commits alone, on a bucket behind the proxy, which counts what is asked of it."""
    with on_bucket(folder, suffix="-release") as on:
        create_topic(on.broker.bootstrap, "read", 1)
        on.proxy.reset()
        figures = asyncio.run(commits(on.broker, max(2 * INTERVAL_S, MINUTE_S * scale), lambda: written(on.proxy)))
        return {**figures, "memory_mib": on.broker.memory_mib("VmHWM")}


def written(proxy):
    figures = proxy.figures()
    return figures.get("puts", 0), figures.get("put_bytes", 0), figures["requests"]


async def connected(members):
    await asyncio.gather(*(member.connect() for member in members))
    return members


async def rebalances(broker, count):
    """All members of a stable group join anew at once: how long until the last has its assignment, median of some.

    The time in which members would learn of it by their heartbeats is the clients' and left out.
    """
    members = await connected([Member(broker.bootstrap, f"rebalance-{count}") for _ in range(count)])
    await form(members)
    times, before = [], broker.cpu_seconds()
    for _ in range(REBALANCES):
        started = time.monotonic()
        await asyncio.gather(*(member.rebalance() for member in members))
        times.append(time.monotonic() - started)
    for member in members:
        member.close()
    cpu_ms = (broker.cpu_seconds() - before) / REBALANCES * 1000
    return {"ms": sorted(times)[REBALANCES // 2] * 1000, "cpu_ms": cpu_ms}


async def commits(broker, seconds, stored):
    """A group of one member each; all of them commit one partition every five seconds, spread evenly."""
    members = await connected([Member(broker.bootstrap, f"commits-{number}") for number in range(GROUPS)])
    await asyncio.gather(*(member.rebalance() for member in members))
    latencies = []

    async def committing(number, member):
        await asyncio.sleep(INTERVAL_S * number / GROUPS)
        for offset in range(int(seconds / INTERVAL_S)):
            started = time.monotonic()
            await member.commit("read", offset)
            latencies.append(time.monotonic() - started)
            await asyncio.sleep(max(0, INTERVAL_S - (time.monotonic() - started)))

    before, started = (broker.cpu_seconds(), *stored()), time.monotonic()
    await asyncio.gather(*(committing(number, member) for number, member in enumerate(members)))
    took = time.monotonic() - started
    after = (broker.cpu_seconds(), *stored())
    for member in members:
        member.close()
    cpu_s, objects, size, *requests = (new - old for new, old in zip(after, before))
    latencies.sort()
    return {
        "commits": len(latencies),
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
        "cpu_ms_per_s": cpu_s / took * 1000,
        "bytes_per_commit": size / len(latencies),
        "writes_per_s": objects / took if isinstance(broker, Kafscale) else None,
        "requests_per_s": requests[0] / took if requests else None,
    }


def stored(broker):
    """Files of the log, one per write, and bytes on the disk; of Apache Kafka the segments of its offsets topic."""
    if isinstance(broker, Kafscale):
        files = list((broker.data / "log").rglob("*"))
    else:
        files = list(Path(broker.folder / "data").glob("__consumer_offsets-*/*.log"))
    files = [file for file in files if file.is_file()]
    return len(files), sum(file.stat().st_size for file in files)


def table(figures):
    kafka, ours = figures["Apache Kafka"], figures["KafScale"]
    rows = []

    def row(what, group, key, form):
        shown = [form.format(of[group][key]) if of[group][key] is not None else "" for of in (kafka, ours)]
        rows.append((what, *shown))

    for count in MEMBERS:
        group = f"rebalance, {count} members"
        row(f"{group}: ms", group, "ms", "{:.1f}")
        row(f"{group}: broker CPU ms", group, "cpu_ms", "{:.0f}")
    row(f"{GROUPS} groups committing every {INTERVAL_S} s: commits", "commits", "commits", "{}")
    row("... p50 ms", "commits", "p50_ms", "{:.1f}")
    row("... p99 ms", "commits", "p99_ms", "{:.1f}")
    row("... broker CPU ms per s", "commits", "cpu_ms_per_s", "{:.0f}")
    row("... bytes per commit", "commits", "bytes_per_commit", "{:.0f}")
    row("... writes to the store per s", "commits", "writes_per_s", "{:.1f}")
    return ("", "Apache Kafka 4.3.1", "KafScale"), rows


def commits_table(figures):
    rows = [
        ("commits", f"{figures['commits']}"),
        ("p50 / p99 ms", f"{figures['p50_ms']:.0f} / {figures['p99_ms']:.0f}"),
        ("PUTs per s", f"{figures['writes_per_s']:.2f}"),
        ("requests to the store per s", f"{figures['requests_per_s']:.2f}"),
        ("bytes written per commit", f"{figures['bytes_per_commit']:.0f}"),
        ("broker CPU ms per s", f"{figures['cpu_ms_per_s']:.0f}"),
        ("broker memory at its highest, MiB", f"{figures['memory_mib']:.0f}"),
    ]
    return (f"{GROUPS} groups committing every {INTERVAL_S} s", "KafScale on a bucket"), rows
