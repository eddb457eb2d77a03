"""The clients of the benchmarks: Java's producer perf tool, a Java consumer by assignment, and a franz-go program.

All of them run with the default settings of their library unless a section says otherwise; only the bootstrap
address and the topic are given.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
from servers import setup

RECORD_BYTES = 1024
MIB = 1 << 20
GIB = 1 << 30

PERF_LINE = re.compile(
    r"(\d+) (?:steady state )?records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), ([\d.]+) ms avg latency, ([\d.]+) ms max latency, "
    r"(\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99.9th"
)


def java(*arguments):
    return ["java", "-cp", f"{setup('kafka')}/*", *map(str, arguments)]


def client_settings():
    """The effective settings of the Java clients, one per line."""
    done = subprocess.run(java(HERE / "java/Settings.java"), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def create_topic(bootstrap, topic, partitions):
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    admin.create_topics([NewTopic(topic, partitions, 1)], operation_timeout=60)[topic].result(120)


def java_produce(bootstrap, topic, records, producers=1, rate=-1, warmup=0):
    """Runs the producer perf tool, `producers` processes at once, `records` in all; `rate` is records/s for each.

    The figures leave out the first `warmup` records.
    """
    command = java(
        "org.apache.kafka.tools.ProducerPerformance",
        *("--bootstrap-server", bootstrap, "--topic", topic, "--num-records", records // producers),
        *("--record-size", RECORD_BYTES, "--throughput", rate),
        *(("--warmup-records", warmup) if warmup else ()),
    )
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(producers)]
    results = [perf_result(process) for process in running]
    sent = sum(result["records"] for result in results)
    seconds = max(result["seconds"] for result in results)
    return {
        "records": sent,
        "bytes": sent * RECORD_BYTES,
        "seconds": seconds,
        "mib_per_s": sent * RECORD_BYTES / MIB / seconds,
        "p50_ms": sorted(result["p50_ms"] for result in results)[producers // 2],
        "p99_ms": max(result["p99_ms"] for result in results),
    }


def perf_result(process):
    text = process.communicate()[0]
    lines = [PERF_LINE.match(line) for line in text.splitlines()]
    final = next((match for match in reversed(lines) if match), None)
    if process.returncode != 0 or final is None or "Exception" in text:
        raise RuntimeError(f"the perf tool failed:\n{text[-2000:]}")
    records, rate = int(final[1]), float(final[2])
    return {"records": records, "seconds": records / rate, "p50_ms": int(final[6]), "p99_ms": int(final[8])}


def java_consume(bootstrap, topic, records):
    done = subprocess.run(java(HERE / "java/Consume.java", bootstrap, topic, records), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the consumer failed:\n{done.stderr[-2000:]}")
    result = json.loads(done.stdout)
    return {**result, "mib_per_s": result["bytes"] / MIB / result["seconds"]}


def franz_go(mode, bootstrap, topic, **options):
    """Runs the franz-go program; see its own usage text for the modes and options."""
    flags = [f"-{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [setup("franz-go-load"), mode, f"-bootstrap={bootstrap}", f"-topic={topic}", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the franz-go client failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def kafscale_bench(broker, mode, topic, **options):
    """Runs `kafscale bench` of the broker's own binary; `record_size` is `--record-size`, a list is a flag each."""
    flags = [word for name, value in options.items() for each in (value if isinstance(value, list) else [value])
             for word in (f"--{name.replace('_', '-')}", each)]
    command = [broker.binary, "bench", mode, "--bootstrap-server", broker.bootstrap, "--topic", topic, "-o", "json", *flags]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"kafscale bench failed:\n{done.stderr[-2000:]}")


def with_cpu(broker, load):
    """Runs a load and adds the broker's CPU seconds per GiB, with two seconds for what it does afterwards."""
    before = broker.cpu_seconds()
    result = load()
    time.sleep(2)
    result["cpu_s_per_gib"] = (broker.cpu_seconds() - before) / (result["bytes"] / GIB)
    return result


def columns(described):
    """How rows become a table: of (title, key, format) only the columns for which some row has a figure."""

    def shown(rows):
        used = [column for column in described if any(row.get(column[1]) is not None for row in rows)]
        cells = [[form.format(row[key]) if row.get(key) is not None else "" for _, key, form in used] for row in rows]
        return [title for title, _, _ in used], cells

    return shown
