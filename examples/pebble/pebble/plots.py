"""Plots: a short matplotlib program for a "plot ..." request."""
from . import tools, words
from .media import assistant, user
from .split import choose

FRUIT = "apples pears plums grapes lemons figs nuts eggs cats dogs birds cars boats trees books cups".split()
# What a request says, and what the program computes.
FUNCTIONS = [
    ("sin(x)", "np.sin(x)"), ("cos(x)", "np.cos(x)"), ("sqrt(x)", "np.sqrt(x)"), ("exp(-x)", "np.exp(-x)"),
    ("x^2", "x ** 2"), ("x^3", "x ** 3"), ("x squared", "x ** 2"), ("the sine of x", "np.sin(x)"),
    ("the cosine of x", "np.cos(x)"), ("the square root of x", "np.sqrt(x)"),
]
COLOURS = "red blue green orange purple black".split()


def block(lines) -> str:
    return "```python\n" + "\n".join(lines) + "\n```"


def numbers(rng, count):
    return [rng.randint(1, 99) for _ in range(count)]


def said(values) -> str:
    return ", ".join(str(v) for v in values)


def curve(rng, split):
    if rng.random() < 0.35:
        a, b = tools.number(rng, 2, 30, split), tools.number(rng, 1, 60, split)
        text, code = f"{a}x + {b}", f"{a} * x + {b}"
    else:
        text, code = rng.choice(FUNCTIONS)
        if rng.random() < 0.3:
            a = tools.number(rng, 2, 30, split)
            text, code = f"{a} times {text}", f"{a} * {code}"
    low = tools.number(rng, 0, 9, split) if "sqrt" in code or rng.random() < 0.5 else -tools.number(rng, 1, 20, split)
    high = tools.number(rng, 10, 90, split)
    return f"{text} from {low} to {high}", [f"x = np.linspace({low}, {high}, 200)", f"y = {code}"], "plt.plot(x, y{})", True


def bars(rng, split):
    names = rng.sample(FRUIT, rng.randint(2, 4))
    values = numbers(rng, len(names))
    pairs = ", ".join(f"{v} {n}" for n, v in zip(names, values))
    kind = rng.choice(["bar", "bar", "pie"])
    lines = ["names = [" + ", ".join(f'"{n}"' for n in names) + "]", f"values = [{said(values)}]"]
    if kind == "pie":
        return f"a pie chart of {pairs}", lines, "plt.pie(values, labels=names)", False
    return f"{rng.choice(['a bar chart of', 'bars for'])} {pairs}", lines, "plt.bar(names, values{})", True


def series(rng, split):
    values = numbers(rng, rng.randint(3, 6))
    words_, call = rng.choice([
        ("a line through", "plt.plot(values{})"), ("the values", "plt.plot(values{})"), ("a histogram of", "plt.hist(values{})"),
    ])
    return f"{words_} {said(values)}", [f"values = [{said(values)}]"], call, True


def dots(rng, split):
    count = rng.randint(3, 5)
    x, y = numbers(rng, count), numbers(rng, count)
    return f"points at x {said(x)} and y {said(y)}", [f"x = [{said(x)}]", f"y = [{said(y)}]"], "plt.scatter(x, y{})", True


class Plots:
    name, check = "plots", "plot"

    def plan(self, rng, split):
        what, lines, call, colours = rng.choice([curve, curve, bars, series, dots])(rng, split)
        request = rng.choice(["Plot {}", "plot {}", "Please plot {}", "Can you plot {}"]).format(what)
        style = ""
        if colours and rng.random() < 0.35:
            colour = rng.choice(COLOURS)
            request += f" in {colour}"
            style = f', color="{colour}"'
        lines = lines + [call.format(style)]
        if rng.random() < 0.4:
            title = " ".join([tools.unseen_word(rng, split) if rng.random() < 0.5 else choose(rng, words.WRITTEN, split)
                              for _ in range(rng.randint(1, 2))])
            request += f" with the title {title}"
            lines.append(f'plt.title("{title}")')
        imports = ["import matplotlib.pyplot as plt"] + (["import numpy as np"] if any("np." in l for l in lines) else [])
        return {"key": "plots " + what, "request": request + ".", "program": block(imports + lines + ["plt.show()"])}

    def build(self, plan, rng, media, split):
        return {"messages": [user(plan["request"]), assistant(plan["program"])]}
