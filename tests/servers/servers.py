#!/usr/bin/env python3
"""Servers for the tests: each on loopback, on a free port below 32768, stopped by its own process id.

A server is a context manager: entering starts it and waits until it serves, leaving stops it. Its output
goes to a log file whose tail is part of the error when it does not come up.

As a command it runs another command beside a server, with the bootstrap address in place of `{}`, and beside a second
one where the command mentions `{2}`:

    tests/servers/servers.py kafka|kafscale -- tests/clients/run.sh --bootstrap {} [--second {2}]
"""

import contextlib
import functools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent

# A test that is told to end leaves through its context managers, which stop its servers.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@functools.cache
def setup(name):
    """Installs one thing through `setup.sh`; returns the path that it prints. Status 77: a toolchain is missing."""
    done = subprocess.run([TESTS / "setup.sh", name], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout.strip().splitlines()[-1]


def free_port():
    """A port nobody listens on, below the range of ephemeral ports, where an outgoing socket might hold it."""
    while True:
        port = random.randint(15000, 32000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Server:
    """One server process. Subclasses say how it is started and when it is ready."""

    name = "server"
    patience_s = 60

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / f"{self.name}.log"
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def is_ready(self):
        raise NotImplementedError

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        """Starts the process and waits until it serves; returns the seconds that took."""
        started = time.monotonic()
        self.log_start = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=self.environment())
        while not self.is_ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self.process.returncode}:\n{self.log_tail()}")
            if time.monotonic() - started > self.patience_s:
                self.kill()
                raise RuntimeError(f"{self.name} is not ready after {self.patience_s} s:\n{self.log_tail()}")
            time.sleep(0.01)
        return time.monotonic() - started

    def stop(self):
        """Asks the process to end; after 30 s it is killed. Returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.wait()

    def log_since_start(self):
        with open(self.log, "rb") as log:
            log.seek(self.log_start)
            return log.read().decode(errors="replace")

    def log_tail(self, lines=30):
        return "\n".join(self.log_since_start().splitlines()[-lines:])

    def cpu_seconds(self):
        """User and system time of the process since it started."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self, kind="VmRSS"):
        """Resident memory now (`VmRSS`) or at its highest (`VmHWM`)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(kind + ":"):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"{kind} not found")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Kafka(Server):
    """Apache Kafka, one node that is broker and controller, with its own defaults otherwise; `extra` are lines of settings."""

    name = "kafka"

    def __init__(self, folder, port=None, extra=""):
        super().__init__(folder)
        self.jars = setup("kafka")
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        controller = free_port()
        self.properties = self.folder / "server.properties"
        if self.properties.exists():
            return
        self.properties.write_text(
            f"""process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}
log.dirs={self.folder}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
{extra}"""
        )
        arguments = ["format", "--standalone", "-t", "kafscaleTestsKafka0000", "-c", self.properties]
        format = subprocess.run(self.java("kafka.tools.StorageTool", *arguments), capture_output=True, text=True)
        if format.returncode != 0:
            raise RuntimeError(f"the storage tool failed:\n{format.stderr[-2000:]}")

    def java(self, main, *arguments):
        """The heap and the collector that Kafka's own start script sets."""
        flags = ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
        return ["java", *flags, "-cp", f"{self.jars}/*", main, *map(str, arguments)]

    def command(self):
        return self.java("kafka.Kafka", self.properties)

    def is_ready(self):
        return accepts(self.port)


def environment(settings):
    """That of a `kafscale` with these `KAFSCALE_*` and `AWS_*` variables. Those around the test are not handed on: it refuses
    `KAFSCALE_*` variables that it does not know, and it shall run with what the test says."""
    around = {name: value for name, value in os.environ.items() if not name.startswith(("KAFSCALE_", "AWS_"))}
    return {**around, **settings}


class Kafscale(Server):
    """The broker under test, on a directory or on a store URL. `settings`: see `environment`."""

    name = "kafscale"

    def __init__(self, folder, store=None, settings=None, binary="kafscale", port=None):
        super().__init__(folder)
        self.binary = setup(binary)
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.http = f"127.0.0.1:{free_port()}"
        self.data = self.folder / "data"
        self.store = store
        self.settings = settings or {}

    def command(self):
        command = [self.binary, "serve", "--data", self.data, "--listen", self.bootstrap, "--http", self.http]
        return command + (["--store", self.store] if self.store else [])

    def environment(self):
        return environment(self.settings)

    def is_ready(self):
        return any(line.startswith("ready") for line in self.log_since_start().splitlines())

    def metrics(self):
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=5) as answer:
            return answer.read().decode()


def main(arguments):
    kinds = {"kafka": Kafka, "kafscale": Kafscale}
    if len(arguments) < 3 or arguments[0] not in kinds or arguments[1] != "--":
        sys.exit("usage: servers.py kafka|kafscale -- COMMAND with {} for the bootstrap address")
    places = ["{}", "{2}"] if "{2}" in " ".join(arguments) else ["{}"]
    command = arguments[2:]
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="kafscale-tests-")))
        servers = [running.enter_context(kinds[arguments[0]](folder / f"{number}")) for number in range(len(places))]
        for place, server in zip(places, servers):
            command = [part.replace(place, server.bootstrap) for part in command]
        status = subprocess.run(command).returncode
        for server in servers if status != 0 else []:
            print(f"--- tail of {server.name}.log\n{server.log_tail()}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
