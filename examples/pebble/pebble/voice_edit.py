"""Voice edit: a dictated sentence, changed as a spoken instruction says."""
from . import voices, words
from .media import assistant, text, user
from .speech import spoken
from .split import TRAIN


def _like(rng, word):
    """Another word that can stand where `word` stands."""
    for group in (words.COLOURS, words.ADJECTIVES, words.ANIMALS, words.PERSONS, words.THINGS, words.PLACES, words.PEOPLE,
                  words.WALKS, words.TAKES, words.TIMES):
        if word in group:
            return rng.choice([w for w in group if w != word])
    return None


def change(rng, tokens):
    places = [i for i, w in enumerate(tokens) if tokens.count(w) == 1 and _like(rng, w)]
    if not places:
        return None
    i = rng.choice(places)
    new = _like(rng, tokens[i])
    instruction = rng.choice(["change {} to {}", "replace {} with {}"]).format(tokens[i], new)
    return instruction, tokens[:i] + [new] + tokens[i + 1:]


def remove(rng, tokens):
    places = [i for i, w in enumerate(tokens) if tokens.count(w) == 1]
    i = rng.choice(places)
    return rng.choice(["remove {}", "delete the word {}"]).format(tokens[i]), tokens[:i] + tokens[i + 1:]


def append(rng, tokens):
    word = rng.choice(words.TIMES + ["please", "again"])
    return rng.choice(["add {} at the end", "put {} at the end"]).format(word), tokens + [word]


def prepend(rng, tokens):
    word = rng.choice(["please", "now", "today"])
    return rng.choice(["start with {}", "add {} at the start"]).format(word), [word] + tokens


def capitals(rng, tokens):
    return rng.choice(["write it in capital letters", "make it all capitals"]), [w.upper() for w in tokens]


class VoiceEdit:
    name, check = "voice_edit", "sentence"
    beside = "sentence as sound"

    def plan(self, rng, split):
        said = rng.choice([words.sentence, words.command])(rng)
        tokens = said.split()
        instruction, result = rng.choice([change, change, change, remove, append, prepend, capitals])(rng, tokens) or append(rng, tokens)
        return {"key": f"voice_edit {said} | {instruction}", "said": said, "spoken": instruction,
                "result": " ".join(result) or said, "parts": [spoken(said)]}

    def build(self, plan, rng, media, split, group=None):
        """The sentence was dictated before, and is text; in training, every third one is still sound."""
        voice = rng.choice(voices.TRAINING)
        sound = bool(group) or (split == TRAIN and rng.random() < 1 / 3)
        clips = [plan["said"]] if sound else []
        parts = [media.sound(rng, lambda r, t=t: voices.record(r, voices.say(r, t, voice))) for t in clips + [plan["spoken"]]]
        order = rng.choice(["Change the sentence as I say.", "Edit the sentence as I say."])
        messages = [user(*parts, text(order if sound else f"{order}\n{plan['said']}")), assistant(plan["result"])]
        if split == TRAIN and rng.random() < 0.5:
            messages += [user("What did I say?"), assistant(" / ".join(clips + [plan["spoken"]]))]
        return {"messages": messages}
