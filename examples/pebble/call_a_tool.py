"""Asks `facet serve pebble` something for which it needs a tool, and prints the call and the answer from its result:
python3 call_a_tool.py build/facet"""
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

QUESTION = "Note that tom plays with the mouse."
TOOL = {"type": "function", "function": {
    "name": "save_note", "description": "Write a note",
    "parameters": {"type": "object", "properties": {"text": {"type": "string", "description": "The note"}}, "required": ["text"]}}}

RESULT = {"status": "saved"}


def chat(port: int, messages: list) -> dict:
    body = {"model": "pebble", "temperature": 0, "messages": messages, "tools": [TOOL]}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    for attempt in range(100):
        try:
            return json.load(urllib.request.urlopen(request))["choices"][0]["message"]
        except urllib.error.URLError:  # it is not listening yet
            if attempt == 99 or server.poll() is not None:
                raise
            time.sleep(0.1)


if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
    sys.exit(__doc__)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
server = subprocess.Popen([sys.argv[1], "serve", "pebble", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    print(QUESTION)
    messages = [{"role": "user", "content": QUESTION}]
    message = chat(port, messages)
    calls = message.get("tool_calls") or []
    for call in calls:
        print(f"-> {call['function']['name']}({call['function']['arguments']})")
    if calls:
        print(f"<- {json.dumps(RESULT)}")
        message = chat(port, messages + [message] + [
            {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(RESULT)} for call in calls])
    print(message.get("content") or "(no answer)")
finally:
    server.terminate()
    server.wait()
