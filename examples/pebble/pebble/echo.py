"""Echo: says again what stands in the question, whole or the part that is asked for. No skill that is measured: almost every
token is learnt, and no memory helps, so attention to what came before is learnt within minutes. Names, code and calls need it."""
from . import words
from .media import assistant, user
from .split import TRAIN, split_of

_SPACES = ["", "function ", "topic ", "number "]
_SAY = ["Repeat: {}", "Say again: {}", "Copy this.\n{}", "Echo: {}", "Write this again.\n{}"]
_ASK = ["What is {}?", "{}?", "And {}?", "Tell me {}."]
_PAIR = ["{} is {}", "{}: {}", "{} = {}", "{} ({})"]


def _word(rng) -> str:
    """Made up, a number, or a written word; none that is held out for any skill."""
    while True:
        word = rng.choices([lambda: words.made_up(rng), lambda: words.made_up(rng).capitalize(), lambda: str(rng.randint(0, 99)),
                            lambda: rng.choice(words.WRITTEN), lambda: f"{rng.choice(words.WRITTEN)}_{words.made_up(rng)}"],
                           [5, 2, 3, 3, 1])[0]()
        if all(split_of(space + word) == TRAIN for space in _SPACES):
            return word


def _line(rng, count) -> str:
    join = rng.choice([" ", " ", " ", ", ", "\n", "/"])
    return join.join(_word(rng) for _ in range(count))


class Echo:
    name, check = "echo", "text"

    def plan(self, rng, split):
        if rng.random() < 0.6:
            said = _line(rng, rng.randint(2, 24))
            turns = [(rng.choice(_SAY).format(said), said)]
        else:
            pairs = {_word(rng): _word(rng) for _ in range(rng.randint(2, 8))}
            said = rng.choice([", ", "; ", "\n"]).join(rng.choice(_PAIR).format(*pair) for pair in pairs.items())
            asked = rng.sample(list(pairs), len(pairs))
            turns = [(rng.choice(_ASK).format(name), pairs[name]) for name in asked]
            turns[0] = (f"{said}\n{turns[0][0]}", turns[0][1])
        return {"key": "echo " + said, "turns": turns}

    def build(self, plan, rng, media, split):
        return {"messages": [part for said, answer in plan["turns"] for part in (user(said), assistant(answer))]}
