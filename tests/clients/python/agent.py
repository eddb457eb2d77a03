"""What the agents written in Python share: reading commands, answering them, reporting. See ../matrix.py for the protocol."""

import json
import sys
import threading

output = threading.Lock()


def say(**line):
    with output:
        print(json.dumps(line), flush=True)


def serve(about, commands):
    """Answers the commands of the driver with the functions of `commands` until the input ends."""
    say(**about)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            say(ok=commands[command.pop("do")](**command))
        except Exception as error:
            say(failed=repr(error))


class Member(threading.Thread):
    """A member of a group with a thread of its own. `poll` runs until the member is told to leave, then `close`."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.member = name
        self.leaving = threading.Event()
        self.failure = None

    def owns(self, partitions):
        say(member=self.member, owns=sorted(partitions))

    def record(self, **fields):
        say(member=self.member, record=fields)

    def run(self):
        try:
            while not self.leaving.is_set():
                self.poll()
            self.close()
        except Exception as error:
            self.failure = error

    def leave(self):
        self.leaving.set()
        self.join()
        if self.failure:
            raise self.failure
