#!/usr/bin/env python3
"""Decides whether a history is one that a log may have: nothing acknowledged is lost, moved, doubled or reordered.

    checker.py FOLDER      prints every kind of problem with examples; status 1 if there is any
"""

import sys
from collections import defaultdict

from history import History


def check(history):
    """Every problem of a history as (kind, what), in the order of the rules below; an empty list is a good history."""
    problems = []
    by_place = {}
    places = defaultdict(list)
    by_partition = defaultdict(list)
    for row in history.found:
        by_place[row.partition, row.offset] = row
        places[row.producer, row.sequence].append((row.partition, row.offset))
        by_partition[row.partition].append(row)

    # 1. Offsets are dense: from 0 to the end, each once, in the order in which they were read.
    for partition, end in sorted(history.ends.items()):
        offsets = [row.offset for row in by_partition.pop(partition, [])]
        if offsets != list(range(end)):
            at = next((i for i, offset in enumerate(offsets) if offset != i), len(offsets))
            got = offsets[at] if at < len(offsets) else "nothing"
            problems.append(("gap", f"partition {partition} ends at {end}: at offset {at} stands {got}"))
    for partition in by_partition:
        problems.append(("gap", f"partition {partition} has records but no end"))

    # 2. Every record is whole, and somebody sent it.
    for row in history.found:
        if not row.intact:
            problems.append(("damaged", f"offset {row.offset} of partition {row.partition}"))
        elif not 0 <= row.sequence < history.sent.get(row.producer, 0):
            problems.append(("invented", f"record {row.sequence} of producer {row.producer} was never sent"))

    # 3. Every acknowledged record is where its acknowledgement said.
    for ack in history.acks:
        name = f"record {ack.sequence} of producer {ack.producer}"
        if ack.offset < 0:
            if all(partition != ack.partition for partition, _ in places.get((ack.producer, ack.sequence), [])):
                problems.append(("lost", f"{name}, acknowledged without an offset"))
            continue
        row = by_place.get((ack.partition, ack.offset))
        if row is None or (row.producer, row.sequence) != (ack.producer, ack.sequence):
            elsewhere = places.get((ack.producer, ack.sequence))
            kind = "moved" if elsewhere else "lost"
            problems.append((kind, f"{name}, acknowledged at {ack.partition}/{ack.offset}, is at {elsewhere}"))

    # 4. Nothing is there twice.
    for (producer, sequence), all_places in places.items():
        if len(all_places) > 1 and producer >= 0:
            problems.append(("duplicate", f"record {sequence} of producer {producer} is at {all_places}"))

    # 5. Within a partition the records of a producer are in the order in which it sent them.
    last = {}
    for row in history.found:
        before = last.get((row.partition, row.producer), -1)
        if row.sequence < before:
            problems.append(("order", f"partition {row.partition}: {row.sequence} of producer {row.producer} after {before}"))
        last[row.partition, row.producer] = row.sequence
    return problems


def summary(problems, examples=5):
    """Readable lines: each kind with its count and a few examples."""
    kinds = defaultdict(list)
    for kind, what in problems:
        kinds[kind].append(what)
    lines = []
    for kind, whats in kinds.items():
        lines.append(f"{kind}: {len(whats)}")
        lines.extend(f"  {what}" for what in whats[:examples])
    return "\n".join(lines)


if __name__ == "__main__":
    found = check(History.load(sys.argv[1]))
    print(summary(found) or "no problem")
    sys.exit(1 if found else 0)
