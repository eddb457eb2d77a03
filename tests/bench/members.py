"""Members of groups that speak the wire by themselves, so that a thousand of them fit into one process.

Only the few requests that a rebalance and a commit need, each in one version without tagged fields.
"""

import asyncio
import struct

PATIENCE_S = 120
# The coordinator is loading, not available, or not this one yet.
UNREADY = (14, 15, 16)
SESSION_MS, REBALANCE_MS = 300_000, 300_000
# What a member is told to read, in about the size of Kafka's own assignors.
ASSIGNMENT = b"\0" * 60


def text(value):
    return b"\xff\xff" if value is None else struct.pack(">h", len(value)) + value.encode()


def data(value):
    return struct.pack(">i", len(value)) + value


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


class Reader:
    def __init__(self, body):
        self.body, self.at = body, 0

    def number(self, form):
        (value,) = struct.unpack_from(f">{form}", self.body, self.at)
        self.at += struct.calcsize(f">{form}")
        return value

    def bytes(self, form):
        length = max(self.number(form), 0)
        self.at += length
        return self.body[self.at - length : self.at]

    def text(self):
        return self.bytes("h").decode()


class Member:
    """One member with a connection of its own."""

    def __init__(self, bootstrap, group):
        self.bootstrap, self.group = bootstrap, group
        self.id, self.generation, self.correlation, self.joins = "", -1, 0, 0

    async def connect(self):
        host, port = self.bootstrap.rsplit(":", 1)
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        # Apache Kafka makes the topic of its groups when it is first asked, and takes a moment for it.
        while await self.find_coordinator() in UNREADY:
            await asyncio.sleep(0.1)

    def close(self):
        self.writer.close()

    async def ask(self, api, version, body):
        self.correlation += 1
        frame = struct.pack(">hhi", api, version, self.correlation) + text("member") + body
        self.writer.write(data(frame))
        async with asyncio.timeout(PATIENCE_S):
            (length,) = struct.unpack(">i", await self.reader.readexactly(4))
            answer = Reader(await self.reader.readexactly(length))
        assert answer.number("i") == self.correlation, "an answer out of turn"
        return answer

    async def find_coordinator(self):
        answer = await self.ask(10, 1, text(self.group) + b"\0")
        answer.number("i")
        return answer.number("h")

    async def join(self):
        """Joins; returns the members if this one leads, else none."""
        error = 79  # the first answer only gives a member its id
        # A subscription that differs from the last one: the same would be answered without a rebalance.
        self.joins += 1
        subscription = self.joins.to_bytes(60)
        while error == 79 or error in UNREADY:
            if error in UNREADY:
                await asyncio.sleep(0.1)
            protocols = array([text("range") + data(subscription)])
            body = text(self.group) + struct.pack(">ii", SESSION_MS, REBALANCE_MS) + text(self.id) + text(None)
            answer = await self.ask(11, 5, body + text("consumer") + protocols)
            answer.number("i")
            error, self.generation = answer.number("h"), answer.number("i")
            answer.text()
            leader, self.id = answer.text(), answer.text()
        assert error == 0, f"JoinGroup: {error}"
        members = []
        for _ in range(answer.number("i")):
            members.append(answer.text())
            answer.text()
            answer.bytes("i")
        return members if leader == self.id else []

    def membership(self):
        return text(self.group) + struct.pack(">i", self.generation) + text(self.id) + text(None)

    async def sync(self, members):
        assignments = array([text(member) + data(ASSIGNMENT) for member in members])
        answer = await self.ask(14, 3, self.membership() + assignments)
        answer.number("i")
        return answer.number("h")

    async def rebalance(self):
        """Joins and syncs, again if another rebalance came in between."""
        while (error := await self.sync(await self.join())) == 27:
            pass
        assert error == 0, f"SyncGroup: {error}"

    async def heartbeat(self):
        answer = await self.ask(12, 3, self.membership())
        answer.number("i")
        return answer.number("h")

    async def commit(self, topic, offset):
        partition = struct.pack(">iqi", 0, offset, -1) + text("")
        answer = await self.ask(8, 7, self.membership() + array([text(topic) + array([partition])]))
        answer.number("i"), answer.number("i"), answer.text(), answer.number("i"), answer.number("i")
        error = answer.number("h")
        assert error == 0, f"OffsetCommit: {error}"


async def form(members):
    """Makes a stable group of all: who came early joins again, as heartbeats tell, until all are of one generation."""

    async def stay(member):
        await member.rebalance()
        while len({each.generation for each in members}) > 1:
            await asyncio.sleep(0.2)
            if await member.heartbeat() == 27:
                await member.rebalance()

    await asyncio.gather(*map(stay, members))
