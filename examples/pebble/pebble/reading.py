"""Reading: one to four written words in a picture. The typefaces of held-out pictures are never trained with.

Words stand below each other, letter by letter with wide spaces: one letter a patch, because raw patches are all that the model
sees with. Answers are learnt letter by letter as well (`spell`): a letter then has one patch to be looked up in, where a whole word
would have to be put together from six before the first token. Running text has its letters as close as the typeface wants them, about three a patch.
"""
import functools
import importlib.util
import pathlib
import string

from PIL import Image, ImageDraw, ImageFont

from . import words
from .media import PATCH, assistant, text, user
from .split import HELD_OUT

ORDERS = ["Read the text.", "What is written here?", "Which words are written?", "Read what is written.", "Read this."]
# Sizes that are whole patches within the budget, so that no letter is scaled.
SPACED = (528, 288)  # 11 letters a line, 6 lines
SIZES = [(384, 384), (528, 288), (576, 240), (768, 192)]
TRAINING = {
    "matplotlib": ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSansMono", "STIXGeneral"],
    "font_roboto": ["Roboto-Regular", "Roboto-Bold"], "font_manrope": ["Manrope-Medium"],
    "font_source_sans_pro": ["SourceSansPro-Regular", "SourceSansPro-Bold"],
    "font_source_serif_pro": ["SourceSerifPro-Regular", "SourceSerifPro-Bold"],
    "font_caladea": ["Caladea-Regular"], "font_fredoka_one": ["FredokaOne-Regular"],
}
HELD_OUT_FONTS = {"font_lato": ["Lato-Regular", "Lato-Bold"], "font_hanken_grotesk": ["HankenGrotesk-Medium"]}
PER_LINE = {384: 1, 528: 2, 576: 2, 768: 4}  # words of a line by the picture's width
STYLES = [str.lower, str.capitalize, str.upper]
USUAL = [6, 2, 2]  # how often each
INKS = [((20, 20, 20), (250, 250, 245)), ((25, 40, 110), (240, 240, 250)), ((120, 20, 25), (250, 245, 230)),
        ((15, 80, 45), (235, 245, 235)), ((250, 250, 250), (40, 50, 70)), ((255, 235, 130), (50, 40, 60))]


@functools.cache
def fonts(split: str) -> list:
    wanted = HELD_OUT_FONTS if split == HELD_OUT else TRAINING
    found = []
    for package, names in wanted.items():
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise SystemExit(f"the typefaces of {package} are missing: run this with examples/pebble/python")
        files = {p.stem: p for ending in ("otf", "ttf") for p in pathlib.Path(spec.origin).parent.rglob("*." + ending)}
        found += [str(files[name]) for name in names]
    return found


@functools.lru_cache(maxsize=256)
def font(path: str, size: int):
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def paint_spaced(rng, lines, typeface) -> Image.Image:
    """One letter a patch, from the top left on, all of a picture a few pixels off their middles."""
    ink, paper = rng.choices(INKS, [3, 3, 3, 3, 1, 1])[0]
    image = Image.new("RGB", SPACED, paper)
    draw = ImageDraw.Draw(image)
    letters = font(typeface, rng.randint(32, 40))
    ascent, descent = letters.getmetrics()
    dx, dy = rng.uniform(-3, 3), rng.uniform(-3, 3)
    for row, line in enumerate(lines):
        for column, letter in enumerate(line):
            left, _, right, _ = letters.getbbox(letter)
            x = (column + 0.5) * PATCH - (left + right) / 2 + dx
            draw.text((x, (row + 0.5) * PATCH - (ascent + descent) / 2 + dy), letter, font=letters, fill=ink)
    return image


def paint_running(rng, lines, size, typeface) -> Image.Image:
    """`lines` in order, each in one row of patches; `size` in pixels."""
    width, height = size
    pixels = rng.randint(30, 40)
    while max(font(typeface, pixels).getbbox(line)[2] for line in lines) > width - 16:
        pixels -= 2
    ink, paper = rng.choice(INKS)
    image = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(image)
    # A line stands in one row of patches, a few pixels up or down: raw patches have no other way of being moved.
    first = rng.randint(0, height // PATCH - len(lines))
    letters = font(typeface, pixels)
    ascent, descent = letters.getmetrics()
    for i, line in enumerate(lines):
        y = (first + i) * PATCH + (PATCH - ascent - descent) / 2 + rng.uniform(-4, 4)
        draw.text((rng.uniform(8, width - 8 - letters.getbbox(line)[2]), y), line, font=letters, fill=ink)
    return image


class Reading:
    name, check = "reading", "letters"
    beside = "running text"

    def plan(self, rng, split):
        written = [rng.choice(words.WRITTEN) for _ in range(rng.randint(1, 4))]
        key = "reading " + " ".join(written)
        style = rng.choices(STYLES, USUAL)[0]
        return {"key": key, "words": [style(w) for w in written]}

    def build(self, plan, rng, media, split, group=None):
        paint = self._running if group else paint_spaced
        picture = media.picture(rng, lambda r: paint(r, plan["words"], r.choice(fonts(split))))
        return {"messages": [user(picture, text(rng.choice(ORDERS))), assistant(" ".join(plan["words"]))], "spell": True}

    def _running(self, rng, written, typeface):
        # One word a line in square pictures, up to two in wide ones, all in the widest.
        size = rng.choice(SIZES)
        per_line = PER_LINE[size[0]]
        lines = [" ".join(written[i:i + per_line]) for i in range(0, len(written), per_line)]
        return paint_running(rng, lines, size, typeface)


class Exercise:
    """Pictures full of lines, in one style each."""
    check = "letters"

    def _line(self, rng) -> str:
        raise NotImplementedError

    def plan(self, rng, split):
        style = rng.choices(STYLES, USUAL)[0]
        lines = [self._line(rng) for _ in range(rng.randint(*self.lines))]
        return {"key": f"{self.name} " + " ".join(lines), "parts": ["reading " + line for line in lines],
                "lines": [style(line) for line in lines]}

    def build(self, plan, rng, media, split):
        drawn = plan.get("drawn", plan["lines"])
        picture = media.picture(rng, lambda r: paint_spaced(r, drawn, r.choice(fonts(split))))
        return {"messages": [user(picture, text(rng.choice(ORDERS))), assistant(" ".join(plan["lines"]))], "spell": True}


class Page(Exercise):
    """Words, some of them made up. A picture costs as much as with one word in it, and teaches several times as many letters."""
    name, lines = "page", (5, 6)

    def _line(self, rng):
        return rng.choice(words.WRITTEN) if rng.random() < 0.8 else words.made_up(rng)


class Letters(Exercise):
    """What comes before words: one letter all over the picture, lines of one letter each, a few letters a line. Attention that
    looks everywhere at first finds the one letter there, and then has a reason to look at a line, and at a patch."""
    name, lines = "letters", (1, 6)

    def _line(self, rng):
        return "".join(rng.choices(string.ascii_lowercase, k=rng.choices([1, 2, 3, 4], [5, 2, 1, 1])[0]))

    def plan(self, rng, split):
        kind = rng.choices(["all over", "lines", "few"], [4, 3, 3])[0]
        if kind == "few":
            return super().plan(rng, split)
        style = rng.choices(STYLES, USUAL)[0]
        columns, rows = SPACED[0] // PATCH, SPACED[1] // PATCH
        shown = [style(c) for c in rng.choices(string.ascii_lowercase, k=1 if kind == "all over" else rng.randint(2, rows))]
        drawn = shown * rows if kind == "all over" else shown
        return {"key": f"{self.name} {kind} " + " ".join(shown), "drawn": [c * columns for c in drawn], "lines": shown}
