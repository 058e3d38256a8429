#!/usr/bin/env python3
"""Follows the recipes of CONTRIBUTING.md word by word in a copy of the tree, and types their commands.

    recipes.py SOURCE FOLDER     the copy of the git tree SOURCE is made in FOLDER, which must not exist
"""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

# What each recipe asks for in prose: a text that it must hold, and the edit that this means: file, what stands there, what
# shall stand there.
EDITS = {
    "Add an operation": [],
    "Add a command": [
        ("void AddVocab(CLI::App& app, int& exit_code);", "src/cli/commands.h",
         "void AddVerify(", "void AddVocab(CLI::App& app, int& exit_code);\nvoid AddVerify("),
        ("`AddVocab` in one of the groups", "src/cli/main_app.cc", "{AddTokenize}", "{AddTokenize, AddVocab}"),
    ],
    "Add an endpoint": [
        ("Result<void> Count(Service& service, Call& call);", "src/serve/handlers.h",
         "Result<void> Detokenize(", "Result<void> Count(Service& service, Call& call);\nResult<void> Detokenize("),
        ('{"POST", "/count", Count, "How many tokens a text has."},', "src/serve/openai/router.cc",
         '    {"POST", "/detokenize",',
         '    {"POST", "/count", Count, "How many tokens a text has."},\n    {"POST", "/detokenize",'),
        ('{"count", FieldTables(CountFields().docs())},', "src/serve/openai/reference.cc",
         '      {"detokenize",', '      {"count", FieldTables(CountFields().docs())},\n      {"detokenize",'),
        ("with the include of `serve/openai/count.h`", "src/serve/openai/reference.cc",
         '#include "serve/openai/reference.h"\n',
         '#include "serve/openai/reference.h"\n\n#include "serve/openai/count.h"\n'),
        ("<!-- begin count -->", "docs/serving.md", "`POST /tokenize`:",
         "`POST /count`:\n\n<!-- begin count -->\n<!-- end count -->\n\n`POST /tokenize`:"),
    ],
    "Add a file format": [
        ("facet_fuzz(tns MAX_LENGTH 20000 LIBRARIES facet_formats SEEDS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz_tns.cc)",
         "fuzz/CMakeLists.txt", "facet_fuzz(tokenizer ",
         "facet_fuzz(tns MAX_LENGTH 20000 LIBRARIES facet_formats SEEDS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz_tns.cc)\n"
         "facet_fuzz(tokenizer "),
    ],
}
# Typed once the tests are built, as the text beside it says.
WRITE_REFERENCE = "FACET_UPDATE_DOCS=$PWD/docs/serving.md build/serve_test --gtest_filter='Reference.*'"


def recipes(document):
    """Title and text of each "## Add ..."."""
    parts = [part.split("\n", 1) for part in re.split(r"^## ", document, flags=re.M)[1:]]
    found = {title: text for title, text in parts if title.startswith("Add ")}
    assert found.keys() == EDITS.keys(), f"recipes: {list(found)}"
    return found


def blocks(text, head):
    """The code blocks that `head`, a pattern, stands before, with its groups."""
    found = re.findall(head + r"\n(.*?)^ *```$", text, flags=re.M | re.S)
    return [(*groups[:-1], textwrap.dedent(groups[-1])) for groups in (f if isinstance(f, tuple) else (f,) for f in found)]


def follow(tree, title, text):
    for path, body in blocks(text, r"^ *`([\w/.]+)`\n *```cpp"):
        file = tree / path
        assert not file.exists(), f"{path} is there already: the recipe needs another example"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(body)
    prose = re.sub(r"\s+", " ", text)
    for said, path, old, new in EDITS[title]:
        assert said in prose, f"{title} no longer says {said!r}"
        file = tree / path
        before = file.read_text()
        assert before.count(old) == 1, f"{path} holds {old!r} {before.count(old)} times"
        file.write_text(before.replace(old, new))


def run(tree, script):
    # What a recipe starts in the background ends with it.
    subprocess.run(["bash", "-euxc", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + script], cwd=tree, check=True)


def main(source, folder):
    tree = Path(folder)
    subprocess.run(["git", "clone", "-q", source, folder], check=True)
    for title, text in recipes((tree / "CONTRIBUTING.md").read_text()).items():
        print(f"== {title}", flush=True)
        follow(tree, title, text)
        for (script,) in blocks(text, r"^```sh"):
            if WRITE_REFERENCE in text:
                script = script.replace("serve_test\n", f"serve_test\n{WRITE_REFERENCE}\n", 1)
            run(tree, script)
    print("== all of them together", flush=True)
    run(tree, "build/serve_test --gtest_filter='Reference.*' && ./dev format --check && build/facet vocab --help")
    assert "| POST | `/count` |" in (tree / "docs/serving.md").read_text()


if __name__ == "__main__":
    main(*sys.argv[1:])
