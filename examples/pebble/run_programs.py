"""Runs programs that a model wrote, each in a process of its own with limits, and says which are right.

    python3 -I run_programs.py <JOBS >RESULTS

JOBS is a JSON list. {"kind": "code", "program", "function", "tests": [{"arguments", "result"}]}: right where the function
gives every result. {"kind": "plot", "program", "reference"}: right where the program runs and draws what the reference
draws: the same lines, bars, points or slices, title and named colours. RESULTS is a list of {"right", "why"} in order.
Only the standard library is needed for code; plots need matplotlib.
"""
import contextlib
import io
import json
import os
import resource
import select
import signal
import sys
import tempfile

try:
    from facet_sandbox import confine  # this process from then on: no other processes, no other programs
except ImportError:  # by hand, outside of the sandbox that `facet eval` runs this in
    def confine():
        pass

SECONDS = 10  # of the clock; half of it of the processor
MEMORY = 3 << 30  # address space, of which matplotlib's libraries take most
MAX_REPORT = 1 << 16


def limit():
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS // 2, SECONDS // 2))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(program: str) -> dict:
    """The names that the program defines. Whatever it prints goes nowhere."""
    space = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(program, "<answer>", "exec"), space)
    return space


def same(a, b) -> bool:
    """Equal in value and kind: True is not 1, a tuple is no list; numbers to nine digits."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-9 * max(1, abs(a), abs(b))
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def judge_code(job) -> str:
    function = run(job["program"]).get(job["function"])
    if not callable(function):
        return f"no function {job['function']}"
    for test in job["tests"]:
        # The function gets a copy, so that it cannot change what the next test expects.
        arguments = json.loads(json.dumps(test["arguments"]))
        got = function(*arguments)
        if not same(got, test["result"]):
            return f"{job['function']}({', '.join(map(repr, test['arguments']))}) gives {got!r:.80}"
    return ""


def drawing(program: str) -> list:
    """What a program draws, as plain values."""
    import matplotlib.colors as colors
    import matplotlib.pyplot as plt
    import numpy as np
    plt.close("all")
    run(program)
    out = []
    for number in plt.get_fignums():
        for axes in plt.figure(number).axes:
            parts = [["title", axes.get_title()]]
            for line in axes.lines:
                x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
                # However many points a curve has: its ends, and its course at 50 places.
                at = np.linspace(x[0], x[-1], 50) if len(x) > 50 and np.all(np.diff(x) > 0) else x
                parts.append(["line", at.tolist(), np.interp(at, x, y).tolist() if at is not x else y.tolist(),
                              colors.to_hex(line.get_color())])
            for patch in axes.patches:
                if hasattr(patch, "theta1"):
                    parts.append(["slice", patch.theta1, patch.theta2])
                elif hasattr(patch, "get_height"):
                    parts.append(["bar", patch.get_x() + patch.get_width() / 2, patch.get_height(),
                                  colors.to_hex(patch.get_facecolor())])
            for points in axes.collections:
                parts.append(["points", np.asarray(points.get_offsets(), float).tolist(),
                              [colors.to_hex(c) for c in points.get_facecolors()[:1]]])
            parts.append(["names", [t.get_text() for t in axes.get_xticklabels()] if axes.patches else [],
                          [t.get_text() for t in axes.texts]])
            out.append(parts)
    return out


def close(a, b) -> bool:
    """`same` for drawings: numbers to one in a million."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-6 * max(1.0, abs(a), abs(b)) or (a != a and b != b)
    return a == b


def judge_plot(job) -> str:
    got = drawing(job["program"])
    if not any(part[0] in ("line", "bar", "slice", "points") for axes in got for part in axes):
        return "nothing is drawn"
    return "" if close(got, drawing(job["reference"])) else "something else is drawn"


def attempt(job) -> str:
    """Why the program is wrong; empty where it is right."""
    try:
        return judge_plot(job) if job["kind"] == "plot" else judge_code(job)
    except BaseException as error:  # whatever a program can raise, SystemExit included
        return f"{type(error).__name__}: {error}"[:200]


def in_child(job) -> dict:
    """Judges in a child process, which may die as it likes."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(quiet, fd)
        limit()
        confine()
        os.write(write, json.dumps({"why": attempt(job)}).encode()[:MAX_REPORT])
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], SECONDS)
    report = os.read(read, MAX_REPORT) if ready else b""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read)
    try:
        why = json.loads(report)["why"]
    except ValueError:
        why = "it ended before it was done" if ready else f"it took longer than {SECONDS} s"
    return {"right": why == "", "why": why}


def main():
    jobs = json.load(sys.stdin)
    if any(job["kind"] == "plot" for job in jobs):
        os.environ["MPLBACKEND"] = "Agg"
        with tempfile.TemporaryDirectory() as folder:
            os.environ.setdefault("MPLCONFIGDIR", folder)  # the sandbox has one, with the typefaces
            # Once, before the processes part; drawing loads more than importing does.
            drawing("import matplotlib.pyplot as plt\nimport numpy\nplt.bar(['a'], [1])")
            results = [in_child(job) for job in jobs]
    else:
        results = [in_child(job) for job in jobs]
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
