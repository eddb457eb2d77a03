#!/usr/bin/env python3
"""The benchmarks: figures as JSON, and as markdown tables for docs/benchmarks.md.

    tests/bench/run.sh [--scale N] [--out FOLDER] [SECTION]...

    beside    beside Apache Kafka on a directory: CPU per GiB, throughput, latency, memory
    groups    beside Apache Kafka on a directory: rebalances of up to 1,000 members, 1,000 groups that commit
    commits   on an S3-like store: 1,000 groups that commit
    calls     beside Apache Kafka, on a directory and on an S3-like store: the slowest API calls under load
    latency   on an S3-like store: a client that sends one record at a time, and 10 MB/s over 64 partitions
    window    on an S3-like store: one default producer against what its own window allows
    spread    on an S3-like store: 1 MB/s over 1, 1,000 and 10,000 partitions, requests counted
    idle      on an S3-like store: requests of a start on an empty bucket, and of a broker without clients
    signing   on an S3-like store: CPU per GiB by how bodies are protected on their way
    cost      on an S3-like store: requests at 1, 10 and 100 MB/s, and their price per GiB at each provider
    connections   memory for each of 5,000 idle connections

The life of data, each on an S3-like store but where it says otherwise:

    merge     broker CPU and requests per GiB merged, made into segments, and compacted
    cold      sequential reads of a broker that has just started, against the raw store's; on a directory as well
    point     a fetch at a random offset: GETs and latency
    replays   the tail's latency with and without ten full replays of a cold topic beside it
    small     objects and requests of 10,000 small partitions
    start     time, memory and snapshot of 10,000 and 100,000 partitions, on a directory
    large     a snapshot of 200 MB taken and started from, on a directory

`--scale` makes every load smaller (0.1) or larger; 1 is what the published figures use.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import beside
import bucket
import calls
import cold
import connections
import cost
import groups
import large
import merge
import signing
import small
from clients import client_settings, columns

SECTIONS = {
    "beside": beside.run,
    "groups": groups.run,
    "commits": groups.on_an_s3_like_store,
    "calls": calls.run,
    "latency": bucket.latency,
    "window": bucket.window,
    "spread": bucket.spread,
    "idle": bucket.idle,
    "signing": signing.run,
    "cost": cost.run,
    "connections": connections.run,
    "merge": merge.run,
    "cold": cold.cold,
    "point": cold.point,
    "replays": cold.replays,
    "small": small.run,
    "start": small.start,
    "large": large.run,
}
TABLES = {
    "beside": beside.table,
    "groups": groups.table,
    "commits": groups.commits_table,
    "calls": calls.table,
    "signing": signing.table,
    "cost": cost.table,
    "connections": connections.table,
    "merge": columns(merge.COLUMNS),
    "cold": columns(cold.COLD),
    "point": columns(cold.POINT),
    "replays": columns(cold.REPLAYED),
    "small": small.table,
    "start": columns(small.START),
    "large": columns(large.COLUMNS),
}


def markdown(title, head, rows):
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines.extend("| " + " | ".join(map(str, row)) + " |" for row in rows)
    return "\n".join(lines) + "\n"


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return f"{os.cpu_count()} cores ({model}), {memory / (1 << 20):.0f} GiB, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], metavar="SECTION", help="default: all")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = client_settings()
    print(f"{machine()}\nsettings of the Java clients: " + ", ".join(settings), flush=True)
    report = {"machine": machine(), "load_average": os.getloadavg(), "scale": arguments.scale, "clients": settings}
    status = 0
    for name in arguments.sections or SECTIONS:
        print(f"--- {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="kafscale-bench-") as folder:
            try:
                report[name] = SECTIONS[name](Path(folder), arguments.scale)
            except Exception as error:
                print(f"{name} failed: {error!r}", file=sys.stderr)
                status = 1
                continue
        table = markdown(name, *TABLES.get(name, bucket.table)(report[name]))
        print(table, flush=True)
        (arguments.out / f"{name}.md").write_text(table)
        (arguments.out / "results.json").write_text(json.dumps(report, indent=1))
    print(f"results are in {arguments.out}")
    sys.exit(status)


if __name__ == "__main__":
    main()
