"""Scenes of coloured shapes on a grid of nine places: what seeing, film, and sound with picture share.

A thing is small and stands within one patch, somewhere in it: raw patches are all that the model sees with. `free` scenes have
large things anywhere in their places, over four patches and more.
"""
import dataclasses
import math

from PIL import Image, ImageDraw

from . import words
from .media import PATCH, SIDE

PLACES = ["top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right"]
RGB = {
    "red": (215, 35, 40), "blue": (40, 80, 215), "green": (35, 150, 60), "yellow": (245, 210, 40),
    "orange": (245, 130, 20), "purple": (130, 45, 160), "black": (15, 15, 15), "white": (250, 250, 250),
}
GROUNDS = [(205, 205, 200), (185, 200, 212), (215, 200, 175), (175, 188, 175), (120, 130, 140), (195, 180, 195)]
CELL = SIDE // 3
PATCHES = [(0, 1), (3, 4), (6, 7)]  # columns and rows of patches of each place


@dataclasses.dataclass(frozen=True)
class Thing:
    colour: str
    shape: str
    place: int  # index of PLACES

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


def article(name: str) -> str:
    return ("an " if name[0] in "aeiou" else "a ") + name


def plural(count: int, name: str) -> str:
    number = words.NUMBERS[count]
    if count == 1:
        return f"{number} {name}"
    return f"{number} {name}{'es' if name.endswith('cross') else 's'}"


def several(name: str) -> str:
    return plural(2, name).split(" ", 1)[1]


def listing(parts) -> str:
    parts = list(parts)
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def star(x, y, r, points=5):
    return [(x + k * math.sin(math.pi * i / points), y - k * math.cos(math.pi * i / points))
            for i in range(2 * points) for k in [r if i % 2 == 0 else 0.42 * r]]


# The curve 16 sin^3 t, 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t.
HEART = [(16 * math.sin(t) ** 3, 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))
         for t in (2 * math.pi * i / 60 for i in range(60))]


def draw_thing(draw: ImageDraw.ImageDraw, shape: str, colour, x: float, y: float, r: float):
    if shape == "circle":
        draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    elif shape == "ring":
        draw.ellipse([x - r, y - r, x + r, y + r], outline=colour, width=max(3, int(0.36 * r)))
    elif shape == "square":
        draw.rectangle([x - 0.88 * r, y - 0.88 * r, x + 0.88 * r, y + 0.88 * r], fill=colour)
    elif shape == "triangle":
        draw.polygon([(x, y - r), (x - r, y + 0.8 * r), (x + r, y + 0.8 * r)], fill=colour)
    elif shape == "cross":
        for a, b in ((r, 0.3 * r), (0.3 * r, r)):
            draw.rectangle([x - a, y - b, x + a, y + b], fill=colour)
    elif shape == "diamond":
        draw.polygon([(x, y - r), (x + 0.7 * r, y), (x, y + r), (x - 0.7 * r, y)], fill=colour)
    elif shape == "heart":
        draw.polygon([(x + r * hx / 17, y - r * hy / 17) for hx, hy in HEART], fill=colour)
    elif shape == "star":
        draw.polygon(star(x, y, 1.1 * r), fill=colour)
    else:
        raise ValueError(shape)


def smooth(paint, ground, side=SIDE, scale=2) -> Image.Image:
    """Paints at twice the size and shrinks, so that edges are smooth. `paint(draw, scale)`."""
    image = Image.new("RGB", (side * scale, side * scale), ground)
    paint(ImageDraw.Draw(image), scale)
    return image.resize((side, side), Image.Resampling.BOX)


def random_things(rng, count: int, distinct: bool = False) -> list:
    """Things in different places; `distinct`: no two of one colour and no two of one shape."""
    places = rng.sample(range(9), count)
    if distinct:
        colours, shapes = rng.sample(words.COLOURS, count), rng.sample(words.SHAPES, count)
    else:
        # Few kinds, so that some come more than once.
        kinds = [(rng.choice(words.COLOURS), rng.choice(words.SHAPES)) for _ in range(rng.randint(1, 3))]
        colours, shapes = zip(*[rng.choice(kinds) for _ in range(count)])
    return [Thing(c, s, p) for c, s, p in sorted(zip(colours, shapes, places), key=lambda t: t[2])]


def key_of(things) -> str:
    return ", ".join(f"{t.name} {t.place}" for t in things)


def within(rng, patch: int, r: float) -> float:
    """A coordinate at which a thing of radius `r` lies within this column or row of patches."""
    room = max(0.0, PATCH / 2 - 1 - 1.1 * r)
    return (patch + 0.5) * PATCH + rng.uniform(-room, room)


def spot(rng, place: int, free: bool):
    """Where a thing stands: x, y and its radius."""
    if free:
        r = rng.uniform(30, 48)
        room = CELL / 2 - r - 4
        return tuple((p + 0.5) * CELL + rng.uniform(-room, room) for p in (place % 3, place // 3)) + (r,)
    r = rng.uniform(15, 20)
    return tuple(within(rng, rng.choice(PATCHES[p]), r) for p in (place % 3, place // 3)) + (r,)


def tint(rng, colour: str):
    spread = 0 if colour in ("black", "white") else 12  # grey stays grey: the model's norms would blow up a hue
    return tuple(min(255, max(0, v + rng.randint(-spread, spread))) for v in RGB[colour])


def paint_tiles(rng, things, half: str) -> Image.Image:
    """One thing in every patch, or two in a half each: `half` is where the first one is, left or top."""
    count = SIDE // PATCH
    spots = []
    tints = [tint(rng, t.colour) for t in things]
    for row in range(count):
        for column in range(count):
            second = len(things) > 1 and (column if half == "left" else row) >= count // 2
            r = rng.uniform(15, 20)
            spots.append((things[second].shape, tints[second], within(rng, column, r), within(rng, row, r), r))
    return paint_spots(rng, spots)


def paint_things(rng, things, free: bool = False) -> Image.Image:
    spots = []
    for t in things:
        x, y, r = spot(rng, t.place, free)
        spots.append((t.shape, tint(rng, t.colour), x, y, r))
    return paint_spots(rng, spots)


def paint_spots(rng, spots) -> Image.Image:
    """`spots`: shape, colour, x, y and radius of each thing."""

    def paint(draw, scale):
        for shape, colour, x, y, r in spots:
            draw_thing(draw, shape, colour, x * scale, y * scale, r * scale)

    return smooth(paint, rng.choice(GROUNDS))


def unique(things, key):
    """Those whose `key` no other has."""
    keys = [key(t) for t in things]
    return [t for t in things if keys.count(key(t)) == 1]


# --- questions: each returns (question, answer), or None where the scene allows none --------------------------------


def ask_count(rng, things):
    kind = rng.choice(["all", "shape", "colour"])
    if kind == "all":
        return rng.choice(["How many things are there?", "How many shapes are in the picture?"]), words.NUMBERS[len(things)]
    if kind == "shape":
        shape = rng.choice([t.shape for t in things] + [rng.choice(words.SHAPES)])
        question = f"How many {several(shape)} are there?"
        return question, words.NUMBERS[sum(t.shape == shape for t in things)]
    colour = rng.choice([t.colour for t in things] + [rng.choice(words.COLOURS)])
    return f"How many {colour} things are there?", words.NUMBERS[sum(t.colour == colour for t in things)]


def ask_about(rng, things, shape):
    """A question whose answer takes knowing `shape`."""
    own = [t for t in things if t.shape == shape]
    t = rng.choice(own)
    return rng.choice([
        (f"What shape is the thing at the {PLACES[t.place]}?", shape), (f"What shape is the thing at the {PLACES[t.place]}?", shape),
        (f"How many {several(shape)} are there?", words.NUMBERS[len(own)]),
        ask_place(rng, own) or (f"How many {several(shape)} are there?", words.NUMBERS[len(own)]),
    ])


def ask_colour(rng, things):
    shapes = unique(things, lambda t: t.shape)
    if shapes and rng.random() < 0.6:
        t = rng.choice(shapes)
        return f"What colour is the {t.shape}?", t.colour
    t = rng.choice(things)
    return f"What colour is the thing at the {PLACES[t.place]}?", t.colour


def ask_shape(rng, things):
    colours = unique(things, lambda t: t.colour)
    if colours and rng.random() < 0.6:
        t = rng.choice(colours)
        return f"What shape is the {t.colour} thing?", t.shape
    t = rng.choice(things)
    return f"What shape is the thing at the {PLACES[t.place]}?", t.shape


def ask_place(rng, things):
    named = unique(things, lambda t: t.name)
    if not named:
        return None
    t = rng.choice(named)
    return f"Where is the {t.name}?", PLACES[t.place]


ASK = {"count": ask_count, "colour": ask_colour, "place": ask_place, "shape": ask_shape}


def describe(things) -> str:
    """Where everything is, in reading order."""
    return listing(f"{article(t.name)} at the {PLACES[t.place]}" for t in things)
