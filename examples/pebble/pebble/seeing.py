"""Seeing: count, colour, place and shape of things in a picture."""
import dataclasses

from . import scenes, words
from .media import assistant, text, user
from .split import TRAIN

DESCRIBE = ["Describe the picture.", "What is in this picture?", "What do you see?", "Describe this image."]


class Seeing:
    name, check = "seeing", "text"
    beside = "large things anywhere"

    new_shape = None  # one of words.NEW_SHAPES: then every picture has it, and is asked about it

    def plan(self, rng, split):
        things = scenes.random_things(rng, rng.randint(1, 6), distinct=rng.random() < 0.3)
        kind = rng.choice(list(scenes.ASK))
        if self.new_shape:
            replaced = rng.choice(things).shape
            things = [dataclasses.replace(t, shape=self.new_shape) if t.shape == replaced else t for t in things]
            asked = scenes.ask_about(rng, things, self.new_shape)
        else:
            asked = scenes.ASK[kind](rng, things) or scenes.ask_count(rng, things)
        return {"key": "seeing " + scenes.key_of(things), "things": things, "asked": asked}

    def build(self, plan, rng, media, split, group=None):
        """Held out: one question. In training more questions follow, because a picture costs more than a question."""
        things = plan["things"]
        turns = [plan["asked"]]
        if split == TRAIN:
            turns += [asked for ask in scenes.ASK.values() if (asked := ask(rng, things))]
            turns = list(dict(turns).items())
            rng.shuffle(turns)
            turns.insert(rng.choice([0, len(turns)]), (rng.choice(DESCRIBE), scenes.describe(things)))
        free = bool(group) or (split == TRAIN and rng.random() < 1 / 4)
        picture = media.picture(rng, lambda r: scenes.paint_things(r, things, free))
        messages = []
        for question, answer in turns:
            messages.append(user(question) if messages else user(picture, text(question)))
            messages.append(assistant(answer))
        return {"messages": messages}


class Tiles:
    """An exercise: one kind of thing in every patch of a picture, or of half of it. What a shape is comes before where it is."""
    name, check = "tiles", "text"

    def plan(self, rng, split):
        kinds = [(rng.choice(words.COLOURS), rng.choice(words.SHAPES)) for _ in range(rng.choice([1, 1, 2]))]
        things = [scenes.Thing(c, s, 3 * i) for i, (c, s) in enumerate(kinds)]
        return {"key": "tiles " + scenes.key_of(things), "things": things, "half": rng.choice(["left", "top"])}

    def build(self, plan, rng, media, split):
        things, half = plan["things"], plan["half"]
        sides = ["everywhere"] if len(things) == 1 else [half, {"left": "right", "top": "bottom"}[half]]
        turns = []
        for t, side in zip(things, sides):
            place = "" if len(things) == 1 else f" at the {side}"
            turns += [(f"What shape are the things{place}?", t.shape), (f"What colour are the things{place}?", t.colour)]
        rng.shuffle(turns)
        picture = media.picture(rng, lambda r: scenes.paint_tiles(r, things, half))
        messages = [user(picture, text(turns[0][0])), assistant(turns[0][1])]
        for question, answer in turns[1:]:
            messages += [user(question), assistant(answer)]
        return {"messages": messages}
