#!/usr/bin/env bash
# Dockerfile and docker-compose.yml, run as plain processes: see compose.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../setup.sh" python)
exec "$python" "$here/compose.py" "$@"
