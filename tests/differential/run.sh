#!/usr/bin/env bash
# The differential tests with the Python they need; the options are those of differential.py, or after `tools` of tools.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../setup.sh" python)
[ "${1:-}" = tools ] && shift && exec "$python" "$here/tools.py" "$@"
exec "$python" "$here/differential.py" "$@"
