"""Tokens of each skill's examples, and whether anything that is held out is in the training files.

    examples/pebble/python examples/pebble/measure_data.py DATA [DATA...]

Reads what make_data.py wrote: *-train-*.jsonl and *-heldout.jsonl. Fails where a held-out key is in a training file.
"""
import argparse
import collections
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tokenizers import Tokenizer  # noqa: E402

from pebble import render  # noqa: E402

HERE = pathlib.Path(__file__).parent
MEASURED = 60  # examples of each file whose tokens are counted


def content_key(skill: str, row: dict) -> str | None:
    """What must not be in both splits: what is said or written, or the whole text. None where a picture makes an example."""
    messages = row["messages"]
    if skill in ("speech", "speakers", "reading"):
        return messages[1]["content"].lower()
    if skill in ("tools", "plots", "code", "chat"):
        return json.dumps([m["content"] for m in messages])
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path, nargs="+")
    folders = parser.parse_args().data
    tokenizer = Tokenizer.from_file(str(HERE / "config/tokenizer.json"))
    texts = collections.defaultdict(lambda: {"train": set(), "heldout": set()})
    print(f"{'file':34}{'examples':>9}{'tokens':>8}{'soft':>7}{'learnt':>8}")
    for path in sorted(p for folder in folders for p in folder.glob("*-*.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        skill, split = path.stem.split("-")[:2]
        texts[skill][split].update(filter(None, (content_key(skill, row) for row in rows)))
        total = soft = learnt = 0
        for row in rows[:MEASURED]:
            media = render.soft_tokens(row, path.parent)
            soft += media
            total += media + len(tokenizer.encode(render.render(row)).ids)
            learnt += sum(len(a) if row.get("spell") else len(tokenizer.encode(a).ids) for a in render.answers(row))
        n = len(rows[:MEASURED])
        print(f"{path.stem:34}{len(rows):9}{total / n:8.1f}{soft / n:7.1f}{learnt / n:8.1f}")
    shared = 0
    for skill, of in texts.items():
        both = of["train"] & of["heldout"]
        shared += len(both)
        for text in sorted(both)[:3]:
            print(f"{skill}: in both: {text}", file=sys.stderr)
    print(f"sentences and texts that are in both splits: {shared}")
    sys.exit(1 if shared else 0)


if __name__ == "__main__":
    main()
