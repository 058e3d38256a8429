"""The official `google-genai` Python client against a scripted server: python3 gemini_suite.py FACET TESTS_DIR.

More than forty calls: every field, streaming and not, errors as typed exceptions. vendor_client.sh installs the client and runs
this.
"""

import asyncio
import json
import sys

from google import genai
from google.genai import errors, types

from scripted_server import MODEL, PNG, SCHEMA, Server

TOOL = types.Tool(function_declarations=[types.FunctionDeclaration(
    name="get_weather", description="Weather",
    parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"]))])
calls = 0


def get_weather(city: str) -> str:
    """The weather of a city."""
    return "cold in " + city


def main(client, url):
    def ask(contents="Hi", model=MODEL, **config):
        global calls
        calls += 1
        return client.models.generate_content(model=model, contents=contents, config=config or None)

    def stream(contents="Hi", **config):
        global calls
        calls += 1
        return list(client.models.generate_content_stream(model=MODEL, contents=contents, config=config or None))

    def refused(words, code=400, **more):
        try:
            ask(**more)
        except errors.ClientError as error:
            assert words in error.message and error.code == code, error
            return error
        raise AssertionError(f"{more} was not refused")

    # Plain answers and every field.
    answer = ask()
    assert answer.text == "Hello there." and answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert usage.candidates_token_count == 4 and usage.total_token_count == usage.prompt_token_count + 4
    assert ask().usage_metadata.cached_content_token_count > 0
    assert answer.model_version == MODEL and ask(model="gemini-3-flash").text == "Hello there."
    for config in [{"temperature": 0}, {"top_p": 0.5}, {"top_k": 5}, {"seed": 1}, {"max_output_tokens": 100},
                   {"presence_penalty": 1.0}, {"frequency_penalty": -1.0}, {"system_instruction": "Be brief."},
                   {"stop_sequences": ["zzz"]}, {"response_modalities": ["TEXT"]}, {"response_mime_type": "text/plain"},
                   {"thinking_config": {"thinking_budget": 0}}, {"thinking_config": {"thinking_level": "LOW"}},
                   {"safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]},
                   {"media_resolution": "MEDIA_RESOLUTION_LOW"}, {"tools": [types.Tool(google_search=types.GoogleSearch())]},
                   {"tools": [TOOL], "tool_config": {"function_calling_config": {"mode": "NONE"}}}]:
        assert ask(**config).text == "Hello there.", config
    assert ask("COUNT", max_output_tokens=3).candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert ask("COUNT", stop_sequences=["four"]).text == "one two three "
    assert len(ask(candidate_count=2).candidates) == 2
    logprobs = ask("COUNT", response_logprobs=True, logprobs=3, max_output_tokens=2).candidates[0].logprobs_result
    assert len(logprobs.chosen_candidates) == 2 and len(logprobs.top_candidates[0].candidates) == 3

    # Media.
    picture = types.Part.from_bytes(data=PNG, mime_type="image/png")
    sound = types.Part.from_bytes(data=open(sys.argv[2] + "/reference/tiny/media/speech.wav", "rb").read(), mime_type="audio/wav")
    count = lambda contents: client.models.count_tokens(model=MODEL, contents=contents).total_tokens
    assert count([picture, "What?"]) > count("What?") + 30 and count([sound, "What?"]) > count("What?") + 30
    assert ask([picture, "What?"]).text == "Hello there."

    # Thinking.
    thought = ask("THINK", thinking_config={"include_thoughts": True})
    assert thought.text == "Answer." and thought.candidates[0].content.parts[0].thought
    assert thought.candidates[0].content.parts[0].text == "Deep." and thought.usage_metadata.thoughts_token_count > 0
    assert ask("THINK").text == "Answer." and len(ask("THINK").candidates[0].content.parts) == 1

    # Functions: by hand, and called by the client itself.
    said = ask("CALL", tools=[TOOL])
    assert said.function_calls[0].name == "get_weather" and said.function_calls[0].args == {"city": "Oslo"}
    result = types.Part.from_function_response(name="get_weather", response={"result": "-3"})
    history = [types.Content(role="user", parts=[types.Part(text="CALL")]), said.candidates[0].content,
               types.Content(role="user", parts=[result])]
    assert ask(history, tools=[TOOL]).text == "It is cold."
    assert len(ask("TWO", tools=[TOOL]).function_calls) == 2
    assert ask("CALL", tools=[get_weather]).text == "It is cold."
    for config in [{"mode": "ANY"}, {"mode": "ANY", "allowed_function_names": ["get_weather"]}, {"mode": "VALIDATED"}]:
        forced = ask("FORCED", tools=[TOOL], tool_config={"function_calling_config": config})
        assert forced.function_calls[0].name == "get_weather", config

    # Forms.
    assert json.loads(ask("JSON", response_mime_type="application/json").text)
    assert json.loads(ask("JSON", response_mime_type="application/json", response_json_schema=SCHEMA).text)["age"] == 36
    own = types.Schema(type="OBJECT", properties={"name": types.Schema(type="STRING"), "age": types.Schema(type="INTEGER")},
                       required=["name", "age"], property_ordering=["name", "age"])
    assert ask("JSON", response_mime_type="application/json", response_schema=own).parsed == {"name": "Ada", "age": 36}

    # Streams.
    parts = stream()
    assert "".join(part.text or "" for part in parts) == "Hello there." and parts[-1].usage_metadata.candidates_token_count == 4
    assert stream("COUNT", max_output_tokens=2)[-1].candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    found = [call for part in stream("TWO", tools=[TOOL]) for call in part.function_calls or []]
    assert [call.args["city"] for call in found] == ["Oslo", "Rom"]
    running = client.models.generate_content_stream(model=MODEL, contents="SLOW")
    next(running)
    running.close()

    # Chats send back what they have heard.
    chat = client.chats.create(model=MODEL)
    assert chat.send_message("Hi").text == "Hello there."
    assert "".join(part.text or "" for part in chat.send_message_stream("COUNT")) == "one two three four five six seven eight"
    assert chat.send_message("Hi").text and len(chat.get_history(curated=True)) >= 6

    # Errors are typed.
    for words, config in {"temperature": {"temperature": -1}, "topP": {"top_p": 2}, "maxOutputTokens": {"max_output_tokens": -5},
                          "cachedContent": {"cached_content": "cachedContents/x"},
                          "nope": {"tools": [TOOL], "tool_config": {"function_calling_config": {
                              "mode": "ANY", "allowed_function_names": ["nope"]}}}}.items():
        assert refused(words, **config).status == "INVALID_ARGUMENT"
    refused("exceeds the maximum number of tokens", contents="word " * 140000)
    refused("nope", 404, model="nope")
    refused("mimeType", contents=[types.Part.from_bytes(data=b"x", mime_type="application/pdf")])
    try:
        stranger = genai.Client(api_key="wrong", http_options={"base_url": url})
        stranger.models.generate_content(model=MODEL, contents="x")
        raise AssertionError("a wrong key was taken")
    except errors.ClientError as error:
        assert error.code == 401 and error.status == "UNAUTHENTICATED"

    # Models and embeddings.
    assert [model.name for model in client.models.list()] == ["models/" + MODEL]
    assert client.models.get(model=MODEL).input_token_limit == 131072
    vectors = client.models.embed_content(model=MODEL, contents=["a", "b"]).embeddings
    assert len(vectors) == 2 and abs(sum(v * v for v in vectors[0].values) - 1) < 1e-4

    async def together():
        answers = await asyncio.gather(*[client.aio.models.generate_content(model=MODEL, contents="Hi") for _ in range(8)])
        assert all(answer.text == "Hello there." for answer in answers)
        async for part in await client.aio.models.generate_content_stream(model=MODEL, contents="Hi"):
            assert part.candidates

    asyncio.run(together())


with Server(sys.argv[1], sys.argv[2]) as server:
    whole = genai.Client(api_key="sk-test", http_options={"base_url": server.url})
    main(whole, server.url)
assert calls >= 40, calls
print(f"{calls} calls and more with google-genai {genai.__version__}")
