"""Film: what moves where, and at which second something appears."""
from . import scenes, words
from .media import FILM_RATE, PATCH, SIDE, conversation
from .split import TRAIN

WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def stamp(second: int) -> str:
    """The label that the model reads before each frame."""
    return f"{second // 60:02d}:{second % 60:02d}"


class Film:
    name, check = "film", "text"

    def plan(self, rng, split):
        """A few things stand still; one moves through the picture, or one appears at some second."""
        seconds = rng.randint(3, 4)
        kind = rng.choice(["move", "appear"])
        colours, shapes = rng.sample(words.COLOURS, 3), rng.sample(words.SHAPES, 3)
        still = [scenes.Thing(c, s, p) for c, s, p in zip(colours[1:], shapes[1:], rng.sample(range(9), rng.randint(0, 2)))]
        free = [p for p in range(9) if p not in [t.place for t in still]]
        plan = {"kind": kind, "seconds": seconds, "still": still, "hero": scenes.Thing(colours[0], shapes[0], rng.choice(free)),
                "way": rng.choice(list(WAYS)), "at": rng.randint(1, seconds - 1)}
        story = f"{plan['way']}" if kind == "move" else f"at {plan['at']}"
        plan["key"] = f"film {seconds} {plan['hero'].name} {plan['hero'].place} {story}; {scenes.key_of(still)}"
        plan["asked"] = self._question(rng, plan)
        return plan

    def _questions(self, plan):
        hero = plan["hero"]
        if plan["kind"] == "move":
            return [("What moves?", f"the {hero.name}"), ("What moves where?", f"the {hero.name} moves {plan['way']}"),
                    (f"Where does the {hero.shape} move?", plan["way"])]
        return [("What appears?", f"{scenes.article(hero.name)}"),
                ("What appears, and when?", f"{scenes.article(hero.name)} at {stamp(plan['at'])}"),
                (f"At which second does the {hero.shape} appear?", stamp(plan["at"])),
                (f"When does the {hero.colour} thing appear?", stamp(plan["at"]))]

    def _question(self, rng, plan):
        return rng.choice(self._questions(plan)[1:])

    def build(self, plan, rng, media, split):
        turns = [plan["asked"]]
        if split == TRAIN:
            turns = self._questions(plan)
            rng.shuffle(turns)
        film = media.film(rng, lambda r: self._frames(r, plan))
        return {"messages": conversation(film, turns)}

    def _frames(self, rng, plan):
        hero = plan["hero"]
        ground = rng.choice(scenes.GROUNDS)
        *centre, r = scenes.spot(rng, hero.place, False)
        still = [(t.shape, scenes.RGB[t.colour], *scenes.spot(rng, t.place, False)) for t in plan["still"]]
        way = WAYS[plan["way"]]
        count = plan["seconds"] * FILM_RATE
        # The path runs through the hero's row or column from one edge to the other, from patch to patch.
        last = SIDE // PATCH - 1
        lead = scenes.within(rng, 0, r)
        frames, shown = [], None
        for i in range(count):
            share = i / (count - 1)
            x, y = centre
            if plan["kind"] == "move":
                along = lead + PATCH * round(last * (share if sum(way) > 0 else 1 - share))
                x, y = (along, y) if way[0] else (x, along)
            visible = plan["kind"] == "move" or i / FILM_RATE >= plan["at"]
            if plan["kind"] == "appear" and frames and visible == shown:
                frames.append(frames[-1])
                continue
            shown = visible

            def paint(draw, scale):
                for shape, colour, sx, sy, sr in still:
                    scenes.draw_thing(draw, shape, colour, sx * scale, sy * scale, sr * scale)
                if visible:
                    scenes.draw_thing(draw, hero.shape, scenes.RGB[hero.colour], x * scale, y * scale, r * scale)

            frames.append(scenes.smooth(paint, ground))
        return frames


class Changes:
    """An exercise: many things move or appear together. A change that fills a frame is found before one in a single patch."""
    name, check = "changes", "text"

    def plan(self, rng, split):
        seconds = rng.randint(3, 4)
        kind = rng.choice(["move", "appear"])
        thing = scenes.Thing(rng.choice(words.COLOURS), rng.choice(words.SHAPES), 4)
        plan = {"kind": kind, "seconds": seconds, "thing": thing, "way": rng.choice(list(WAYS)), "at": rng.randint(1, seconds - 1),
                "many": rng.choice([1, 1 / 2, 1 / 4])}
        story = plan["way"] if kind == "move" else f"at {plan['at']}"
        return {**plan, "key": f"changes {seconds} {thing.name} {story} {plan['many']}"}

    def build(self, plan, rng, media, split):
        things = scenes.several(plan["thing"].name)
        shapes = scenes.several(plan["thing"].shape)
        when = stamp(plan["at"])
        turns = [("Where do they move?", plan["way"]), ("What moves where?", f"the {things} move {plan['way']}")]
        if plan["kind"] == "appear":
            turns = [(rng.choice(["When do they appear?", f"At which second do the {shapes} appear?"]), when),
                     ("What appears, and when?", f"{things} at {when}")]
        rng.shuffle(turns)
        film = media.film(rng, lambda r: self._frames(r, plan))
        return {"messages": conversation(film, turns)}

    def _frames(self, rng, plan):
        thing, way = plan["thing"], WAYS[plan["way"]]
        ground, count, side = rng.choice(scenes.GROUNDS), plan["seconds"] * FILM_RATE, SIDE // PATCH
        r = rng.uniform(15, 20)
        # Moving: lanes, one thing in each. Appearing: patches.
        spots = range(side) if plan["kind"] == "move" else range(side * side)
        spots = rng.sample(spots, int(len(spots) * plan["many"]))
        frames = []
        for i in range(count):
            share = i / (count - 1)
            along = round((side - 1) * (share if sum(way) > 0 else 1 - share))
            if plan["kind"] == "move":
                at = [(along, lane) if way[0] else (lane, along) for lane in spots]
            else:
                at = [(s % side, s // side) for s in spots] if i / FILM_RATE >= plan["at"] else []

            def paint(draw, scale):
                for column, row in at:
                    scenes.draw_thing(draw, thing.shape, scenes.RGB[thing.colour], (column + 0.5) * PATCH * scale,
                                      (row + 0.5) * PATCH * scale, r * scale)

            frames.append(scenes.smooth(paint, ground))
        return frames
