"""The official `openai` Python client against a scripted server: python3 openai_suite.py FACET TESTS_DIR.

Starts `facet serve script:...` on a free port and makes more than sixty calls: every field, streaming and not, errors as typed
exceptions. openai_client.sh installs the client and runs this.
"""

import asyncio
import base64
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import zlib

import openai

FACET, TESTS = sys.argv[1], sys.argv[2]
CALL = '<|channel>thought\nLook.\n<channel|>Wait.<|tool_call>call:get_weather{city:<|"|>Oslo<|"|>}<tool_call|>'
SCRIPT = [
    {"match": "CALL(.|\n)*response:get_weather", "emit": "It is cold."},
    {"match": "CALL", "emit": CALL},
    {"match": "TWO", "emit": CALL + '<|tool_call>call:get_weather{city:<|"|>Rom<|"|>}<tool_call|>'},
    {"match": "JSON", "emit": '{"name":"Ada","age":36}'},
    {"match": "THINK", "emit": "<|channel>thought\nDeep.\n<channel|>Answer."},
    {"match": "COUNT", "emit": "one two three four five six seven eight"},
    {"match": "SLOW", "emit": "tick tack " * 200, "delay_ms": 10},
    {"match": "TOKENS", "emit": "a<|turn>b<|image|>c"},
    {"emit": "Hello there."},
]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
          "required": ["name", "age"], "additionalProperties": False}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# A red square of 64 x 64.
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)) +
                       chunk(b"IDAT", zlib.compress((b"\0" + b"\xff\0\0" * 64) * 64)) + chunk(b"IEND", b"")).decode()

calls = 0


class Server:
    def __enter__(self):
        self.script = tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False)
        self.script.write("\n".join(json.dumps(line) for line in SCRIPT))
        self.script.close()
        self.process = subprocess.Popen(
            [FACET, "serve", "script:" + self.script.name, "--served-model-name", "gemma-4-12b", "--port", "0", "--api-key",
             "sk-test", "--vocab", TESTS + "/reference/gemma4/vocab.gguf"], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)/v1", line)
            if found:
                self.url = f"http://127.0.0.1:{found[1]}/v1"
                return self
        raise SystemExit("the server did not start")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        os.unlink(self.script.name)
        assert code == 0, f"the server ended with {code}"


def user(text):
    return [{"role": "user", "content": text}]


def main(client, url):
    def chat(text="Hi", **more):
        global calls
        calls += 1
        return client.chat.completions.create(model="gemma-4-12b", messages=more.pop("messages", user(text)), **more)

    def said(*args, **more):
        return chat(*args, **more).choices[0].message.content

    def refused(kind, param, **more):
        try:
            chat(**more)
        except kind as error:
            assert param is None or error.param == param, (param, error.param, str(error))
            assert error.code, error
            return error
        raise AssertionError(f"{more} was not refused")

    # Plain answers and every field.
    answer = chat()
    assert answer.choices[0].message.content == "Hello there." and answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert chat().usage.prompt_tokens_details.cached_tokens > 0
    for more in [{"temperature": 0}, {"temperature": 2.0, "seed": 1}, {"top_p": 0.5}, {"presence_penalty": 1},
                 {"frequency_penalty": -1}, {"user": "me"}, {"store": False}, {"metadata": {"a": "b"}}, {"seed": 7},
                 {"logit_bias": {"5": -50}}, {"max_tokens": 100}, {"max_completion_tokens": 10**9}, {"parallel_tool_calls": True},
                 {"modalities": ["text"]}, {"service_tier": "auto"}, {"prediction": {"type": "content", "content": "x"}},
                 {"extra_body": {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "cache_salt": "s"}},
                 {"tools": TOOLS, "tool_choice": "none"}, {"tools": TOOLS, "tool_choice": "auto"}, {"response_format": {"type": "text"}}]:
        assert said(**more) == "Hello there.", more
    assert [c.message.content for c in chat("COUNT", n=2, stop=[" three"]).choices] == ["one two"] * 2
    assert chat("COUNT", max_tokens=3).choices[0].finish_reason == "length"
    assert said("COUNT", stop="four") == "one two three "
    assert said("TOKENS") == "abc"
    logprobs = chat("COUNT", logprobs=True, top_logprobs=3, max_tokens=2).choices[0].logprobs.content
    assert len(logprobs) == 2 and len(logprobs[0].top_logprobs) == 3 and logprobs[0].token == "one"

    # Roles and content.
    assert said(messages=[{"role": "system", "content": "s"}, {"role": "developer", "content": "d"}] + user("a") + user("b"))
    assert said(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG, "detail": "high"}}
    small = chat(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}, dict(image, image_budget=70)]}])
    large = chat(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}, image]}])
    assert small.usage.prompt_tokens + 100 < large.usage.prompt_tokens
    wav = base64.b64encode(open(TESTS + "/reference/tiny/media/speech.wav", "rb").read()).decode()
    sound = {"type": "input_audio", "input_audio": {"data": wav, "format": "wav"}}
    assert chat(messages=[{"role": "user", "content": [sound]}]).usage.prompt_tokens > 70

    # Thinking.
    thought = chat("THINK", reasoning_effort="high").choices[0].message
    assert thought.reasoning_content == "Deep." and thought.content == "Answer."
    assert chat("THINK", reasoning_effort="none").usage.completion_tokens_details.reasoning_tokens >= 0
    assert said("THINK", extra_body={"chat_template_kwargs": {"enable_thinking": True}}) == "Answer."
    assert said("THINK", extra_body={"thinking_budget": 100}) == "Answer."

    # Tools.
    message = chat("CALL", tools=TOOLS).choices[0]
    assert message.finish_reason == "tool_calls" and message.message.content == "Wait."
    call = message.message.tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Oslo"}
    history = user("CALL") + [message.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "-3"}]
    assert said(messages=history, tools=TOOLS) == "It is cold."
    assert len(chat("TWO", tools=TOOLS).choices[0].message.tool_calls) == 2
    assert len(chat("TWO", tools=TOOLS, parallel_tool_calls=False).choices[0].message.tool_calls) == 1
    for choice in ["required", {"type": "function", "function": {"name": "get_weather"}}]:
        forced = chat(tools=TOOLS, tool_choice=choice, max_tokens=40).choices[0]
        assert forced.message.tool_calls[0].function.name == "get_weather"
    strict = [{"type": "function", "function": dict(TOOLS[0]["function"], strict=True)}]
    assert json.loads(chat("CALL", tools=strict).choices[0].message.tool_calls[0].function.arguments) == {"city": "Oslo"}

    # Forms.
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA, "strict": True}}
    assert json.loads(said("JSON", response_format=form)) == {"name": "Ada", "age": 36}
    assert json.loads(said("JSON", response_format={"type": "json_object"}))
    assert refused(openai.BadRequestError, "response_format", response_format={
        "type": "json_schema", "json_schema": {"name": "p", "schema": {"type": "object", "not": {}}}})

    # Streams.
    def stream(text="Hi", **more):
        return list(chat(text, stream=True, **more))

    assert "".join(c.choices[0].delta.content or "" for c in stream()) == "Hello there."
    assert stream(stream_options={"include_usage": True})[-1].usage.completion_tokens == 4
    assert stream("COUNT", max_tokens=2)[-1].choices[0].finish_reason == "length"
    parts = stream("TWO", tools=TOOLS)
    arguments = {}
    for part in parts:
        for delta in part.choices[0].delta.tool_calls or []:
            arguments[delta.index] = arguments.get(delta.index, "") + (delta.function.arguments or "")
    assert [json.loads(a)["city"] for a in arguments.values()] == ["Oslo", "Rom"] and parts[-1].choices[0].finish_reason == "tool_calls"
    assert {c.choices[0].index for c in stream(n=3)} == {0, 1, 2}
    running = chat("SLOW", stream=True)
    next(iter(running))
    running.close()
    with client.chat.completions.stream(model="gemma-4-12b", messages=user("CALL"), tools=TOOLS) as events:
        assert events.get_final_completion().choices[0].message.tool_calls

    # Errors are typed.
    for param, more in {"temperature": {"temperature": -1}, "n": {"n": 10**6}, "top_p": {"top_p": 2}, "messages": {"messages": []},
                        "max_tokens": {"max_tokens": -5}, "stop": {"stop": [7]}, "tools": {"tools": 5}, "typical_p": {
                            "extra_body": {"typical_p": 0.5}}, "messages[0].role": {"messages": [{"role": "x", "content": "y"}]},
                        "logit_bias": {"logit_bias": {"x": 1}}, "audio": {"audio": {"voice": "a", "format": "wav"}}}.items():
        refused(openai.BadRequestError, param, **more)
    # What nobody knows changes nothing, and is named.
    taken = client.chat.completions.with_raw_response.create(model="gemma-4-12b", messages=user("Hi"), extra_body={"nonsense": 1})
    assert taken.headers["x-facet-ignored"] == "nonsense" and taken.parse().choices[0].message.content == "Hello there."
    assert refused(openai.BadRequestError, "messages", messages=user("word " * 140000)).code == "context_length_exceeded"
    try:
        client.chat.completions.create(model="nope", messages=user("x"))
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"
    try:
        openai.OpenAI(base_url=url, api_key="wrong", max_retries=0).models.list()
        raise AssertionError("a wrong key was taken")
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key"

    # Models, completions, embeddings, responses, transcriptions.
    assert client.models.list().data[0].id == "gemma-4-12b"
    assert client.models.retrieve("gemma-4-12b").context_length == 131072
    assert client.completions.create(model="gemma-4-12b", prompt="x").choices[0].text == "Hello there."
    assert len(client.completions.create(model="gemma-4-12b", prompt=["x", "y"], n=2).choices) == 4
    assert "".join(c.choices[0].text for c in client.completions.create(model="gemma-4-12b", prompt="x", stream=True)) == "Hello there."
    vectors = client.embeddings.create(model="gemma-4-12b", input=["a", "b"])  # asks for base64 and decodes it
    assert len(vectors.data) == 2 and abs(sum(v * v for v in vectors.data[0].embedding) - 1) < 1e-5
    assert len(client.embeddings.create(model="gemma-4-12b", input="a", encoding_format="float").data[0].embedding) == 64
    try:
        client.embeddings.create(model="gemma-4-12b", input="a", dimensions=3)
        raise AssertionError("dimensions were taken")
    except openai.BadRequestError as error:
        assert error.param == "dimensions"
    first = client.responses.create(model="gemma-4-12b", input="Hi", instructions="Be brief.")
    assert first.output_text == "Hello there." and first.status == "completed"
    assert client.responses.create(model="gemma-4-12b", input="more", previous_response_id=first.id).usage.input_tokens > first.usage.input_tokens
    assert client.responses.retrieve(first.id).id == first.id
    client.responses.delete(first.id)
    flat = [{"type": "function", "name": "get_weather", "parameters": TOOLS[0]["function"]["parameters"], "strict": False}]
    called = client.responses.create(model="gemma-4-12b", input="CALL", tools=flat)
    assert [item.type for item in called.output] == ["reasoning", "message", "function_call"]
    result = {"type": "function_call_output", "call_id": called.output[2].call_id, "output": "-3"}
    assert client.responses.create(model="gemma-4-12b", input=[result], tools=flat, previous_response_id=called.id).output_text == "It is cold."
    types = [event.type for event in client.responses.create(model="gemma-4-12b", input="THINK", stream=True)]
    assert types[0] == "response.created" and types[-1] == "response.completed" and "response.output_text.delta" in types
    with client.responses.stream(model="gemma-4-12b", input="Hi") as events:
        assert events.get_final_response().output_text == "Hello there."
    cut = client.responses.create(model="gemma-4-12b", input="COUNT", max_output_tokens=2)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"
    with open(TESTS + "/reference/tiny/media/speech.wav", "rb") as file:
        assert client.audio.transcriptions.create(model="gemma-4-12b", file=file).text == "Hello there."
    for kind in ["text", "srt", "vtt"]:
        with open(TESTS + "/reference/tiny/media/speech.wav", "rb") as file:
            assert "Hello there." in client.audio.transcriptions.create(model="gemma-4-12b", file=file, response_format=kind)


async def together(url):
    client = openai.AsyncOpenAI(base_url=url, api_key="sk-test")
    answers = await asyncio.gather(*[client.chat.completions.create(model="gemma-4-12b", messages=user(f"{i} COUNT")) for i in range(20)])
    assert all(a.choices[0].message.content.startswith("one two") for a in answers)


with Server() as server:
    main(openai.OpenAI(base_url=server.url, api_key="sk-test", max_retries=0), server.url)
    asyncio.run(together(server.url))
assert calls >= 60, calls
print(f"openai {openai.__version__}: {calls} chat calls and more agree")
