#!/usr/bin/env python3
"""The test suites of other projects' clients, run against Apache Kafka for a reference and against ours for the difference.

    suites.py SUITE kafka       runs the suite against Apache Kafka and writes reference/SUITE.txt
    suites.py SUITE kafscale    runs it against ours: what passes there must pass here
    ... [--only TEXT]... [--jobs N] [--keep FOLDER]      SUITE is franz-go, librdkafka or librdkafka-kip848

Each test runs in a process of its own with a time limit, `--jobs` of them at once. A result is `pass`, `fail`, `skip` or
`timeout`. `--only` runs the tests whose names contain a text and writes no reference; `--keep` keeps every test's output.
`exceptions.txt` names the tests that are left out or may fail here, each with its reason.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
from distribution import scripts
from servers import Kafka, Kafscale, setup

LIMIT_S = 180
SERVERS = {"kafka": Kafka, "kafscale": Kafscale}


class FranzGo:
    """The integration and unit tests of franz-go's kgo package, compiled from the module that our Go clients use."""

    def __init__(self, bootstrap, folder):
        self.binary = setup("franz-go-tests")
        self.folder = folder
        # The suite's own default is 500,000 records per test, made for a machine of its own.
        self.settings = {"KGO_SEEDS": bootstrap, "KGO_TEST_RF": "1", "KGO_TEST_RECORDS": "20000", "KGO_LOG_LEVEL": "none"}

    def tests(self):
        listed = subprocess.run([self.binary, "-test.list", "^Test"], capture_output=True, text=True, check=True)
        return listed.stdout.split()

    def command(self, test):
        return [self.binary, "-test.v", "-test.run", f"^{test}$", f"-test.timeout={LIMIT_S}s"]

    def environment(self, test):
        return self.settings

    def skipped(self, test, output):
        return f"--- SKIP: {test} " in output


class Librdkafka:
    """librdkafka's own tests that need a broker, in their quick variants."""

    protocol = "classic"
    # One big test, whose parts are worth telling apart: those on access rules need an authorizer.
    parts = {
        "0081_admin": """CreateTopics DeleteTopics DeleteGroups CreatePartitions AlterConfigs IncrementalAlterConfigs DescribeConfigs
        DeleteRecords ListConsumerGroups DescribeConsumerGroups DescribeTopics DescribeCluster DeleteConsumerGroupOffsets
        AlterConsumerGroupOffsets ListConsumerGroupOffsets ListOffsets UserScramCredentials""".split()
    }

    def __init__(self, bootstrap, folder):
        self.folder = Path(setup("librdkafka-tests"))
        config = Path(folder) / "test.conf"
        config.write_text(f"metadata.broker.list={bootstrap}\ntest.topic.random=true\n")
        self.settings = {
            "RDKAFKA_TEST_CONF": str(config),
            "TEST_KAFKA_VERSION": "4.3.0",
            "TEST_CONSUMER_GROUP_PROTOCOL": self.protocol,
            "LD_LIBRARY_PATH": f"{self.folder.parent}/src:{self.folder.parent}/src-cpp",
            "BROKERS": bootstrap,
            "KAFKA_PATH": str(scripts(setup("kafka"), Path(folder) / "distribution")),
        }

    def tests(self):
        """The names in the suite's table, without the tests that need no broker or need a person."""
        table = (self.folder / "test.c").read_text().partition("struct test tests[]")[2].partition("{NULL}")[0]
        entries = re.findall(r"_TEST\((\w+),\s*([^,)]*)", table)
        names = [name for name, flags in entries if not re.search("LOCAL|MANUAL|KNOWN_ISSUE$", flags)]
        return [each for name in names for each in [f"{name}.{part}" for part in self.parts.get(name, [])] or [name]]

    def command(self, test):
        return [self.folder / "test-runner", "-p1", "-Q", "-L", "-K"]

    def environment(self, test):
        name, _, part = test.partition(".")
        return {**self.settings, "TESTS": name, **({"SUBTESTS": f"do_test_{part}"} if part else {})}

    def skipped(self, test, output):
        name = test.partition(".")[0]
        return re.search(rf"{name}\s*\|\s*SKIPPED", re.sub(r"\x1b\[[0-9;]*m", "", output))


class LibrdkafkaConsumerProtocol(Librdkafka):
    """The same with the group protocol of KIP-848; only the tests in which consumers take part."""

    protocol = "consumer"

    def tests(self):
        return [name for name in super().tests() if re.search(GROUPS, name)]


GROUPS = "group|cgrp|subscribe|commit|consum|rebalance|poll|pause|offset|assign|topic|interceptors|DescribeConsumer|ListConsumer"
SUITES = {"franz-go": FranzGo, "librdkafka": Librdkafka, "librdkafka-kip848": LibrdkafkaConsumerProtocol}

# librdkafka's tests expect four partitions where they do not say how many, as in the clusters of its authors.
SETTINGS = {
    "kafka": {"extra": "num.partitions=4\n"},
    "kafscale": {"settings": {"KAFSCALE_NUM_PARTITIONS": "4"}},
}


def run(suite, test, keep):
    """Runs one test; returns its result and how long it took."""
    started = time.monotonic()
    process = subprocess.Popen(
        list(map(str, suite.command(test))),
        cwd=suite.folder,
        env={**os.environ, **suite.environment(test)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output = process.communicate(timeout=LIMIT_S + 5)[0]
        result = "fail" if process.returncode else "skip" if suite.skipped(test, output) else "pass"
    except subprocess.TimeoutExpired:
        process.kill()
        output, result = process.communicate()[0], "timeout"
    if keep:
        (keep / f"{test}.log").write_text(output)
    return result, time.monotonic() - started


def exceptions(suite):
    """By test: `left out` or `may fail`, and the reason."""
    found = {}
    for line in (HERE / "exceptions.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            of, name, kind, reason = line.split(None, 3)
            if of == suite.removesuffix("-kip848"):
                found[name] = (kind, reason)
    return found


def reference(suite):
    lines = (HERE / "reference" / f"{suite}.txt").read_text().splitlines()
    return dict(reversed(line.split(None, 1)) for line in lines if not line.startswith("#"))


def judge(suite, results):
    """Compares with the reference; prints a line per test and returns how many passed and failed."""
    wanted, excused = reference(suite), exceptions(suite)
    passed = failed = 0
    for name, result in sorted(results.items()):
        there = wanted.get(name, "unknown")
        if result == "pass":
            passed += 1
            print(f"ok {suite}: {name}" + ("" if there == "pass" else f" (with Apache Kafka: {there})"))
        elif there != "pass":
            print(f"same {suite}: {name}: {result}, with Apache Kafka: {there}")
        elif name in excused:
            print(f"excused {suite}: {name}: {result}: {excused[name][1]}")
        else:
            failed += 1
            print(f"FAIL {suite}: {name}: {result}")
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kafscale-suites-") as folder:
        with SERVERS[options.server](folder, **SETTINGS[options.server]) as server:
            suite = SUITES[options.suite](server.bootstrap, folder)
            left_out = {name for name, (kind, _) in exceptions(options.suite).items() if kind == "left-out"}
            names = [name for name in suite.tests() if name not in left_out]
            if options.only:
                names = [name for name in names if any(text in name for text in options.only)]
            results = {}
            with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
                running = {pool.submit(run, suite, name, options.keep): name for name in names}
                for done in concurrent.futures.as_completed(running):
                    result, seconds = done.result()
                    results[running[done]] = result
                    print(f"{len(results)}/{len(names)} {result} {running[done]} {seconds:.0f} s", file=sys.stderr, flush=True)
    if options.server == "kafka" and not options.only:
        lines = [f"# {options.suite} against Apache Kafka 4.3.1: written by suites.py"]
        lines += [f"{result} {name}" for name, result in sorted(results.items())]
        (HERE / "reference" / f"{options.suite}.txt").write_text("\n".join(lines) + "\n")
    passed, failed = judge(options.suite, results)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
