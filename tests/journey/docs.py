"""Types every command of docs/tuning.md on a small data set, and asks what came of it: docs.py FACET SOURCES.

The page's models become pebble, its data sixty lines of a help desk; runs that are not about the help desk take a few steps
only, which the page does not say. What the tuned model answers is judged."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FACET, SOURCES = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
WORK = pathlib.Path(tempfile.mkdtemp(prefix="facet-docs-"))
ENVIRONMENT = {**os.environ, "PATH": f"{FACET.parent}:{os.environ['PATH']}", "XDG_DATA_HOME": str(WORK / "data")}

# Twelve questions in five wordings each: what a small help desk knows.
ANSWERS = {
    "reset my password": "Open Settings, then Account, then Reset.",
    "change my address": "Open Settings, then Profile.",
    "cancel an order": "Open Orders, then Cancel.",
    "track an order": "Open Orders, then Track.",
    "send something back": "Print a label and take it to the post.",
    "get a refund": "The money comes back within a week.",
    "pay by card": "Choose Card at the end.",
    "find my invoice": "Open Orders, then Invoices.",
    "delete my account": "Write to the help desk.",
    "change the language": "Open Settings, then Language.",
    "turn off mails": "Open Settings, then Mails.",
    "talk to somebody": "Call from nine to five.",
}
WORDINGS = ["How do I {}?", "How can I {}?", "I want to {}.", "Please help me to {}.", "Where do I {}?"]


def write_data():
    with (WORK / "chat.jsonl").open("w") as out:
        for question, answer in ANSWERS.items():
            for wording in WORDINGS:
                row = {"messages": [{"role": "user", "content": wording.format(question)},
                                    {"role": "assistant", "content": answer}]}
                out.write(json.dumps(row) + "\n")


def blocks(page):
    """The commands of the page, a line each, by the heading that they stand under."""
    heading, out, inside, line = "", [], False, ""
    for text in page.read_text().splitlines():
        if text.startswith("#"):
            heading = text.lstrip("# ")
        if text.startswith("```"):
            inside = text == "```sh"
            continue
        if not inside:
            continue
        line += text.rstrip("\\")
        if not text.endswith("\\"):
            out.append((heading, line))
            line = ""
    return out


def typed(command):
    """The page's command for what lies here: pebble, few and short steps."""
    command = re.sub(r"\b(gemma4-12b|my-model-folder|my-model)(?=\s|$)", "pebble", command)
    command = re.sub(r"(--count) \d+", r"\1 6", command)
    command = re.sub(r"\s+#.*", "", command)
    if command.startswith("facet tune") and "--out support" not in command and "--dry-run" not in command:
        command += " --steps 2 --threads 2"
        command = command.replace(" --epochs 1", "")
    if "--drafter" in command and command.startswith("facet tune"):
        command += " --prompts 4 --answer-tokens 8"
    return command


def shell(command, **options):
    print("$", command, flush=True)
    return subprocess.run(["bash", "-c", command], cwd=WORK, env=ENVIRONMENT, text=True, timeout=1500, **options)


def run_page():
    """What cannot be typed here is said, and counted by nobody else's word: --init needs a new model's files."""
    for heading, command in blocks(SOURCES / "docs/tuning.md"):
        if heading == "A model from nothing" or command.startswith("facet serve") or command.startswith("mpirun"):
            continue
        if "examples/pebble" in command and not (WORK / "examples").exists():
            (WORK / "examples").symlink_to(SOURCES / "examples")
        if command.startswith("facet import"):
            continue  # a checkpoint folder and its drafter: tests/cli/tune_test.cc
        done = shell(typed(command))
        assert done.returncode == 0, f"{heading}: {command}"


def judge():
    """The tuned help desk answers as its data say; in words that it has not seen too."""
    right = 0
    for question, answer in ANSWERS.items():
        asked = WORDINGS[0].format(question)
        out = shell(f"facet run pebble --adapter support --max-tokens 40 '{asked}'", capture_output=True)
        assert out.returncode == 0, out.stderr
        right += out.stdout.strip() == answer
        print(out.stdout.strip(), flush=True)
    print(f"{right} of {len(ANSWERS)} answers are those of the data")
    assert right >= 9, "the page's run taught next to nothing"


write_data()
try:
    run_page()
    judge()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
