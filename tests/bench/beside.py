"""Beside Apache Kafka, in one run: the same machine, client and load; only bootstrap address and topic are given."""

import time

from clients import GIB, RECORD_BYTES, create_topic, java_consume, java_produce, with_cpu
from servers import Kafka, Kafscale

# (partitions, producers) of each load.
LOADS = [(1, 1), (16, 1), (1, 16), (16, 16)]

# A load far below the limits of both, for latency: records per second of one producer (10 MiB/s).
STEADY_RATE = 10_240


def run(folder, scale):
    """`scale` 1 sends 1 GiB per load. Returns {broker: figures}."""
    brokers = {
        "Apache Kafka": Kafka(folder / "kafka"),
        "KafScale": Kafscale(folder / "kafscale", binary="kafscale-release"),
    }
    return {name: measure(broker, scale) for name, broker in brokers.items()}


def measure(broker, scale):
    records = int(GIB * scale) // RECORD_BYTES // 16 * 16
    figures = {"ready_s": broker.start(), "produce": {}, "steady": {}}
    try:
        time.sleep(3)
        figures["idle_mib"] = broker.memory_mib()
        create_topic(broker.bootstrap, "warm-up", 4)
        java_produce(broker.bootstrap, "warm-up", records // 4)
        for partitions, producers in LOADS:
            topic = f"load-{partitions}-{producers}"
            create_topic(broker.bootstrap, topic, partitions)
            figures["produce"][f"{partitions} partitions, {producers} producers"] = with_cpu(
                broker, lambda: java_produce(broker.bootstrap, topic, records, producers)
            )
        for partitions in (1, 16):
            topic = f"steady-{partitions}"
            create_topic(broker.bootstrap, topic, partitions)
            seconds = 40 * min(1, scale)
            steady = java_produce(
                broker.bootstrap, topic, int(STEADY_RATE * seconds), rate=STEADY_RATE, warmup=int(STEADY_RATE * seconds / 4)
            )
            figures["steady"][f"{partitions} partitions, 10 MiB/s"] = steady
        figures["consume_hot"] = with_cpu(broker, lambda: java_consume(broker.bootstrap, "load-16-16", records))
        figures["load_mib"] = broker.memory_mib("VmHWM")
        broker.stop()
        figures["restart_s"] = broker.start()
        figures["consume_restarted"] = with_cpu(broker, lambda: java_consume(broker.bootstrap, "load-16-16", records))
    finally:
        broker.stop()
    return figures


def table(figures):
    """The figures as rows of a markdown table: what, Apache Kafka, KafScale."""
    kafka, ours = figures["Apache Kafka"], figures["KafScale"]
    rows = []

    def row(what, pick, form="{:.2f}"):
        rows.append((what, form.format(pick(kafka)), form.format(pick(ours))))

    for load in kafka["produce"]:
        row(f"produce, {load}: broker CPU s/GiB", lambda of: of["produce"][load]["cpu_s_per_gib"])
        row(f"produce, {load}: MiB/s", lambda of: of["produce"][load]["mib_per_s"], "{:.0f}")
        row(f"produce, {load}: p50 ms, at full speed", lambda of: of["produce"][load]["p50_ms"], "{}")
        row(f"produce, {load}: p99 ms, at full speed", lambda of: of["produce"][load]["p99_ms"], "{}")
    for load in kafka["steady"]:
        row(f"produce, {load}: p50 ms", lambda of: of["steady"][load]["p50_ms"], "{}")
        row(f"produce, {load}: p99 ms", lambda of: of["steady"][load]["p99_ms"], "{}")
    for kind, name in [("consume_hot", "hot"), ("consume_restarted", "after a restart")]:
        row(f"consume, {name}: broker CPU s/GiB", lambda of: of[kind]["cpu_s_per_gib"])
        row(f"consume, {name}: MiB/s", lambda of: of[kind]["mib_per_s"], "{:.0f}")
    row("memory idle, MiB", lambda of: of["idle_mib"], "{:.0f}")
    row("memory at its highest under load, MiB", lambda of: of["load_mib"], "{:.0f}")
    row("ready on an empty directory, s", lambda of: of["ready_s"])
    row("ready after a restart, s", lambda of: of["restart_s"])
    return ("", "Apache Kafka 4.3.1", "KafScale"), rows
