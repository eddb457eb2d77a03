#!/usr/bin/env python3
"""Kafka Connect in distributed mode with a file source and a file sink.

    suite.py JARS HOST:PORT PREFIX

The worker keeps its offsets, settings and states in three compacted topics and joins a group of the protocol type
`connect`. Lines of a file go through a topic into another file, across a restart of the worker.
"""

import json
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent.parent / "servers"))
from checks import Checks, equal
from servers import Server, free_port

jars, bootstrap, prefix = sys.argv[1:]
checks = Checks("connect")


class Worker(Server):
    name = "connect"
    patience_s = 120

    def __init__(self, folder):
        super().__init__(folder)
        self.port = free_port()
        self.properties = self.folder / "worker.properties"
        self.properties.write_text(
            f"""bootstrap.servers={bootstrap}
group.id={prefix}-cluster
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.topic={prefix}-offsets
offset.storage.replication.factor=1
config.storage.topic={prefix}-configs
config.storage.replication.factor=1
status.storage.topic={prefix}-status
status.storage.replication.factor=1
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:{self.port}
plugin.discovery=service_load
"""
        )

    def command(self):
        return ["java", "-Xmx512m", "-cp", f"{jars}/*", "org.apache.kafka.connect.cli.ConnectDistributed", self.properties]

    def is_ready(self):
        try:
            return isinstance(self.ask("GET", "/connectors"), list)
        except (OSError, AssertionError):
            return False

    def ask(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:300]}") from None


def until(condition, what, patience_s=60):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}, after {patience_s} s"
        time.sleep(0.2)


def connector(worker, name, kind, settings):
    worker.ask("PUT", f"/connectors/{name}/config", {"connector.class": f"FileStream{kind}", "tasks.max": "1", **settings})

    def running():
        try:
            status = worker.ask("GET", f"/connectors/{name}/status")
        except AssertionError:
            return False
        return [task["state"] for task in status["tasks"]] == ["RUNNING"]

    until(running, f"{name} does not run")


def append(file, start, count):
    with open(file, "a") as lines:
        lines.writelines(f"line {number}\n" for number in range(start, start + count))


def arrived(file, count):
    def lines():
        return file.read_text().splitlines() if file.exists() else []

    until(lambda: len(lines()) >= count, f"{count} lines are not there")
    equal(lines(), [f"line {number}" for number in range(count)], "lines of the sink")


with tempfile.TemporaryDirectory(prefix="kafscale-connect-") as folder:
    source, sink = Path(folder) / "in.txt", Path(folder) / "out.txt"
    worker = Worker(folder)
    checks.run("the worker starts", worker.start)
    try:
        append(source, 0, 100)
        checks.run("file source", lambda: connector(worker, "source", "Source", {"file": str(source), "topic": f"{prefix}-lines"}))
        checks.run("file sink", lambda: connector(worker, "sink", "Sink", {"file": str(sink), "topics": f"{prefix}-lines"}))
        checks.run("lines go through", lambda: arrived(sink, 100))
        # The offsets of both sides are flushed every second here; what was not flushed would rightly come again.
        time.sleep(3)
        checks.run("the worker stops", lambda: worker.stop() in (0, 143) or None)
        append(source, 100, 50)
        checks.run("the worker starts again", worker.start)
        checks.run("it goes on where it was", lambda: arrived(sink, 150))
        checks.run("connectors are remembered", lambda: equal(sorted(worker.ask("GET", "/connectors")), ["sink", "source"], "connectors"))
        checks.run("offsets of the source", lambda: equal(
            worker.ask("GET", "/connectors/source/offsets")["offsets"][0]["partition"], {"filename": str(source)}, "partition"))
        checks.run("delete a connector", lambda: worker.ask("DELETE", "/connectors/sink"))
        checks.run("delete the other", lambda: worker.ask("DELETE", "/connectors/source"))
    finally:
        worker.stop()
    if checks.failed:
        print(worker.log_tail(60), file=sys.stderr)
checks.finish()
