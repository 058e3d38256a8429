"""The first hour with facet, typed at a terminal: journey.py FACET SOURCES. Screens are compared with tests/journey/screens."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from terminal import Terminal, same_screen  # noqa: E402

FACET, SOURCES = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
SCREENS = pathlib.Path(__file__).parent / "screens"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="facet-journey-"))
HOME = WORK / "home"
HOME.mkdir()
ENVIRONMENT = {"HOME": str(HOME), "XDG_DATA_HOME": str(HOME / "data"), "XDG_CACHE_HOME": str(HOME / "cache"),
               "XDG_RUNTIME_DIR": str(HOME / "run"), "PATH": f"{pathlib.Path(FACET).parent}:{os.environ['PATH']}"}
(HOME / "run").mkdir()


def script(*answers):
    """A model that plays a script: (match, answer, milliseconds a token)."""
    path = WORK / f"script{len(list(WORK.glob('script*')))}.jsonl"
    with path.open("w") as out:
        for match, emit, delay in answers:
            line = {"emit": emit + "<turn|>", "delay_ms": delay}
            out.write(json.dumps({**({"match": match} if match else {}), **line}) + "\n")
    return f"script:{path}"


def chat(model, *options, columns=80):
    terminal = Terminal([FACET, "run", model, *options], ENVIRONMENT, columns=columns, folder=HOME)
    terminal.prompt()
    return terminal


def screen(terminal, name):
    same_screen(terminal, name, SCREENS, [(str(WORK), "WORK"), (r"script\d+", "script")])


def run(*words, **options):
    done = subprocess.run([FACET, *words], capture_output=True, text=True, timeout=600,
                          env={**os.environ, **ENVIRONMENT}, cwd=HOME, **options)
    assert done.returncode == 0, f"facet {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def import_a_model():
    """A file under a name, in the list, and forgotten again."""
    terminal = Terminal(["sh", "-c", f"{FACET} import {SOURCES}/models/pebble small && {FACET} list"], ENVIRONMENT, folder=HOME)
    terminal.await_(r"small +\S+ \S+ +gguf")
    assert terminal.exit_code() == 0
    terminal.close()
    assert set(run("list", "--names").split()) == {"pebble", "small"}
    run("rm", "small")


def chat_in_utf8():
    t = chat(script(("Grüße aus Zürich 你好 🙂", "ja, 你好 🙂", 0), ("", "verloren", 0)))
    t.say("Grüße aus Zürich 你好 🙂")
    t.type("Grüße Zürich 你好 🙂")
    t.type("\x1b[D" * 11 + "aus ")
    t.say("")
    screen(t, "utf8")
    t.close()


def paste_two_hundred_lines():
    t = chat(script(("line 1 of 200\nline 2 of 200", "one question", 0), ("", "a part", 0)))
    t.paste("".join(f"line {i} of 200\n" for i in range(1, 201)))
    t.say(" What is it?")
    screen(t, "paste")
    assert t.text().count("one question") == 1 and "a part" not in t.text()
    t.close()


def control_c():
    t = chat(script(("count", "one two three four five six seven eight nine ten " * 8, 50), ("", "here", 0)))
    t.type("this is forgotten")
    t.interrupt()
    t.prompt()
    t.type("count\n")
    t.await_("three")
    t.interrupt()
    t.prompt()
    t.say("are you there?")
    assert "here" in t.text()
    t.interrupt()
    t.await_("Ctrl-C again, or Ctrl-D, leaves.")
    t.prompt()
    t.interrupt()
    assert t.exit_code() == 0
    t.close()


def files():
    for name in ("a b.png", "it's.png"):
        shutil.copy(SOURCES / "examples/media/house.png", HOME / name)
    (HOME / "broken.png").write_bytes((HOME / "a b.png").read_bytes()[:2000])
    (HOME / "words.png").write_text("these are words")
    t = chat(script(("", "I see.", 0)), columns=200)  # the names of files are long, and differ
    t.say("/image ~/words.png")
    t.say("/image ~/none.png")
    t.say("/image /tmp")
    t.say('/image "a b.png"')
    t.say("/image ~/it\\'s.png")
    t.type("/ima\t~/a\t")
    t.say("")
    t.say("What is this?")
    t.say("/image broken.png")
    t.say("And this?")
    t.say("Go on.")
    screen(t, "files")
    t.close()


def commands():
    t = chat(script(("pirate", "arr", 0), ("", "hello", 0)))
    t.say("Hi")
    t.say("/system Speak like a pirate.")
    t.say("/regenerate")
    t.say("/set temperature 0.5")
    t.say("/set temprature 1")
    t.say("/save talk.json")
    t.say("/clear")
    t.say("/load talk.json")
    t.say("/iamge x")
    screen(t, "commands")
    t.say("/help")
    screen(t, "help")
    t.type("\x04")
    assert t.exit_code() == 0
    t.close()
    assert [m["content"] for m in json.loads((HOME / "talk.json").read_text())["messages"]] == [
        "Speak like a pirate.", "Hi", "arr"]


def repetition():
    t = chat(script(("", "says " * 4000, 0)))
    t.say("Hi")
    t.await_("the answer repeated itself and was stopped")
    t.close()


def pebble_answers_greedily():
    """The model that comes along says the same each time, as its generation_config.json says."""
    texts = {run("run", "pebble", "Who are you?", "--seed", str(seed)) for seed in (1, 2, 3)}
    assert len(texts) == 1, texts
    t = chat("pebble")
    t.say("Hello!")
    assert texts.pop().split()[0] in t.text() or len(t.text()) > 40
    t.close()


def pebble_is_found():
    """From a copied binary, and without HOME."""
    copied = WORK / "elsewhere" / "facet"
    copied.parent.mkdir()
    shutil.copy(FACET, copied)
    bare = {"PATH": os.environ["PATH"]}
    for program, environment in ((str(copied), {**os.environ, **ENVIRONMENT}), (FACET, bare), (str(copied), bare)):
        for words in (["run", "pebble", "Hello", "--max-tokens", "4"], ["show", "pebble"], ["list"]):
            done = subprocess.run([program, *words], capture_output=True, text=True, timeout=300, env=environment, cwd=WORK)
            assert done.returncode == 0, f"{program} {words}: {done.stderr}"
            assert words[0] == "run" or "pebble" in done.stdout, done.stdout


def serve():
    t = Terminal([FACET, "serve", "pebble", "--port", "0"], ENVIRONMENT, columns=100, folder=HOME)
    t.await_(r"pebble is ready")
    url = next(word for word in t.text().split() if word.startswith("http://"))
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}).encode()
    request = urllib.request.Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})
    assert json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
    assert url in run("ps")
    port = url.rsplit(":", 1)[1].split("/")[0]
    taken = subprocess.run([FACET, "serve", "pebble", "--port", port], capture_output=True, text=True,
                           env={**os.environ, **ENVIRONMENT})
    assert taken.returncode == 1 and "facet ps" in taken.stderr, taken.stderr
    t.interrupt()
    assert t.exit_code() in (0, 130)
    t.close()


def main():
    walk = [import_a_model, chat_in_utf8, paste_two_hundred_lines, control_c, files, commands, repetition,
            pebble_answers_greedily, pebble_is_found, serve]
    chosen = sys.argv[3:]
    failed = 0
    for step in walk:
        if chosen and step.__name__ not in chosen:
            continue
        start = time.monotonic()
        try:
            step()
            print(f"ok    {step.__name__} ({time.monotonic() - start:.1f} s)")
        except Exception:  # the others are walked, too
            failed += 1
            print(f"FAIL  {step.__name__}")
            traceback.print_exc()
    shutil.rmtree(WORK, ignore_errors=True)
    sys.exit(1 if failed else 0)


main()
