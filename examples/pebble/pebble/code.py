"""Code: small Python functions of trained families; names and numbers of held-out ones are new. Run against tests."""
from . import tools, words
from .media import assistant, user
from .plots import block
from .split import split_of

VERBS = "get make find count take give build check move shift scale mix cut join turn pick keep drop".split()
NOUNS = """price list name text score page word line block item table value word part step level group order total rate size
weight point road stone river apple letter number tower""".split()


def _name(rng, split):
    """A function's name of this split: verb_noun, or made up."""
    while True:
        name = f"{rng.choice(VERBS)}_{rng.choice(NOUNS)}" if rng.random() < 0.6 else words.made_up(rng)
        if rng.random() < 0.25:
            name = f"{rng.choice(VERBS)}_{words.made_up(rng)}"
        if split_of("function " + name) == split:
            return name


# A family: (name, number n, number m, letter c) -> (head, what it does, body lines, tests as argument lists).
# `what` follows "Write a Python function NAME(ARGS) that ".


def scale(n, m, c):
    return "x", f"multiplies x by {n}", [f"return x * {n}"], [[0], [3], [-7], [12]]


def shift(n, m, c):
    return "x", f"adds {n} to x", [f"return x + {n}"], [[0], [5], [-40], [2]]


def line(n, m, c):
    return "x", f"returns {n} times x plus {m}", [f"return {n} * x + {m}"], [[0], [4], [-3], [11]]


def divisible(n, m, c):
    return "x", f"tells whether x is divisible by {n}", [f"return x % {n} == 0"], [[0], [n], [n + 1], [3 * n], [3 * n - 1]]


def clamp(n, m, c):
    low, high = sorted((n, n + m))
    return "x", f"keeps x between {low} and {high}", [f"return max({low}, min({high}, x))"], [[low - 1], [high + 1], [(low + high) // 2]]


def larger_than(n, m, c):
    return ("values", f"returns the values above {n}", [f"return [v for v in values if v > {n}]"],
            [[[]], [[n, n + 1, n - 1, 2 * n + 1]], [[-1, 0]]])


def total(n, m, c):
    return "values", "returns the sum of the values", ["return sum(values)"], [[[]], [[1, 2, 3]], [[-5, 5, 9]]]


def average(n, m, c):
    return "values", "returns the mean of the values", ["return sum(values) / len(values)"], [[[4]], [[1, 2, 3, 6]], [[-5, 5]]]


def first(n, m, c):
    return "values", f"returns the first {n} values", [f"return values[:{n}]"], [[list(range(n + 5))], [[1]], [[]]]


def last(n, m, c):
    return "values", f"returns the last {n} values", [f"return values[-{n}:]"], [[list(range(n + 5))], [[1]], [[]]]


def repeat(n, m, c):
    return "text", f"repeats text {n} times", [f"return text * {n}"], [["ab"], [""], ["x y"]]


def reverse(n, m, c):
    return "text", "returns text backwards", ["return text[::-1]"], [["abc"], [""], ["level up"]]


def letters(n, m, c):
    return "text", f'counts the letter "{c}" in text', [f'return text.count("{c}")'], [[c * 3 + "-" + c], [""], ["banana " + c]]


def replace(n, m, c):
    d = chr((ord(c) - ord("a") + n) % 26 + ord("a"))
    return ("text", f'replaces "{c}" by "{d}" in text', [f'return text.replace("{c}", "{d}")'], [[c + "a" + c], ["hello " + c], [""]])


def multiples(n, m, c):
    return "count", f"returns the first count multiples of {n}", [f"return [{n} * i for i in range(1, count + 1)]"], [[0], [1], [6]]


def squares(n, m, c):
    return "values", "returns the squares of the values", ["return [v * v for v in values]"], [[[]], [[1, -2, 3]], [[10]]]


def count_down(n, m, c):
    return "x", f"counts from x down to {n}", [f"return list(range(x, {n - 1}, -1))"], [[n], [n + 4], [n - 2]]


def larger(n, m, c):
    return ("a, b", "returns the larger of a and b",
            ["if a > b:", "    return a", "return b"], [[1, 2], [5, -5], [3, 3]])


def loop_sum(n, m, c):
    return ("values", f"adds up the values and stops above {n}",
            ["total = 0", "for v in values:", "    total += v", f"    if total > {n}:", "        break", "return total"],
            [[[]], [[n, 1, 50]], [[1, 1, 1]], [[n + 1, 7]]])


FAMILIES = [scale, shift, line, divisible, clamp, larger_than, total, average, first, last, repeat, reverse, letters, replace,
            multiples, squares, count_down, larger, loop_sum]
ASK = ["Write a Python function {head} that {what}.", "Write {head} in Python: it {what}.",
       "I need a function {head} that {what}.", "Please write a Python function {head} that {what}."]


def expected(name, program, tests):
    """What the reference gives for each test, computed by running it."""
    space = {}
    exec(program, space)
    return [space[name](*arguments) for arguments in tests]


class Code:
    name, check = "code", "code"

    def plan(self, rng, split):
        family = rng.choice(FAMILIES)
        name = _name(rng, split)
        n, m = tools.number(rng, 2, 60, split), tools.number(rng, 1, 60, split)
        arguments, what, body, tests = family(n, m, rng.choice("abcdefghijklmnopqrstuvwxyz"))
        program = "\n".join([f"def {name}({arguments}):"] + ["    " + l for l in body])
        return {"key": f"code {name} {what}", "request": rng.choice(ASK).format(head=f"{name}({arguments})", what=what),
                "program": program, "function": name, "tests": tests}

    def build(self, plan, rng, media, split):
        wanted = expected(plan["function"], plan["program"], plan["tests"])
        return {"messages": [user(plan["request"]), assistant(block(plan["program"].split("\n")))],
                "check": {"function": plan["function"],
                          "tests": [{"arguments": a, "result": r} for a, r in zip(plan["tests"], wanted)]}}
