"""langchain-openai: questions, tools, streams, forms, log-probabilities, embeddings, both APIs."""

import os

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

NAME = os.environ["MODEL"]


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"cold in {city}"


class Person(BaseModel):
    name: str
    age: int


for more in ({}, {"use_responses_api": True}):
    model = ChatOpenAI(model=NAME, stream_usage=True, **more)
    assert model.invoke("Hi").text == "Hello there."
    assert "".join(chunk.text for chunk in model.stream("Hi")) == "Hello there."
    with_tools = model.bind_tools([get_weather])
    question = HumanMessage("WEATHER")
    called = with_tools.invoke([question])
    assert called.tool_calls[0]["args"] == {"city": "Oslo"}
    result = ToolMessage(get_weather.invoke(called.tool_calls[0]["args"]), tool_call_id=called.tool_calls[0]["id"])
    assert with_tools.invoke([question, called, result]).text == "It is cold in Oslo."
    chunks = None
    for chunk in with_tools.stream([question]):
        chunks = chunk if chunks is None else chunks + chunk
    assert chunks.tool_calls[0]["name"] == "get_weather" and chunks.usage_metadata["input_tokens"] > 0
    for method in ("json_schema", "function_calling") if not more else ("json_schema",):
        asked = model.with_structured_output(Person, method=method)
        if method == "json_schema":
            assert asked.invoke("PERSON") == Person(name="Ada", age=36)
    assert isinstance(model.invoke([HumanMessage("Hi"), AIMessage("Hello there."), HumanMessage("Hi")]), AIMessage)
logprobs = ChatOpenAI(model=NAME, logprobs=True, top_logprobs=2).invoke("Hi").response_metadata["logprobs"]["content"]
assert len(logprobs[0]["top_logprobs"]) == 2
assert OpenAI(model=NAME).invoke("Hi") == "Hello there."
vectors = OpenAIEmbeddings(model=NAME, check_embedding_ctx_length=False).embed_documents(["a", "b"])
assert len(vectors) == 2 and len(vectors[0]) == 64
print("all right")
