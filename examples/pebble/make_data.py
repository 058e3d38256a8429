"""Makes examples of pebble's skills: OUT/SKILL-SPLIT.jsonl, with sounds, pictures and films beside it.

    examples/pebble/python examples/pebble/make_data.py --skill speech --split train --count 20000 --seed 1 --out data
    examples/pebble/python examples/pebble/make_data.py --split heldout --count 200 --seed 7 --out eval   # every skill

The same seed gives the same files. What is held out does not depend on the seed (pebble/split.py).
"""
import argparse
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from pebble.media import MediaWriter  # noqa: E402
from pebble.skills import EXERCISES, SKILLS  # noqa: E402
from pebble.split import HELD_OUT, SPLITS, split_of  # noqa: E402
from pebble.words import NEW_SHAPES  # noqa: E402
from pebble.voices import HELD_OUT as HELD_OUT_VOICE, TRAINING  # noqa: E402

MAX_TRIES = 10000


def draw(skill, rng, split, seen):
    """A plan that belongs to `split`; held out, one that has not come yet where there is one."""
    plan = None
    for tries in range(MAX_TRIES):
        candidate = skill.plan(rng, split)
        if split_of(candidate["key"]) != split:
            continue
        if split != HELD_OUT and any(split_of(part) != split for part in candidate.get("parts", [])):
            continue  # a sentence that is held out for another skill
        plan = candidate
        if split != HELD_OUT or plan["key"] not in seen or tries > 500:
            seen.add(plan["key"])
            return plan
    raise SystemExit(f"{skill.name}: no {split} example in {MAX_TRIES} tries")


def make(skill, args, voice):
    """Writes one skill's file; returns its path."""
    name = f"{skill.name}-{args.split}" + (f"-{args.seed}" if args.split == "train" else "")
    media = MediaWriter(args.out, f"media/{name}")
    path, seen = args.out / f"{name}.jsonl", set()
    # Of held-out examples, a group that is reported beside comes on top.
    beside = getattr(skill, "beside", None) if args.split == HELD_OUT else None
    groups = [None] * args.count + ([beside] * (args.count // 2) if beside else [])
    with path.open("w") as out:
        for i, group in enumerate(groups):
            rng = random.Random(f"{skill.name} {args.split} {args.seed} {i}")
            plan = draw(skill, rng, args.split, seen)
            media.begin(f"{i:06d}")
            options = {"voice": voice} if voice and skill.name == "speech" else {}
            if group:
                options["group"] = group
            example = skill.build(plan, rng, media, args.split, **options)
            meta = {"skill": skill.name, "check": skill.check, "key": plan["key"], **example.pop("check", {})}
            if group:
                meta["group"] = group
            row = {"id": f"{skill.name}-{args.seed}-{i}", **example}
            if args.split == HELD_OUT:
                row["meta"] = meta
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skill", action="append", choices=sorted(SKILLS | EXERCISES), help="may be repeated; default: all skills")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--count", type=int, required=True, help="examples of each skill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder")
    parser.add_argument("--voice", help=f"one espeak-ng voice for all speech; usual are {', '.join(TRAINING)} "
                                        f"and, held out, {HELD_OUT_VOICE}")
    parser.add_argument("--shape", choices=NEW_SHAPES, help="a new shape that all pictures of seeing have and are asked about")
    args = parser.parse_args()
    if args.count < 1:
        parser.error("--count: expected at least 1")
    if args.split == "train" and args.voice == HELD_OUT_VOICE:
        parser.error(f"--voice: {HELD_OUT_VOICE} is held out")
    args.out.mkdir(parents=True, exist_ok=True)
    SKILLS["seeing"].new_shape = args.shape
    for name in args.skill or SKILLS:
        print(make((SKILLS | EXERCISES)[name], args, args.voice), flush=True)


if __name__ == "__main__":
    main()
