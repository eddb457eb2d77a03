"""A worker of Kafka Connect in distributed mode with a file source and a file sink, for what tests it."""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "servers")]
from checks import equal
from servers import Server, free_port


class Worker(Server):
    name = "connect"
    patience_s = 120

    def __init__(self, folder, jars, bootstrap, prefix):
        super().__init__(folder)
        self.jars = jars
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
        return ["java", "-Xmx512m", "-cp", f"{self.jars}/*", "org.apache.kafka.connect.cli.ConnectDistributed", self.properties]

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
