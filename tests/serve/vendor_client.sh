#!/usr/bin/env bash
# A vendor's own client against a scripted server: vendor_client.sh anthropic|ollama|gemini python|js FACET TESTS_DIR. Installs the
# client into the cache folder once. Exit code 77: left out, because the language or the package is not to be had here.
set -uo pipefail
vendor="$1" language="$2" facet="$3" tests="$4"
usage() { echo "vendor_client.sh anthropic|ollama|gemini python|js FACET TESTS_DIR" >&2; exit 2; }
case "$vendor-$language" in
  anthropic-python) package=anthropic version=2.14.0 ;;
  anthropic-js) package=@anthropic-ai/sdk version=1.14.0 ;;
  ollama-python) package=ollama version=0.6.3 ;;
  ollama-js) package=ollama version=0.6.4 ;;
  gemini-python) package=google-genai version=3.6.1 ;;
  gemini-js) package=@google/genai version=2.32.0 ;;
  *) usage ;;
esac
scratch="${XDG_CACHE_HOME:-$HOME/.cache}/facet-dev/$vendor-$language-$version"

leave_out() {
  echo "left out: $*"
  exit 77
}
need() { command -v "$1" >/dev/null || leave_out "there is no $1 here"; }

if [[ "$language" == python ]]; then
  need python3
  if [[ ! -f "$scratch/installed" ]]; then
    python3 -m venv "$scratch" || leave_out "python3 cannot make a virtual environment (package python3-venv)"
    "$scratch/bin/pip" install -q --disable-pip-version-check "$package==$version" && touch "$scratch/installed" ||
      leave_out "pip cannot install $package $version"
  fi
  exec "$scratch/bin/python" "$tests/serve/${vendor}_suite.py" "$facet" "$tests"
fi
need node
need npm
mkdir -p "$scratch"
if [[ ! -f "$scratch/node_modules/$package/package.json" ]]; then
  npm install --silent --no-fund --no-audit --prefix "$scratch" "$package@$version" ||
    leave_out "npm cannot install $package $version"
fi
# Packages are looked for beside the program that imports them.
cp "$tests/serve/${vendor}_suite.mjs" "$tests/serve/scripted_server.mjs" "$scratch/"
exec node "$scratch/${vendor}_suite.mjs" "$facet" "$tests"
