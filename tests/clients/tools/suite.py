#!/usr/bin/env python3
"""The stock command-line tools of Apache Kafka, as their manual shows them.

    suite.py JARS HOST:PORT TOPIC [FOLDER]      FOLDER keeps what each command printed

Each step runs one tool and names what its output must contain; everything here also passes with Apache Kafka.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TESTS / "clients"))
sys.path.insert(0, str(TESTS / "servers"))
from checks import Checks
from distribution import java

jars, bootstrap, topic = sys.argv[1:4]
kept = Path(sys.argv[4]) if len(sys.argv) > 4 else None
checks = Checks("tools")
group = f"{topic}-group"
scratch = tempfile.TemporaryDirectory(prefix="kafscale-tools-")  # removed at exit
work = Path(scratch.name)

def run(tool, *arguments, stdin="", patience_s=60, end_after=None):
    """Runs a tool; returns what it printed. `end_after` ends a tool that never does once its output contains the text."""
    command = [*java(jars, tool), *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if end_after is None:
        output = process.communicate(stdin, timeout=patience_s)[0]
    else:
        output = ""
        deadline = time.monotonic() + patience_s
        for line in process.stdout:
            output += line
            if end_after in output or time.monotonic() > deadline:
                process.terminate()
                break
        output += process.communicate(timeout=30)[0]
    return "\n".join(line for line in output.splitlines() if not line.startswith(("SLF4J", "WARNING: Runtime")))


def step(name, tool, *arguments, has=(), lacks=("Exception", "rror while executing"), address="--bootstrap-server", **how):
    """One check: the tool's output has all these patterns and none of those."""

    def check():
        output = run(tool, address, bootstrap, *arguments, **how)
        if kept:
            (kept / (re.sub(r"\W+", "-", name) + ".txt")).write_text(output + "\n")
        for pattern in [has] if isinstance(has, str) else has:
            assert re.search(pattern, output), f"{pattern!r} is not in {output[-600:]!r}"
        for pattern in lacks:
            assert not re.search(pattern, output), f"{pattern!r} is in {output[-600:]!r}"

    checks.run(name, check)


def plan(name, content):
    file = work / name
    file.write_text(json.dumps(content))
    return file


records = "".join(f"k{index}:v{index}\n" for index in range(30))
offsets = rf"{group}\s+{topic}\s+0"

step("topics create", "topics", "--create", "--topic", topic, "--partitions", 2, "--config", "retention.ms=3600000", has="Created topic")
step("topics create again", "topics", "--create", "--topic", topic, has="already exists", lacks=())
step("topics create if absent", "topics", "--create", "--topic", topic, "--if-not-exists", lacks=("already exists",))
step("topics list", "topics", "--list", has=rf"(?m)^{topic}$")
step("topics describe", "topics", "--describe", "--topic", topic,
     has=[r"PartitionCount: 2\s+ReplicationFactor: 1", r"retention.ms=3600000", r"Partition: 1\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+"])
step("topics more partitions", "topics", "--alter", "--topic", topic, "--partitions", 3)
step("topics fewer partitions", "topics", "--alter", "--topic", topic, "--partitions", 2,
     has="currently has 3 partition", lacks=())
step("topics describe of an unknown one", "topics", "--describe", "--topic", f"{topic}-unknown", has="does not exist as expected", lacks=())
step("topics create with a bad setting", "topics", "--create", "--topic", f"{topic}-bad", "--config", "retention.ms=soon",
     has="Invalid value soon for configuration retention.ms", lacks=())
step("configs alter a topic", "configs", "--alter", "--topic", topic, "--add-config", "max.message.bytes=2000000", has="Completed updating config")
step("configs describe a topic", "configs", "--describe", "--topic", topic, has=["max.message.bytes=2000000", "retention.ms=3600000"])
step("configs delete a setting", "configs", "--alter", "--topic", topic, "--delete-config", "max.message.bytes", has="Completed updating config")
step("configs describe all of a topic", "configs", "--describe", "--all", "--topic", topic, has="max.message.bytes=1048588")
step("configs refuse a bad value", "configs", "--alter", "--topic", topic, "--add-config", "max.message.bytes=many", has="Invalid value many", lacks=())
step("configs refuse an unknown setting", "configs", "--alter", "--topic", topic, "--add-config", "no.such.setting=1",
     has="Unknown topic config name: no.such.setting", lacks=())
step("configs of an unknown topic", "configs", "--alter", "--topic", f"{topic}-unknown", "--add-config", "retention.ms=1",
     has=f"The topic '{topic}-unknown' does not exist", lacks=())
step("configs with a list", "configs", "--alter", "--topic", topic, "--add-config", "cleanup.policy=[compact,delete]", has="Completed updating config")
step("configs describe a list", "configs", "--describe", "--topic", topic, has="cleanup.policy=compact,delete")
step("configs delete a list", "configs", "--alter", "--topic", topic, "--delete-config", "cleanup.policy", has="Completed updating config")
step("configs alter a group", "configs", "--alter", "--group", f"{group}-settings", "--add-config", "consumer.session.timeout.ms=50000",
     has="Completed updating config")
step("configs describe a group", "configs", "--describe", "--group", f"{group}-settings", has="consumer.session.timeout.ms=50000")
step("configs refuse a group's bad value", "configs", "--alter", "--group", f"{group}-settings", "--add-config", "consumer.session.timeout.ms=1",
     has="must be greater than or equal to group.consumer.min.session.timeout.ms", lacks=())
step("configs alter the default of brokers", "configs", "--alter", "--entity-type", "brokers", "--entity-default", "--add-config", "log.retention.ms=7200000",
     has="Completed updating default config")
step("configs describe the default of brokers", "configs", "--describe", "--entity-type", "brokers", "--entity-default",
     has="log.retention.ms=7200000")
step("configs delete the default of brokers", "configs", "--alter", "--entity-type", "brokers", "--entity-default", "--delete-config", "log.retention.ms",
     has="Completed updating default config")
step("configs refuse what is set at the start", "configs", "--alter", "--entity-type", "brokers", "--entity-default", "--add-config", "num.partitions=3",
     has="Cannot update these configs dynamically", lacks=())
step("configs describe brokers", "configs", "--describe", "--entity-type", "brokers", "--all", has="All configs for broker")
step("console producer", "console-producer", "--topic", topic, "--reader-property", "parse.key=true", "--reader-property", "key.separator=:", stdin=records)
step("get offsets", "get-offsets", "--topic", topic, has=rf"{topic}:0:\d+")
step("get earliest offsets", "get-offsets", "--topic", topic, "--time", "earliest", has=rf"{topic}:0:0")
step("console consumer in a group", "console-consumer", "--topic", topic, "--group", group, "--from-beginning", "--max-messages", 30,
     "--timeout-ms", 40000, "--formatter-property", "print.key=true", has=["k0\tv0", "k29\tv29", "Processed a total of 30 messages"])
step("console consumer by the newer protocol", "console-consumer", "--topic", topic, "--group", f"{group}-848", "--from-beginning",
     "--max-messages", 30, "--timeout-ms", 40000, "--command-property", "group.protocol=consumer", has="Processed a total of 30 messages")
step("console consumer of one partition", "console-consumer", "--topic", topic, "--partition", 0, "--offset", 0, "--max-messages", 1,
     "--timeout-ms", 40000, has="Processed a total of 1 messages")
step("consumer groups list", "consumer-groups", "--list", has=rf"(?m)^{group}$")
step("consumer groups list with states", "consumer-groups", "--list", "--state", has=rf"(?m)^{group}\s+Empty")
step("consumer groups describe", "consumer-groups", "--describe", "--group", group, has=[rf"{offsets}\s+\d+\s+\d+\s+0", "has no active members"])
step("consumer groups describe all", "consumer-groups", "--describe", "--all-groups", has=offsets)
step("consumer groups describe the state", "consumer-groups", "--describe", "--group", group, "--state", has=rf"{group}\s+\S+:\d+.*Empty")
step("consumer groups describe the members", "consumer-groups", "--describe", "--group", group, "--members", has="has no active members")
step("consumer groups describe an unknown one", "consumer-groups", "--describe", "--group", f"{group}-unknown", has="not found", lacks=())
step("consumer groups reset, dry run", "consumer-groups", "--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--dry-run", has=rf"{offsets}\s+0")
step("consumer groups reset", "consumer-groups", "--reset-offsets", "--group", group, "--topic", f"{topic}:0", "--to-offset", 1, "--execute", has=rf"{offsets}\s+1")
step("consumer groups after the reset", "consumer-groups", "--describe", "--group", group, has=rf"{offsets}\s+1\s+\d+\s+\d+")
step("consumer groups reset beyond the end", "consumer-groups", "--reset-offsets", "--group", group, "--topic", f"{topic}:0", "--to-offset", 10000, "--dry-run",
     has=rf"{offsets}\s+\d\d?\s*$")
step("consumer groups delete offsets", "consumer-groups", "--delete-offsets", "--group", group, "--topic", f"{topic}:0", has=rf"{topic}\s+0\s+Successful")
step("consumer groups delete", "consumer-groups", "--delete", "--group", group, has="Deletion of requested consumer groups .*was successful")
step("consumer groups delete again", "consumer-groups", "--delete", "--group", group, has="GroupIdNotFoundException|does not exist", lacks=())
step("groups list", "groups", "--list", has=rf"{group}-848\s+Consumer\s+consumer")
step("delete records", "delete-records", "--offset-json-file",
     plan("records.json", {"partitions": [{"topic": topic, "partition": 0, "offset": 1}], "version": 1}), has="low_watermark: 1")
step("delete records beyond the end", "delete-records", "--offset-json-file",
     plan("beyond.json", {"partitions": [{"topic": topic, "partition": 0, "offset": 100000}], "version": 1}), has="OffsetOutOfRange|out of range|not valid", lacks=())
step("earliest offset after that", "get-offsets", "--topic", topic, "--time", "earliest", has=rf"{topic}:0:1")
step("log dirs", "log-dirs", "--describe", "--topic-list", topic, has=[r'"logDir"', rf'"partition":"{topic}-0"'])
step("metadata quorum", "metadata-quorum", "describe", "--status", has=r"ClusterId:\s+\S+")
step("metadata quorum replication", "metadata-quorum", "describe", "--replication", has="NodeId")
step("features", "features", "describe", has=r"Feature: metadata.version")
checks.run("cluster id", lambda: run("cluster", "cluster-id", "--bootstrap-server", bootstrap).index("Cluster ID: "))
step("broker api versions", "broker-api-versions", has=[r"Produce\(0\): 0 to 1\d", r"Fetch\(1\): 4 to 1\d"])
step("reassignments, none", "reassign-partitions", "--list", has="No partition reassignments found")
step("preferred leader election", "leader-election", "--election-type", "preferred", "--topic", topic, "--partition", 0,
     has="Valid replica already elected|Successfully completed")
step("client metrics list", "client-metrics", "--list")
step("client metrics alter", "client-metrics", "--alter", "--name", f"{topic}-metrics", "--metrics", "org.apache.kafka.producer.", "--interval", 60000,
     has="Altered client metrics config")
step("client metrics describe", "client-metrics", "--describe", "--name", f"{topic}-metrics", has=["interval.ms=60000", "metrics=org.apache.kafka.producer."])
step("client metrics list afterwards", "client-metrics", "--list", has=f"{topic}-metrics")
step("client metrics refuse a bad pattern", "client-metrics", "--alter", "--name", f"{topic}-metrics", "--match", "nobody=x",
     has="Illegal client matching pattern: nobody=x", lacks=())
step("client metrics delete", "client-metrics", "--delete", "--name", f"{topic}-metrics", has="Deleted client metrics config")
step("acls, none without an authorizer", "acls", "--list", has="No Authorizer is configured", lacks=())
step("acls refuse a rule", "acls", "--add", "--allow-principal", "User:a", "--operation", "Read", "--topic", topic,
     has="No Authorizer is configured", lacks=())
step("quotas, none", "configs", "--describe", "--entity-type", "users", "--entity-name", "nobody")
step("reassignment to a broker that is not there", "reassign-partitions", "--execute", "--reassignment-json-file",
     plan("moves.json", {"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": [77]}]}), has="77", lacks=())
step("features refuse a level that is not there", "features", "upgrade", "--feature", "metadata.version=99", has="only supports versions 7-", lacks=())
step("consumer perf test", "consumer-perf-test", "--topic", topic, "--num-records", 20, "--timeout", 20000, has=r"20\d\d-\d\d-\d\d .*, 2\d, ")
step("verifiable producer", "verifiable-producer", "--topic", topic, "--max-messages", 20, has='"name":"tool_data","sent":20,"acked":20')
step("verifiable consumer", "verifiable-consumer", "--topic", topic, "--group-id", f"{group}-verifiable", "--max-messages", 20, "--reset-policy", "earliest",
     has=['"name":"partitions_assigned"', '"name":"offsets_committed"'])
step("e2e latency", "e2e-latency", "--topic", f"{topic}-e2e", "--num-records", 50, "--producer-acks", "all", "--record-size", 100, has="Avg latency: ")
step("streams application reset", "streams-application-reset", "--application-id", f"{group}-streams", "--input-topics", topic, lacks=("ERROR", "Exception"))
step("topics delete", "topics", "--delete", "--topic", topic)
step("topics list after that", "topics", "--list", lacks=(rf"(?m)^{topic}$",))
checks.finish()
