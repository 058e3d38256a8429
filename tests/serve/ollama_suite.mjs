// The official `ollama` JavaScript client against a scripted server, run by vendor_client.sh. More than forty calls: every field,
// streaming and not, errors as typed exceptions.
import assert from 'node:assert/strict';
import { Ollama } from 'ollama';
import { collect, model, parameters, schema, withServer } from './scripted_server.mjs';

const tools = [{ type: 'function', function: { name: 'get_weather', description: 'Weather', parameters } }];
const user = (content) => [{ role: 'user', content }];
let calls = 0;

await withServer(async (url, picture) => {
  const client = new Ollama({ host: url, headers: { Authorization: 'Bearer sk-test' } });
  const chat = (text = 'Hi', more = {}) => {
    calls += 1;
    return client.chat({ model, messages: user(text), ...more });
  };
  const said = async (text, more) => (await chat(text, more)).message.content;
  const generate = (prompt = 'Hi', more = {}) => {
    calls += 1;
    return client.generate({ model, prompt, ...more });
  };

  // Plain answers and every option.
  const answer = await chat();
  assert.equal(answer.message.content, 'Hello there.');
  assert.equal(answer.done_reason, 'stop');
  assert.equal(answer.eval_count, 4);
  assert.equal(await said('Hi', { model: `${model}:latest` }), 'Hello there.');
  for (const options of [{ temperature: 0 }, { top_p: 0.5 }, { top_k: 5 }, { min_p: 0.1 }, { seed: 7 }, { num_predict: 100 },
    { num_predict: -1 }, { num_ctx: 4096 }, { repeat_penalty: 1.1 }, { presence_penalty: 1 }, { frequency_penalty: -1 },
    { repeat_last_n: 64 }, { num_gpu: 1, num_thread: 4, use_mmap: true }, { mirostat: 0, tfs_z: 1, typical_p: 1 }])
    assert.equal(await said('Hi', { options }), 'Hello there.', JSON.stringify(options));
  assert.equal((await chat('COUNT', { options: { num_predict: 3 } })).done_reason, 'length');
  assert.equal(await said('COUNT', { options: { stop: ['four'] } }), 'one two three ');
  assert.equal(await said('Hi', { keep_alive: '5m' }), 'Hello there.');
  assert.ok(await said('', { messages: [{ role: 'system', content: 's' }, ...user('a'), { role: 'assistant', content: 'b' }, ...user('c')] }));

  // Pictures, thinking, log-probabilities.
  const seen = await chat('', { messages: [{ role: 'user', content: 'What?', images: [picture] }] });
  assert.ok(seen.prompt_eval_count > (await chat('What?')).prompt_eval_count + 60);
  for (const think of [true, 'high']) assert.equal((await chat('THINK', { think })).message.thinking, 'Deep.');
  assert.equal((await chat('COUNT', { logprobs: true, top_logprobs: 3, options: { num_predict: 2 } })).logprobs[0].top_logprobs.length, 3);

  // Tools.
  const { message } = await chat('CALL', { tools });
  assert.deepEqual(message.tool_calls[0].function.arguments, { city: 'Oslo' });
  assert.equal(await said('', { tools,
    messages: [...user('CALL'), message, { role: 'tool', tool_name: 'get_weather', content: '-3' }] }), 'It is cold.');
  assert.equal((await chat('TWO', { tools })).message.tool_calls.length, 2);

  // Forms.
  assert.deepEqual(JSON.parse(await said('JSON', { format: schema })), { name: 'Ada', age: 36 });
  assert.ok(JSON.parse(await said('JSON', { format: 'json' })));

  // Streams.
  const parts = await collect(await chat('Hi', { stream: true }));
  assert.equal(parts.map((part) => part.message.content).join(''), 'Hello there.');
  assert.equal(parts.at(-1).done, true);
  const streamed = (await collect(await chat('TWO', { tools, stream: true }))).flatMap((part) => part.message.tool_calls ?? []);
  assert.deepEqual(streamed.map((one) => one.function.arguments.city), ['Oslo', 'Rom']);
  const slow = await chat('SLOW', { stream: true });
  await assert.rejects(async () => {
    for await (const part of slow) if (part.message.content) slow.abort();
  }, { name: 'AbortError' });

  // Texts.
  assert.equal((await generate()).response, 'Hello there.');
  assert.equal((await generate('Hi', { system: 'Be brief.' })).response, 'Hello there.');
  assert.equal((await collect(await generate('Hi', { stream: true }))).map((part) => part.response).join(''), 'Hello there.');
  assert.equal((await generate('x', { raw: true })).response, 'Hello there.');
  assert.equal((await generate('THINK', { think: true })).thinking, 'Deep.');
  assert.equal(JSON.parse((await generate('JSON', { format: schema })).response).age, 36);
  assert.ok((await generate('What?', { images: [picture] })).prompt_eval_count > (await generate('What?')).prompt_eval_count + 60);
  assert.equal((await generate('')).done_reason, 'load');

  // Models and embeddings.
  assert.equal((await client.list()).models[0].name, model);
  assert.equal((await client.ps()).models[0].name, model);
  assert.ok((await client.show({ model })).capabilities.includes('tools'));
  assert.equal((await client.pull({ model })).status, 'success');
  assert.equal((await client.embed({ model, input: ['a', 'b'] })).embeddings.length, 2);
  assert.equal((await client.embeddings({ model, prompt: 'a' })).embedding.length, 64);
  assert.ok((await client.version()).version);

  // Errors are typed.
  const refused = (ask, words, status = 400) => assert.rejects(ask, (error) => {
    assert.equal(error.status_code, status, error.message);
    assert.ok(error.message.includes(words), error.message);
    return true;
  });
  await refused(chat('Hi', { model: 'nope' }), 'nope', 404);
  await refused(client.show({ model: 'nope' }), 'nope', 404);
  await refused(chat('Hi', { options: { mirostat: 2 } }), 'mirostat');
  await refused(chat('Hi', { think: 'hard' }), 'think');
  await refused(chat('', { messages: [{ role: 'user', content: 'x', images: ['aGVsbG8='] }] }), 'messages[0].images[0]');
  await refused(generate('x', { suffix: 'y' }), 'suffix');
  await refused(chat('word '.repeat(140000)), 'messages');
  await refused(new Ollama({ host: url }).chat({ model, messages: user('x'), stream: true }), 'API key', 401);
  assert.ok((await Promise.all(Array.from({ length: 8 }, () => said('Hi')))).every((one) => one === 'Hello there.'));
});
assert.ok(calls >= 40, `${calls}`);
console.log(`${calls} calls and more with ollama`);
