"""The official `ollama` Python client against a scripted server: python3 ollama_suite.py FACET TESTS_DIR.

More than forty calls: every field, streaming and not, errors as typed exceptions. vendor_client.sh installs the client and runs
this.
"""

import asyncio
import json
import sys

import ollama

from scripted_server import MODEL, PARAMETERS, PNG, SCHEMA, Server

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": PARAMETERS}}]
calls = 0


def user(text):
    return [{"role": "user", "content": text}]


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
      city: Its name
    """
    return "cold in " + city


def main(client, headers, url):
    def chat(text="Hi", **more):
        global calls
        calls += 1
        return client.chat(more.pop("model", MODEL), messages=more.pop("messages", user(text)), **more)

    def said(*args, **more):
        return chat(*args, **more).message.content

    def generate(prompt="Hi", **more):
        global calls
        calls += 1
        return client.generate(MODEL, prompt, **more)

    def refused(words, status=400, ask=chat, **more):
        try:
            ask(**more)
        except ollama.ResponseError as error:
            assert words in error.error and error.status_code == status, (error.error, error.status_code)
            return
        raise AssertionError(f"{more} was not refused")

    # Plain answers and every option.
    answer = chat()
    assert answer.message.content == "Hello there." and answer.done and answer.done_reason == "stop"
    assert answer.eval_count == 4 and answer.prompt_eval_count > 0 and answer.total_duration > 0
    assert answer.model == MODEL and said(model=MODEL + ":latest") == "Hello there."
    for options in [{"temperature": 0}, {"top_p": 0.5}, {"top_k": 5}, {"min_p": 0.1}, {"seed": 7}, {"num_predict": 100},
                    {"num_predict": -1}, {"num_ctx": 4096}, {"repeat_penalty": 1.1}, {"presence_penalty": 1.0},
                    {"frequency_penalty": -1.0}, {"repeat_last_n": 64}, {"num_gpu": 1, "num_thread": 4, "use_mmap": True},
                    {"mirostat": 0, "tfs_z": 1.0, "typical_p": 1.0, "penalize_newline": True}]:
        assert said(options=options) == "Hello there.", options
        assert said(options=ollama.Options(**options)) == "Hello there.", options
    assert chat("COUNT", options={"num_predict": 3}).done_reason == "length"
    assert said("COUNT", options={"stop": ["four"]}) == "one two three "
    assert said(keep_alive="5m") == said(keep_alive=-1) == "Hello there."
    assert said(messages=[{"role": "system", "content": "s"}] + user("a") + [{"role": "assistant", "content": "b"}] + user("c"))

    # Pictures, thinking, log-probabilities.
    picture = chat(messages=[{"role": "user", "content": "What?", "images": [PNG]}])
    assert picture.prompt_eval_count > chat("What?").prompt_eval_count + 30
    for think in [True, "high"]:
        thought = chat("THINK", think=think).message
        assert (thought.thinking, thought.content) == ("Deep.", "Answer.")
    assert said(think=False) == "Hello there."
    logprobs = chat("COUNT", logprobs=True, top_logprobs=3, options={"num_predict": 2}).logprobs
    assert len(logprobs) == 2 and len(logprobs[0].top_logprobs) == 3 and logprobs[0].token == "one"

    # Tools, as schemas and as functions.
    for tools in [TOOLS, [get_weather]]:
        message = chat("CALL", tools=tools).message
        assert message.content == "Wait." and message.tool_calls[0].function.arguments == {"city": "Oslo"}
        result = {"role": "tool", "tool_name": "get_weather", "content": get_weather(**message.tool_calls[0].function.arguments)}
        assert said(messages=user("CALL") + [message, result], tools=tools) == "It is cold."
    assert len(chat("TWO", tools=TOOLS).message.tool_calls) == 2

    # Forms.
    assert json.loads(said("JSON", format=SCHEMA)) == {"name": "Ada", "age": 36}
    assert json.loads(said("JSON", format="json"))

    # Streams.
    parts = list(chat(stream=True))
    assert "".join(part.message.content for part in parts) == "Hello there." and [part.done for part in parts][-1]
    calls_said = [call for part in chat("TWO", tools=TOOLS, stream=True) for call in part.message.tool_calls or []]
    assert [call.function.arguments["city"] for call in calls_said] == ["Oslo", "Rom"]
    assert "".join(part.message.thinking or "" for part in chat("THINK", think=True, stream=True)) == "Deep."
    running = chat("SLOW", stream=True)
    next(running)
    running.close()

    # Texts.
    assert generate().response == "Hello there." and generate(system="Be brief.").response == "Hello there."
    assert "".join(part.response for part in generate(stream=True)) == "Hello there."
    assert generate("x", raw=True).response == "Hello there."
    assert generate("THINK", think=True).thinking == "Deep."
    assert json.loads(generate("JSON", format=SCHEMA).response)["age"] == 36
    assert generate("What?", images=[PNG]).prompt_eval_count > generate("What?").prompt_eval_count + 30
    assert generate("").done_reason == "load" and generate("", keep_alive=0).done_reason == "unload"

    # Models and embeddings.
    assert client.list().models[0].model == MODEL and client.ps().models[0].name == MODEL
    shown = client.show(MODEL)
    assert {"completion", "tools", "thinking"} <= set(shown.capabilities) and shown.modelinfo["gemma4.context_length"] == 131072
    assert client.pull(MODEL).status == "success"
    vectors = client.embed(MODEL, ["a", "b"])
    assert len(vectors.embeddings) == 2 and abs(sum(v * v for v in vectors.embeddings[0]) - 1) < 1e-4
    assert len(client.embeddings(MODEL, "a").embedding) == 64

    # Errors are typed.
    refused("nope", 404, model="nope")
    refused("nope", 404, ask=lambda: client.show("nope"))
    refused("mirostat", options={"mirostat": 2})
    refused("think", think="hard")
    refused("messages[0].images[0]", messages=[{"role": "user", "content": "x", "images": [b"no picture"]}])
    refused("context", ask=generate, context=[1, 2])
    refused("suffix", ask=generate, suffix="x")
    refused("messages", messages=user("word " * 140000))
    try:
        list(ollama.Client(url, headers={"Authorization": "Bearer wrong"}).chat(MODEL, messages=user("x"), stream=True))
        raise AssertionError("a wrong key was taken")
    except ollama.ResponseError as error:
        assert error.status_code == 401 and "API key" in error.error

    async def together():
        other = ollama.AsyncClient(url, headers=headers)
        answers = await asyncio.gather(*[other.chat(MODEL, messages=user("Hi")) for _ in range(8)])
        assert all(answer.message.content == "Hello there." for answer in answers)

    asyncio.run(together())


with Server(sys.argv[1], sys.argv[2]) as server:
    key = {"Authorization": "Bearer sk-test"}
    main(ollama.Client(server.url, headers=key, timeout=60), key, server.url)
assert calls >= 40, calls
print(f"{calls} calls and more with ollama")
