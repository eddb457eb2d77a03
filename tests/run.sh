#!/usr/bin/env bash
# All tests of the project, with everything that they need installed into the user's cache folder:
#
#   tests/run.sh [SUITE]...      default: all, in the order of the list at the end
#
# One debug build serves all suites. Third-party code is compiled with some optimisation there (see
# Cargo.toml), so real clients run against the broker that carries every assertion, and no second build is paid.
# Each suite's output goes to a file of its own, whose tail is printed when the suite fails; the last line
# is `N passed, N failed`. A suite whose toolchain is missing is skipped with a line, and fails where CI=true.
set -euo pipefail

cd "$(dirname "$0")/.."
logs="${XDG_CACHE_HOME:-$HOME/.cache}/kafscale-tests/logs/$(date -u +%Y%m%dT%H%M%SZ)-$$"
mkdir -p "$logs"
# The logs of the last few runs stay; another run may be under way.
find "$logs/.." -mindepth 1 -maxdepth 1 -type d -mtime +2 -exec rm -rf {} +
target=${CARGO_TARGET_DIR:-$PWD/target}
passed=0 failed=0

# Sums up what a log says: cargo's and our own `N passed, N failed`, or else the lines of the checks. Neither is
# taken from the middle of a line, where a broker that is quoted may say what failed.
count() { # count passed|failed LOG
    local line='^ok ' sums='^(test result: [a-zA-Z]+\. )?([a-z_-]+: )?[0-9]+ passed[,;] [0-9]+ failed'
    [ "$1" = failed ] && line='^FAIL '
    if grep -Eq "$sums" "$2"; then
        grep -Eo "$sums" "$2" | grep -Eo "[0-9]+ $1" | awk '{sum += $1} END {print sum + 0}'
    else
        grep -c "$line" "$2" || true
    fi
}

suite() { # suite NAME COMMAND...
    local name=$1 log=$logs/$1.log started=$SECONDS status=0 good bad
    shift
    "$@" >"$log" 2>&1 || status=$?
    good=$(count passed "$log") bad=$(count failed "$log")
    if [ "$status" = 77 ] && [ "${CI:-}" != true ]; then
        echo "$name: skipped, $(tail -1 "$log")"
        return
    fi
    [ "$status" = 0 ] && [ "$good" = 0 ] && good=1
    [ "$status" != 0 ] && [ "$bad" = 0 ] && bad=1
    echo "$name: $good passed, $bad failed, $((SECONDS - started)) s"
    passed=$((passed + good)) failed=$((failed + bad))
    if [ "$status" != 0 ]; then
        grep '^FAIL ' "$log" || true
        echo "--- the end of $log"
        tail -40 "$log"
        echo "---"
    fi
}

versions() {
    for tool in "cargo --version" "python3 --version" "go version" "java -version" "mvn -Dstyle.color=never -v" "node --version"; do
        command -v "${tool%% *}" >/dev/null && $tool 2>&1 | sed -n 1p || echo "${tool%% *}: not installed"
    done
}

format() { cargo fmt --all --check; }
lint() { cargo clippy --workspace --all-targets -- -D warnings; }
# Everything in one go, so that the binaries and the tests share one set of features and nothing compiles twice.
build() { cargo build --workspace --all-targets && export KAFSCALE_BIN=$target/debug/kafscale KAFSCALE_LAB_BIN=$target/debug/kafscale-lab; }
# Beside a real S3 server, one of Azure's dialect and one of Google's, for the tests that are ignored without them.
rust() {
    tests/stores/real.py gcs-emulator -- tests/stores/real.py azurite -- tests/servers/seaweedfs.sh -- cargo test --workspace --no-fail-fast -- --include-ignored
}
clients() { tests/clients/run.sh; }
checker() { python3 tests/kill/test_checker.py; }
segments() { python3 tests/segments/kfs.py check crates/segment/tests/golden; }
kill_dir() { tests/kill/run.sh --store dir --kills 5; }
kill_life() {
    local status=0
    tests/kill/run.sh --store dir --life --kills 8 || status=$?
    tests/kill/run.sh --store s3 --log dir --life --faults 503 --kills 4 || status=$?
    return $status
}
kill_s3() {
    local status=0
    for faults in none 503 unanswered hang; do
        tests/kill/run.sh --store s3 --faults "$faults" --kills 2 || status=$?
    done
    return $status
}
faults() { tests/faults/run.sh; }
compose() { tests/compose/run.sh; }
compaction() { tests/compaction/run.sh; }
fuzz() { tests/fuzz.sh 15; }

all=(format build lint rust clients checker segments kill_dir kill_life kill_s3 faults compose compaction fuzz)
[ $# -gt 0 ] || set -- "${all[@]}"
versions
for name in "$@"; do
    [[ " ${all[*]} " == *" $name "* ]] || { echo "unknown suite $name; known: ${all[*]}" >&2; exit 2; }
    suite "$name" "$name"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
