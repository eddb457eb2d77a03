#!/usr/bin/env python3
"""Kafka Connect in distributed mode with a file source and a file sink.

    suite.py JARS HOST:PORT PREFIX

The worker keeps its offsets, settings and states in three compacted topics and joins a group of the protocol type
`connect`. Lines of a file go through a topic into another file, across a restart of the worker.
"""

import sys
import tempfile
import time
from pathlib import Path

from worker import Worker, append, arrived, connector
from checks import Checks, equal

jars, bootstrap, prefix = sys.argv[1:]
checks = Checks("connect")

with tempfile.TemporaryDirectory(prefix="kafscale-connect-") as folder:
    source, sink = Path(folder) / "in.txt", Path(folder) / "out.txt"
    worker = Worker(folder, jars, bootstrap, prefix)
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
