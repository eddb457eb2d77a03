#!/bin/sh
# Writes kafka.txt and errors.txt anew from Apache Kafka's own classes. Needs a JDK 17 and Maven.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
for artifact in org.apache.kafka:kafka-clients:4.3.1 org.slf4j:slf4j-api:1.7.36 \
    com.fasterxml.jackson.core:jackson-databind:2.17.2 com.fasterxml.jackson.core:jackson-core:2.17.2 \
    com.fasterxml.jackson.core:jackson-annotations:2.17.2; do
    mvn -q dependency:copy -Dartifact="$artifact" -DoutputDirectory="$work"
done
javac -cp "$work/*" -d "$work" Generate.java
java -cp "$work:$work/*" Generate Produce:3-13 Fetch:4-18 ListOffsets:1-11 Metadata:0-13 OffsetCommit:2-10 \
    OffsetFetch:1-10 FindCoordinator:0-6 JoinGroup:0-9 Heartbeat:0-4 LeaveGroup:0-5 SyncGroup:0-5 DescribeGroups:0-6 \
    ListGroups:0-5 ApiVersions:0-4 CreateTopics:2-7 DeleteTopics:1-6 InitProducerId:0-5 OffsetForLeaderEpoch:2-4 \
    DescribeConfigs:1-4 DeleteGroups:0-2 OffsetDelete:0-0 DescribeCluster:0-2 ConsumerGroupHeartbeat:0-1 \
    ConsumerGroupDescribe:0-1 DescribeTopicPartitions:0-0 >kafka.txt
java -cp "$work:$work/*" Generate errors >errors.txt
