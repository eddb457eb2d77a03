#!/usr/bin/env python3
"""kcat with its default settings: Debian's 1.7.1 carries librdkafka 2.0.2, the strictest old parser in use.

    suite.py KCAT HOST:PORT TOPIC

kcat has no admin client: the topic comes to be by auto-creation, and stays.
"""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from checks import CODECS, RECORDS, Checks, equal, value

kcat, bootstrap, topic = sys.argv[1:]
checks = Checks("kcat")


def run(*arguments, stdin=None):
    command = [kcat, "-b", bootstrap, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"kcat {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def produce(codec, partition="0", *more):
    lines = "".join(f"k{index}\t{value(codec, index)}\n" for index in range(RECORDS))
    run("-P", "-t", topic, "-p", partition, "-z", codec, "-K", "\t", "-H", f"codec={codec}", *more, stdin=lines)


def consume(offset, count=None):
    """The records of partition 0 from `offset` (kcat's notation) to the end, as (offset, timestamp, key, headers, value)."""
    limit = ["-c", str(count)] if count else []
    text = run("-C", "-t", topic, "-p", "0", "-o", str(offset), "-e", "-q", *limit, "-f", "%o\t%T\t%k\t%h\t%s\n")
    rows = [line.split("\t") for line in text.splitlines()]
    return [(int(row[0]), int(row[1]), *row[2:]) for row in rows]


def expected_from(start):
    """Keys, headers and values of everything produced, from offset `start` on."""
    rows = [(f"k{index}", f"codec={codec}", value(codec, index)) for codec in CODECS for index in range(RECORDS)]
    return list(enumerate(rows))[start:]


def same(rows, start):
    equal([(row[0], row[2:]) for row in rows], expected_from(start), f"records from offset {start}")


def metadata():
    answer = json.loads(run("-L", "-J"))
    assert answer["brokers"], "no broker in the metadata"
    partitions = {entry["topic"]: len(entry["partitions"]) for entry in answer["topics"]}
    assert partitions.get(topic, 0) >= 1, f"{topic} is not listed: {partitions}"


def by_timestamp(rows):
    """The answer is the first offset whose timestamp is not below the one asked for."""
    wanted = rows[len(rows) * 3 // 5][1]
    first = next(row[0] for row in rows if row[1] >= wanted)
    assert f"offset {first}" in run("-Q", "-t", f"{topic}:0:{wanted}"), "query by timestamp"
    same(consume(f"s@{wanted}"), first)
    beyond = run("-Q", "-t", f"{topic}:0:{rows[-1][1] + 10_000_000}")
    assert f"offset {len(rows)}" in beyond or "offset -1" in beyond, f"beyond the last timestamp: {beyond}"


for codec in CODECS:
    checks.run(f"produce {codec}, topic by auto-creation" if codec == "none" else f"produce {codec}", lambda: produce(codec))
checks.run("metadata", metadata)
rows = checks.run("consume from the start by assignment", lambda: consume("beginning"))
checks.run("content, order, offsets", lambda: same(rows, 0))
for number, codec in enumerate(CODECS):
    middle = number * RECORDS + 237
    checks.run(f"from the middle of a batch, {codec}", lambda: same(consume(middle), middle))
checks.run("by timestamp", lambda: by_timestamp(rows))
checks.run("last ten records", lambda: same(consume(-10), len(CODECS) * RECORDS - 10))
checks.run("end and beginning by timestamp -1 and -2", lambda: (
    equal(run("-Q", "-t", f"{topic}:0:-2").split()[-1], "0", "beginning"),
    equal(run("-Q", "-t", f"{topic}:0:-1").split()[-1], str(len(CODECS) * RECORDS), "end"),
))
checks.finish()
