"""What the client programs written in Python share: the records they send and the lines they print.

Each check prints one line, `ok CLIENT: NAME` or `FAIL CLIENT: NAME: why`; the driver counts them.
"""

import sys
import traceback

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
RECORDS = 500


def value(codec, index):
    """A value that compresses, of a length that varies from record to record."""
    return f"{codec} record {index} " + "abcdefghij" * (index * 37 % 70)


class Checks:
    def __init__(self, client):
        self.client = client
        self.failed = 0

    def run(self, name, check):
        """Runs one check; what it returns goes to the caller, None after a failure."""
        try:
            result = check()
            print(f"ok {self.client}: {name}", flush=True)
            return result
        except Exception as error:
            self.failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"FAIL {self.client}: {name}: {error!r} (line {where.lineno})", flush=True)

    def finish(self):
        sys.exit(1 if self.failed else 0)


def equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: got {actual!r:.300}, expected {expected!r:.300}")
