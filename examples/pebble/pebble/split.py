"""Which part of the world is for training and which is held out.

Every example has a key: the sentence that is spoken, the words that are written, the scene that is drawn. A hash of the
key decides where it belongs, whatever the seed, so no two seeds can bring a held-out key into training.
"""
import hashlib

TRAIN, HELD_OUT = "train", "heldout"
SPLITS = (TRAIN, HELD_OUT)


def split_of(key: str) -> str:
    """One key in ten is held out."""
    return HELD_OUT if hashlib.sha256(key.encode()).digest()[0] % 10 == 0 else TRAIN


def choose(rng, values, split: str, space: str = ""):
    """One of `values` that belongs to `split`: names and values that training never shows."""
    return rng.choice([v for v in values if split_of(f"{space}{v}") == split])
