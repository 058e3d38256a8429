"""llama-index: questions, chats, streams, tools."""

import os

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"cold in {city}"


model = OpenAILike(model=os.environ["MODEL"], api_base=os.environ["OPENAI_BASE_URL"], api_key="sk-local", is_chat_model=True,
                   is_function_calling_model=True, context_window=8192)
assert model.complete("Hi").text == "Hello there."
assert model.chat([ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="Hi")]).message.content == "Hello there."
assert [part.message.content for part in model.stream_chat([ChatMessage(role="user", content="Hi")])][-1] == "Hello there."
tool = FunctionTool.from_defaults(get_weather)
history = [ChatMessage(role="user", content="WEATHER")]
called = model.chat_with_tools([tool], chat_history=history)
calls = model.get_tool_calls_from_response(called)
assert calls[0].tool_name == "get_weather" and calls[0].tool_kwargs == {"city": "Oslo"}
result = ChatMessage(role="tool", content=str(tool(**calls[0].tool_kwargs)), additional_kwargs={"tool_call_id": calls[0].tool_id})
assert model.chat_with_tools([tool], chat_history=[*history, called.message, result]).message.content == "It is cold in Oslo."
plain = OpenAILike(model=os.environ["MODEL"], api_base=os.environ["OPENAI_BASE_URL"], api_key="sk-local", context_window=8192)
assert plain.complete("Hi").text == "Hello there."
print("all right")
