#!/usr/bin/env python3
"""The same client programs told to Apache Kafka and to ours; every answer is compared.

    run.sh [--seeds FROM..TO] [--program NAME]... [--against kafka|kafscale] [--show]

Scripted programs (programs.py) come first, then those made from seeds (generated.py; 0..20 unless told). A program that
differs is run once more on fresh names, since some answers depend on how fast a member is; what differs twice is printed
with its seed. `expected.txt` lists the deviations that are meant, each with its reason. `--against kafka` compares Apache
Kafka with itself, to try the programs; `--show` prints what it answered.
"""

import argparse
import contextlib
import re
import sys
import tempfile
import traceback
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "servers"))
import consumer_groups
import programs
from generated import program as generated
from servers import Kafka, Kafscale
from wire import World

# Members shall not wait for others who might join.
AT_ONCE = {
    "kafka": {"extra": "group.initial.rebalance.delay.ms=0\n"},
    "kafscale": {"settings": {"KAFSCALE_GROUP_INITIAL_REBALANCE_DELAY": "0s"}},
}
KINDS = {"kafka": Kafka, "kafscale": Kafscale}


def transcript(bootstrap, program, prefix):
    world = World(bootstrap, prefix)
    try:
        program(world)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        world.transcript.append(("the program ended early", f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"))
    finally:
        world.close()
    return world.transcript


def differences(here, there, path=""):
    """Where two comparable values differ, as (path, here, there)."""
    if isinstance(here, dict) and isinstance(there, dict):
        for name in sorted(here.keys() | there.keys()):
            yield from differences(here.get(name), there.get(name), f"{path}.{name}")
    elif named(here) and named(there):
        yield from differences({each["name"]: each for each in here}, {each["name"]: each for each in there}, path)
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for index, (one, other) in enumerate(zip(here, there)):
            yield from differences(one, other, f"{path}[{index}]")
    elif here != there:
        yield path, here, there


def named(value):
    return isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value)


def expected():
    """The deviations that are meant, as patterns in which `*` stands for anything."""
    lines = [line.partition("|")[0].strip() for line in (HERE / "expected.txt").read_text().splitlines()]
    return [re.compile(re.escape(line).replace(r"\*", ".*"), re.DOTALL) for line in lines if line and not line.startswith("#")]


def compare(program, reference, tested, allowed, show=False):
    """Runs one program on both; returns the lines that say where they differ."""
    prefix = f"d-{uuid.uuid4().hex[:8]}"
    theirs = transcript(reference, program, prefix)
    if show:
        print(*(f"  {number}: {what}: {answer}" for number, (what, answer) in enumerate(theirs)), sep="\n")
    ours = transcript(tested, program, prefix)
    found = []
    for number in range(max(len(theirs), len(ours))):
        there = theirs[number] if number < len(theirs) else ("nothing", None)
        here = ours[number] if number < len(ours) else ("nothing", None)
        if there[0] != here[0]:
            found.append(f"  {number}: Kafka went on with {there[0]!r} {there[1]!r:.200}, ours with {here[0]!r} {here[1]!r:.200}")
            break
        for path, one, other in differences(here[1], there[1]):
            line = f"{program.__name__} {there[0]} {path}: ours {one!r:.300}, Kafka {other!r:.300}".replace(prefix, "NAME")
            if not any(pattern.fullmatch(line) for pattern in allowed):
                found.append(f"  {number}: {line}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0..20")
    parser.add_argument("--program", action="append", default=[])
    parser.add_argument("--against", choices=KINDS, default="kafscale")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    first, last = map(int, options.seeds.split(".."))
    chosen = programs.PROGRAMS + consumer_groups.PROGRAMS + [generated(seed) for seed in range(first, last)]
    if options.program:
        chosen = [program for program in chosen if program.__name__ in options.program]
    allowed = expected()
    failed = 0
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="kafscale-differential-")))
        reference = running.enter_context(Kafka(folder / "reference", **AT_ONCE["kafka"]))
        tested = running.enter_context(KINDS[options.against](folder / "tested", **AT_ONCE[options.against]))
        for program in chosen:
            found = compare(program, reference.bootstrap, tested.bootstrap, allowed, options.show)
            if found:
                found = compare(program, reference.bootstrap, tested.bootstrap, allowed)
            print(f"{'FAIL' if found else 'ok'} differential: {program.__name__}", *found, sep="\n", flush=True)
            failed += bool(found)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
