#!/usr/bin/env bash
# The test of log compaction with the Python it needs; with `streams`, `connect` or both, what lives on compacted topics.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../setup.sh" python)
[ $# -gt 0 ] && exec "$python" "$here/applications.py" "$@"
exec "$python" "$here/compaction.py"
