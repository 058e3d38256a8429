"""The official `anthropic` Python client against a scripted server: python3 anthropic_suite.py FACET TESTS_DIR.

More than forty calls: every field, streaming and not, errors as typed exceptions. vendor_client.sh installs the client and runs
this.
"""

import asyncio
import base64
import json
import sys

import anthropic

from scripted_server import MODEL, PARAMETERS, PNG, SCHEMA, Server

TOOLS = [{"name": "get_weather", "description": "Weather", "input_schema": PARAMETERS}]
calls = 0


def user(text):
    return [{"role": "user", "content": text}]


def main(client, url):
    def ask(text="Hi", **more):
        global calls
        calls += 1
        return client.messages.create(model=MODEL, max_tokens=more.pop("max_tokens", 500), messages=more.pop("messages", user(text)),
                                      **more)

    def said(*args, **more):
        return "".join(block.text for block in ask(*args, **more).content if block.type == "text")

    def refused(kind, words, **more):
        try:
            ask(**more)
        except kind as error:
            assert words in str(error), error
            return error
        raise AssertionError(f"{more} was not refused")

    # Plain answers and every field.
    answer = ask()
    assert answer.content[0].text == "Hello there." and answer.stop_reason == "end_turn" and answer.role == "assistant"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens == 4
    assert ask().usage.cache_read_input_tokens > 0
    for more in [{"extra_body": {"temperature": 0}}, {"extra_body": {"temperature": 1.0}}, {"extra_body": {"top_p": 0.5}},
                 {"extra_body": {"top_k": 5}}, {"system": "Be brief."},
                 {"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]},
                 {"metadata": {"user_id": "me"}}, {"service_tier": "auto"}, {"stop_sequences": ["zzz"]}, {"extra_body": {"seed": 1}},
                 {"tools": TOOLS, "tool_choice": {"type": "none"}}, {"tools": TOOLS, "tool_choice": {"type": "auto"}},
                 {"thinking": {"type": "disabled"}}, {"thinking": {"type": "adaptive"}}, {"output_config": {"effort": "low"}},
                 {"cache_control": {"type": "ephemeral"}}, {"max_tokens": 4000}]:
        assert said(**more) == "Hello there.", more
    assert ask("COUNT", max_tokens=3).stop_reason == "max_tokens"
    stopped = ask("COUNT", stop_sequences=["four"])
    assert (stopped.stop_reason, stopped.stop_sequence, stopped.content[0].text) == ("stop_sequence", "four", "one two three ")
    assert said(messages=user("a") + [{"role": "assistant", "content": "b"}] + user([{"type": "text", "text": "c"}]))

    # Pictures, also from tools.
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}}
    text = {"type": "text", "text": "What is this?"}
    count = client.messages.count_tokens
    assert count(model=MODEL, messages=user([picture, text])).input_tokens > count(model=MODEL, messages=user([text])).input_tokens + 30
    assert said(messages=user([picture, text])) == "Hello there."

    # Thinking.
    thought = ask("THINK", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2000)
    assert [block.type for block in thought.content] == ["thinking", "text"] and thought.content[0].thinking == "Deep."
    assert thought.content[0].signature
    assert [block.type for block in ask("THINK").content] == ["text"]

    # Tools.
    message = ask("CALL", tools=TOOLS, thinking={"type": "adaptive"})
    assert message.stop_reason == "tool_use" and [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    use = message.content[2]
    assert use.name == "get_weather" and use.input == {"city": "Oslo"}
    for content in ["-3", [{"type": "text", "text": "-3"}]]:
        result = {"type": "tool_result", "tool_use_id": use.id, "content": content}
        assert said(messages=user("CALL") + [{"role": "assistant", "content": message.content}] + user([result]), tools=TOOLS) == (
            "It is cold.")
    assert sum(block.type == "tool_use" for block in ask("TWO", tools=TOOLS).content) == 2
    single = {"type": "auto", "disable_parallel_tool_use": True}
    assert sum(block.type == "tool_use" for block in ask("TWO", tools=TOOLS, tool_choice=single).content) == 1
    for choice in [{"type": "any"}, {"type": "tool", "name": "get_weather"}]:
        assert ask("FORCED", tools=TOOLS, tool_choice=choice).content[-1].name == "get_weather"
    hosted = [{"type": "web_search_20250305", "name": "web_search"}, {"type": "bash_20250124", "name": "bash"}]
    assert said(tools=hosted) == "Hello there."

    # Forms.
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert json.loads(said("JSON", output_config=form)) == {"name": "Ada", "age": 36}
    strict = [dict(TOOLS[0], strict=True)]
    assert ask("CALL", tools=strict).content[-1].input == {"city": "Oslo"}

    # Streams.
    def stream(text="Hi", **more):
        return list(ask(text, stream=True, **more))

    events = stream()
    assert [event.type for event in events][:1] == ["message_start"] and events[-1].type == "message_stop"
    assert "".join(e.delta.text for e in events if e.type == "content_block_delta") == "Hello there."
    assert stream("COUNT", max_tokens=2)[-2].delta.stop_reason == "max_tokens"
    with client.messages.stream(model=MODEL, max_tokens=500, messages=user("TWO"), tools=TOOLS,
                                thinking={"type": "adaptive"}) as running:
        final = running.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block.input["city"] for block in final.content[2:]] == ["Oslo", "Rom"]
    assert final.stop_reason == "tool_use" and final.usage.output_tokens > 0 and final.usage.input_tokens > 0
    with client.messages.stream(model=MODEL, max_tokens=500, messages=user("Hi")) as running:
        assert "".join(running.text_stream) == "Hello there."
    running = ask("SLOW", stream=True)
    next(iter(running))
    running.close()

    # Errors are typed.
    for words, more in {"temperature": {"extra_body": {"temperature": -1}}, "top_p": {"extra_body": {"top_p": 2}}, "messages": {"messages": []}, "messages[0].role": {"messages": [{"role": "x", "content": "y"}]}, "tools[0].input_schema": {
                "tools": [{"name": "f"}]}, "tool_choice": {"tool_choice": {"type": "any"}}, "mcp_servers": {
                    "extra_body": {"mcp_servers": [{"type": "url", "url": "http://x", "name": "x"}]}}}.items():
        error = refused(anthropic.BadRequestError, words, **more)
        assert error.body["error"]["type"] == "invalid_request_error", error.body
    refused(anthropic.BadRequestError, "prompt is too long", messages=user("word " * 140000))
    try:
        client.messages.create(model="nope", max_tokens=5, messages=user("x"))
        raise AssertionError("a model that is not there was used")
    except anthropic.NotFoundError as error:
        assert "nope" in str(error)
    try:
        anthropic.Anthropic(base_url=url, api_key="wrong", max_retries=0).messages.create(model=MODEL, max_tokens=5, messages=user("x"))
        raise AssertionError("a wrong key was taken")
    except anthropic.AuthenticationError:
        pass

    # What nobody knows is taken and named.
    raw = client.messages.with_raw_response.create(model=MODEL, max_tokens=5, messages=user("x"), extra_body={"nonsense": 1})
    assert raw.headers["x-facet-ignored"] == "nonsense", raw.headers

    # Models; the beta's own route.
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).display_name == MODEL
    beta = client.beta.messages.create(model=MODEL, max_tokens=50, messages=user("Hi"), betas=["context-management-2025-06-27"],
                                       context_management={"edits": [{"type": "clear_tool_uses_20250919"}]})
    assert beta.content[0].text == "Hello there." and beta.context_management.applied_edits == []

    async def together():
        other = anthropic.AsyncAnthropic(base_url=url, api_key="sk-test")
        answers = await asyncio.gather(*[other.messages.create(model=MODEL, max_tokens=20, messages=user("Hi")) for _ in range(8)])
        assert all(answer.content[0].text == "Hello there." for answer in answers)

    asyncio.run(together())


with Server(sys.argv[1], sys.argv[2]) as server:
    main(anthropic.Anthropic(base_url=server.url, api_key="sk-test", max_retries=0, timeout=60), server.url)
assert calls >= 40, calls
print(f"{calls} calls and more with anthropic {anthropic.__version__}")
