"""One broker under load on a real S3 server, what stands behind it, and how it is looked at."""

import glob
import subprocess
import time
import urllib.error
import urllib.request

import stores
from checker import check as check_history, summary
from history import History
from load import read_all
from servers import TESTS, setup

TOPIC, PARTITIONS, PRODUCERS = "faults", 3, 2
SECRET = "kafscale-test-secret"
PATIENCE_S = 90

CHECKS = {"passed": 0, "failed": 0}


def check(what, holds, otherwise=""):
    print(f"{'ok' if holds else 'FAIL'} {what}" + ("" if holds else f": {otherwise}"), flush=True)
    CHECKS["passed" if holds else "failed"] += 1


def until(holds, patience_s=PATIENCE_S):
    """Whether this becomes true in time."""
    deadline = time.monotonic() + patience_s
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return held


class Store:
    """The server behind the proxy, as its administrator sees it."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, command, argument):
        script = TESTS / "servers/seaweedfs.sh"
        subprocess.run([script, command, self.folder, argument], check=True, timeout=120)

    def keys(self, secret):
        self.run("keys", secret)

    def bucket(self, what):
        self.run("bucket", what)


class Clock:
    """The clock of a process, which can be set while it runs."""

    def __init__(self, folder):
        setup("faketime")
        libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        self.file = folder / "clock"
        self.set("+0")
        # Timers go by the monotonic clock, which is left alone.
        self.variables = {
            "LD_PRELOAD": libraries[0],
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, off):
        self.file.write_text(off + "\n")


class Scene:
    """A broker, its load, and what stands behind it."""

    def __init__(self, folder, proxy, environment):
        self.proxy = proxy
        self.store = Store(folder / "seaweedfs")
        self.clock = Clock(folder)
        self.on = stores.OnBucket(folder, proxy, environment, "kafscale", self.clock.variables)
        self.broker = self.on.broker
        self.history = History()

    def readyz(self):
        """Status and text."""
        try:
            with urllib.request.urlopen(f"http://{self.broker.http}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def is_well(self):
        return self.readyz()[0] == 200 and 'kafscale_reading{name="store_condition"} 0' in self.broker.metrics()

    def goes_on(self, what):
        """Every producer is acknowledged again, and the broker well by itself."""
        acknowledged = self.load.wait_for_acks_since(time.monotonic(), PATIENCE_S)
        check(f"{what}: producers are acknowledged", acknowledged, self.load.errors[:3])
        check(f"{what}: the broker is well again by itself", until(self.is_well), self.readyz())

    def is_told(self, what, words):
        """What an operator sees names the cause, while nothing is confirmed."""
        named = lambda text: any(word in text for word in words)
        seen = until(lambda: self.readyz()[0] == 503 and named(self.readyz()[1]))
        check(f"{what}: /readyz is 503 and names the cause", seen, self.readyz())
        print(f"   {self.readyz()[1].strip()}")
        warned = lambda: [line for line in self.broker.log_since_start().splitlines() if "WARN" in line and named(line)]
        check(f"{what}: the log names the cause", until(lambda: bool(warned())), self.broker.log_tail())
        metrics = self.broker.metrics()
        check(f"{what}: metrics say so", 'kafscale_reading{name="store_condition"} 2' in metrics, metrics)

    def restart(self):
        self.broker.kill()
        self.broker.start()

    def reads_all(self, what):
        """From what the store holds, past whatever goes wrong."""
        found = History()
        try:
            read_all(self.broker.bootstrap, TOPIC, PARTITIONS, found)
            check(f"{what}: everything can be read", len(found.found) >= sum(found.ends.values()))
        except Exception as error:
            check(f"{what}: everything can be read", False, repr(error))

    def nothing_is_lost(self):
        self.load.stop(patience_s=120)
        self.restart()
        read_all(self.broker.bootstrap, TOPIC, PARTITIONS, self.history)
        problems = [("producer", what) for what in self.load.errors] + check_history(self.history)
        sent, acked = sum(self.history.sent.values()), len(self.history.acks)
        what = f"nothing of {acked} acknowledged records ({sent} sent) is lost, doubled or moved"
        check(what, not problems, summary(problems))
