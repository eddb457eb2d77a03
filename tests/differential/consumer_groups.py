"""Programs for groups of KIP-848. kafka-python does not know their heartbeat, so it is spoken here, in version 1."""

import struct
import uuid

import programs as say


class Heartbeat:
    """One ConsumerGroupHeartbeat: only the few fields that the programs use."""

    def __init__(self, fields):
        self.fields = fields

    @staticmethod
    def text(value):
        return b"\0" if value is None else number(len(value) + 1) + value.encode()

    def body(self):
        fields = self.fields
        topics = fields.get("topics")
        owned = fields.get("owned")
        parts = [self.text(fields["group"]), self.text(fields["member"]), struct.pack(">i", fields["epoch"]),
                 self.text(fields.get("instance")), b"\0", struct.pack(">i", 60000 if topics is not None else -1)]
        parts.append(b"\0" if topics is None else number(len(topics) + 1) + b"".join(map(self.text, topics)))
        parts += [b"\0", self.text(fields.get("assignor"))]
        if owned is None:
            parts.append(b"\0")
        else:
            parts.append(number(len(owned) + 1))
            for topic, partitions in owned:
                parts += [topic, number(len(partitions) + 1), *(struct.pack(">i", each) for each in partitions), b"\0"]
        return b"".join(parts) + b"\0"


def number(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


class Answer:
    """Error, member id, epoch and what is assigned; None if nothing is said of that."""

    def __init__(self, frame):
        self.frame, self.at = frame, 5  # correlation id, tags
        self.take(4)
        self.error = struct.unpack(">h", self.take(2))[0]
        self.text()
        self.member = self.text()
        self.epoch = struct.unpack(">i", self.take(4))[0]
        self.take(4)
        self.owned = None
        if self.take(1) == b"\1":
            self.owned = [(self.take(16), [struct.unpack(">i", self.take(4))[0] for _ in range(self.number() - 1)], self.number())[:2]
                          for _ in range(self.number() - 1)]

    def take(self, count):
        self.at += count
        return self.frame[self.at - count : self.at]

    def number(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self):
        length = self.number()
        return self.take(length - 1).decode() if length else None


def topic_id(world, name):
    answer = world.ask("Metadata", 12, topics=[{"topic_id": uuid.UUID(int=0), "name": name}], allow_auto_topic_creation=False)
    world.transcript.pop()
    return answer.topics[0].topic_id


class Member:
    def __init__(self, world, group, name, topics):
        self.world, self.group, self.topics = world, group, topics
        self.id, self.name, self.epoch, self.owned = str(uuid.uuid4()), name, 0, []

    def beat(self, **more):
        """Says where it is, and takes what it is told."""
        connection = self.world.connection(self.name)
        said = {"group": self.world.name(self.group), "member": self.id, "epoch": self.epoch, "owned": self.owned, **more}
        connection.correlation += 1
        header = struct.pack(">hhi", 68, 1, connection.correlation) + struct.pack(">h", 1) + b"d" + b"\0"
        frame = header + Heartbeat(said).body()
        connection.socket.sendall(struct.pack(">i", len(frame)) + frame)
        connection.socket.settimeout(15)
        answer = Answer(connection.exactly(struct.unpack(">i", connection.exactly(4))[0]))
        if answer.error == 0:
            self.epoch = answer.epoch
            if answer.owned is not None:
                self.owned = answer.owned
        return answer

    def join(self):
        self.epoch, self.owned = 0, []
        return self.beat(topics=[self.world.name(topic) for topic in self.topics])

    def partitions(self):
        return sorted(partition for _, partitions in self.owned for partition in partitions)

    def commit(self, partitions, epoch, version=9, member=None):
        """Commits offsets of these partitions; returns what became of them: all are taken, or none."""
        name = self.world.name(self.topics[0])
        places = [{"partition_index": index, "committed_offset": 1, "committed_leader_epoch": -1, "committed_metadata": ""} for index in partitions]
        answer = self.world.ask("OffsetCommit", version, on=self.name, group_id=self.world.name(self.group), member_id=member or self.id,
                                generation_id_or_member_epoch=epoch, topics=[{"name": name, "partitions": places}])
        # Which partitions these are is the assignor's business: only the codes are compared.
        self.world.transcript.pop()
        return answer and sorted({each.error_code for each in answer.topics[0].partitions})


def settle(world, members):
    """Heartbeats until all are in one epoch and own as many of the four partitions as each other. Apache Kafka assigns a second late."""
    share = 4 // len(members)
    world.until(lambda: [member.beat() for member in members] and len({member.epoch for member in members}) == 1
                and all(len(member.partitions()) == share for member in members), patience_s=30)


def older_epochs(world):
    say.create(world, "t", 4)
    say.find_coordinator(world, "g")
    one, two = Member(world, "g", "one", ["t"]), Member(world, "g", "two", ["t"])
    world.say("the first joins", one.join().error)
    settle(world, [one])
    first, every = one.epoch, range(4)
    world.say("in its epoch", one.commit(every, first))
    world.say("in a later epoch", one.commit(every, first + 1))
    world.say("in no epoch", one.commit(every, -1))
    world.say("in an older epoch", one.commit(every, first - 1))
    world.say("a stranger", one.commit(every, first, member="stranger"))
    world.say("by an old version", one.commit(every, first, version=8))
    world.say("by an old version in a later epoch", one.commit(every, first + 1, version=8))
    world.say("a stranger by an old version", one.commit(every, first, version=8, member="stranger"))
    world.say("the second joins", two.join().error)
    settle(world, [one, two])
    second, kept, lost = one.epoch, one.partitions(), two.partitions()
    world.say("kept partitions in the epoch before", one.commit(kept, first))
    world.say("lost partitions in the epoch before", one.commit(lost, first))
    world.say("all partitions in the epoch before", one.commit(every, first))
    world.say("lost partitions in this epoch", one.commit(lost, second))
    world.say("new partitions in the epoch before", two.commit(lost, first))
    world.say("new partitions in their epoch", two.commit(lost, second))
    world.say("the second leaves", two.beat(epoch=-1).error)
    settle(world, [one])
    world.say("kept partitions in the first epoch", one.commit(kept, first))
    world.say("regained partitions in the epoch before", one.commit(lost, second))
    world.say("regained partitions in their epoch", one.commit(lost, one.epoch))


PROGRAMS = [older_epochs]
