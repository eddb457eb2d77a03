"""kcat as an agent of ../matrix.py: each command is one or more runs of kcat, each member a process of its own.

    agent.py KCAT HOST:PORT
"""

import re
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
from agent import say, serve

kcat, bootstrap = sys.argv[1:]
members = {}
ASSIGNED = re.compile(r"assigned: (.*)")
RECORD = "%p\t%o\t%T\t%k\t%h\t%s\n"


def run(*arguments, stdin=None):
    done = subprocess.run([kcat, "-b", bootstrap, *arguments], input=stdin, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def record(line):
    partition, offset, timestamp, key, headers, value = line.rstrip("\n").split("\t")
    pairs = dict(pair.split("=", 1) for pair in headers.split(",") if pair)
    return {
        "partition": int(partition),
        "offset": int(offset),
        "timestamp": int(timestamp),
        "key": key,
        "value": value,
        "headers": pairs,
    }


class GroupMember:
    def __init__(self, member, group, topic):
        command = [kcat, "-b", bootstrap, "-G", group, "-X", "auto.offset.reset=earliest", "-u", "-f", RECORD, topic]
        self.member = member
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self.records, daemon=True).start()
        threading.Thread(target=self.rebalances, daemon=True).start()

    def records(self):
        for line in self.process.stdout:
            say(member=self.member, record=record(line))

    def rebalances(self):
        """kcat tells of each rebalance on standard error: `... assigned: topic [0], topic [1]` or `revoked: ...`."""
        for line in self.process.stderr:
            if "rebalanced" in line:
                assigned = ASSIGNED.search(line)
                say(member=self.member, owns=[int(each) for each in re.findall(r"\[(\d+)\]", assigned[1])] if assigned else [])

    def leave(self):
        self.process.terminate()
        self.process.wait(30)


def produce(topic, codec, records):
    """kcat cannot give timestamps, and one partition and set of headers holds for a whole run."""
    for partition in sorted({each["partition"] for each in records}):
        lines = "".join(f"{each['key']}\t{each['value']}\n" for each in records if each["partition"] == partition)
        headers = [flag for pair in records[0]["headers"].items() for flag in ("-H", "=".join(pair))]
        run("-P", "-t", topic, "-p", str(partition), "-z", codec, "-K", "\t", *headers, stdin=lines)


def describe(topic):
    return {"partitions": run("-L", "-t", topic).count("    partition ")}


def join(member, group, topic, protocol):
    members[member] = GroupMember(member, group, topic)


def leave(member):
    members.pop(member).leave()


serve(
    {
        "client": subprocess.run([kcat, "-V"], capture_output=True, text=True).stdout.strip().splitlines()[-1],
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "can": ["describe"],
        "tells": True,
    },
    {each.__name__: each for each in (describe, produce, join, leave)},
)
