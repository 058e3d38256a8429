"""Seeing: count, colour, place and shape of things in a picture."""
import dataclasses

from . import scenes
from .media import assistant, text, user
from .split import TRAIN

DESCRIBE = ["Describe the picture.", "What is in this picture?", "What do you see?", "Describe this image."]


class Seeing:
    name, check = "seeing", "text"

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

    def build(self, plan, rng, media, split):
        """Held out: one question. In training more questions follow, because a picture costs more than a question."""
        things = plan["things"]
        turns = [plan["asked"]]
        if split == TRAIN:
            turns += [asked for ask in scenes.ASK.values() if (asked := ask(rng, things))]
            turns = list(dict(turns).items())
            rng.shuffle(turns)
            turns.insert(rng.choice([0, len(turns)]), (rng.choice(DESCRIBE), scenes.describe(things)))
        picture = media.picture(rng, lambda r: scenes.paint_things(r, things))
        messages = []
        for question, answer in turns:
            messages.append(user(question) if messages else user(picture, text(question)))
            messages.append(assistant(answer))
        return {"messages": messages}
