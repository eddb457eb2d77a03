#!/usr/bin/env python3
"""Runs every program of docs/clients.md as it stands there, but for the address.

    snippets.py HOST:PORT [NAME]...

The second word of a fence is the program's name: ```python kafka-python. Each must end by itself and print its greeting.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "servers"))
from checks import Checks
from distribution import scripts
from servers import setup

DOCUMENT = HERE.parent.parent / "docs/clients.md"
checks = Checks("snippets")


def python(folder, text):
    (folder / "greetings.py").write_text(text)
    return [sys.executable, "greetings.py"], {}


def java(folder, text):
    (folder / "Greetings.java").write_text(text)
    return ["java", "-cp", f"{setup('kafka')}/*", "Greetings.java"], {}


def go(folder, text):
    (folder / "main.go").write_text(text)
    for name in ("go.mod", "go.sum"):
        shutil.copy(HERE / "go" / name, folder)
    cache = Path(setup("franz-go-agent")).parent.parent / "go"
    return ["go", "run", "."], {"GOMODCACHE": f"{cache}/mod", "GOCACHE": f"{cache}/build", "GOFLAGS": "-modcacherw"}


def js(folder, text):
    node = Path(setup("node"))
    (folder / "greetings.mjs").write_text(text)
    (folder / "node_modules").symlink_to(node.parents[2])
    return [node, "greetings.mjs"], {}


def rust(folder, text):
    (folder / "src").mkdir()
    (folder / "src/main.rs").write_text(text)
    # A name of its own, since the target folder is shared for what is built there already.
    for name in ("Cargo.toml", "Cargo.lock"):
        described = (HERE / "rust" / name).read_text()
        (folder / name).write_text(described.replace('"krafka-agent"', '"greetings"'))
    target = Path(setup("krafka-agent")).parent.parent
    return ["cargo", "run", "-q", "--locked"], {"CARGO_TARGET_DIR": str(target)}


def sh(folder, text):
    distribution = scripts(setup("kafka"), folder / "kafka")
    setup("kcat")
    return ["bash", "-ec", text], {"PATH": f"{distribution}/bin:{os.environ['PATH']}"}


RUNNERS = {"python": python, "java": java, "go": go, "js": js, "rust": rust, "sh": sh}


def run(language, name, text):
    with tempfile.TemporaryDirectory(prefix="kafscale-snippet-") as folder:
        command, environment = RUNNERS[language](Path(folder), text)
        done = subprocess.run(
            list(map(str, command)), cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, f"status {done.returncode}: {(done.stdout + done.stderr)[-600:]}"
    assert "hello from " in done.stdout, f"no greeting in {done.stdout[-300:]!r}"


bootstrap, names = sys.argv[1], sys.argv[2:]
for language, name, text in re.findall(r"^```(\w+) ([\w-]+)\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL):
    if not names or name in names:
        checks.run(name, lambda: run(language, name, text.replace("127.0.0.1:9092", bootstrap)))
checks.finish()
