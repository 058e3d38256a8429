// @openai/agents: the responses API and the chat API, tools, streams, forms.
import { Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, run, setTracingDisabled, tool } from '@openai/agents';
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { z } from 'zod';

setTracingDisabled(true);
const client = new OpenAI();
const weather = tool({
  name: 'get_weather',
  description: 'The weather of a city.',
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `cold in ${city}`,
});
for (const Kind of [OpenAIResponsesModel, OpenAIChatCompletionsModel]) {
  const model = new Kind(client, process.env.MODEL);
  const agent = new Agent({ name: 'A', instructions: 'Be brief.', model, tools: [weather] });
  assert.equal((await run(agent, 'Hi')).finalOutput, 'Hello there.');
  const result = await run(agent, 'WEATHER');
  assert.equal(result.finalOutput, 'It is cold in Oslo.');
  const again = await run(agent, [...result.history, { role: 'user', content: 'And now?' }]);
  assert.ok(again.finalOutput);
  const stream = await run(agent, 'WEATHER', { stream: true });
  for await (const _ of stream) { /* to its end */ }
  await stream.completed;
  assert.equal(stream.finalOutput, 'It is cold in Oslo.');
  const person = new Agent({ name: 'B', model, outputType: z.object({ name: z.string(), age: z.number() }) });
  assert.deepEqual((await run(person, 'PERSON')).finalOutput, { name: 'Ada', age: 36 });
}
console.log('all right');
