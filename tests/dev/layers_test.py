#!/usr/bin/env python3
"""A layer includes only from itself and from layers below it: those that CMakeLists.txt links it to. The table of
docs/architecture.md names the same layers, each above all that it uses.

    layers_test.py SOURCE
"""
import pathlib, re, sys

source = pathlib.Path(sys.argv[1])
uses = {}
for name, words in re.findall(r"^facet_layer\((\w+)([^)]*)\)", (source / "CMakeLists.txt").read_text(), re.M):
    below = set(re.findall(r"facet_(\w+)", words))
    uses[name] = below.union(*(uses[layer] for layer in below))
wrong = []

folders = {path.name for path in (source / "src").iterdir() if path.is_dir()}
if folders != set(uses):
    wrong.append(f"CMakeLists.txt and src differ in {sorted(folders ^ set(uses))}")

for path in sorted((source / "src").rglob("*")):
    layer = path.relative_to(source / "src").parts[0]
    if path.suffix not in (".h", ".cc", ".cpp") or layer not in uses:
        continue
    for number, line in enumerate(path.read_text().splitlines(), 1):
        included = re.match(r'\s*#include "(\w+)/', line)
        if included and included[1] in folders and included[1] not in uses[layer] | {layer}:
            wrong.append(f"{path.relative_to(source)}:{number}: {layer} may not include from {included[1]}: {line.strip()}")

table = re.findall(r"^\| `src/(\w+)` ", (source / "docs/architecture.md").read_text(), re.M)
if set(table) != set(uses):
    wrong.append(f"docs/architecture.md's table and CMakeLists.txt differ in {sorted(set(table) ^ set(uses))}")
for place, layer in enumerate(table):
    for above in table[:place]:
        if above in uses.get(layer, ()):
            wrong.append(f"docs/architecture.md: {layer} uses {above}, which stands above it")

print("\n".join(wrong) or f"{len(uses)} layers in order")
sys.exit(1 if wrong else 0)
