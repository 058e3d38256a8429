"""litellm: questions, tools, streams, forms, responses, embeddings."""

import json
import os

import litellm

common = {"model": "openai/" + os.environ["MODEL"], "api_base": os.environ["OPENAI_BASE_URL"], "api_key": "sk-local"}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]


def user(text):
    return [{"role": "user", "content": text}]


assert litellm.completion(messages=user("Hi"), **common).choices[0].message.content == "Hello there."
assert "".join(c.choices[0].delta.content or "" for c in litellm.completion(messages=user("Hi"), stream=True, **common)) == "Hello there."
called = litellm.completion(messages=user("WEATHER"), tools=TOOLS, **common).choices[0].message
assert json.loads(called.tool_calls[0].function.arguments) == {"city": "Oslo"}
result = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "cold"}
said = litellm.completion(messages=[*user("WEATHER"), called.model_dump(), result], tools=TOOLS, **common)
assert said.choices[0].message.content == "It is cold in Oslo."
form = {"type": "json_schema", "json_schema": {"name": "p", "schema": {"type": "object", "properties": {
    "name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}}}
assert json.loads(litellm.completion(messages=user("PERSON"), response_format=form, **common).choices[0].message.content)["age"] == 36
assert litellm.responses(input="Hi", **common).output[-1].content[0].text == "Hello there."
assert litellm.text_completion(prompt="Hi", **common).choices[0].text == "Hello there."
assert len(litellm.embedding(input=["a"], **common).data[0]["embedding"]) == 64
print("all right")
