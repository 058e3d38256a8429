#!/usr/bin/env bash
# Installs libraries and measuring programs, each at the version that is tested, into the folder $1: ./install.sh FOLDER [NAME...]
# What is there already is left alone. A client that cannot be installed is named, and the others go on.
set -uo pipefail
folder="$1"
shift
names=("$@")
((${#names[@]})) || names=(agents-python agents-js langchain llama-index pydantic-ai litellm lm-eval guidellm)
mkdir -p "$folder"
cd "$folder"
export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false PIP_DISABLE_PIP_VERSION_CHECK=1

npm_client() { npm install --loglevel error --prefix "$1" "${@:2}" >"$1.log" 2>&1; }
pip_client() {
  python3 -m venv "$1/venv" >"$1.log" 2>&1 && "$1/venv/bin/pip" install -q --prefer-binary "${@:2}" >>"$1.log" 2>&1
}
install_one() {
  case "$1" in
    agents-python) pip_client agents-python openai-agents==0.24.0 ;;
    agents-js) npm_client agents-js @openai/agents@0.20.0 zod@4 ;;
    langchain) pip_client langchain langchain-openai==1.7.4 ;;
    llama-index) pip_client llama-index llama-index-llms-openai-like==0.8.1 ;;
    pydantic-ai) pip_client pydantic-ai "pydantic-ai-slim[openai]==2.68.0" ;;
    litellm) pip_client litellm "litellm[proxy]==1.108.7" ;;
    lm-eval) pip_client lm-eval "lm-eval[api]==0.4.13" ;;
    guidellm) pip_client guidellm guidellm==0.8.1 ;;
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
