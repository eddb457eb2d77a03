#!/usr/bin/env python3
"""Kills the broker under load, again and again, and checks what was acknowledged.

    tests/kill/run.sh [--store dir|s3|kafka|SERVER] [--log dir] [--faults none|503|unanswered|hang] [--kills N] [--seed N]
                      [--life] [--keep FOLDER]

At a random moment the broker is frozen (SIGSTOP), looked at, and killed (SIGKILL). A kill counts only if at
that moment the store had a PUT that was not finished and a producer waited for an answer; if not, the broker
is thawed and the next moment tried, up to a limit. With `--log dir` the bucket has the data and a directory the
log: the PUT is then that of a data object, which its commit follows. `kafka` runs Apache Kafka instead, to try
the test itself; SERVER is one of the real stores of tests/stores, behind the proxy. With `--life` records are merged,
become segments and are deleted within seconds while this goes on, and a topic beside it expires.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "servers"), str(TESTS / "segments")]
import kfs
import stores
from checker import check, summary
from history import History
from load import Expiring, Load, create_topic, read_all

TOPIC = "kill"
PARTITIONS = 6
PRODUCERS = 4
MOMENTS = 100
RESTART_PATIENCE_S = 180

# What becomes of data behind the clients, in seconds instead of hours.
LIFE = {
    "KAFSCALE_MERGE_INTERVAL": "1s",
    "KAFSCALE_MERGE_AGE": "2s",
    "KAFSCALE_MERGE_SIZE": "1MiB",
    "KAFSCALE_SEGMENT_SIZE": "1MiB",
    "KAFSCALE_SEGMENT_AGE": "4s",
    "KAFSCALE_SEGMENT_AGE_SMALL": "8s",
    "KAFSCALE_RETENTION_CHECK_INTERVAL": "1s",
    "KAFSCALE_DELETE_DELAY": "1s",
}


def freeze(pid):
    """Stops every thread of a process; one that is inside a disk write stops as soon as that ends, on a busy machine later."""
    os.kill(pid, signal.SIGSTOP)
    for _ in range(5_000):
        states = {task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()}
        if states <= {"T", "D"}:
            return
        time.sleep(0.001)
    raise RuntimeError(f"process {pid} does not stop")


def kill_under_load(on, load, rng):
    """Kills at the first of several random moments at which a PUT and an answer are pending; returns their counts."""
    for moment in range(MOMENTS):
        time.sleep(rng.uniform(0.1, 1.5) if moment == 0 else rng.uniform(0, 0.02))
        if on.broker.process.poll() is not None:
            raise RuntimeError(f"the broker ended by itself with status {on.broker.process.returncode}")
        freeze(on.broker.pid)
        puts, answers = on.pending_puts(), load.unanswered()
        if (puts > 0 and answers > 0) or moment == MOMENTS - 1:
            on.broker.kill()
            return puts, answers
        os.kill(on.broker.pid, signal.SIGCONT)


def look_at_life(on, expiring):
    """What should have become of data by now; returns problems."""
    problems = [("retention", what) for what in expiring.end()]
    if not isinstance(on, stores.OnDirectory):
        return problems
    segments = sorted(on.broker.data.glob("default/*/*/*.kfs"))
    # The reader takes its time, so a dozen of them.
    for path in segments[:: len(segments) // 12 + 1]:
        try:
            kfs.read(path.read_bytes())
        except Exception as error:
            problems.append(("segment", f"{path}: {error}"))
    merged = len(list(on.broker.data.glob("merged/*/*/*")))
    print(f"{len(segments)} segments and {merged} merged objects are there; {expiring.sent} records were sent to expire")
    if not segments:
        problems.append(("harness", "no segment was made"))
    return problems


def run(arguments, folder):
    """The whole story; returns the problems found, as (kind, what)."""
    rng = random.Random(arguments.seed)
    history = History()
    counted = 0
    settings = LIFE if arguments.life else {}
    life_problems = []
    with stores.open_setup(arguments.store, folder, arguments.faults, arguments.log, settings) as on:
        create_topic(on.broker.bootstrap, TOPIC, PARTITIONS)
        expiring = Expiring(on.broker.bootstrap) if arguments.life else None
        load = Load(on.broker.bootstrap, TOPIC, PARTITIONS, PRODUCERS, history, folder / "acks.log", arguments.seed)
        load.start()
        try:
            started = time.monotonic()
            for number in range(1, arguments.kills + 1):
                if not load.wait_for_acks_since(started, RESTART_PATIENCE_S):
                    load.errors.append(f"before kill {number}: no acknowledgement for {RESTART_PATIENCE_S} s")
                    break
                puts, answers = kill_under_load(on, load, rng)
                counted += puts > 0 and answers > 0
                seconds = on.broker.start()
                started = time.monotonic()
                print(f"kill {number}: {puts} PUTs and {answers} answers were pending; ready again after {seconds:.2f} s", flush=True)
        except BaseException:
            load.stop(patience_s=1)
            if expiring:
                expiring.stop()
            raise
        load.stop(patience_s=120)
        # Once more from what the store holds, so that nothing is read from a warm broker's memory.
        on.broker.kill()
        on.broker.start()
        read_all(on.broker.bootstrap, TOPIC, PARTITIONS, history)
        if expiring:
            life_problems = look_at_life(on, expiring)
        history.save(folder / "history")
        on.report()
    sent, acked = sum(history.sent.values()), len(history.acks)
    unknown = sum(ack.offset < 0 for ack in history.acks)
    print(f"{arguments.kills} kills, {counted} counted; {sent} records sent, {acked} acknowledged, {unknown} of them without an offset")
    problems = [("producer", what) for what in load.errors] + check(history) + life_problems
    if on.counts_puts and counted == 0:
        problems.append(("harness", "no kill met a pending PUT and a pending answer"))
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", metavar="STORE", default="dir")
    parser.add_argument("--log", choices=["dir"], help="where the log lives, if not with the data")
    parser.add_argument("--faults", choices=["none", "503", "unanswered", "hang"], default="none")
    parser.add_argument("--life", action="store_true", help="merge, segment, expire and delete within seconds")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--keep", type=Path, help="folder for logs, data and the history; else a temporary one")
    arguments = parser.parse_args()
    if arguments.faults != "none" and arguments.store in ("dir", "kafka"):
        parser.error("faults are made by the proxy in front of a bucket")
    if arguments.log and arguments.store in ("dir", "kafka"):
        parser.error("the log of a bucket can live elsewhere: --store s3, or a server of tests/stores")
    apart = f" with the log in a {arguments.log}" if arguments.log else ""
    apart += " with a fast life of data" if arguments.life else ""
    name = f"kill: {arguments.store}{apart}, faults {arguments.faults}, {arguments.kills} kills, seed {arguments.seed}"
    with tempfile.TemporaryDirectory(prefix="kafscale-kill-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            problems = run(arguments, folder)
        except Exception as error:
            problems = [("harness", repr(error))]
        if problems:
            print(summary(problems))
            for log in sorted(folder.glob("*.log")):
                if log.name != "acks.log":
                    print(f"--- tail of {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-30:]))
    print(f"FAIL {name}" if problems else f"ok {name}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
