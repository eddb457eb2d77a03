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
# The catalogue says which APIs there are, and in which versions.
apis=$(tr '\n' ' ' <../../src/messages/mod.rs | grep -oE '[A-Z][A-Za-z]+ = [0-9]+ in [^;]*;' |
    sed -E 's/^([A-Za-z]+) = .*, ([0-9]+-[0-9]+), flexible.*/\1:\2/')
# shellcheck disable=SC2086 # One word each.
java -cp "$work:$work/*" Generate $apis >kafka.txt
java -cp "$work:$work/*" Generate errors >errors.txt
