"""Asks `facet serve pebble` something for which it needs a tool, and prints the call: python3 call_a_tool.py build/facet"""
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

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
server = subprocess.Popen([sys.argv[1], "serve", "pebble", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    body = {"model": "pebble", "temperature": 0, "messages": [{"role": "user", "content": QUESTION}], "tools": [TOOL]}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    for attempt in range(100):
        try:
            answer = json.load(urllib.request.urlopen(request))
            break
        except urllib.error.URLError:  # it is not listening yet
            if attempt == 99 or server.poll() is not None:
                raise
            time.sleep(0.1)
    message = answer["choices"][0]["message"]
    print(QUESTION)
    for call in message.get("tool_calls") or []:
        print(f"-> {call['function']['name']}({call['function']['arguments']})")
    if message.get("content"):
        print(message["content"])
finally:
    server.terminate()
    server.wait()
