"""The recipe in examples/pebble: what it makes, what it holds out, and how its programs are judged.

    python3 recipe_suite.py RECIPE [FACET]

Runs itself with the recipe's Python. Exit code 77 where that environment, espeak-ng or ffmpeg is not there.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

RECIPE = pathlib.Path(sys.argv[1]).resolve()
FACET = sys.argv[2] if len(sys.argv) > 2 else None
if "FACET_RECIPE_SUITE" not in os.environ:
    if not shutil.which("ffmpeg") or not shutil.which("espeak-ng"):
        sys.exit(77)
    if subprocess.run([RECIPE / "python", "-c", "pass"]).returncode != 0:
        sys.exit(77)  # no network, or no package index
    os.environ["FACET_RECIPE_SUITE"] = "1"
    os.execv(RECIPE / "python", [str(RECIPE / "python"), *sys.argv])

sys.path.insert(0, str(RECIPE))
from pebble import reading, render, voices  # noqa: E402
from pebble.media import MediaWriter  # noqa: E402
from pebble.skills import EXERCISES, SKILLS  # noqa: E402
from pebble.split import HELD_OUT, TRAIN, split_of  # noqa: E402


def make(out, split, count, seed, *more):
    subprocess.run([sys.executable, RECIPE / "make_data.py", "--split", split, "--count", str(count), "--seed", str(seed),
                    "--out", out, *more], check=True, stdout=subprocess.DEVNULL)


def rows(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


class Data(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        make(cls.root, TRAIN, 12, 1)
        make(cls.root, HELD_OUT, 12, 7)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_every_skill_has_both_parts_and_its_media(self):
        for skill in SKILLS:
            for name in (f"{skill}-train-1", f"{skill}-heldout"):
                examples = rows(self.root / f"{name}.jsonl")
                self.assertGreaterEqual(len(examples), 12, name)
                for row in examples:
                    for message in row["messages"]:
                        for part in message["content"] if isinstance(message["content"], list) else []:
                            if part["type"] != "text":
                                self.assertGreater((self.root / part["path"]).stat().st_size, 500, part)
                    self.assertEqual("meta" in row, "heldout" in name)

    def test_the_same_seed_makes_the_same_bytes(self):
        with tempfile.TemporaryDirectory() as again:
            make(pathlib.Path(again), TRAIN, 12, 1)
            files = sorted(p.relative_to(again) for p in pathlib.Path(again).rglob("*") if p.is_file())
            self.assertGreater(len(files), 60)
            for file in files:
                self.assertEqual((self.root / file).read_bytes(), (pathlib.Path(again) / file).read_bytes(), file)

    def test_clips_are_sound_of_a_second_or_three_and_pictures_fit_the_budget(self):
        for skill, low, high in (("speech", 8, 130), ("speakers", 25, 200), ("reading", 55, 70), ("seeing", 64, 64),
                                 ("film", 3 * 73, 4 * 73)):
            for row in rows(self.root / f"{skill}-heldout.jsonl"):
                soft = render.soft_tokens(row, self.root)
                self.assertTrue(low <= soft <= high, f"{skill}: {soft} soft tokens")

    def test_nothing_that_is_held_out_is_in_training(self):
        done = subprocess.run([sys.executable, RECIPE / "measure_data.py", self.root], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        # And the check sees it where something is.
        held = (self.root / "chat-heldout.jsonl").read_text().splitlines()[0]
        with tempfile.TemporaryDirectory() as mixed:
            pathlib.Path(mixed, "chat-train-1.jsonl").write_text(held + "\n")
            pathlib.Path(mixed, "chat-heldout.jsonl").write_text(held + "\n")
            done = subprocess.run([sys.executable, RECIPE / "measure_data.py", mixed], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)

    def test_facet_reads_the_held_out_files(self):
        if FACET is None:
            self.skipTest("no facet")
        answers = self.root / "oracle.jsonl"
        with answers.open("w") as out:
            for skill in SKILLS:
                for row in rows(self.root / f"{skill}-heldout.jsonl"):
                    given = [{"content": m["content"], "tool_calls": [c["function"] for c in m.get("tool_calls", [])]}
                             for m in row["messages"] if m["role"] == "assistant"]
                    out.write(json.dumps({"id": row["id"], "answers": given}) + "\n")
        done = subprocess.run([FACET, "eval", "--data", self.root, "--answers", answers, "--json"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        beside = sum(hasattr(skill, "beside") for skill in SKILLS.values())
        self.assertEqual(len(report["figures"]), len(SKILLS) + beside)
        for figure in report["figures"]:
            self.assertEqual(figure["wrong"], 0, figure)

    def test_answers_of_other_items_are_wrong(self):
        if FACET is None:
            self.skipTest("no facet")
        answers = self.root / "shuffled.jsonl"
        with answers.open("w") as out:
            for skill in SKILLS:
                examples = rows(self.root / f"{skill}-heldout.jsonl")
                for row, other in zip(examples, examples[1:] + examples[:1]):
                    given = [{"content": m["content"], "tool_calls": [c["function"] for c in m.get("tool_calls", [])]}
                             for m in other["messages"] if m["role"] == "assistant"]
                    out.write(json.dumps({"id": row["id"], "answers": given}) + "\n")
        done = subprocess.run([FACET, "eval", "--data", self.root, "--answers", answers, "--json"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, done.stderr)
        for figure in json.loads(done.stdout)["figures"]:
            if "group" not in figure:
                self.assertFalse(figure["floor_held"], figure)


class Split(unittest.TestCase):
    def test_plans_of_thousands_keep_to_their_part(self):
        """The text of 300 training examples of each skill, of another seed than the vocabulary's."""
        import random
        media = MediaWriter(None, "")
        for skill in SKILLS.values():
            kept = 0
            for i in range(400):
                rng = random.Random(f"suite {skill.name} {i}")
                plan = skill.plan(rng, TRAIN)
                if split_of(plan["key"]) != TRAIN:
                    continue
                kept += 1
                media.begin(str(i))
                self.assertTrue(all(render.answers(skill.build(plan, rng, media, TRAIN))))
            self.assertTrue(300 < kept < 400, f"{skill.name}: {kept} of 400 are training's")

    def test_voices_and_typefaces_part(self):
        self.assertNotIn(voices.HELD_OUT, voices.TRAINING)
        self.assertFalse(set(reading.fonts(TRAIN)) & set(reading.fonts(HELD_OUT)))
        self.assertFalse(set(reading.TRAINING) & set(reading.HELD_OUT_FONTS))  # not even of one family

    def test_a_new_shape_is_in_every_picture_and_question(self):
        import random
        seeing = SKILLS["seeing"]
        seeing.new_shape = "heart"
        try:
            for i in range(200):
                plan = seeing.plan(random.Random(i), TRAIN)
                self.assertTrue(any(t.shape == "heart" for t in plan["things"]))
                self.assertIn("heart", " ".join(plan["asked"]))
        finally:
            seeing.new_shape = None
        for i in range(200):
            self.assertFalse(any(t.shape == "heart" for t in seeing.plan(random.Random(i), TRAIN)["things"]))

    def test_the_vocabulary_speaks_all_of_it(self):
        from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_file(str(RECIPE / "config/tokenizer.json"))
        for text in ("turn on the kitchen light", "def f(x):\n    return x * 12", "Über 東京\t🙂"):
            self.assertEqual(tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False), text)
        self.assertEqual(len(tokenizer.encode("1234").ids), 4)
        config = json.loads((RECIPE / "config/config.json").read_text())
        self.assertEqual(config["text_config"]["vocab_size"], tokenizer.get_vocab_size())
        # Transformers makes the projection as wide as the second, and the patch layer as the first.
        self.assertEqual(config["vision_config"]["output_proj_dims"], config["vision_config"]["mm_embed_dim"])
        self.assertEqual(config["image_token_id"], tokenizer.token_to_id("<|image|>"))

    def test_the_plan_fits_its_stages(self):
        recipe = json.loads((RECIPE / "recipe.json").read_text())
        budget = recipe["tokens_per_second"] * recipe["minutes"] * 60
        self.assertEqual(set(recipe["examples"]), set(SKILLS) | set(EXERCISES))
        names = [stage["name"] for stage in recipe["stages"]]
        self.assertIn(recipe["published"], names)
        for stage in recipe["stages"]:
            if "average" in stage:
                self.assertLess(set(stage["average"]), set(names[:names.index(stage["name"])]))
                continue
            total = sum(w * recipe["examples"][s] * recipe["tokens_per_example"][s] for s, w in stage["weights"].items())
            self.assertLessEqual(total, budget, stage["name"])


    def test_a_stage_begins_where_the_one_before_ended(self):
        recipe = json.loads((RECIPE / "recipe.json").read_text())

        def words(number):
            done = subprocess.run([sys.executable, RECIPE / "train.py", "--facet", "echo", "stage", str(number), "work"],
                                  capture_output=True, text=True, check=True)
            return done.stdout.splitlines()[-1].split()

        first, second = words(1), words(2)
        self.assertEqual(first[:3], ["tune", "--init", str(RECIPE / "config")])
        self.assertEqual(second[:2], ["tune", "work/" + recipe["stages"][0]["name"]])
        self.assertIn(f"work/data/film-train-1.jsonl:{recipe['stages'][1]['weights']['film']}", second)
        self.assertIn("--full", second)


class Average(unittest.TestCase):
    def test_a_mean_has_its_weights_and_refuses_other_shapes(self):
        import numpy as np
        from pebble import checkpoint
        with tempfile.TemporaryDirectory() as folder:
            def put(name, *values):
                path = pathlib.Path(folder, name)
                path.mkdir()
                (path / "config.json").write_text(name)
                checkpoint.save(path / "model.safetensors", {"w": np.array(values, np.float32)})
                return path

            def mean(*checkpoints):
                return subprocess.run([sys.executable, RECIPE / "average.py", pathlib.Path(folder, "out"), *checkpoints],
                                      capture_output=True, text=True)

            one, two, other = put("one", 3, 0), put("two", 0, 6), put("other", 1)
            done = mean(f"{one}:2", f"{two}:1")
            self.assertEqual(done.returncode, 0, done.stderr)
            values = checkpoint.load(pathlib.Path(folder, "out/model.safetensors"))
            np.testing.assert_allclose(values["w"], [2, 2])
            self.assertEqual(pathlib.Path(folder, "out/config.json").read_text(), "one")
            self.assertIn("its tensors are not those of", mean(f"{one}:1", f"{other}:1").stderr)
            self.assertIn("expected FOLDER:WEIGHT", mean(f"{one}:0").stderr)


class PatchFeatures(unittest.TestCase):
    def test_half_stay_and_half_are_new_even_and_independent(self):
        import random
        import numpy as np
        import patch_features
        from pebble import checkpoint
        vision = patch_features.VISION
        with tempfile.TemporaryDirectory() as folder:
            begin, out = pathlib.Path(folder, "begin"), pathlib.Path(folder, "out")
            subprocess.run([sys.executable, RECIPE / "restore.py", RECIPE.parent.parent / "models/pebble", begin], check=True,
                           stdout=subprocess.DEVNULL)
            subprocess.run([sys.executable, RECIPE / "patch_features.py", begin, out, "--each", "150"], check=True)
            before, after = (checkpoint.load(f / "model.safetensors") for f in (begin, out))
            config = json.loads((out / "config.json").read_text())
            self.assertEqual(config["vision_config"]["mm_embed_dim"], 512)
            self.assertEqual(config["vision_config"]["output_proj_dims"], 512)
            self.assertEqual(set(before), set(after))
            for name in set(before) - {patch_features.PROJECTION}:
                if not name.startswith(vision):
                    np.testing.assert_array_equal(before[name], after[name], name)
            dense = after[vision + "patch_dense.weight"] / patch_features.SLOWER
            np.testing.assert_allclose(dense[:256], before[vision + "patch_dense.weight"][:256], rtol=1e-5)
            self.assertFalse(after[vision + "pos_embedding"][..., 256:].any())
            # Of patches that the components are not made of.
            seen = patch_features.norm(patch_features.drawn(random.Random(99), 100))
            seen = seen * before[vision + "patch_ln1.weight"] + before[vision + "patch_ln1.bias"]
            old, new = np.split(seen @ dense.T + after[vision + "patch_dense.bias"] / patch_features.SLOWER, 2, axis=1)
            strength = np.sqrt((new**2).mean() / (old**2).mean())
            self.assertTrue(0.5 < strength < 2, strength)
            alike = np.abs(np.corrcoef(new[:, :64].T) - np.eye(64)).mean()
            self.assertLess(alike, 0.1)
            if FACET is not None:
                done = subprocess.run([FACET, "run", out, "--image", RECIPE.parent / "media/pebble/words.png", "Describe this image.",
                                       "--max-tokens", "8"], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)


class Plots(unittest.TestCase):
    HEAD = "import matplotlib.pyplot as plt\nimport numpy as np\n"

    def judge(self, *pairs):
        jobs = [{"kind": "plot", "program": self.HEAD + p, "reference": self.HEAD + r} for p, r in pairs]
        done = subprocess.run([sys.executable, "-I", RECIPE / "run_programs.py"], input=json.dumps(jobs), capture_output=True,
                              text=True, check=True)
        return [result["right"] for result in json.loads(done.stdout)]

    def test_the_same_drawing_is_right_whatever_the_program(self):
        self.assertEqual(self.judge(
            ("plt.plot([1, 4, 9])\nplt.show()", "values = [1, 4, 9]\nplt.plot(values)\nplt.show()"),
            ("fig, ax = plt.subplots()\nax.bar(['a', 'b'], [1, 2])", "plt.bar(['a', 'b'], [1, 2])"),
            ("x = np.linspace(0, 9, 1000)\nplt.plot(x, 2 * x)", "x = np.linspace(0, 9, 200)\nplt.plot(x, x * 2)"),
        ), [True] * 3)

    def test_other_drawings_are_wrong(self):
        bars = "plt.bar(['a', 'b'], [1, 2])"
        self.assertEqual(self.judge(
            ("plt.bar(['a', 'b'], [1, 3])", bars), ("plt.bar(['a', 'c'], [1, 2])", bars), ("plt.bar(['a'], [1])", bars),
            ("plt.plot([1, 2])", bars), ("plt.bar(['a', 'b'], [1, 2], color='red')", bars),
            ("plt.bar(['a', 'b'], [1, 2])\nplt.title('x')", bars), ("plt.show()", bars), ("plt.bar(['a', 'b'], [1", bars),
            ("x = np.linspace(0, 9, 200)\nplt.plot(x, 3 * x)", "x = np.linspace(0, 9, 200)\nplt.plot(x, 2 * x)"),
            ("x = np.linspace(0, 8, 200)\nplt.plot(x, 2 * x)", "x = np.linspace(0, 9, 200)\nplt.plot(x, 2 * x)"),
            ("plt.pie([1, 2], labels=['a', 'b'])", "plt.pie([1, 3], labels=['a', 'b'])"),
            ("plt.scatter([1], [2])", "plt.scatter([1], [3])"), ("plt.hist([1, 2])", "plt.hist([1, 5])"),
        ), [False] * 13)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
