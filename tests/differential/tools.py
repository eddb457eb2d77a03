#!/usr/bin/env python3
"""What the stock command-line tools print with Apache Kafka and with ours, step by step of tests/clients/tools/suite.py.

    run.sh tools [--against kafka|kafscale] [--keep FOLDER]

Addresses, ids, times and sizes are made alike first. A step whose output differs is printed as a diff; `MEANT` lists the
steps that may differ, each with its reason.
"""

import argparse
import contextlib
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
from servers import Kafka, Kafscale, setup

KINDS = {"kafka": Kafka, "kafscale": Kafscale}
MEANT = {
    "broker-api-versions": "lists the APIs of share groups, transactions and security, which are not served yet",
    "configs-describe-brokers": "settings of the broker are its own",
    "consumer-perf-test": "prints figures",
    "e2e-latency": "prints figures",
    "verifiable-producer": "prints figures and times",
    "features": "lists the features of this broker",
    "topics-list-after-that": "there are no internal topics such as __consumer_offsets",
    "verifiable-consumer": "prints how far it came in each partition, which is a matter of chance",
    "log-dirs": "there are no directories; sizes are those of the store",
    "metadata-quorum": "there is no quorum",
    "metadata-quorum-replication": "there is no quorum",
}
ALIKE = [
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"TopicId: [\w-]{22}", "TopicId: ID"),
    (r"Cluster ID: \S+", "Cluster ID: ID"),
    (r"(Leader|Replicas|Isr): \d+", r"\1: N"),
    (r"\(id: \d+ rack: \S+ isFenced: \S+\)", "(NODE)"),
    (r'"timestamp":\d+', '"timestamp":T'),
    (r"\[\d{4}-\d\d-\d\d [\d:,]+\]", "[TIME]"),
    (r"(broker|controller)[ -]?\d+", r"\1 N"),
    (r"ADDRESS +\(\d+\)", "ADDRESS (N)"),
    # A new cluster of Apache Kafka sets this for all brokers, because it counts replicas that are out of sync (ELR).
    (r"(?m)^\s*min\.insync\.replicas=1 .*\{DYNAMIC_DEFAULT_BROKER_CONFIG:min\.insync\.replicas=1\}$", ""),
    (r"DYNAMIC_DEFAULT_BROKER_CONFIG:min\.insync\.replicas=1, ", ""),
    (r"Configs: min\.insync\.replicas=1,", "Configs: "),
    (r"[ \t]+", " "),
]


def alike(text):
    for pattern, stead in ALIKE:
        text = re.sub(pattern, stead, text)
    return sorted(line.strip() for line in text.splitlines() if line.strip())


def outputs(bootstrap, folder):
    folder.mkdir(parents=True)
    suite = HERE.parent / "clients/tools/suite.py"
    subprocess.run([sys.executable, suite, setup("kafka"), bootstrap, "tools", folder], stdout=subprocess.DEVNULL)
    return {file.stem: alike(file.read_text()) for file in folder.iterdir()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", choices=KINDS, default="kafscale")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    passed = failed = 0
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="kafscale-tools-")))
        kept = options.keep or folder / "outputs"
        results = []
        for place, kind in (("reference", "kafka"), ("tested", options.against)):
            with KINDS[kind](folder / place) as server:
                results.append(outputs(server.bootstrap, kept / place))
        theirs, ours = results
        for step in sorted(theirs.keys() | ours.keys()):
            there, here = theirs.get(step, ["<not run>"]), ours.get(step, ["<not run>"])
            if there == here:
                passed += 1
                print(f"ok tools: {step}")
            elif step in MEANT:
                print(f"meant tools: {step}: {MEANT[step]}")
            else:
                failed += 1
                print(f"FAIL tools: {step}", *difflib.unified_diff(there, here, "Apache Kafka", "ours", n=1, lineterm=""), sep="\n")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
