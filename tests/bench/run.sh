#!/usr/bin/env bash
# The benchmarks with the Python they need; sections and options are those of bench.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../setup.sh" python)
exec "$python" "$here/bench.py" "$@"
