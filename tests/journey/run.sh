#!/usr/bin/env bash
# The walk of a new user: run.sh journey|docs FACET SOURCES. Installs a terminal emulator for Python into the cache folder once.
# Exit code 77: left out, because it is not to be had here.
set -uo pipefail
what="$1" facet="$2" sources="$3"
readonly PYTE_VERSION=0.8.2
scratch="${XDG_CACHE_HOME:-$HOME/.cache}/facet-dev/pyte-$PYTE_VERSION"

leave_out() {
  echo "left out: $*"
  exit 77
}

command -v python3 >/dev/null || leave_out "there is no python3 here"
if [[ "$what" == docs ]]; then exec python3 "$sources/tests/journey/docs.py" "$facet" "$sources"; fi
if [[ ! -f "$scratch/installed" ]]; then
  python3 -m venv "$scratch" || leave_out "python3 cannot make a virtual environment (package python3-venv)"
  "$scratch/bin/pip" install -q --disable-pip-version-check "pyte==$PYTE_VERSION" && touch "$scratch/installed" ||
    leave_out "pip cannot install pyte $PYTE_VERSION"
fi
exec "$scratch/bin/python" "$sources/tests/journey/journey.py" "$facet" "$sources" "${@:4}"
