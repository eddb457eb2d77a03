"""The scripted programs. Each is told a `World` and does the same to whatever broker is behind it.

Everything a program asks lands on the transcript, which is what is compared.
"""

from wire import batch

RANGE = [{"name": "range", "metadata": b"m"}]
COORDINATOR_NOT_READY = (14, 15, 16)


def create(world, topic, partitions=2, version=5, configs=(), **more):
    asked = {"name": world.name(topic), "num_partitions": partitions, "replication_factor": 1, "assignments": [],
             "configs": [{"name": name, "value": value} for name, value in configs], **more}
    answer = world.ask("CreateTopics", version, topics=[asked], timeout_ms=10000)
    world.until(lambda: all(served(world, topic, partition) for partition in range(max(partitions, 1))))
    return answer


def served(world, topic, partition):
    """Whether the partition answers, or does not exist for good."""
    answer = offsets(world, topic, partition, -1)
    return answer is not None and answer.topics[0].partitions[0].error_code not in (5, 6)


def offsets(world, topic, partition, timestamp, version=5):
    places = [{"partition_index": partition, "current_leader_epoch": -1, "timestamp": timestamp}]
    return world.ask("ListOffsets", version, replica_id=-1, isolation_level=0, topics=[{"name": world.name(topic), "partitions": places}])


def produce(world, topic, partition, records, acks=-1, version=8, **producer):
    data = [{"index": partition, "records": batch(records, **producer)}]
    return world.ask("Produce", version, acks=acks, timeout_ms=10000, topic_data=[{"name": world.name(topic), "partition_data": data}])


def fetch(world, topic, partition, offset, version=11, max_wait_ms=300, max_bytes=1 << 20):
    place = {"partition": partition, "current_leader_epoch": -1, "fetch_offset": offset, "log_start_offset": -1, "partition_max_bytes": max_bytes}
    return world.ask("Fetch", version, replica_id=-1, max_wait_ms=max_wait_ms, min_bytes=1, max_bytes=1 << 24, isolation_level=0,
                     topics=[{"topic": world.name(topic), "partitions": [place]}])


def find_coordinator(world, group, version=3):
    """A group's coordinator may need a moment to be there, and another to be ready."""
    world.until(lambda: world.ask("FindCoordinator", version, key=world.name(group), key_type=0).error_code == 0)
    world.until(lambda: describe(world, group).groups[0].error_code not in COORDINATOR_NOT_READY)
    return world.ask("FindCoordinator", version, key=world.name(group), key_type=0)


def join(world, member, group, member_id="", version=5, protocols=None, start=False, **more):
    ask = world.start if start else world.ask
    return ask("JoinGroup", version, on=member, group_id=world.name(group), session_timeout_ms=30000, rebalance_timeout_ms=60000,
               member_id=member_id, protocol_type="consumer", protocols=protocols or RANGE, **more)


def joined(world, member, group, **more):
    """Joins as a new member: the first answer only gives the member its id."""
    answer = join(world, member, group, **more)
    if answer is not None and answer.error_code == 79:
        answer = join(world, member, group, member_id=answer.member_id, **more)
    return answer


def sync(world, member, group, member_id, generation, assignments=(), version=3, start=False):
    ask = world.start if start else world.ask
    return ask("SyncGroup", version, on=member, group_id=world.name(group), generation_id=generation, member_id=member_id,
               assignments=[{"member_id": each, "assignment": data} for each, data in assignments])


def heartbeat(world, member, group, member_id, generation, version=3):
    return world.ask("Heartbeat", version, on=member, group_id=world.name(group), generation_id=generation, member_id=member_id)


def leave(world, member, group, member_id, version=2):
    who = {"member_id": member_id} if version < 3 else {"members": [{"member_id": member_id, "group_instance_id": None}]}
    return world.ask("LeaveGroup", version, on=member, group_id=world.name(group), **who)


def commit(world, group, topic, places, member_id="", generation=-1, on="main", version=7, text="note"):
    partitions = [{"partition_index": partition, "committed_offset": offset, "committed_leader_epoch": -1, "committed_metadata": text}
                  for partition, offset in places]
    return world.ask("OffsetCommit", version, on=on, group_id=world.name(group), generation_id_or_member_epoch=generation, member_id=member_id,
                     topics=[{"name": world.name(topic), "partitions": partitions}])


def committed(world, group, topic=None, partitions=(0, 1), version=5):
    topics = None if topic is None else [{"name": world.name(topic), "partition_indexes": list(partitions)}]
    return world.ask("OffsetFetch", version, group_id=world.name(group), topics=topics)


def describe(world, group, version=4):
    return world.ask("DescribeGroups", version, groups=[world.name(group)], include_authorized_operations=False)


def topics(world):
    create(world, "t", 3)
    create(world, "t", 3)
    create(world, "none", 0)
    create(world, "negative", -2)
    create(world, "bad name/")
    create(world, "x" * 260)
    create(world, "", 1)
    create(world, "unknown-setting", 1, configs=[("no.such.setting", "1")])
    create(world, "bad-value", 1, configs=[("retention.ms", "soon")])
    create(world, "bad-range", 1, configs=[("max.message.bytes", "-1")])
    create(world, "good-setting", 1, configs=[("retention.ms", "60000")])
    world.ask("CreateTopics", 5, topics=[{"name": world.name("dry"), "num_partitions": 1, "replication_factor": 1, "assignments": [], "configs": []}],
              timeout_ms=10000, validate_only=True)
    twice = {"name": world.name("twice"), "num_partitions": 1, "replication_factor": 1, "assignments": [], "configs": []}
    world.ask("CreateTopics", 5, topics=[twice, twice], timeout_ms=10000)
    for version in (0, 1):
        world.ask("Metadata", version, topics=[{"name": world.name("t")}])
    for version in (4, 8, 9, 12):
        world.ask("Metadata", version, topics=[{"name": world.name("t")}, {"name": world.name("gone")}], allow_auto_topic_creation=False)
    world.ask("DeleteTopics", 3, topic_names=[world.name("t"), world.name("gone")], timeout_ms=10000)
    world.until(lambda: world.ask("Metadata", 4, topics=[{"name": world.name("t")}], allow_auto_topic_creation=False).topics[0].error_code == 3)
    produce(world, "t", 0, [(b"k", b"v")])
    fetch(world, "t", 0, 0)
    offsets(world, "t", 0, -1)


def partitions(world):
    create(world, "t", 2)

    def grow(topic, count, assignments=None, dry=False, version=1):
        world.ask("CreatePartitions", version, topics=[{"name": world.name(topic), "count": count, "assignments": assignments}],
                  timeout_ms=10000, validate_only=dry)

    grow("t", 4, dry=True)
    grow("t", 4)
    grow("t", 4)
    grow("t", 3)
    grow("t", 0)
    grow("t", -1)
    grow("gone", 4)
    grow("t", 5, assignments=[{"broker_ids": [99]}])
    world.until(lambda: len(world.ask("Metadata", 4, topics=[{"name": world.name("t")}], allow_auto_topic_creation=False).topics[0].partitions) == 4)
    world.ask("Metadata", 4, topics=[{"name": world.name("t")}], allow_auto_topic_creation=False)


def configs(world):
    create(world, "t", 1)

    def incremental(name, value, operation=0, topic="t", kind=2, dry=False):
        world.ask("IncrementalAlterConfigs", 0, validate_only=dry, resources=[{
            "resource_type": kind, "resource_name": world.name(topic), "configs": [{"name": name, "config_operation": operation, "value": value}]}])

    def show(*names, topic="t", version=2):
        world.ask("DescribeConfigs", version, include_synonyms=False, resources=[{
            "resource_type": 2, "resource_name": world.name(topic), "configuration_keys": list(names) or None}])

    incremental("retention.ms", "60000", dry=True)
    show("retention.ms")
    incremental("retention.ms", "60000")
    show("retention.ms", "max.message.bytes")
    incremental("retention.ms", "soon")
    incremental("no.such.setting", "1")
    incremental("max.message.bytes", "-5")
    incremental("message.timestamp.type", "NoSuchTime")
    incremental("cleanup.policy", "compact", operation=2)
    show("cleanup.policy")
    incremental("cleanup.policy", "delete", operation=3)
    show("cleanup.policy")
    incremental("retention.ms", "1", operation=2)
    incremental("retention.ms", None, operation=1)
    incremental("retention.ms", "1", operation=9)
    show("retention.ms")
    incremental("retention.ms", "1", topic="gone")
    show("retention.ms", topic="gone")
    incremental("x", "1", kind=77)
    world.ask("AlterConfigs", 1, validate_only=False, resources=[{
        "resource_type": 2, "resource_name": world.name("t"), "configs": [{"name": "max.message.bytes", "value": "5000"}]}])
    show("max.message.bytes", "cleanup.policy", "retention.ms")
    produce(world, "t", 0, [(b"k", b"v" * 6000)])
    produce(world, "t", 0, [(b"k", b"v" * 100)])


def records(world):
    create(world, "t", 2)
    produce(world, "t", 0, [(b"a", b"1"), (b"b", b"2"), (None, b"3"), (b"d", None)])
    produce(world, "t", 0, [(b"e", b"5")], acks=1)
    produce(world, "t", 7, [(b"e", b"5")])
    produce(world, "gone", 0, [(b"e", b"5")])
    produce(world, "t", 0, [(b"e", b"5")], acks=5)
    for offset in (0, 2, 4, 5, 6, 100, -3):
        fetch(world, "t", 0, offset)
    fetch(world, "t", 7, 0)
    fetch(world, "gone", 0, 0)
    for timestamp in (-1, -2, -3, 0, 1_700_000_000_000, 1_700_000_000_001, -99):
        offsets(world, "t", 0, timestamp, version=7)
    offsets(world, "t", 9, -1)

    def delete(partition, offset, topic="t"):
        world.ask("DeleteRecords", 1, timeout_ms=10000, topics=[{
            "name": world.name(topic), "partitions": [{"partition_index": partition, "offset": offset}]}])

    delete(0, 2)
    delete(0, 1)
    delete(0, 100)
    delete(0, -2)
    delete(5, 1)
    delete(0, 1, topic="gone")
    fetch(world, "t", 0, 0)
    fetch(world, "t", 0, 2)
    offsets(world, "t", 0, -2)
    delete(0, -1)
    offsets(world, "t", 0, -2)
    offsets(world, "t", 0, -1)


def idempotence(world):
    create(world, "t", 1)
    identify = lambda: world.ask("InitProducerId", 1, transactional_id=None, transaction_timeout_ms=60000)
    world.until(lambda: identify().error_code not in COORDINATOR_NOT_READY)
    answer = identify()
    who = {"producer_id": answer.producer_id, "epoch": answer.producer_epoch}
    produce(world, "t", 0, [(b"a", b"1"), (b"b", b"2")], sequence=0, **who)
    produce(world, "t", 0, [(b"a", b"1"), (b"b", b"2")], sequence=0, **who)
    produce(world, "t", 0, [(b"c", b"3")], sequence=2, **who)
    produce(world, "t", 0, [(b"z", b"9")], sequence=9, **who)
    produce(world, "t", 0, [(b"c", b"3")], sequence=2, **who)
    produce(world, "t", 0, [(b"a", b"1"), (b"b", b"2")], sequence=0, **who)
    produce(world, "t", 0, [(b"n", b"1")], sequence=5, producer_id=who["producer_id"], epoch=1)
    produce(world, "t", 0, [(b"n", b"1")], sequence=0, producer_id=who["producer_id"], epoch=1)
    produce(world, "t", 0, [(b"o", b"1")], sequence=3, **who)
    fetch(world, "t", 0, 0)


def one_member(world):
    create(world, "t", 2)
    find_coordinator(world, "g")
    describe(world, "g")
    heartbeat(world, "a", "g", "nobody", 1)
    answer = joined(world, "a", "g")
    me = answer.member_id
    generation = answer.generation_id
    heartbeat(world, "a", "g", me, generation)
    commit(world, "g", "t", [(0, 1)], me, generation)
    sync(world, "a", "g", me, generation, [(me, b"plan")])
    sync(world, "a", "g", me, generation)
    heartbeat(world, "a", "g", me, generation)
    heartbeat(world, "a", "g", me, generation + 1)
    heartbeat(world, "a", "g", me, generation - 1)
    heartbeat(world, "a", "g", "stranger", generation)
    describe(world, "g")
    commit(world, "g", "t", [(0, 5), (1, 6)], me, generation)
    commit(world, "g", "t", [(0, 7)], me, generation + 1)
    commit(world, "g", "t", [(0, 7)], me, generation - 1)
    commit(world, "g", "t", [(0, 7)], "stranger", generation)
    commit(world, "g", "t", [(0, 7)])
    commit(world, "g", "gone", [(0, 7)], me, generation)
    commit(world, "g", "t", [(77, 7)], me, generation)
    commit(world, "g", "t", [(0, 7)], me, generation, text="x" * 5000)
    for version in (1, 2, 5, 7):
        committed(world, "g", "t", (0, 1, 77), version=version)
    committed(world, "g", version=5)
    world.ask("DeleteGroups", 1, groups_names=[world.name("g")])
    world.ask("OffsetDelete", 0, group_id=world.name("g"), topics=[{"name": world.name("t"), "partitions": [{"partition_index": 0}]}])
    join(world, "a", "g", me, protocols=[{"name": "range", "metadata": b"other"}])
    leave(world, "a", "g", "stranger")
    leave(world, "a", "g", me)
    leave(world, "a", "g", me)
    heartbeat(world, "a", "g", me, generation)
    describe(world, "g")
    committed(world, "g", "t")
    commit(world, "g", "t", [(0, 8)])
    committed(world, "g", "t")
    world.ask("OffsetDelete", 0, group_id=world.name("g"), topics=[{"name": world.name("t"), "partitions": [{"partition_index": 0}, {"partition_index": 9}]}])
    committed(world, "g", "t")
    world.ask("DeleteGroups", 1, groups_names=[world.name("g"), world.name("never")])
    committed(world, "g", "t")
    describe(world, "g")


def three_members(world):
    create(world, "t", 3)
    find_coordinator(world, "g")
    first = joined(world, "a", "g")
    sync(world, "a", "g", first.member_id, first.generation_id, [(first.member_id, b"all")])
    second = join(world, "b", "g")
    join(world, "b", "g", second.member_id, start=True)
    heartbeat(world, "a", "g", first.member_id, first.generation_id)
    commit(world, "g", "t", [(0, 3)], first.member_id, first.generation_id)
    again = join(world, "a", "g", first.member_id)
    follower = world.await_answer("b")
    sync(world, "b", "g", follower.member_id, follower.generation_id, start=True)
    heartbeat(world, "a", "g", first.member_id, again.generation_id)
    sync(world, "a", "g", first.member_id, again.generation_id, [(first.member_id, b"half"), (follower.member_id, b"rest")])
    world.await_answer("b")
    describe(world, "g")
    sync(world, "a", "g", first.member_id, again.generation_id - 1)
    third = join(world, "c", "g")
    join(world, "c", "g", third.member_id, start=True)
    leave(world, "b", "g", follower.member_id)
    last = join(world, "a", "g", first.member_id)
    world.await_answer("c")
    sync(world, "a", "g", first.member_id, last.generation_id, [(first.member_id, b"1"), (third.member_id, b"2")])
    sync(world, "c", "g", third.member_id, last.generation_id)
    leave(world, "c", "g", third.member_id, version=3)
    heartbeat(world, "a", "g", first.member_id, last.generation_id)
    leave(world, "a", "g", first.member_id, version=3)
    describe(world, "g")


def static_members(world):
    find_coordinator(world, "g")
    first = join(world, "a", "g", group_instance_id="one")
    sync(world, "a", "g", first.member_id, first.generation_id, [(first.member_id, b"all")])
    again = join(world, "b", "g", group_instance_id="one")
    heartbeat(world, "b", "g", again.member_id, again.generation_id)
    world.ask("Heartbeat", 3, on="a", group_id=world.name("g"), generation_id=first.generation_id, member_id=first.member_id, group_instance_id="one")
    world.ask("OffsetCommit", 7, on="a", group_id=world.name("g"), generation_id_or_member_epoch=first.generation_id, member_id=first.member_id,
              group_instance_id="one", topics=[])
    sync(world, "b", "g", again.member_id, again.generation_id)
    world.ask("LeaveGroup", 3, on="main", group_id=world.name("g"), members=[{"member_id": "", "group_instance_id": "nobody"}])
    world.ask("LeaveGroup", 3, on="main", group_id=world.name("g"), members=[{"member_id": "", "group_instance_id": "one"}])
    describe(world, "g")


def bad_joins(world):
    find_coordinator(world, "g")
    join(world, "a", "g", "made-up")
    join(world, "a", "", "")
    world.ask("JoinGroup", 5, on="a", group_id=world.name("g"), session_timeout_ms=1, rebalance_timeout_ms=1000, member_id="", protocol_type="consumer", protocols=RANGE)
    world.ask("JoinGroup", 5, on="a", group_id=world.name("g"), session_timeout_ms=99999999, rebalance_timeout_ms=1000, member_id="", protocol_type="consumer", protocols=RANGE)
    world.ask("JoinGroup", 5, on="a", group_id=world.name("g"), session_timeout_ms=30000, rebalance_timeout_ms=1000, member_id="", protocol_type="consumer", protocols=[])
    world.ask("JoinGroup", 5, on="a", group_id=world.name("g"), session_timeout_ms=30000, rebalance_timeout_ms=1000, member_id="", protocol_type="", protocols=RANGE)
    first = joined(world, "a", "g")
    sync(world, "a", "g", first.member_id, first.generation_id, [(first.member_id, b"all")])
    world.ask("JoinGroup", 5, on="b", group_id=world.name("g"), session_timeout_ms=30000, rebalance_timeout_ms=1000, member_id="", protocol_type="connect", protocols=RANGE)
    world.ask("JoinGroup", 5, on="b", group_id=world.name("g"), session_timeout_ms=30000, rebalance_timeout_ms=1000, member_id="", protocol_type="consumer",
              protocols=[{"name": "other", "metadata": b""}])
    world.ask("SyncGroup", 5, on="a", group_id=world.name("g"), generation_id=first.generation_id, member_id=first.member_id, protocol_type="connect",
              protocol_name="range", assignments=[])
    world.ask("SyncGroup", 5, on="a", group_id=world.name("g"), generation_id=first.generation_id, member_id=first.member_id, protocol_type="consumer",
              protocol_name="other", assignments=[])
    leave(world, "a", "g", first.member_id)


def old_joins(world):
    """Members of the first versions join in one step and never learn of an id before."""
    find_coordinator(world, "g", version=0)
    for version in (0, 1, 2, 3):
        group = f"g{version}"
        find_coordinator(world, group, version=0)
        more = {} if version == 0 else {"rebalance_timeout_ms": 60000}
        answer = world.ask("JoinGroup", version, on=group, group_id=world.name(group), session_timeout_ms=30000, member_id="", protocol_type="consumer",
                           protocols=RANGE, **more)
        sync(world, group, group, answer.member_id, answer.generation_id, [(answer.member_id, b"all")], version=min(version, 1))
        heartbeat(world, group, group, answer.member_id, answer.generation_id, version=min(version, 1))
        leave(world, group, group, answer.member_id, version=min(version, 1))


def listings(world):
    find_coordinator(world, "g")
    answer = joined(world, "a", "g")
    sync(world, "a", "g", answer.member_id, answer.generation_id, [(answer.member_id, b"all")])
    for version in (0, 2, 4, 5):
        filters = {} if version < 4 else {"states_filter": ["Stable"]}
        if version >= 5:
            filters["types_filter"] = ["classic"]
        groups = world.ask("ListGroups", version, on="list", **filters)
        world.transcript.pop()
        if groups is not None:
            world.say(f"ListGroups v{version}", [each.to_dict() for each in groups.groups if each.group_id == world.name("g")] + [groups.error_code])
    describe(world, "g", version=0)
    describe(world, "g", version=5)
    world.ask("DescribeGroups", 6, groups=[world.name("g"), world.name("never"), ""], include_authorized_operations=False)
    leave(world, "a", "g", answer.member_id)


def cluster(world):
    for version in (0, 1):
        world.ask("DescribeCluster", version, include_cluster_authorized_operations=False)
    create(world, "t", 2)
    produce(world, "t", 0, [(b"a", b"1")])
    epochs = [{"partition": partition, "current_leader_epoch": current, "leader_epoch": wanted} for partition, current, wanted in ((0, -1, 0), (1, -1, 9), (8, -1, 0), (0, 9, 0))]
    world.ask("OffsetForLeaderEpoch", 3, replica_id=-1, topics=[{"topic": world.name("t"), "partitions": epochs}])
    world.ask("ListPartitionReassignments", 0, timeout_ms=1000, topics=[{"name": world.name("t"), "partition_indexes": [0]}])
    world.ask("ElectLeaders", 1, election_type=0, topic_partitions=[{"topic": world.name("t"), "partitions": [0, 9]}], timeout_ms=1000)
    world.ask("DescribeProducers", 0, topics=[{"name": world.name("t"), "partition_indexes": [0, 9]}])
    world.ask("DescribeAcls", 1, resource_type_filter=1, resource_name_filter=None, pattern_type_filter=1, principal_filter=None, host_filter=None, operation=1, permission_type=1)
    world.ask("DescribeClientQuotas", 0, components=[], strict=False)
    world.ask("DescribeUserScramCredentials", 0, users=None)


def odd_names(world):
    """A group may be called anything but nothing; a topic may not."""
    create(world, "t", 1)
    for name in ("\n", "\x00", "\x1b[2J", "a\tb", "\x7f", "\u202e", "ü", "a/b", " "):
        world.ask("CreateTopics", 5, topics=[{"name": world.name("t" + name), "num_partitions": 1, "replication_factor": 1, "assignments": [], "configs": []}], timeout_ms=10000)
        group = "g" + name
        find_coordinator(world, group)
        member = joined(world, "a", group)
        sync(world, "a", group, member.member_id, member.generation_id, [(member.member_id, b"all")])
        commit(world, group, "t", [(0, 3)], member_id=member.member_id, generation=member.generation_id, on="a")
        committed(world, group, "t", (0,))
        leave(world, "a", group, member.member_id)
        describe(world, group)
        world.ask("DeleteGroups", 1, groups_names=[world.name(group)])


PROGRAMS = [topics, partitions, configs, records, idempotence, one_member, three_members, static_members, bad_joins, old_joins, listings, cluster, odd_names]
