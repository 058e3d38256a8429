#!/usr/bin/env bash
# An installation that is moved finds everything that came with it: no path of the source or build tree is left in it.
#     install_test.sh CMAKE BUILD SOURCE
set -euo pipefail
cmake="$1" build="$2" source="$3"
folder="$(mktemp -d)"
trap '[[ -z "${server:-}" ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
die() { echo "$*"; exit 1; }

"$cmake" --install "$build" --prefix "$folder/there" >"$folder/log" || { cat "$folder/log"; die "cmake --install failed"; }
mv "$folder/there" "$folder/here"
! grep -qF "$source/" "$folder/here/bin/facet" || die "the program holds the path $source: $(strings "$folder/here/bin/facet" | grep -F "$source/" | head -3)"
for file in share/man/man1/facet.1 share/man/man1/facet-run.1 share/bash-completion/completions/facet \
  share/zsh/site-functions/_facet share/fish/vendor_completions.d/facet.fish \
  share/facet/vocab/gemma4.gguf share/facet/templates/gemma4.jinja share/facet/models/pebble/model-q8_0.gguf; do
  [[ -s "$folder/here/$file" ]] || die "$file is missing"
done

# The program runs alone: a home of its own and, where bubblewrap works, no source tree.
export HOME="$folder/home" PATH="$folder/here/bin:$PATH"
unset FACET_DATA_DIR XDG_CACHE_HOME XDG_DATA_HOME XDG_RUNTIME_DIR
mkdir -p "$HOME"
cd "$HOME"
media="$folder/media"
cp -r "$source/examples/media/pebble" "$media"
alone=()
if bwrap --dev-bind / / --tmpfs "$source" true 2>/dev/null; then alone=(bwrap --dev-bind / / --tmpfs "$source"); fi
facet() { "${alone[@]}" "$folder/here/bin/facet" "$@"; }

echo "== run"
facet run pebble "Where is the green circle?" --image "$media/circle.png" --temperature 0 --max-tokens 16 </dev/null | grep . || die "run said nothing"
echo "== import"
facet import "$folder/here/share/facet/models/pebble/model-q8_0.gguf" stone >/dev/null
facet list | grep -q stone || die "import left no name"
echo "== eval"
mkdir items
cat >items/chat-heldout.jsonl <<'ROWS'
{"id": "c0", "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi there."}], "meta": {"skill": "chat", "check": "text", "group": ""}}
ROWS
# It exits with 1 where a floor of the exam is not held, which one item says nothing about.
FACET_PEBBLE_PYTHON=python3 facet eval pebble --data items --json >eval.json 2>eval.log || [[ $? -eq 1 ]] || die "eval failed: $(cat eval.log)"
grep -q '"items": *1' eval.json || die "eval judged nothing: $(cat eval.json eval.log)"
echo "== tune"
cat >rows.jsonl <<'ROWS'
{"messages": [{"role": "user", "content": "What is red?"}, {"role": "assistant", "content": "The circle."}]}
{"messages": [{"role": "user", "content": "What is blue?"}, {"role": "assistant", "content": "The square."}]}
ROWS
facet tune pebble --data rows.jsonl --out tuned --steps 1 >tune.log 2>&1 || { tail -20 tune.log; die "tune failed"; }
echo "== serve"
"${alone[@]}" "$folder/here/bin/facet" serve pebble --port 0 >serve.log 2>&1 &
server=$!
for _ in $(seq 100); do
  address="$(grep -oE 'http://[0-9.]+:[0-9]+' serve.log | head -1 || true)"
  [[ -z "$address" ]] || break
  kill -0 "$server" 2>/dev/null || { cat serve.log; die "the server ended"; }
  sleep 0.1
done
curl -sSf "$address/v1/chat/completions" -H 'Content-Type: application/json' \
  -d '{"model": "pebble", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}' | grep -q '"content"' || die "serve gave no answer"
echo "all of it works"
