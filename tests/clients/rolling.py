#!/usr/bin/env python3
"""A running group of Java consumers is rolled from `group.protocol=classic` to `consumer` and back, one member after another.

    rolling.py HOST:PORT [STORY]...

Three members share six partitions; each is stopped and started again with the other protocol. After every step all
partitions are owned, each by one member, and what is produced is read. Told with the client's defaults, with the
cooperative assignor, and with static members, which take their own places again.
"""

import sys
import time

from checks import equal
from matrix import LIBRARIES, PARTITIONS, Agent, Story

MEMBERS = ["a", "b", "c"]
COOPERATIVE = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"


class Rolling(Story):
    def __init__(self, name, bootstrap, strategy=None, static=False):
        super().__init__(name, LIBRARIES["java"][0](), None, bootstrap)
        self.strategy, self.static = strategy, static

    def tell(self):
        agent = Agent(self.command, self.bootstrap, self.group.report)
        self.tells = True
        check = self.checks.run
        try:
            check("create topic", lambda: self.create(agent))
            check("three classic members share", lambda: self.start(agent, MEMBERS, "classic"))
            check("classic members read", lambda: self.produced_is_read(agent))
            for protocol in ["consumer", "classic"]:
                for member in MEMBERS:
                    check(f"{member} is rolled to {protocol}", lambda: self.roll(agent, member, protocol))
                    check(f"read after {member} was rolled to {protocol}", lambda: self.produced_is_read(agent))
            check("no partition was owned twice", lambda: equal(self.group.overlaps, [], "overlaps"))
            if not self.strategy:
                # A cooperative member may commit too late for its generation; Apache Kafka then gives records again, too.
                check("no record was read twice", self.none_twice)
            for member in MEMBERS:
                self.leave(agent, member)
        finally:
            agent.close()
        if self.checks.failed:
            print(f"--- {self.name} said\n{agent.complaints()}---", file=sys.stderr)
        return self.checks.failed

    def start(self, agent, members, protocol):
        for member in members:
            agent.do("join", member=member, group=self.group_id, topic=self.topic, protocol=protocol,
                     strategy=self.strategy if protocol == "classic" else None,
                     instance=f"{self.group_id}-{member}" if self.static else None)
        self.shared()

    def roll(self, agent, member, protocol):
        self.leave(agent, member)
        self.start(agent, [member], protocol)

    def shared(self):
        """Each of the members owns as many partitions as the others, and together they own all, for two seconds.

        Unequal shares can last longer, though a rebalance is under way: a classic member hears at its next heartbeat that it
        has to give a partition up, and that is up to three seconds away.
        """
        def is_shared():
            owns = self.group.owns
            everything = [partition for owned in owns.values() for partition in owned]
            equal_shares = all(len(owned) == PARTITIONS // len(MEMBERS) for owned in owns.values())
            return sorted(owns) == MEMBERS and equal_shares and sorted(everything) == list(range(PARTITIONS))

        self.group.wait(is_shared, lambda: f"the members own {self.group.owns}")
        before, since = None, time.monotonic()
        deadline = time.monotonic() + 60
        while time.monotonic() - since < 2:
            with self.group.changed:
                now = {member: set(owned) for member, owned in self.group.owns.items()} if is_shared() else None
            if now is None or now != before:
                before, since = now, time.monotonic()
            if time.monotonic() > deadline:
                raise AssertionError(f"the members own {self.group.owns} and do not settle")
            time.sleep(0.1)


def main(bootstrap, names):
    stories = [
        Rolling("rolling", bootstrap),
        Rolling("rolling-cooperative", bootstrap, strategy=COOPERATIVE),
        Rolling("rolling-static", bootstrap, static=True),
    ]
    failed = 0
    for story in stories:
        if names and story.name not in names:
            continue
        started = time.monotonic()
        try:
            failed += story.tell()
        except Exception as error:
            failed += 1
            print(f"FAIL {story.name}: the story ended: {error!r}", flush=True)
        print(f"{story.name}: {time.monotonic() - started:.0f} s", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
