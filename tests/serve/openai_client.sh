#!/usr/bin/env bash
# An official client against a scripted server: openai_client.sh python|js FACET TESTS_DIR. Installs the client into the cache
# folder once. Exit code 77: left out, because the language or the package is not to be had here.
set -uo pipefail
language="$1" facet="$2" tests="$3"
readonly PYTHON_VERSION=3.57.0 JS_VERSION=6.30.1
scratch="${XDG_CACHE_HOME:-$HOME/.cache}/facet-dev/openai-$language"

leave_out() {
  echo "left out: $*"
  exit 77
}
need() { command -v "$1" >/dev/null || leave_out "there is no $1 here"; }

case "$language" in
  python)
    need python3
    scratch+="-$PYTHON_VERSION"
    if [[ ! -f "$scratch/installed" ]]; then
      python3 -m venv "$scratch" || leave_out "python3 cannot make a virtual environment (package python3-venv)"
      "$scratch/bin/pip" install -q --disable-pip-version-check "openai==$PYTHON_VERSION" && touch "$scratch/installed" ||
        leave_out "pip cannot install openai $PYTHON_VERSION"
    fi
    exec "$scratch/bin/python" "$tests/serve/openai_suite.py" "$facet" "$tests"
    ;;
  js)
    need node
    need npm
    scratch+="-$JS_VERSION"
    mkdir -p "$scratch"
    if [[ ! -f "$scratch/node_modules/openai/package.json" ]]; then
      npm install --silent --no-fund --no-audit --prefix "$scratch" "openai@$JS_VERSION" ||
        leave_out "npm cannot install openai $JS_VERSION"
    fi
    # Packages are looked for beside the program that imports them.
    cp "$tests/serve/openai_suite.mjs" "$scratch/suite.mjs"
    exec node "$scratch/suite.mjs" "$facet" "$tests"
    ;;
  *) echo "openai_client.sh python|js FACET TESTS_DIR" >&2; exit 2 ;;
esac
