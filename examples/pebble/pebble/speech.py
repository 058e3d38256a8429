"""Speech: what was said. And two speakers: who said what."""
import numpy as np

from . import voices, words
from .media import assistant, text, user

# The first is what `facet serve` asks for a transcription.
ORDERS = [
    "Transcribe the speech in its original language. Write the transcription only, without line breaks.",
    "Write down what is said.", "What is said?", "Transcribe this.", "What do you hear?", "Write this down.",
]
SPEAKER_ORDERS = [
    "Who says what?", "Write down who says what.", "Transcribe this with the speakers.",
    "Two people talk. Write down what each of them says.",
]


def spoken(said: str) -> str:
    """Key of a sentence as sound. What is held out for speech is spoken in no skill's training."""
    return "speech " + said


class Speech:
    name, check = "speech", "words"
    beside = "held-out voice"

    def plan(self, rng, split):
        said = words.utterance(rng)
        return {"key": spoken(said), "said": said}

    def build(self, plan, rng, media, split, group=None, voice=None):
        usual = rng.choice(voices.TRAINING)
        voice = voices.HELD_OUT if group else voice or usual
        clip = media.sound(rng, lambda r: voices.record(r, voices.say(r, plan["said"], voice)))
        return {"messages": [user(clip, text(rng.choice(ORDERS))), assistant(plan["said"])]}


# Whose turn it is: the one who speaks first is speaker 1.
ORDER_OF_TURNS = ["12", "12", "12", "121", "122", "112"]


class Speakers:
    name, check = "speakers", "labels"

    def plan(self, rng, split):
        turns = [(int(who), words.phrase(rng)) for who in rng.choice(ORDER_OF_TURNS)]
        return {"key": "speakers " + " / ".join(f"{who} {said}" for who, said in turns), "turns": turns,
                "parts": [spoken(said) for _, said in turns]}

    def build(self, plan, rng, media, split):
        pair = rng.sample(voices.TRAINING, 2)
        clip = media.sound(rng, lambda r: self._talk(r, plan["turns"], pair))
        answer = "\n".join(f"speaker {who}: {said}" for who, said in plan["turns"])
        return {"messages": [user(clip, text(rng.choice(SPEAKER_ORDERS))), assistant(answer)]}

    def _talk(self, rng, turns, pair):
        parts = []
        for i, (who, said) in enumerate(turns):
            if i:
                parts.append(np.zeros(int(voices.RATE * rng.uniform(0.15, 0.4))))
            parts.append(voices.say(rng, said, pair[who - 1]))
        return voices.record(rng, np.concatenate(parts))
