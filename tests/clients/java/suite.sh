#!/usr/bin/env bash
# The Java client and Kafka's own producer perf tool: suite.sh JARS HOST:PORT TOPIC
set -euo pipefail
jars=$1 bootstrap=$2 topic=$3
here=$(cd "$(dirname "$0")" && pwd)
status=0

# One source file is compiled and run in one step; the logging facade without a backend would only say so.
java -cp "$jars/*" "$here/Suite.java" "$bootstrap" "$topic" 2> >(grep -v '^SLF4J' >&2) || status=1

# The perf tool as its manual shows it; the topic comes to be by auto-creation.
perf=$(java -cp "$jars/*" org.apache.kafka.tools.ProducerPerformance --bootstrap-server "$bootstrap" \
    --topic "$topic-perf" --num-records 50000 --record-size 1024 --throughput -1 2>&1 | grep -v '^SLF4J') || true
if [[ $perf == *"50000 records sent, "*"99.9th."* ]] && [[ $perf != *rror* ]] && [[ $perf != *xception* ]]; then
    echo "ok java: producer perf tool: $(tail -1 <<<"$perf")"
else
    echo "FAIL java: producer perf tool: $(tail -3 <<<"$perf" | tr '\n' ' ')"
    status=1
fi
exit $status
