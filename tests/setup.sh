#!/usr/bin/env bash
# Installs what one test needs into the cache folder and prints where it is:
#
#   tests/setup.sh python      a Python with confluent-kafka
#   tests/setup.sh kafka       a folder with the jars of Apache Kafka, its tools and its Java client
#   tests/setup.sh kcat        the kcat command
#   tests/setup.sh franz-go-suite | franz-go-load    the franz-go programs, built
#   tests/setup.sh franz-go-agent | sarama-agent | kafka-go-agent | krafka-agent
#                              the Go and Rust programs of the client matrix, built
#   tests/setup.sh node        a node binary beside the JavaScript clients
#   tests/setup.sh franz-go-tests     franz-go's own test suite, built
#   tests/setup.sh librdkafka-tests   a folder with librdkafka's own test suite, built
#   tests/setup.sh minio | azurite | s3proxy | versitygw | s3rver | s3s-fs | radosgw | swift
#                              the stores that tests/stores runs besides SeaweedFS
#   tests/setup.sh faketime    the command that lets a program see another clock, and its library
#   tests/setup.sh kafscale    the broker under test ($KAFSCALE_BIN, or a debug build)
#   tests/setup.sh lab         the latency and fault proxy ($KAFSCALE_LAB_BIN, or a debug build)
#   tests/setup.sh kafscale-release | lab-release    the same, optimised, for the benchmarks
#                              ($KAFSCALE_RELEASE_BIN, $KAFSCALE_LAB_RELEASE_BIN, or a release build)
#
# Everything lands in ${XDG_CACHE_HOME:-~/.cache}/kafscale-tests and is used again. A missing toolchain
# is said in one line and ends with status 77, so that callers can tell "cannot run here" from "failed".
set -euo pipefail

tests=$(cd "$(dirname "$0")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/kafscale-tests"
mkdir -p "$cache/bin"

need() { # need COMMAND WHAT-FOR
    command -v "$1" >/dev/null || { echo "$1 is not installed; it is needed for $2" >&2; exit 77; }
}

# The folder of one version of an installation: its name carries a hash of the file that describes it.
folder() { echo "$cache/$1-$(sha256sum <"$2" | cut -c1-12)"; }

python() {
    need python3 "the Python client and the test harnesses"
    local wanted=$tests/clients/python/requirements.txt venv
    venv=$(folder python "$wanted")
    if [ ! -e "$venv/complete" ]; then
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" -q --disable-pip-version-check install -r "$wanted" >&2
        touch "$venv/complete"
    fi
    echo "$venv/bin/python"
}

kafka() {
    need java "Apache Kafka and the Java client"
    need mvn "Apache Kafka's jars"
    local pom=$tests/servers/kafka/pom.xml jars
    jars=$(folder kafka "$pom")
    if [ ! -e "$jars/complete" ]; then
        mvn -q -B -ntp -f "$pom" -Dmaven.repo.local="$cache/m2" \
            dependency:copy-dependencies -DoutputDirectory="$jars" >&2
        touch "$jars/complete"
    fi
    echo "$jars"
}

kcat() {
    # Not `command -v`, which finds this function.
    if ! type -P kcat >/dev/null; then
        need apt-get "installing kcat"
        [ "$(id -u)" = 0 ] || { echo "kcat is not installed; apt-get install kcat needs root" >&2; exit 77; }
        { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends kcat; } >&2
    fi
    type -P kcat
}

go_program() { # go_program NAME FOLDER [PACKAGE]
    need go "the clients written in Go"
    (cd "$tests/$2" &&
        GOMODCACHE="$cache/go/mod" GOCACHE="$cache/go/build" GOFLAGS=-modcacherw go build -o "$cache/bin/$1" "${3:-.}")
    echo "$cache/bin/$1"
}

rust_program() { # rust_program NAME FOLDER: a crate outside our workspace, with a target folder of its own
    need cargo "the client written in Rust"
    (cd "$tests/$2" && CARGO_TARGET_DIR="$cache/$1-target" cargo build -q --locked)
    echo "$cache/$1-target/debug/$1"
}

# Node itself comes from npm as well: the clients want a newer one than distributions have.
node() {
    need npm "the clients written in JavaScript"
    local described=$tests/clients/node/package-lock.json modules
    modules=$(folder node "$described")
    if [ ! -e "$modules/complete" ]; then
        rm -rf "$modules"
        mkdir -p "$modules"
        cp "$tests/clients/node/package.json" "$described" "$modules"
        npm --prefix "$modules" ci --silent --no-audit --no-fund >&2
        touch "$modules/complete"
    fi
    echo "$modules/node_modules/node/bin/node"
}

franz_go_tests() {
    need go "franz-go's test suite"
    (cd "$tests/clients/go" && GOMODCACHE="$cache/go/mod" GOCACHE="$cache/go/build" GOFLAGS=-modcacherw \
        go test -c -o "$cache/bin/franz-go-tests" github.com/twmb/franz-go/pkg/kgo)
    echo "$cache/bin/franz-go-tests"
}

# The sources of librdkafka, its tests among them, ship inside Confluent's npm package.
librdkafka_tests() {
    local version=1.10.1 sources
    sources=$cache/librdkafka-of-npm-$version
    if [ ! -e "$sources/complete" ]; then
        need npm "librdkafka's sources"
        need make "building librdkafka"
        rm -rf "$sources"
        mkdir -p "$sources"
        (
            cd "$sources"
            npm pack --silent "@confluentinc/kafka-javascript@$version"
            tar xzf ./*.tgz --strip-components=3 package/deps/librdkafka
            rm ./*.tgz
            ./configure --disable-gssapi
            make -j2 libs
            make -j2 -C tests build
        ) >"$sources/build.log" 2>&1 || { tail -20 "$sources/build.log" >&2; exit 1; }
        touch "$sources/complete"
    fi
    echo "$sources/tests"
}

# The stores of tests/stores. Each prints the command (or, of those that are several servers, their folder).
minio() { # MinIO has no binary downloads any more; its module still builds
    local version=v0.0.0-20260212201848-7aac2a2c5b7c bin
    bin=$cache/minio-${version##*-}
    if [ ! -x "$bin/minio" ]; then
        need go "building MinIO"
        GOBIN=$bin GOMODCACHE="$cache/go/mod" GOCACHE="$cache/go/build" GOFLAGS=-modcacherw \
            nice -n 10 go install "github.com/minio/minio@$version" >&2
    fi
    echo "$bin/minio"
}

versitygw() {
    local version=v1.8.0 bin
    bin=$cache/versitygw-$version
    if [ ! -x "$bin/versitygw" ]; then
        need go "building versitygw"
        GOBIN=$bin GOMODCACHE="$cache/go/mod" GOCACHE="$cache/go/build" GOFLAGS=-modcacherw \
            nice -n 10 go install "github.com/versity/versitygw/cmd/versitygw@$version" >&2
    fi
    echo "$bin/versitygw"
}

s3proxy() {
    need java "S3Proxy"
    need mvn "S3Proxy's jars"
    local pom=$tests/stores/s3proxy/pom.xml jars
    jars=$(folder s3proxy "$pom")
    if [ ! -e "$jars/complete" ]; then
        mvn -q -B -ntp -f "$pom" -Dmaven.repo.local="$cache/m2" \
            dependency:copy-dependencies -DoutputDirectory="$jars" >&2
        touch "$jars/complete"
    fi
    echo "$jars"
}

npm_program() { # npm_program NAME VERSION SCRIPT
    local modules=$cache/$1-$2
    need npm "$1"
    if [ ! -e "$modules/complete" ]; then
        mkdir -p "$modules"
        npm --prefix "$modules" install --silent --no-audit --no-fund "$1@$2" >&2
        touch "$modules/complete"
    fi
    echo "$modules/node_modules/$3"
}

s3s_fs() { # 0.14.1 is the newest that our toolchain compiles
    local root=$cache/s3s-fs-0.14.1
    if [ ! -x "$root/bin/s3s-fs" ]; then
        need cargo "building s3s-fs"
        CARGO_TARGET_DIR=$root/target nice -n 10 cargo install -q s3s-fs@0.14.1 --features binary --locked --root "$root" >&2
        rm -rf "$root/target"
    fi
    echo "$root/bin/s3s-fs"
}

apt_program() { # apt_program COMMAND PACKAGE...
    local command=$1
    shift
    if ! command -v "$command" >/dev/null; then
        need apt-get "installing $*"
        [ "$(id -u)" = 0 ] || { echo "$command is not installed; apt-get install $* needs root" >&2; exit 77; }
        { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"; } >&2
    fi
    type -P "$command"
}

cargo_build() { # cargo_build PACKAGE [--release]
    need cargo "building $1"
    local target profile=debug
    [ "${2:-}" = --release ] && profile=release
    (cd "$tests/.." && cargo build -q -p "$1" ${2:-})
    target=$(cd "$tests/.." && cargo metadata --no-deps --format-version 1 | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
    echo "$target/$profile/$1"
}

case "${1:-}" in
    python) python ;;
    kafka) kafka ;;
    kcat) kcat ;;
    franz-go-suite) go_program "$1" clients/franz-go ;;
    franz-go-load) go_program "$1" bench/franz-go ;;
    franz-go-agent | sarama-agent | kafka-go-agent) go_program "$1" clients/go "./${1%-agent}" ;;
    krafka-agent) rust_program "$1" clients/rust ;;
    node) node ;;
    franz-go-tests) franz_go_tests ;;
    librdkafka-tests) librdkafka_tests ;;
    minio) minio ;;
    azurite) npm_program azurite 3.35.0 azurite/dist/src/blob/main.js ;;
    s3proxy) s3proxy ;;
    versitygw) versitygw ;;
    s3rver) npm_program s3rver 3.7.1 s3rver/bin/s3rver.js ;;
    s3s-fs) s3s_fs ;;
    radosgw) apt_program radosgw radosgw ceph-mon ceph-osd ceph-base ceph-common ;;
    swift) apt_program swift-proxy-server swift-proxy swift-account swift-container swift-object memcached ;;
    faketime) apt_program faketime faketime ;;
    kafscale) [ -n "${KAFSCALE_BIN:-}" ] && echo "$KAFSCALE_BIN" || cargo_build kafscale ;;
    lab) [ -n "${KAFSCALE_LAB_BIN:-}" ] && echo "$KAFSCALE_LAB_BIN" || cargo_build kafscale-lab ;;
    kafscale-release) [ -n "${KAFSCALE_RELEASE_BIN:-}" ] && echo "$KAFSCALE_RELEASE_BIN" || cargo_build kafscale --release ;;
    lab-release) [ -n "${KAFSCALE_LAB_RELEASE_BIN:-}" ] && echo "$KAFSCALE_LAB_RELEASE_BIN" || cargo_build kafscale-lab --release ;;
    *) echo "usage: tests/setup.sh python|kafka|kcat|franz-go-suite|franz-go-load|franz-go-agent|sarama-agent|kafka-go-agent|krafka-agent|node|franz-go-tests|librdkafka-tests|minio|azurite|s3proxy|versitygw|s3rver|s3s-fs|radosgw|swift|faketime|kafscale|lab|kafscale-release|lab-release" >&2; exit 2 ;;
esac
