"""Programs made from a seed: a few topics, groups and members, and requests that are right, late, wrong and out of place.

What is asked depends on the seed and on who leads, and on no other answer, so both brokers are asked the same; what a broker
made up (ids of members, generations) is filled in from its own earlier answers.
"""

import random

import programs as say

TOPICS = ["t0", "t1", "t2"]
GROUPS = ["g0", "g1"]
MEMBERS = ["a", "b", "c"]
STEPS = 40


class Member:
    """What one member of the program last learned from its broker."""

    def __init__(self):
        self.id = ""
        self.generation = -1
        self.leads = False
        self.pending = False


def program(seed):
    def run(world):
        choose = random.Random(seed)
        members = {(group, member): Member() for group in GROUPS for member in MEMBERS}
        for group in GROUPS:
            say.find_coordinator(world, group)
        for _ in range(STEPS):
            step = choose.choices(STEPS_KNOWN, WEIGHTS)[0]
            step(world, choose, members)
        for group in GROUPS:
            say.committed(world, group)
        for topic in TOPICS:
            say.fetch(world, topic, 0, 0)

    run.__name__ = f"seed-{seed}"
    return run


def create(world, choose, members):
    say.create(world, choose.choice(TOPICS), choose.choice([1, 2, 3, 0]), version=choose.choice([2, 3, 4, 5]))


def delete(world, choose, members):
    topic = choose.choice(TOPICS)
    world.ask("DeleteTopics", choose.choice([1, 3, 5]), topic_names=[world.name(topic)], timeout_ms=10000)
    world.until(lambda: world.ask("Metadata", 4, topics=[{"name": world.name(topic)}], allow_auto_topic_creation=False).topics[0].error_code == 3)


def produce(world, choose, members):
    count = choose.randint(1, 5)
    records = [(f"k{index}".encode(), bytes([97 + index]) * choose.randint(0, 50)) for index in range(count)]
    say.produce(world, choose.choice(TOPICS), choose.choice([0, 0, 1, 5]), records, acks=choose.choice([-1, 1]), version=choose.choice([3, 5, 7, 8, 9]))


def fetch(world, choose, members):
    say.fetch(world, choose.choice(TOPICS), choose.choice([0, 1]), choose.randint(0, 12), version=choose.choice([4, 7, 10, 11, 12]))


def offsets(world, choose, members):
    say.offsets(world, choose.choice(TOPICS), choose.choice([0, 1]), choose.choice([-1, -2, 5]), version=choose.choice([1, 3, 5, 6, 7]))


def commit(world, choose, members):
    group, name = choose.choice(GROUPS), choose.choice(MEMBERS)
    member = members[group, name]
    wrong = choose.random()
    who = "stranger" if wrong < 0.1 else "" if wrong < 0.25 else member.id
    generation = member.generation + choose.choice([0, 0, 0, 1, -1]) if who else -1
    say.commit(world, group, choose.choice(TOPICS), [(choose.choice([0, 1]), choose.randint(0, 9))], who, generation, on="main", version=choose.choice([2, 5, 7, 8]))


def committed(world, choose, members):
    say.committed(world, choose.choice(GROUPS), choose.choice(TOPICS), version=choose.choice([1, 3, 5, 6, 7]))


def join(world, choose, members):
    group, name = choose.choice(GROUPS), choose.choice(MEMBERS)
    member, on = members[group, name], f"{group}-{name}"
    known = member.id if choose.random() < 0.8 else ""
    if member.pending:
        learn(world, members, group, name)
        return
    answer = say.join(world, on, group, known, start=True)
    if answer is not None and answer.error_code == 79:
        member.id = answer.member_id
        answer = say.join(world, on, group, answer.member_id, start=True)
    take(member, answer)


def take(member, answer):
    member.pending = answer is None
    if answer is not None and answer.error_code == 0:
        member.id, member.generation, member.leads = answer.member_id, answer.generation_id, answer.leader == answer.member_id


def learn(world, members, group, name):
    """Sees whether a join that waited for others has been answered meanwhile."""
    member, on = members[group, name], f"{group}-{name}"
    take(member, world.await_answer(on, 1.5))


def sync(world, choose, members):
    group, name = choose.choice(GROUPS), choose.choice(MEMBERS)
    member = members[group, name]
    late = choose.choice([0, 0, 0, -1])
    if member.pending or not member.id:
        return
    plan = [(members[group, each].id, each.encode()) for each in MEMBERS if members[group, each].id]
    answer = say.sync(world, f"{group}-{name}", group, member.id, member.generation + late, plan, start=True)
    if answer is None:
        # A follower's answer waits for the leader's plan; a connection of its own for what comes next.
        world.connections.pop(f"{group}-{name}", None)


def heartbeat(world, choose, members):
    group, name = choose.choice(GROUPS), choose.choice(MEMBERS)
    member = members[group, name]
    late = choose.choice([0, 0, 0, 1])
    if not member.pending:
        say.heartbeat(world, "main", group, member.id or "stranger", member.generation + late)


def leave(world, choose, members):
    group, name = choose.choice(GROUPS), choose.choice(MEMBERS)
    member = members[group, name]
    # Who leads after a leader is, in Apache Kafka, the first in a hash table of random ids.
    if not member.pending and member.id and not member.leads:
        say.leave(world, "main", group, member.id, version=choose.choice([0, 1, 2, 3]))


def describe(world, choose, members):
    say.describe(world, choose.choice(GROUPS), version=choose.choice([0, 3, 4, 5]))


WEIGHTED = {
    create: 4, delete: 1, produce: 6, fetch: 4, offsets: 3, commit: 6, committed: 3, join: 8, sync: 6, heartbeat: 4, leave: 2, describe: 3,
}
STEPS_KNOWN, WEIGHTS = list(WEIGHTED), list(WEIGHTED.values())
