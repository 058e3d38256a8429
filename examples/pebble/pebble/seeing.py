"""Seeing: count, colour, place and shape of things in a picture."""
import dataclasses

from . import scenes, words
from .media import conversation
from .split import TRAIN

OPPOSITE = {"left": "right", "top": "bottom"}
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
        return {"messages": conversation(picture, turns)}


class Exercise:
    """Many questions about one picture, in any order; nothing is described."""
    check = "text"

    def _paint(self, rng, plan):
        raise NotImplementedError

    def build(self, plan, rng, media, split):
        turns = list(dict(plan["asked"]).items())
        picture = media.picture(rng, lambda r: self._paint(r, plan))
        return {"messages": conversation(picture, turns)}


class Tiles(Exercise):
    """One kind of thing in every patch of a picture, or of half of it. What a shape is comes before where it is: attention that
    looks everywhere at first finds it."""
    name = "tiles"

    def plan(self, rng, split):
        kinds = [(rng.choice(words.COLOURS), rng.choice(words.SHAPES)) for _ in range(rng.choice([1, 2, 2]))]
        things = [scenes.Thing(c, s, 3 * i) for i, (c, s) in enumerate(kinds)]
        half = rng.choice(["left", "top"])
        sides = ["everywhere"] if len(things) == 1 else [half, OPPOSITE[half]]
        asked = []
        for t, side in zip(things, sides):
            place = "" if len(things) == 1 else f" at the {side}"
            asked += [(f"What shape are the things{place}?", t.shape), (f"What colour are the things{place}?", t.colour)]
        if len(things) == 2 and things[0].shape != things[1].shape:
            asked += [question for t, side in zip(things, sides) for question in self._of_shape(t, side)]
        rng.shuffle(asked)
        return {"key": "tiles " + scenes.key_of(things), "things": things, "half": half, "asked": asked}

    def _of_shape(self, thing, side):
        shapes = scenes.several(thing.shape)
        return [(f"What colour are the {shapes}?", thing.colour), (f"Where are the {shapes}?", side)]

    def _paint(self, rng, plan):
        return scenes.paint_tiles(rng, plan["things"], plan["half"])


class Pairs(Tiles):
    """Two kinds, and questions that name a shape alone. Of halves full of one kind each, attention finds the right one by shape
    within a hundred steps of nothing else; among other questions it does not."""
    name = "pairs"

    def plan(self, rng, split):
        colours, shapes = rng.sample(words.COLOURS, 2), rng.sample(words.SHAPES, 2)
        things = [scenes.Thing(c, s, 3 * i) for i, (c, s) in enumerate(zip(colours, shapes))]
        half = rng.choice(["left", "top"])
        side = rng.randrange(2)
        asked = self._of_shape(things[side], [half, OPPOSITE[half]][side])
        return {"key": "pairs " + scenes.key_of(things), "things": things, "half": half, "asked": [rng.choice(asked[:1] + asked)]}


class Search(Exercise):
    """Things are looked for by what they are. A question that names a place is answered from one patch, in the last layers; one
    that names a shape needs every patch to know its own shape in the first ones, and is learnt much later without this."""
    name = "search"

    def plan(self, rng, split):
        things = scenes.random_things(rng, rng.randint(2, 6), distinct=rng.random() < 0.6)
        shapes = scenes.unique(things, lambda t: t.shape)
        colours = scenes.unique(things, lambda t: t.colour)
        asked = []
        # One question a thing: the answer to a second one would stand in the conversation already.
        for t in scenes.unique(things, lambda t: t.name):
            place = scenes.PLACES[t.place]
            ways = [(f"Where is the {t.name}?", place)]
            if t in shapes:
                ways += 2 * [(f"What colour is the {t.shape}?", t.colour), (f"Where is the {t.shape}?", place)]
            if t in colours:
                ways.append((f"What shape is the {t.colour} thing?", t.shape))
            asked.append(rng.choice(ways))
        asked += [scenes.ask_count(rng, things) for _ in range(3)]
        rng.shuffle(asked)
        key = scenes.key_of(things)
        return {"key": "search " + key, "parts": ["seeing " + key], "things": things, "asked": asked}

    def _paint(self, rng, plan):
        return scenes.paint_things(rng, plan["things"])
