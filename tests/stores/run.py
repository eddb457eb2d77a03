#!/usr/bin/env python3
"""Runs the store suite, and a broker that is killed under load, on real object stores.

    tests/stores/run.sh [SERVER]... [--results FILE] [--kills N]      default: all that install here

On each: the conformance suite (which stores that no log may live on must fail), then produce, kill -9, restart, consume with
the checks of tests/kill; where a broker must refuse the store for its log, it is refused, and then killed with the log in a
directory. Where only a race shows why, twenty usual probes must all see it. One line per server, `ok` or `FAIL`;
`--results` keeps them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import real
from servers import Kafscale, environment, setup

PROBES = 20


def conformance(server):
    """Whether the suite that every store of ours runs passes."""
    name = server.suite
    test = ["cargo", "test", "-q", "--workspace", "--test", f"{name}_server", "--", "--include-ignored", "--exact", "a_real_server_conforms"]
    done = subprocess.run(test, cwd=HERE.parent.parent, env={**real.os.environ, **server.variables()}, capture_output=True, text=True)
    if "1 passed" not in done.stdout and "1 failed" not in done.stdout:
        raise RuntimeError(f"the suite did not run: {done.stderr[-2000:]}")
    return done.returncode == 0, done.stdout[-3000:]


def refusal(server, folder):
    """What a broker says that must not start there."""
    broker = Kafscale(folder / "refused", server.url(), server.reached())
    try:
        broker.start()
    except RuntimeError as error:
        return str(error)
    broker.stop()
    return ""


def races_lost(server):
    """Of twenty usual probes, how many saw several winners of a race."""
    probe = [setup("kafscale"), "storage", "probe", "--store", server.url(), "-o", "json"]
    seen = 0
    for _ in range(PROBES):
        done = subprocess.run(probe, env=environment(server.reached()), capture_output=True, text=True)
        results = {line["check"]: line["result"] for line in json.loads(done.stdout)["checks"]}
        seen += results["create-race"] == "FAILED" and results["create-once"] == "ok" and done.returncode == 3
    return seen


def kill(kind, kills):
    """produce, kill -9, restart, consume; whether nothing acknowledged was lost."""
    test = [HERE.parent / "kill/run.sh", "--store", kind.name, "--kills", str(kills)]
    if kind.tells_refusal:
        test += ["--log", "dir"]
    done = subprocess.run(test, capture_output=True, text=True)
    return done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def run(kind, kills):
    """One server's row."""
    row = {"server": kind.name, "version": kind.version, "stands_for": kind.stands_for, "date": date.today().isoformat()}
    problems = []
    with tempfile.TemporaryDirectory(prefix="kafscale-stores-") as folder:
        with kind(Path(folder)) as server:
            conforms, said = conformance(server)
            row["conforms"] = conforms
            if conforms != kind.conforms:
                problems.append(f"conformance is {conforms}, expected {kind.conforms}\n{said}")
            if kind.tells_refusal:
                told = refusal(server, Path(folder))
                row["log"] = "refused" if kind.tells_refusal in told else "not refused"
                if row["log"] != "refused":
                    problems.append(f"a broker is not refused: {told[-1000:]}")
            if kind.only_races_tell:
                seen = races_lost(server)
                print(f"{kind.name}: {seen} of {PROBES} probes saw several winners of a race")
                if seen < PROBES:
                    problems.append("a probe takes it for a store that keeps its conditions")
    kept, said = kill(kind, kills)
    row["broker"] = f"{kills} kills, nothing lost" if kept else "something was lost"
    if not kept:
        problems.append(said)
    if kind.tells_refusal:
        row["broker"] = f"log {row.pop('log')}; records there and log in a directory: {row['broker']}"
    return row, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", metavar="SERVER", choices=[[], *real.SERVERS], default=[])
    parser.add_argument("--results", type=Path, help="a JSON file; rows of the servers that ran replace theirs there (the documentation is made from docs/storage/tested.json)")
    parser.add_argument("--kills", type=int, default=2)
    arguments = parser.parse_args()
    setup("kafscale"), setup("lab")
    rows = json.loads(arguments.results.read_text()) if arguments.results and arguments.results.exists() else []
    failed = 0
    for name in arguments.servers or real.SERVERS:
        started = time.monotonic()
        try:
            row, problems = run(real.SERVERS[name], arguments.kills)
        except (Exception, SystemExit) as error:
            row, problems = None, [repr(error)]
        for problem in problems:
            print(problem)
        failed += bool(problems)
        print(f"{'FAIL' if problems else 'ok'} {name}: {row} in {time.monotonic() - started:.0f} s", flush=True)
        # Also what went wrong is a result.
        if row:
            rows = sorted([other for other in rows if other["server"] != name] + [row], key=lambda row: row["server"])
    if arguments.results:
        arguments.results.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
