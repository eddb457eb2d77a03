#!/usr/bin/env bash
# The stores' tests with the Python they need; the options are those of run.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../setup.sh" python)
exec "$python" "$here/run.py" "$@"
