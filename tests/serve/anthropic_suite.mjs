// The official `@anthropic-ai/sdk` client against a scripted server, run by vendor_client.sh. More than forty calls: every field,
// streaming and not, errors as typed exceptions.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { collect, model, parameters, schema, withServer } from './scripted_server.mjs';

const tools = [{ name: 'get_weather', description: 'Weather', input_schema: parameters }];
const user = (content) => [{ role: 'user', content }];
let calls = 0;

await withServer(async (url, data) => {
  const client = new Anthropic({ baseURL: url, apiKey: 'sk-test', maxRetries: 0 });
  const ask = (text = 'Hi', more = {}) => {
    calls += 1;
    return client.messages.create({ model, max_tokens: 500, messages: user(text), ...more });
  };
  const said = async (text, more) =>
    (await ask(text, more)).content.filter((block) => block.type === 'text').map((block) => block.text).join('');

  // Plain answers and every field.
  const answer = await ask();
  assert.equal(answer.content[0].text, 'Hello there.');
  assert.equal(answer.stop_reason, 'end_turn');
  assert.equal(answer.usage.output_tokens, 4);
  assert.ok((await ask()).usage.cache_read_input_tokens > 0);
  for (const more of [{ temperature: 0 }, { temperature: 1 }, { top_p: 0.5 }, { top_k: 5 }, { system: 'Be brief.' },
    { system: [{ type: 'text', text: 'a', cache_control: { type: 'ephemeral' } }] }, { metadata: { user_id: 'me' } },
    { service_tier: 'auto' }, { stop_sequences: ['zzz'] }, { seed: 1 }, { tools, tool_choice: { type: 'none' } },
    { tools, tool_choice: { type: 'auto' } }, { thinking: { type: 'disabled' } }, { thinking: { type: 'adaptive' } },
    { output_config: { effort: 'low' } }, { cache_control: { type: 'ephemeral' } }, { max_tokens: 4000, stream: false }])
    assert.equal(await said('Hi', more), 'Hello there.', JSON.stringify(more));
  assert.equal((await ask('COUNT', { max_tokens: 3 })).stop_reason, 'max_tokens');
  const stopped = await ask('COUNT', { stop_sequences: ['four'] });
  assert.deepEqual([stopped.stop_reason, stopped.stop_sequence, stopped.content[0].text], ['stop_sequence', 'four', 'one two three ']);
  assert.ok(await said('', { messages: [...user('a'), { role: 'assistant', content: 'b' }, ...user([{ type: 'text', text: 'c' }])] }));

  // Pictures.
  const picture = { type: 'image', source: { type: 'base64', media_type: 'image/png', data } };
  const text = { type: 'text', text: 'What is this?' };
  const count = async (content) => (await client.messages.countTokens({ model, messages: user(content) })).input_tokens;
  assert.ok(await count([picture, text]) > await count([text]) + 60);
  assert.equal(await said([picture, text]), 'Hello there.');

  // Thinking.
  const thought = await ask('THINK', { thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 2000 });
  assert.deepEqual(thought.content.map((block) => block.type), ['thinking', 'text']);
  assert.equal(thought.content[0].thinking, 'Deep.');
  assert.deepEqual((await ask('THINK')).content.map((block) => block.type), ['text']);

  // Tools.
  const message = await ask('CALL', { tools, thinking: { type: 'adaptive' } });
  assert.equal(message.stop_reason, 'tool_use');
  const use = message.content.at(-1);
  assert.deepEqual(use.input, { city: 'Oslo' });
  for (const content of ['-3', [{ type: 'text', text: '-3' }]]) {
    const result = { type: 'tool_result', tool_use_id: use.id, content };
    assert.equal(await said('', { tools,
      messages: [...user('CALL'), { role: 'assistant', content: message.content }, ...user([result])] }), 'It is cold.');
  }
  const uses = async (more) => (await ask('TWO', { tools, ...more })).content.filter((block) => block.type === 'tool_use').length;
  assert.equal(await uses({}), 2);
  assert.equal(await uses({ tool_choice: { type: 'auto', disable_parallel_tool_use: true } }), 1);
  for (const tool_choice of [{ type: 'any' }, { type: 'tool', name: 'get_weather' }])
    assert.equal((await ask('FORCED', { tools, tool_choice })).content.at(-1).name, 'get_weather');
  assert.equal(await said('Hi', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }), 'Hello there.');

  // Forms.
  assert.deepEqual(JSON.parse(await said('JSON', { output_config: { format: { type: 'json_schema', schema } } })), { name: 'Ada', age: 36 });
  assert.deepEqual((await ask('CALL', { tools: [{ ...tools[0], strict: true }] })).content.at(-1).input, { city: 'Oslo' });

  // Streams.
  const events = await collect(await ask('Hi', { stream: true }));
  assert.equal(events[0].type, 'message_start');
  assert.equal(events.at(-1).type, 'message_stop');
  assert.equal(events.filter((e) => e.type === 'content_block_delta').map((e) => e.delta.text).join(''), 'Hello there.');
  assert.equal((await collect(await ask('COUNT', { stream: true, max_tokens: 2 }))).at(-2).delta.stop_reason, 'max_tokens');
  const final = await client.messages.stream({ model, max_tokens: 500, messages: user('TWO'), tools, thinking: { type: 'adaptive' } })
    .finalMessage();
  assert.deepEqual(final.content.map((block) => block.type), ['thinking', 'text', 'tool_use', 'tool_use']);
  assert.deepEqual(final.content.slice(2).map((block) => block.input.city), ['Oslo', 'Rom']);
  let heard = '';
  const helper = client.messages.stream({ model, max_tokens: 500, messages: user('Hi') }).on('text', (more) => { heard += more; });
  assert.equal(await helper.finalText(), 'Hello there.');
  assert.equal(heard, 'Hello there.');
  const slow = await ask('SLOW', { stream: true });
  for await (const event of slow) if (event.type === 'content_block_delta') break;

  // Errors are typed.
  const refused = async (words, more, kind = Anthropic.BadRequestError) => {
    await assert.rejects(ask('Hi', more), (error) => {
      assert.ok(error instanceof kind, error);
      assert.ok(error.message.includes(words), error.message);
      return true;
    });
  };
  await refused('temperature', { temperature: -1 });
  await refused('top_p', { top_p: 2 });
  await refused('messages', { messages: [] });
  await refused('messages[0].role', { messages: [{ role: 'x', content: 'y' }] });
  await refused('tools[0].input_schema', { tools: [{ name: 'f' }] });
  await refused('mcp_servers', { mcp_servers: [{ type: 'url', url: 'http://x', name: 'x' }] });
  await refused('prompt is too long', { messages: user('word '.repeat(140000)) });
  await refused('nope', { model: 'nope' }, Anthropic.NotFoundError);
  const stranger = new Anthropic({ baseURL: url, apiKey: 'wrong', maxRetries: 0 });
  await assert.rejects(stranger.messages.create({ model, max_tokens: 5, messages: user('x') }), Anthropic.AuthenticationError);

  // Models.
  assert.deepEqual((await collect(client.models.list())).map((one) => one.id), [model]);
  assert.equal((await client.models.retrieve(model)).display_name, model);
  const answers = await Promise.all(Array.from({ length: 8 }, () => said('Hi')));
  assert.ok(answers.every((one) => one === 'Hello there.'));
});
assert.ok(calls >= 40, `${calls}`);
console.log(`${calls} calls and more with @anthropic-ai/sdk`);
