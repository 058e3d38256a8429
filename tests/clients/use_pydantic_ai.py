"""pydantic-ai: the chat API and the responses API, tools, streams, forms."""

import asyncio
import os

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


class Person(BaseModel):
    name: str
    age: int


async def main():
    for kind in (OpenAIChatModel, OpenAIResponsesModel):
        model = kind(os.environ["MODEL"], provider=OpenAIProvider(base_url=os.environ["OPENAI_BASE_URL"], api_key="sk-local"))
        agent = Agent(model, system_prompt="Be brief.")

        @agent.tool_plain
        def get_weather(city: str) -> str:
            """The weather of a city."""
            return f"cold in {city}"

        assert (await agent.run("Hi")).output == "Hello there."
        result = await agent.run("WEATHER")
        assert result.output == "It is cold in Oslo.", result.output
        assert (await agent.run("And now?", message_history=result.all_messages())).output
        async with agent.run_stream("Hi") as stream:
            assert await stream.get_output() == "Hello there."
        assert (await Agent(model, output_type=NativeOutput(Person)).run("PERSON")).output == Person(name="Ada", age=36)


asyncio.run(main())
print("all right")
