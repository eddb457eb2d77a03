#!/usr/bin/env bash
# Fuzzes every decoder of untrusted bytes, a minute in all by default: tests/fuzz.sh [SECONDS-PER-TARGET] [TARGET...]
# Inputs that were worth keeping stay in the cache folder between runs; one that fails is named and kept in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/kafscale-tests"
seconds=${1:-15}
[ $# -le 1 ] && set -- "$seconds" requests responses batches entries segments
shift
command -v rustup >/dev/null && rustup toolchain list | grep -q '^nightly' ||
    { echo "a nightly toolchain is not installed; it is needed for fuzzing (rustup toolchain install nightly)" >&2; exit 77; }
[ -x "$cache/cargo/bin/cargo-fuzz" ] || cargo install -q cargo-fuzz --locked --root "$cache/cargo"

export PATH="$cache/cargo/bin:$PATH" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
made="$CARGO_TARGET_DIR/seeds"
crates/protocol/tests/golden/seeds.py "$made"
status=0
for target in "$@"; do
    corpus="$cache/corpus/$target"
    mkdir -p "$corpus"
    seeds=()
    for folder in "fuzz/seeds/$target" "$made/$target"; do
        [ ! -d "$folder" ] || seeds+=("$folder")
    done
    if cargo +nightly fuzz run "$target" "$corpus" "${seeds[@]}" -- \
        -max_total_time="$seconds" -max_len=65536 -timeout=10 -malloc_limit_mb=64 -rss_limit_mb=2048 -print_final_stats=1; then
        echo "ok fuzz: $target, ${seconds} s"
    else
        echo "FAIL fuzz: $target"
        status=1
    fi
done
exit $status
