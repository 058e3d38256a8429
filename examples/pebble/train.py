"""Runs pebble's recipe (recipe.json) stage by stage, each from the checkpoint of the one before.

    python3 examples/pebble/train.py plan                 what each stage reads, and how long that takes
    python3 examples/pebble/train.py data WORK            makes the training files (half an hour on two cores; 5 GB)
    python3 examples/pebble/train.py stage N WORK         trains stage N (1 is the first); run again, it goes on
    python3 examples/pebble/train.py drafter WORK         trains the last stage's drafter
    python3 examples/pebble/train.py export WORK NAME     the last stage and its drafter as Q8_0, under a name of the store

A stage stops after its minutes (Ctrl-C that saves); the same command goes on with it. `--facet` names the program,
`--minutes` another limit, `--speed` the tokens a second that your machine trains (as `facet tune` shows), so that the
last learning rates fit into the time.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PUBLISHED = HERE.parent.parent / "models/pebble"
PACKED = 0.95  # of a batch that examples fill


def training_file(work: pathlib.Path, skill: str, recipe: dict) -> pathlib.Path:
    return work / "data" / f"{skill}-train-{recipe['seed']}.jsonl"


def tokens_of(stage: dict, recipe: dict) -> dict:
    """Tokens of one pass over a stage's mix, by skill."""
    return {skill: weight * recipe["examples"][skill] * recipe["tokens_per_example"][skill]
            for skill, weight in stage["weights"].items()}


def steps_of(stage: dict, recipe: dict, args) -> int:
    """The stage's own number, or as many steps as the time allows; the mix repeats where it is shorter."""
    if "steps" in stage:
        return stage["steps"]
    step = stage["options"]["batch-tokens"] * stage["options"].get("accumulate", 1)
    return int(args.speed * args.minutes * 60 / (step * PACKED))


def run(words: list, minutes: float) -> int:
    """Runs a command; after `minutes` it is asked to save and end."""
    print("$ " + " ".join(map(str, words)), flush=True)
    process = subprocess.Popen([str(w) for w in words])
    try:
        return process.wait(timeout=minutes * 60)
    except subprocess.TimeoutExpired:
        print(f"{minutes:g} minutes are over: saving", flush=True)
    except KeyboardInterrupt:
        pass  # the child got it as well
    else:
        return 0
    process.send_signal(signal.SIGINT)
    return process.wait()


def plan(recipe, args):
    for stage in recipe["stages"]:
        if "average" in stage:
            print(f"{stage['name']}: the mean of " + ", ".join(f"{weight} x {name}" for name, weight in stage["average"].items()))
            continue
        tokens = tokens_of(stage, recipe)
        total, steps = sum(tokens.values()), steps_of(stage, recipe, args)
        read = steps * stage["options"]["batch-tokens"] * stage["options"].get("accumulate", 1) * PACKED
        print(f"{stage['name']}: {total / 1e6:.1f} M tokens a pass; {steps} steps read {read / 1e6:.1f} M = {read / total:.2f} "
              f"passes, {read / args.speed / 60:.0f} minutes at {args.speed:g} a second, lr {stage['options']['lr']}")
        print("   " + ", ".join(f"{skill} {100 * n / total:.0f} %" for skill, n in tokens.items()))
    return 0


def make_skill(skill: str, count: int, recipe, args) -> int:
    path = training_file(args.work, skill, recipe)
    if path.exists() and len(path.read_text().splitlines()) == count:
        return 0
    words = [HERE / "python", HERE / "make_data.py", "--split", "train", "--skill", skill, "--count", count, "--seed",
             recipe["seed"], "--out", args.work / "data"]
    return subprocess.run([str(w) for w in words]).returncode


def data(recipe, args):
    """Skills side by side, one a core."""
    subprocess.run([HERE / "python", "-c", "pass"], check=True)  # the environment is made once, before they part
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        made = [pool.submit(make_skill, skill, count, recipe, args) for skill, count in recipe["examples"].items()]
    return max(m.result() for m in made)


def script(*words):
    subprocess.run([str(w) for w in (HERE / "python", HERE / words[0], *words[1:])], check=True)


def stage_words(recipe, args) -> list:
    index = args.number - 1
    stage = recipe["stages"][index]
    out = args.work / stage["name"]
    words = [args.facet, "tune"]
    before = args.work / recipe["stages"][index - 1]["name"]
    if index == 0:
        words += ["--init", HERE / "config", "--tokenizer", HERE / "config"]
    else:
        if not before.exists() and recipe["published"] == before.name:
            before = args.work / "published"
            script("restore.py", PUBLISHED, before)
        if "begins_with" in stage:
            start = args.work / f"{stage['name']}-start"
            if not (start / "model.safetensors").exists():  # written last
                script(stage["begins_with"], before, start)
            before = start
        words.append(before)
    for skill, weight in stage["weights"].items():
        words += ["--data", f"{training_file(args.work, skill, recipe)}:{weight}"]
    words += ["--full", "--out", out, "--steps", steps_of(stage, recipe, args), "--seed", recipe["seed"] + index,
              "--save-every", 200, "--log-every", 10, "--resume"]
    for name, value in stage["options"].items():
        words += [f"--{name}", value]
    return words


def stage(recipe, args):
    if not 1 <= args.number <= len(recipe["stages"]):
        print(f"expected a stage from 1 to {len(recipe['stages'])} but got {args.number}", file=sys.stderr)
        return 2
    chosen = recipe["stages"][args.number - 1]
    if "average" in chosen:
        script("average.py", args.work / chosen["name"],
               *(f"{args.work / name}:{weight}" for name, weight in chosen["average"].items()))
        return 0
    return run(stage_words(recipe, args), args.minutes)


def heldout(recipe, args) -> pathlib.Path:
    """Some held-out items of every skill in one file."""
    folder = args.work / "heldout"
    path = folder / "all.jsonl"
    if not path.exists():
        words = [HERE / "python", HERE / "make_data.py", "--split", "heldout", "--count", recipe["drafter"]["heldout"], "--seed",
                 recipe["seed"] + 1000, "--out", folder]
        subprocess.run([str(w) for w in words], check=True)
        rows = "".join(file.read_text() for file in sorted(folder.glob("*-heldout.jsonl")))
        path.write_text(rows)
    return path


def last_stage(recipe, args) -> pathlib.Path:
    """Of those that have come to their end."""
    folders = [args.work / stage["name"] for stage in recipe["stages"]]
    trained = [folder for folder in folders if (folder / "model.safetensors").exists()]
    if not trained:
        raise SystemExit(f"{args.work}: no stage has come to its end ({', '.join(folder.name for folder in folders)})")
    return trained[-1]


def drafter(recipe, args):
    """Learns from what the last stage answers to prompts of the training files."""
    plan = recipe["drafter"]
    words = [args.facet, "tune", "--drafter", last_stage(recipe, args)]
    for skill in recipe["examples"]:
        words += ["--data", training_file(args.work, skill, recipe)]
    words += ["--validation", heldout(recipe, args), "--out", args.work / "drafter", "--seed", recipe["seed"], "--save-every", 200,
              "--log-every", 10, "--resume"]
    for name, value in plan["options"].items():
        words += [f"--{name}", value]
    return run(words, args.minutes)


def export(recipe, args):
    words = [args.facet, "import", last_stage(recipe, args), args.name, "--quantize", "q8_0"]
    if (args.work / "drafter/model.safetensors").exists():
        words += ["--drafter", args.work / "drafter"]
    return subprocess.run([str(w) for w in words]).returncode


def main():
    recipe = json.loads((HERE / "recipe.json").read_text())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facet", default=str(HERE.parent.parent / "build/facet"))
    parser.add_argument("--minutes", type=float, default=recipe["minutes"])
    parser.add_argument("--speed", type=float, default=recipe["tokens_per_second"])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("plan").set_defaults(run=plan)
    command = commands.add_parser("data")
    command.add_argument("work", type=pathlib.Path)
    command.set_defaults(run=data)
    command = commands.add_parser("stage")
    command.add_argument("number", type=int)
    command.add_argument("work", type=pathlib.Path)
    command.set_defaults(run=stage)
    command = commands.add_parser("drafter")
    command.add_argument("work", type=pathlib.Path)
    command.set_defaults(run=drafter)
    command = commands.add_parser("export")
    command.add_argument("work", type=pathlib.Path)
    command.add_argument("name")
    command.set_defaults(run=export)
    args = parser.parse_args()
    sys.exit(args.run(recipe, args))


if __name__ == "__main__":
    main()
