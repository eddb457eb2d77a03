#!/usr/bin/env python3
"""Runs what `Dockerfile` and `docker-compose.yml` say as plain processes, because a container engine is not always there.

    tests/compose/run.sh

Each service of the compose file is started with the command, the environment and the dependencies that stand there, with
real programs in place of the images (MinIO's server, our binary with the environment of the Dockerfile), and with
free ports on loopback in place of the containers' addresses. The health checks are those of the files. Then records are
produced and consumed through the published port, the broker is killed, comes back, and still has them.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "servers"))
from dockerfile import Dockerfile
from servers import Server, free_port, setup

CHECKS = {"passed": 0, "failed": 0}


def check(what, holds):
    print(f"{'ok' if holds else 'FAIL'} {what}", flush=True)
    CHECKS["passed" if holds else "failed"] += 1


def substituted(text):
    """Compose's own variables: `${NAME:-default}`."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: os.environ.get(found[1]) or found[2], text)


class Places:
    """Where the containers' addresses are on this machine: one free port for each port of each service."""

    def __init__(self, services):
        self.ports = {}
        for name, service in services.items():
            for published in service.get("ports", []):
                self.ports[name, int(published.rpartition(":")[2])] = free_port()

    def port(self, service, port):
        return self.ports[service, port]

    def here(self, service, text, volumes):
        """A word of a service's command or environment, as it has to be on this machine."""
        for volume, folder in volumes.items():
            text = re.sub(rf"(?<![\w/.]){re.escape(volume)}(?![\w.])", str(folder), text)
        for (owner, port), free in self.ports.items():
            text = re.sub(rf"\b{owner}:{port}\b", f"127.0.0.1:{free}", text)
            if owner == service:
                text = re.sub(rf"(?<![\w.])(0\.0\.0\.0|127\.0\.0\.1|localhost)?:{port}\b", f"127.0.0.1:{free}", text)
        return text


class Container(Server):
    """One service, as a process."""

    patience_s = 120

    def __init__(self, folder, name, argv, environment, health):
        super().__init__(folder)
        self.name = name
        self.argv = argv
        self.variables = environment
        self.health = health
        self.log = self.folder / f"{name}.log"

    def command(self):
        return self.argv

    def environment(self):
        around = {name: value for name, value in os.environ.items() if not name.startswith(("KAFSCALE_", "AWS_", "MINIO_"))}
        return {**around, **self.variables}

    def is_ready(self):
        """What the health check says."""
        if self.health is None:
            return True
        time.sleep(0.2)
        return subprocess.run(self.health, env=self.environment(), capture_output=True, timeout=60).returncode == 0


class Compose:
    """The services of the file on this machine."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.services = yaml.safe_load(substituted((ROOT / "docker-compose.yml").read_text()))["services"]
        self.image = Dockerfile((ROOT / "Dockerfile").read_text()).last
        self.places = Places(self.services)
        self.kafscale = setup("kafscale")
        folders = [str(Path(program).parent) for program in (setup("minio"), self.kafscale)]
        self.path = os.pathsep.join([*folders, os.environ["PATH"]])

    def argv(self, name):
        """Entry point and command: the service's own, or else those of its image."""
        service = self.services[name]
        if service["image"].startswith("minio/minio:"):
            entry, command = ["minio"], []
        else:
            entry, command = self.image.entrypoint, self.image.command
        entry, command = service.get("entrypoint", entry), service.get("command", command)
        return self.words(name, [*entry, *command])

    def words(self, name, words):
        return [self.places.here(name, word, self.volumes(name)) for word in words]

    def volumes(self, name):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        mounted = [volume.partition(":")[2] for volume in self.services[name].get("volumes", [])]
        return {inside: folder for inside in mounted or self.image.volumes}

    def environment(self, name):
        service = self.services[name]
        variables = dict(service.get("environment", {}))
        if not service["image"].startswith("minio/"):
            variables = {**self.image.environment, **variables}
        here = {key: self.places.here(name, str(value), self.volumes(name)) for key, value in variables.items()}
        return {**here, "PATH": self.path}

    def health(self, name):
        test = self.services[name].get("healthcheck", {}).get("test")
        if test is None:
            return None
        assert test[0] == "CMD", test
        return self.words(name, test[1:])

    def container(self, name):
        return Container(self.folder / f"{name}-logs", name, self.argv(name), self.environment(name), self.health(name))

    def order(self):
        """Services after those that they depend on."""
        done = []
        while len(done) < len(self.services):
            ready = [name for name, service in self.services.items() if name not in done and set(service.get("depends_on", {})) <= set(done)]
            assert ready, "the services depend on each other in a circle"
            done += ready
        return done


def up(compose, running):
    """`docker-compose up -d`: starts all in order, and waits for what the next one waits for."""
    started = {}
    for name in compose.order():
        container = compose.container(name)
        assert container.health is not None, f"{name} has no health check"
        started[name] = running.enter_context(container)
        check(f"{name} starts, and its health check passes", True)
    return started


def client(compose, *arguments, stdin=""):
    broker = f"127.0.0.1:{compose.places.port('kafscale', 9092)}"
    command = [compose.kafscale, *arguments, "--bootstrap-server", broker]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)


def stay(compose, broker):
    """What was acknowledged is on the bucket: a broker that is killed comes back with it."""
    words = "".join(f"record-{number}\n" for number in range(1000))
    check("a client produces through the published port", client(compose, "produce", "orders", stdin=words).returncode == 0)
    broker.kill()
    check("the health check fails while the broker is dead", not broker.is_ready())
    broker.start()
    consumed = client(compose, "consume", "orders", "--from", "beginning").stdout
    check("a killed broker comes back with every record", sorted(consumed.split()) == sorted(words.split()))
    print(f"{len(consumed.split())} records")


def image(compose):
    """What can be said of the Dockerfile without an engine."""
    file = Dockerfile((ROOT / "Dockerfile").read_text())
    check("the image is built in more than one stage", len(file.stages) > 1)
    check("the image runs as a user that is not root", file.last.user not in ("", "root", "0"))
    check("the image serves when nothing else is said", file.last.command == ["serve"])
    build = " ".join(file.stages[0].run)
    package = re.search(r"cargo build --locked --release -p (\S+)", build)
    check("the build names a package of this workspace", package is not None and (ROOT / "crates" / package[1]).is_dir())
    wanted = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    check("the build has the toolchain that the workspace asks for", file.stages[0].base.startswith(f"rust:{wanted}-"))
    health = file.last.health
    check("the image's health check is the compose file's", health == compose.services["kafscale"]["healthcheck"]["test"][1:])


def main():
    with tempfile.TemporaryDirectory(prefix="kafscale-compose-") as folder, contextlib.ExitStack() as running:
        compose = Compose(folder)
        image(compose)
        started = up(compose, running)
        stay(compose, started["kafscale"])
        if CHECKS["failed"]:
            for container in started.values():
                print(f"--- {container.name}: {shlex.join(map(str, container.command()))}\n{container.log_tail()}")
    print(f"{CHECKS['passed']} passed, {CHECKS['failed']} failed")
    sys.exit(CHECKS["failed"] > 0)


if __name__ == "__main__":
    main()
