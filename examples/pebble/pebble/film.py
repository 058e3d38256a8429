"""Film: what moves where, and at which second something appears."""
from . import scenes, words
from .media import FILM_RATE, PATCH, SIDE, assistant, text, user
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
        messages = []
        for question, answer in turns:
            messages.append(user(question) if messages else user(film, text(question)))
            messages.append(assistant(answer))
        return {"messages": messages}

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
