"""The scripts of Apache Kafka's distribution, made from its jars: what `bin/kafka-*.sh` would start."""

from pathlib import Path

MAINS = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "configs": "kafka.admin.ConfigCommand",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "acls": "org.apache.kafka.tools.AclCommand",
    "delegation-tokens": "org.apache.kafka.tools.DelegationTokenCommand",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "e2e-latency": "org.apache.kafka.tools.EndToEndLatency",
    "streams-application-reset": "org.apache.kafka.tools.StreamsResetter",
}


def java(jars, tool):
    """The command of a tool, for a process that lives shortly."""
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{jars}/*", MAINS[tool]]


def scripts(jars, folder):
    """Writes `bin/kafka-*.sh` into a folder, which then passes for a distribution; returns it."""
    folder = Path(folder)
    (folder / "bin").mkdir(parents=True)
    for tool in MAINS:
        *start, classpath, main = java(jars, tool)
        script = folder / f"bin/kafka-{tool}.sh"
        script.write_text(f"#!/bin/sh\nexec {' '.join(start)} '{classpath}' {main} \"$@\"\n")
        script.chmod(0o755)
    return folder
