#!/usr/bin/env bash
# The test of log compaction with the Python it needs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../setup.sh" python)
exec "$python" "$here/compaction.py" "$@"
