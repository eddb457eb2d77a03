"""A broker on a store that can be looked at: on a directory, or on a bucket behind the latency and fault proxy."""

import contextlib

from servers import Kafka, Kafscale


class OnDirectory:
    """`kafscale serve` on a directory. A PUT there writes a file in `+tmp` and links it to its name when flushed."""

    counts_puts = True

    def __init__(self, folder):
        self.broker = Kafscale(folder)

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


@contextlib.contextmanager
def open_setup(store, folder, faults="none"):
    """Starts a broker on a store of this kind (`dir`, `s3`, `kafka`) and everything under it; stops it all at the end."""
    with contextlib.ExitStack() as stack:
        if store == "kafka":
            setup = OnKafka(folder)
        else:
            setup = OnDirectory(folder)
        stack.enter_context(setup.broker)
        yield setup
