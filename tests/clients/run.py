"""Libraries and measuring programs against a scripted server: python3 run.py FACET TESTS_DIR CLIENTS_DIR [NAME...].

Each client that install.sh has put into CLIENTS_DIR runs a program of this folder, or itself: a question, a tool loop, a stream,
an answer with a form; a multiple-choice and a generation task; a load test. Prints one line a client; the exit code is the number of
clients that failed. Clients that are not installed are left out and named.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

FACET, TESTS, CLIENTS = (pathlib.Path(p).resolve() for p in sys.argv[1:4])
HERE = pathlib.Path(__file__).resolve().parent
MODEL = "gemma-4-12b"
PROXY_KEY = "sk-" + "0123456789abcdef" * 4  # of LiteLLM's proxy, which starts with none but a long one
CALL = '<|channel>thought\nI look.\n<channel|>Wait.<|tool_call>call:get_weather{city:<|"|>Oslo<|"|>}<tool_call|>'
SCRIPT = [
    {"match": "WEATHER(.|\n)*response:get_weather", "emit": "It is cold in Oslo."},
    {"match": "WEATHER", "emit": CALL},
    {"match": "PERSON", "emit": '{"name":"Ada","age":36}'},
    {"match": "one plus one", "emit": " 2"},
    {"emit": "Hello there."},
]


class Server:
    def __init__(self, folder):
        script = folder / "script.jsonl"
        script.write_text("\n".join(json.dumps(line) for line in SCRIPT))
        self.process = subprocess.Popen(
            [FACET, "serve", f"script:{script}", "--served-model-name", MODEL, "--port", "0", "--vocab",
             TESTS / "reference/gemma4/vocab.gguf"], stderr=subprocess.PIPE, text=True)
        self.url = None
        for line in self.process.stderr:
            found = re.search(r"http://127\.0\.0\.1:\d+/v1", line)
            if found:
                self.url = found[0]
                return
        raise RuntimeError("the server did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.read()
        self.process.wait(30)


class Run:
    """What a client's test has: its folder, the server's address, and a way to start programs."""

    def __init__(self, name, root, url):
        self.name, self.root, self.url = name, root, url
        self.env = {"PATH": os.environ["PATH"], "HOME": str(root), "LANG": "C.UTF-8", "OPENAI_BASE_URL": url,
                    "OPENAI_API_KEY": "sk-local", "MODEL": MODEL, "OPENAI_AGENTS_DISABLE_TRACING": "1",
                    "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": PROXY_KEY, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
        # Certificates and mirrors of whoever runs this.
        self.env.update({k: v for k, v in os.environ.items() if k.endswith(("_CA_BUNDLE", "_CERT_FILE"))})
        self.bin = CLIENTS / name / "venv/bin"

    def start(self, *command):
        log = open(self.root / "out.txt", "a")
        return subprocess.Popen([str(c) for c in command], cwd=self.root, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                                stderr=subprocess.STDOUT)

    def ask(self, *command, timeout=280):
        done = subprocess.run([str(c) for c in command], cwd=self.root, env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
        with open(self.root / "out.txt", "a") as log:
            log.write(f"$ {command}\n{done.stdout}\nexit {done.returncode}\n")
        assert done.returncode == 0, f"exit code {done.returncode}"
        return done.stdout


def python_program(run):
    out = run.ask(run.bin / "python", HERE / f"use_{run.name.replace('-', '_')}.py")
    assert out.rstrip().endswith("all right"), "it did not come to its end"


def node_program(run):
    # Packages are looked for beside the program that imports them.
    program = CLIENTS / run.name / f"use_{run.name.replace('-', '_')}.mjs"
    shutil.copy(HERE / program.name, program)
    assert run.ask("node", program).rstrip().endswith("all right"), "it did not come to its end"


def litellm(run):
    """The library, and its proxy in front of the server."""
    python_program(run)
    config = run.root / "config.yaml"
    config.write_text(f"""model_list:
  - model_name: local
    litellm_params:
      model: openai/{MODEL}
      api_base: {run.url}
      api_key: sk-local
""")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    proxy = run.start(run.bin / "litellm", "--config", config, "--port", port, "--host", "127.0.0.1")
    try:
        body = json.dumps({"model": "local", "messages": [{"role": "user", "content": "Hi"}]}).encode()
        for attempt in range(90):
            time.sleep(1)
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body,
                                                 {"Content-Type": "application/json", "Authorization": f"Bearer {PROXY_KEY}"})
                answer = json.load(urllib.request.urlopen(request, timeout=20))
                break
            except urllib.error.HTTPError:
                raise
            except OSError:
                assert attempt < 89 and proxy.poll() is None, "the proxy did not start"
        assert answer["choices"][0]["message"]["content"] == "Hello there."
    finally:
        proxy.terminate()
        proxy.wait(30)


def lm_eval(run):
    """A multiple-choice and a generation task of our own, by log-probabilities of prompts and by answers."""
    (run.root / "questions.jsonl").write_text("".join(
        json.dumps({"q": f"Question {i}: one plus one?", "choices": ["2", "seven hundred"], "a": 0}) + "\n" for i in range(4)))
    common = f"""dataset_path: json
dataset_kwargs:
  data_files:
    test: {run.root}/questions.jsonl
test_split: test
doc_to_text: "{{{{q}}}}"
"""
    tasks = run.root / "tasks"
    tasks.mkdir()
    (tasks / "choice.yaml").write_text("task: own_choice\n" + common + """output_type: multiple_choice
doc_to_choice: "{{choices}}"
doc_to_target: a
metric_list:
  - metric: acc
""")
    (tasks / "generate.yaml").write_text("task: own_generate\n" + common + """output_type: generate_until
doc_to_target: "2"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 8
filter_list:
  - name: strip
    filter:
      - function: remove_whitespace
      - function: take_first
metric_list:
  - metric: exact_match
""")
    run.env["HF_DATASETS_CACHE"] = str(run.root / "datasets")
    run.ask(run.bin / "lm_eval", "--model", "local-completions", "--model_args",
            f"model={MODEL},base_url={run.url}/completions,num_concurrent=2,max_retries=1,tokenizer_backend=remote",
            "--tasks", "own_choice,own_generate", "--include_path", tasks, "--output_path", run.root / "results")
    found = list((run.root / "results").rglob("results_*.json"))
    assert found, "there are no results"
    results = json.loads(found[0].read_text())["results"]
    # To a script all tokens of a prompt are equally unlikely: the shorter choice is the likelier one.
    assert results["own_choice"]["acc,none"] == 1.0, results
    assert results["own_generate"]["exact_match,strip"] == 1.0, results


def guidellm(run):
    run.ask(run.bin / "guidellm", "benchmark", "run", "--target", run.url.removesuffix("/v1"), "--model", MODEL, "--profile",
            "synchronous", "--max-requests", "3", "--data", "prompt_tokens=8,output_tokens=8", "--outputs", "out.json",
            "--output-dir", run.root, "--processor", TESTS / "reference/tiny/checkpoint")
    report = json.loads((run.root / "out.json").read_text())
    totals = report["benchmarks"][0]["metrics"]["request_totals"]
    assert totals["successful"] >= 3 and totals["errored"] == 0, totals


TESTS_OF = {"agents-python": python_program, "agents-js": node_program, "langchain": python_program,
            "llama-index": python_program, "pydantic-ai": python_program, "litellm": litellm, "lm-eval": lm_eval,
            "guidellm": guidellm}


def main():
    failed = 0
    for name in sys.argv[4:] or TESTS_OF:
        if not (CLIENTS / f"{name}.installed").exists():
            print(f"{name}: left out, it is not installed")
            continue
        root = pathlib.Path(tempfile.mkdtemp(prefix=f"facet-{name}-"))
        try:
            with Server(root) as server:
                TESTS_OF[name](Run(name, root, server.url))
        except (AssertionError, RuntimeError, OSError, KeyError, subprocess.SubprocessError) as error:
            print(f"{name}: {error}; what it said is in {root}/out.txt")
            failed += 1
        else:
            print(f"{name}: as it should be")
            shutil.rmtree(root, ignore_errors=True)
    return failed


sys.exit(main())
