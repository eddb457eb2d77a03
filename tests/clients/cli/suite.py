#!/usr/bin/env python3
"""The client commands of `kafscale` against any Kafka: the same commands and the same expected output everywhere.

    suite.py KAFSCALE HOST:PORT TOPIC [--without-groups]

Run it against Apache Kafka and against our own broker: what passes there and fails here is a difference.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from checks import Checks, equal

kafscale, bootstrap, topic, *options = sys.argv[1:]
with_groups = "--without-groups" not in options
group = f"{topic}-group"
checks = Checks("cli")
environment = {"PATH": os.environ["PATH"], "KAFSCALE_BOOTSTRAP": bootstrap}

NOT_FOUND, REFUSED, USAGE, UNREACHABLE = 9, 10, 2, 7


def run(*arguments, stdin=None, status=0, env=None):
    """Runs a command; returns what it printed. Stderr of a command that shall fail is returned instead."""
    done = subprocess.run(
        [kafscale, *map(str, arguments)], input=stdin, capture_output=True, timeout=90, env=env or environment
    )
    if done.returncode != status:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr.decode()}")
    return (done.stderr if status else done.stdout).decode(errors="surrogateescape")


def data(*arguments, **more):
    return json.loads(run(*arguments, "-o", "json", **more))


def lines(*arguments, **more):
    return run(*arguments, **more).splitlines()


# Topics and settings.


def create():
    outcome = data("topics", "create", topic, "-p", 3, "-c", "retention.ms=3600000")
    equal(outcome, [{"topic": topic, "outcome": "created"}], "create")
    assert "TOPIC_ALREADY_EXISTS" in run("topics", "create", topic, status=REFUSED)
    equal(data("topics", "create", topic, "--if-not-exists")[0]["outcome"], "exists already", "create again")
    assert "illegal character" in run("topics", "create", "no/topic", status=USAGE)
    run("topics", "create", f"{topic}-dry", "--dry-run")
    equal(data("topics", "list", f"{topic}-dry"), [], "a dry run creates nothing")


def described():
    found = [row["topic"] for row in data("topics", "list", f"{topic}*")]
    equal(found, [topic], "list")
    told = data("topics", "describe", topic)[0]
    equal([part["partition"] for part in told["partitions"]], [0, 1, 2], "partitions")
    equal([(part["earliest"], part["latest"]) for part in told["partitions"]], [(0, 0)] * 3, "offsets")
    equal(told["configs"], {"retention.ms": "3600000"}, "settings that differ")
    assert "UNKNOWN_TOPIC_OR_PARTITION" in run("topics", "describe", f"{topic}-absent", status=NOT_FOUND)


def altered():
    run("topics", "alter", topic, "--partitions", 4, "--config", "max.message.bytes=2000000", "--delete-config", "retention.ms")
    told = data("topics", "describe", topic)[0]
    equal((len(told["partitions"]), told["configs"]), (4, {"max.message.bytes": "2000000"}), "after alter")
    assert "INVALID_PARTITIONS" in run("topics", "alter", topic, "-p", 2, status=REFUSED)


def configs():
    equal(data("configs", "set", "topic", topic, "retention.ms=7200000")[0]["outcome"], "set", "set")
    told = {row["name"]: (row["value"], row["source"]) for row in data("configs", "describe", "topic", topic)}
    equal(told["retention.ms"], ("7200000", "topic"), "describe")
    run("configs", "unset", "topic", topic, "retention.ms")
    told = {row["name"]: (row["value"], row["source"]) for row in data("configs", "describe", "topic", topic, "--all")}
    equal(told["retention.ms"], ("604800000", "default"), "the default again")
    assert "INVALID_CONFIG" in run("configs", "set", "topic", topic, "retention.ms=soon", status=REFUSED)
    assert "INVALID_CONFIG" in run("configs", "set", "topic", topic, "no.such.key=1", status=REFUSED)
    for change in ["describe", "unset"]:
        assert "no setting no.such.key" in run("configs", change, "topic", topic, "no.such.key", status=NOT_FOUND)


# Records.


def produced():
    run("produce", topic, "-p", 0, "-K", ":", "-H", "h=1", "--timestamp", 1000, stdin=b"a:one\nb:two\n:\nthree\n")
    run("produce", topic, "-p", 1, "--format", "hex", "-z", "zstd", "--timestamp", "1970-01-01T00:00:02Z", stdin=b"00ff\n")
    run("produce", topic, "-p", 0, "-Z", "-k", "gone", "--timestamp", 3000, "-c", 1, stdin=b"\nnot this\n")


EXPECTED = ["0 0 1000 a=one h=1", "0 1 1000 b=two h=1", "0 2 1000 = h=1", "0 3 1000 =three h=1", "0 4 3000 gone= "]


def consumed():
    form = ["-f", "%p %o %T %k=%s %h\\n"]
    equal(lines("consume", topic, "-p", 0, *form), EXPECTED, "all of a partition")
    equal(lines("consume", topic, "-p", 0, *form, "--from", 1, "--to", 3), EXPECTED[1:3], "from and to an offset")
    equal(lines("consume", topic, "-p", 0, *form, "--from", "-2"), EXPECTED[3:], "the last two")
    equal(lines("consume", topic, "-p", 0, *form, "--from", "@1001"), EXPECTED[4:], "from a time")
    equal(lines("consume", topic, "-p", 0, *form, "--from", "@3001"), [], "from a time without records")
    equal(lines("consume", topic, "-p", 0, *form, "-c", 2), EXPECTED[:2], "a number of records")
    equal(lines("consume", topic, "-p", 0, *form, "--from", "end"), [], "from the end")
    equal(lines("consume", topic, "-p", 1, "-o", "hex"), ["00ff"], "hexadecimal")
    equal(len(lines("consume", topic)), 6, "all partitions")
    record = json.loads(lines("consume", topic, "-p", 1, "-o", "json")[0])
    equal((record["value"], record["key"], record["timestamp"]), ({"base64": "AP8="}, None, 2000), "JSON")


def copied():
    copy = f"{topic}-copy"
    run("topics", "create", copy, "-p", 4)
    run("produce", copy, "--format", "json", stdin=run("consume", topic, "-o", "json").encode(errors="surrogateescape"))
    form = ["-f", "%p %o %T %k=%s %S %h\\n"]
    equal(sorted(lines("consume", copy, *form)), sorted(lines("consume", topic, *form)), "JSON out and in")
    equal(data("topics", "delete", copy)[0]["outcome"], "deleted", "delete")


def refused():
    assert "partition" in run("consume", topic, "-p", 9, status=NOT_FOUND)
    run("consume", f"{topic}-absent", status=NOT_FOUND)
    run("produce", f"{topic}-absent", "--no-create", stdin=b"x\n", status=NOT_FOUND)
    run("bench", "consume", "--topic", f"{topic}-absent", status=NOT_FOUND)
    run("produce", topic, "--format", "json", stdin=b"no json\n", status=USAGE)
    run("topics", "list", "-X", "no.such.property=1", status=USAGE)
    nowhere = {**environment, "KAFSCALE_BOOTSTRAP": "127.0.0.1:1"}
    quick = ["-X", "request.timeout.ms=2000", "-X", "socket.connection.setup.timeout.ms=1000"]
    assert "--bootstrap-server" in run("topics", "list", *quick, status=UNREACHABLE, env=nowhere)


def piped():
    """A reader that goes away is no error."""
    reader = subprocess.Popen(
        [kafscale, "consume", topic, "-p", "2", "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    try:
        reader.stdout.close()
        run("produce", topic, "-p", 2, stdin=b"nobody reads this\n")
        equal((reader.wait(30), reader.stderr.read()), (0, b""), "exit code and talk")
    finally:
        reader.kill()
        reader.wait()


# Groups.


def positions():
    return {(row["topic"], row["partition"]): (row["committed"], row["lag"]) for row in data("groups", "describe", group)[0]["offsets"]}


def joined():
    equal(len(lines("consume", topic, "-g", group)), 7, "everything once")
    equal(lines("consume", topic, "-g", group), [], "and nothing again")
    equal(positions()[(topic, 0)], (5, 0), "committed")
    listed = {row["group"]: row["state"] for row in data("groups", "list")}
    equal(listed[group], "Empty", "list")


def followed():
    """Ctrl-C ends a member with a commit."""
    member = subprocess.Popen(
        [kafscale, "consume", topic, "-g", group, "--follow"], stdout=subprocess.PIPE, env=environment
    )
    try:
        run("produce", topic, "-p", 0, stdin=b"later\n")
        equal(member.stdout.readline(), b"later\n", "what is written meanwhile")
        for more in [], ["--execute"]:
            told = run("groups", "reset-offsets", group, "--topic", topic, "--to-earliest", *more, status=REFUSED)
            assert "it has 1 member and is Stable" in told, told
        member.send_signal(signal.SIGINT)
        equal(member.wait(30), 0, "exit code")
    finally:
        member.kill()
        member.wait()
    equal(positions()[(topic, 0)], (6, 0), "committed at the end")


def reset():
    told = data("groups", "reset-offsets", group, "--topic", f"{topic}:0", "--to-earliest")
    equal(told, [{"topic": topic, "partition": 0, "old": 6, "new": 0}], "what would be done")
    equal(positions()[(topic, 0)], (6, 0), "a dry run changes nothing")
    for target, new in [
        (["--to-offset", 4], 4), (["--shift-by", -2], 2), (["--to-latest"], 6), (["--to-datetime", "1970-01-01T00:00:02Z"], 4),
        (["--to-offset", 99], 6), (["--by-duration", "PT1H"], 5), (["--to-earliest"], 0),
    ]:
        told = data("groups", "reset-offsets", group, "--topic", f"{topic}:0", *target, "--execute")
        equal(told[0]["new"], new, str(target))
        equal(positions()[(topic, 0)][0], new, f"committed after {target}")
    equal(len(lines("consume", topic, "-g", group)), 6, "read again")


def deleted():
    run("groups", "delete-offsets", group, "--topic", f"{topic}-absent", status=NOT_FOUND)
    run("groups", "delete-offsets", group, "--topic", f"{topic}:0")
    assert (topic, 0) not in positions(), "the offset is gone"
    equal(data("groups", "delete", group)[0]["outcome"], "deleted", "delete")
    assert group not in [row["group"] for row in data("groups", "list")]
    assert "GROUP_ID_NOT_FOUND" in run("groups", "delete", group, status=NOT_FOUND)
    assert "GROUP_ID_NOT_FOUND" in run("groups", "describe", group, status=NOT_FOUND)
    assert "GROUP_ID_NOT_FOUND" in run("groups", "delete-offsets", group, "--topic", topic, status=NOT_FOUND)
    told = data("groups", "reset-offsets", group, "--topic", f"{topic}:0", "--to-earliest")
    equal([row["old"] for row in told], [None], "a group that is not there can be given offsets")


# The cluster.


def cluster():
    told = data("cluster", "describe", "--api-versions")
    assert told["cluster_id"] and told["brokers"], told
    port = int(bootstrap.rpartition(":")[2])
    assert port in [broker["port"] for broker in told["brokers"]], told["brokers"]
    versions = {api["api"]: api["max"] for api in told["api_versions"]}
    assert versions["Metadata"] >= 12, versions


def top():
    told = data("top", "--once", "--interval", "200ms")
    equal([row["partitions"] for row in told["topics"] if row["topic"] == topic], [4], "top")


def removed():
    equal(data("topics", "delete", topic)[0]["outcome"], "deleted", "delete")
    deadline = time.monotonic() + 10
    while data("topics", "list", topic) and time.monotonic() < deadline:
        pass
    run("topics", "describe", topic, status=NOT_FOUND)
    equal(data("topics", "delete", topic, "--if-exists")[0]["outcome"], "was not there", "delete again")


for check in [create, described, altered, configs, produced, consumed, copied, refused, piped]:
    checks.run(check.__name__, check)
if with_groups:
    for check in [joined, followed, reset, deleted]:
        checks.run(check.__name__, check)
for check in [cluster, top, removed]:
    checks.run(check.__name__, check)
checks.finish()
