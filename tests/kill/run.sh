#!/usr/bin/env bash
# The kill test with the Python it needs; the options are those of kill.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../setup.sh" python)
exec "$python" "$here/kill.py" "$@"
