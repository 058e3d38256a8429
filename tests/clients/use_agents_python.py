"""openai-agents: the responses API and the chat API, tools, streams, forms."""

import asyncio
import os

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from openai import AsyncOpenAI
from pydantic import BaseModel

NAME = os.environ["MODEL"]


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"cold in {city}"


class Person(BaseModel):
    name: str
    age: int


async def main():
    client = AsyncOpenAI()
    for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
        model = kind(model=NAME, openai_client=client)
        agent = Agent(name="A", instructions="Be brief.", model=model, tools=[get_weather], model_settings=ModelSettings(temperature=0))
        assert (await Runner.run(agent, "Hi")).final_output == "Hello there."
        result = await Runner.run(agent, "WEATHER")
        assert result.final_output == "It is cold in Oslo.", result.final_output
        # The whole run goes back as the input of the next.
        again = await Runner.run(agent, result.to_input_list() + [{"role": "user", "content": "And now?"}])
        assert again.final_output
        stream = Runner.run_streamed(agent, "WEATHER")
        kinds = [event.type async for event in stream.stream_events()]
        assert stream.final_output == "It is cold in Oslo." and "raw_response_event" in kinds
        person = (await Runner.run(Agent(name="B", model=model, output_type=Person), "PERSON")).final_output
        assert person == Person(name="Ada", age=36), person


asyncio.run(main())
print("all right")
