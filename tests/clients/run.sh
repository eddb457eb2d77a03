#!/usr/bin/env bash
# Stock Kafka clients with their default settings against one broker:
#
#   tests/clients/run.sh [--bootstrap HOST:PORT [--second HOST:PORT]] [--all | CLIENT...]
#
# kcat, python, java, franz-go      one client each: all codecs, reading by assignment, timestamps, administration
# cli                               the client commands of kafscale itself; it too runs against any Kafka
# matrix[:LIBRARY,...]              every library in groups of 1 -> 3 -> 1 members, see matrix.py
# rolling[:STORY,...]               Java consumers that change the group protocol one by one, see rolling.py
# snippets                          the programs of docs/clients.md
# tools, connect, streams, mirror-maker      what ships with Apache Kafka; the last needs a second broker
#
# Without --bootstrap a broker (`kafscale serve`) is started for the run. Every check prints a line; the
# last line is `N passed, N failed`. A client whose toolchain is missing is a failure where CI=true, and
# is skipped with a line elsewhere.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
setup=$here/../setup.sh
bootstrap= second=
all=(kcat python java franz-go cli matrix rolling tools connect streams mirror-maker)
while [[ "${1:-}" == --* ]]; do
    case $1 in
        --bootstrap) bootstrap=$2 && shift 2 ;;
        --second) second=$2 && shift 2 ;;
        --all) shift && set -- "${all[@]}" ;;
        *) echo "unknown option $1" >&2; exit 2 ;;
    esac
done
# CI's share: every library in the classic protocol, the two that most programs use in that of KIP-848, and one change from
# the one to the other and back.
libraries=librdkafka,kafka-python,aiokafka,kcat,java,franz-go,sarama,kafka-go,kafkajs,platformatic,java-kip848,librdkafka-kip848
[ $# -gt 0 ] || set -- kcat python java franz-go cli "matrix:$libraries" rolling:rolling
if [ -z "$bootstrap" ]; then
    addresses=(--bootstrap {})
    [[ " $* " == *" mirror-maker "* ]] && addresses+=(--second {2})
    exec "$here/../servers/servers.py" kafscale -- "$0" "${addresses[@]}" "$@"
fi

suite() { # suite CLIENT: runs its program for a bounded time; 77 means that a toolchain is missing
    local topic tool jars
    topic=suite-${1%%:*}-$$-$RANDOM
    case $1 in
        kcat) tool=$("$setup" kcat) && timeout 300 python3 "$here/kcat/suite.py" "$tool" "$bootstrap" "$topic" ;;
        python) tool=$("$setup" python) && timeout 300 "$tool" "$here/python/suite.py" "$bootstrap" "$topic" ;;
        java) tool=$("$setup" kafka) && timeout 300 "$here/java/suite.sh" "$tool" "$bootstrap" "$topic" ;;
        franz-go) tool=$("$setup" franz-go-suite) && timeout 300 "$tool" "$bootstrap" "$topic" ;;
        cli) tool=$("$setup" kafscale) && timeout 300 python3 "$here/cli/suite.py" "$tool" "$bootstrap" "$topic" ;;
        matrix) tool=$("$setup" python) && timeout 1800 "$tool" "$here/matrix.py" "$bootstrap" ;;
        matrix:*) tool=$("$setup" python) && tr , '\n' <<<"${1#*:}" | timeout 900 xargs "$tool" "$here/matrix.py" "$bootstrap" ;;
        rolling) tool=$("$setup" python) && timeout 900 "$tool" "$here/rolling.py" "$bootstrap" ;;
        rolling:*) tool=$("$setup" python) && tr , '\n' <<<"${1#*:}" | timeout 300 xargs "$tool" "$here/rolling.py" "$bootstrap" ;;
        snippets) tool=$("$setup" python) && timeout 900 "$tool" "$here/snippets.py" "$bootstrap" ;;
        tools) jars=$("$setup" kafka) && timeout 1200 python3 "$here/tools/suite.py" "$jars" "$bootstrap" "$topic" ;;
        connect) jars=$("$setup" kafka) && timeout 600 python3 "$here/connect/suite.py" "$jars" "$bootstrap" "$topic" ;;
        streams)
            jars=$("$setup" kafka) && timeout 600 java -cp "$jars/*" "$here/streams/WordCount.java" "$bootstrap" "$topic" \
                2> >(grep -v '^SLF4J' >&2)
            ;;
        mirror-maker)
            [ -n "$second" ] || { echo "mirror-maker needs --second HOST:PORT" >&2; return 2; }
            jars=$("$setup" kafka) && tool=$("$setup" python) &&
                timeout 600 "$tool" "$here/mirror-maker/suite.py" "$jars" "$bootstrap" "$second" "$topic"
            ;;
        *) echo "unknown client $1; known: ${all[*]}" >&2; exit 2 ;;
    esac
}

passed=0 failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for client in "$@"; do
    status=0
    suite "$client" 2>&1 | tee "$output" || status=${PIPESTATUS[0]}
    ok=$(grep -c '^ok ' "$output" || true) bad=$(grep -c '^FAIL ' "$output" || true)
    if [ "$status" = 77 ] && [ "${CI:-}" != true ]; then
        echo "skipped $client: a toolchain is missing"
    elif [ "$status" != 0 ] && [ "$bad" = 0 ]; then
        echo "FAIL $client: the program ended with status $status"
        bad=1
    fi
    passed=$((passed + ok)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
