"""Reading: one to four written words in a picture. The typefaces of held-out pictures are never trained with."""
import functools
import importlib.util
import pathlib

from PIL import Image, ImageDraw, ImageFont

from . import words
from .media import assistant, text, user
from .split import HELD_OUT

ORDERS = ["Read the text.", "What is written here?", "Which words are written?", "Read what is written.", "Read this."]
# Sizes that are whole patches within the budget, so that no letter is scaled.
ROW = 48
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


def paint(rng, lines, size, typeface) -> Image.Image:
    """`lines` in order, each in one row of patches; `size` in pixels."""
    width, height = size
    pixels = rng.randint(30, 40)
    while max(font(typeface, pixels).getbbox(line)[2] for line in lines) > width - 16:
        pixels -= 2
    ink, paper = rng.choice(INKS)
    image = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(image)
    # A line stands in one row of patches, a few pixels up or down: raw patches have no other way of being moved.
    first = rng.randint(0, height // ROW - len(lines))
    letters = font(typeface, pixels)
    ascent, descent = letters.getmetrics()
    for i, line in enumerate(lines):
        y = (first + i) * ROW + (ROW - ascent - descent) / 2 + rng.uniform(-4, 4)
        draw.text((rng.uniform(8, width - 8 - letters.getbbox(line)[2]), y), line, font=letters, fill=ink)
    return image


class Reading:
    name, check = "reading", "letters"

    def plan(self, rng, split):
        written = [rng.choice(words.WRITTEN) for _ in range(rng.randint(1, 4))]
        key = "reading " + " ".join(written)
        style = rng.choices(STYLES, [6, 2, 2])[0]
        return {"key": key, "words": [style(w) for w in written]}

    def build(self, plan, rng, media, split):
        picture = media.picture(rng, lambda r: self._paint(r, plan["words"], r.choice(fonts(split))))
        return {"messages": [user(picture, text(rng.choice(ORDERS))), assistant(" ".join(plan["words"]))]}

    def _paint(self, rng, written, typeface):
        # One word a line in square pictures, up to two in wide ones, all in the widest.
        size = rng.choice(SIZES)
        per_line = PER_LINE[size[0]]
        lines = [" ".join(written[i:i + per_line]) for i in range(0, len(written), per_line)]
        return paint(rng, lines, size, typeface)


class Page:
    """An exercise: pictures full of words, some of them made up. A picture costs as much as with one word in it, and teaches
    five times as many letters."""
    name, check = "page", "letters"

    def plan(self, rng, split):
        size = rng.choice(SIZES)
        style = rng.choices(STYLES, [6, 2, 2])[0]
        lines = [[rng.choice(words.WRITTEN) if rng.random() < 0.8 else words.made_up(rng)
                  for _ in range(rng.randint(1, PER_LINE[size[0]]))] for _ in range(size[1] // ROW)]
        return {"key": "page " + " ".join(w for line in lines for w in line), "size": size,
                "parts": ["reading " + " ".join(line) for line in lines],
                "lines": [" ".join(style(w) for w in line) for line in lines]}

    def build(self, plan, rng, media, split):
        picture = media.picture(rng, lambda r: paint(r, plan["lines"], plan["size"], r.choice(fonts(split))))
        return {"messages": [user(picture, text(rng.choice(ORDERS))), assistant(" ".join(plan["lines"]))]}
