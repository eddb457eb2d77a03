#!/usr/bin/env bash
# The faults of a real store, with the Python that this needs; see faults.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../setup.sh" python)
exec "$python" "$here/faults.py" "$@"
