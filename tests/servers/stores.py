"""A broker on a store that can be looked at: on a directory, or on a bucket behind the latency and fault proxy."""

import contextlib
import json
import shlex
import subprocess
import sys
import time
import urllib.request
import uuid

from servers import TESTS, Kafka, Kafscale, Server, accepts, free_port, setup

# Latencies of a bucket in the region of its clients, in milliseconds.
LATENCY = ["--put-p50-ms=60", "--put-p99-ms=250", "--get-p50-ms=25", "--get-p99-ms=120"]

# What each kind of fault makes of the requests that reach the bucket.
FAULTS = {
    "none": [],
    "503": ["--error-503-rate=0.05"],
    "unanswered": ["--applied-unanswered-rate=0.03"],
    "hang": ["--hang-rate=0.01", "--applied-hang-rate=0.01"],
}


class OnDirectory:
    """`kafscale serve` on a directory. A PUT there writes a file in `+tmp` and links it to its name when flushed."""

    counts_puts = True

    def __init__(self, folder, settings):
        self.broker = Kafscale(folder, settings=settings)

    def pending_puts(self):
        temporary = self.broker.data / "+tmp"
        return len(list(temporary.iterdir())) if temporary.exists() else 0

    def report(self):
        pass


class OnKafka:
    """Apache Kafka in place of ours, to try a test itself. It has no PUTs to look at."""

    counts_puts = False

    def __init__(self, folder):
        self.broker = Kafka(folder)

    def pending_puts(self):
        return 1

    def report(self):
        pass


class OnBucket:
    """`kafscale serve` on a bucket of its own prefix, reached through the proxy."""

    counts_puts = True

    def __init__(self, folder, proxy, environment, binary, settings):
        self.proxy = proxy
        store = f"s3://{environment['KAFSCALE_TEST_S3_BUCKET']}/{uuid.uuid4().hex}"
        reached = {name: value for name, value in environment.items() if name.startswith("AWS_")}
        reached |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}", "KAFSCALE_S3_PATH_STYLE": "true"}
        self.run(folder, store, reached | settings, binary)

    def run(self, folder, store, settings, binary):
        self.broker = Kafscale(folder, store, settings, binary)
        # A request that hangs is asked again beside it; if that hangs too it is given up after ten seconds.
        self.broker.patience_s = 90

    def pending_puts(self):
        return self.proxy.stats()["puts_in_flight"]

    def report(self):
        for method, counts in self.proxy.stats()["methods"].items():
            print(f"{method}: {counts['requests']} requests, answers {counts['answers']}, faults {counts['faults']}")


def known(broker, patience_s=60):
    """Waits until a broker on a new bucket has asked it everything, which is once in the bucket's life."""
    deadline = time.monotonic() + patience_s
    while "cluster.json has the result" not in broker.log.read_text():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the first look at the bucket does not end:\n{broker.log_tail(20)}")
        time.sleep(0.1)


class Proxy(Server):
    """The proxy between broker and bucket; its admin port tells what went through."""

    name = "proxy"

    def __init__(self, folder, upstream, options, binary):
        super().__init__(folder)
        self.binary = setup(binary)
        self.port, self.admin = free_port(), free_port()
        self.upstream = upstream
        self.options = options

    def command(self):
        addresses = [f"--listen=127.0.0.1:{self.port}", f"--admin=127.0.0.1:{self.admin}", f"--upstream={self.upstream}"]
        return [self.binary, "proxy", *addresses, *self.options]

    def is_ready(self):
        return accepts(self.port) and accepts(self.admin)

    def stats(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/stats", timeout=10) as answer:
            return json.load(answer)

    def reset(self):
        self.post("reset")

    def change(self, **settings):
        """Other latencies, rates or line, from now on."""
        self.post("settings", json.dumps(settings).encode())

    def follow(self, profile, rules=()):
        """Answers as this provider does from now on, or by these of its rules alone; without one, as the server."""
        self.post("quirks", json.dumps({"profile": profile, "rules": list(rules)}).encode())

    def post(self, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/{path}", body, method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def figures(self):
        """What was asked of the store since the last reset; latencies are those of its PUTs."""
        methods = self.stats()["methods"]
        figures = {"requests": sum(counts["requests"] for counts in methods.values())}
        figures.update({f"{method.lower()}s": counts["requests"] for method, counts in methods.items()})
        if "PUT" in methods:
            latency = methods["PUT"]["latency_ms"]
            figures.update({f"put_{name}_ms": latency[name] for name in ("mean", "p50", "p99")})
            figures["put_bytes"] = methods["PUT"]["bytes_in"]
        return figures


@contextlib.contextmanager
def seaweedfs(folder):
    """A SeaweedFS of its own; yields the environment variables that lead to it."""
    script = TESTS / "servers/seaweedfs.sh"
    started = subprocess.run([script, "start", folder], stdout=subprocess.PIPE, text=True, check=True)
    try:
        words = [shlex.split(line)[1] for line in started.stdout.splitlines() if line.startswith("export ")]
        yield dict(word.split("=", 1) for word in words)
    finally:
        subprocess.run([script, "stop", folder], check=True)


@contextlib.contextmanager
def on_bucket(folder, faults="none", suffix="", settings=None):
    """A broker on a bucket behind the proxy; `suffix` is `-release` for optimised binaries."""
    for binary in ("kafscale", "lab"):
        setup(binary + suffix)  # a build is not to be waited for beside a running server
    with seaweedfs(folder / "seaweedfs") as environment:
        options = LATENCY + FAULTS[faults]
        with Proxy(folder, environment["AWS_ENDPOINT_URL"], options, f"lab{suffix}") as proxy:
            on = OnBucket(folder, proxy, environment, f"kafscale{suffix}", settings or {})
            on.started_s = on.broker.start()
            try:
                yield on
            finally:
                on.broker.stop()


class OnReal(OnBucket):
    """`kafscale serve` on one of the stores of tests/stores, behind the proxy."""

    def __init__(self, folder, proxy, server, settings):
        self.proxy = proxy
        reached = server.reached(f"http://127.0.0.1:{proxy.port}")
        self.run(folder, server.url(), reached | settings, "kafscale")


@contextlib.contextmanager
def on_real(folder, name, faults, settings):
    """A broker on a store of tests/stores; the proxy adds a few milliseconds, so that kills meet requests under way."""
    sys.path.insert(0, str(TESTS / "stores"))
    import real

    with real.SERVERS[name](folder / name) as server:
        options = ["--put-p50-ms=20", "--put-p99-ms=60"] + FAULTS[faults]
        with Proxy(folder, server.endpoint, options, "lab") as proxy:
            on = OnReal(folder, proxy, server, settings)
            with on.broker:
                yield on


@contextlib.contextmanager
def open_setup(store, folder, faults="none", log=None, settings=None):
    """Starts a broker on a store of this kind (`dir`, `s3`, `kafka`, or one of tests/stores) and everything under it; stops
    it all at the end.

    With `log` set to `dir` the log of a broker on a bucket lives in a directory, and the bucket has only its data. `settings`
    are variables of the broker's environment.
    """
    settings = dict(settings or {})
    if log == "dir":
        settings["KAFSCALE_LOG"] = f"file:{folder}/log-store"
    if store not in ("s3", "dir", "kafka"):
        with on_real(folder, store, faults, settings) as on:
            yield on
    elif store == "s3":
        with on_bucket(folder, faults, settings=settings) as on:
            yield on
    else:
        on = OnKafka(folder) if store == "kafka" else OnDirectory(folder, settings or {})
        with on.broker:
            yield on
