#!/usr/bin/env bash
# Stock Kafka clients with their default settings against one broker:
#
#   tests/clients/run.sh [--bootstrap HOST:PORT] [kcat|python|java|franz-go]...
#
# Without --bootstrap a broker (`kafscale serve`) is started for the run. Every check prints a line; the
# last line is `N passed, N failed`. A client whose toolchain is missing is a failure where CI=true, and
# is skipped with a line elsewhere.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
setup=$here/../setup.sh
bootstrap=
if [ "${1:-}" = --bootstrap ]; then
    bootstrap=$2
    shift 2
fi
[ $# -gt 0 ] || set -- kcat python java franz-go
[ -n "$bootstrap" ] || exec "$here/../servers/servers.py" kafscale -- "$0" --bootstrap {} "$@"

suite() { # suite CLIENT: runs its program for at most five minutes; 77 means that a toolchain is missing
    local topic tool
    topic=suite-$1-$$-$RANDOM
    case $1 in
        kcat) tool=$("$setup" kcat) && timeout 300 python3 "$here/kcat/suite.py" "$tool" "$bootstrap" "$topic" ;;
        python) tool=$("$setup" python) && timeout 300 "$tool" "$here/python/suite.py" "$bootstrap" "$topic" ;;
        java) tool=$("$setup" kafka) && timeout 300 "$here/java/suite.sh" "$tool" "$bootstrap" "$topic" ;;
        franz-go) tool=$("$setup" franz-go-suite) && timeout 300 "$tool" "$bootstrap" "$topic" ;;
        *) echo "unknown client $1; known: kcat python java franz-go" >&2; exit 2 ;;
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
