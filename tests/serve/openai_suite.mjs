// The official `openai` JavaScript client against a scripted server: node openai_suite.mjs FACET TESTS_DIR, run by openai_js.sh.
// More than sixty calls: every field, streaming and not, errors as typed exceptions.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import OpenAI, { toFile } from 'openai';

const [facet, tests] = process.argv.slice(2);
const model = 'gemma-4-12b';
const quoted = (text) => `<|"|>${text}<|"|>`;
const toolCall = (city) => `<|tool_call>call:get_weather{city:${quoted(city)}}<tool_call|>`;
const call = `<|channel>thought\nLook.\n<channel|>Wait.${toolCall('Oslo')}`;
const script = [
  { match: 'CALL(.|\n)*response:get_weather', emit: 'It is cold.' },
  { match: 'CALL', emit: call },
  { match: 'TWO', emit: call + toolCall('Rom') },
  { match: 'JSON', emit: '{"name":"Ada","age":36}' },
  { match: 'THINK', emit: '<|channel>thought\nDeep.\n<channel|>Answer.' },
  { match: 'COUNT', emit: 'one two three four five six seven eight' },
  { match: 'SLOW', emit: 'tick tack '.repeat(200), delay_ms: 10 },
  { emit: 'Hello there.' },
];
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tools = [{ type: 'function', function: { name: 'get_weather', description: 'Weather', parameters } }];
const flatTools = [{ type: 'function', name: 'get_weather', parameters, strict: false }];
const schema = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
};
const speech = path.join(tests, 'reference/tiny/media/speech.wav');
const picture = fs.readFileSync(path.join(tests, '../examples/media/house.png')).toString('base64');
const user = (content) => [{ role: 'user', content }];

let calls = 0;

function startServer() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'facet-js-'));
  const file = path.join(folder, 'script.jsonl');
  fs.writeFileSync(file, script.map((line) => JSON.stringify(line)).join('\n'));
  const server = spawn(facet, ['serve', `script:${file}`, '--served-model-name', model, '--port', '0', '--api-key', 'sk-test',
    '--vocab', path.join(tests, 'reference/gemma4/vocab.gguf')], { stdio: ['ignore', 'inherit', 'pipe'] });
  const url = new Promise((resolve, reject) => {
    let text = '';
    server.stderr.on('data', (bytes) => {
      text += bytes;
      const found = text.match(/http:\/\/127\.0\.0\.1:\d+\/v1/);
      if (found) resolve(found[0]);
    });
    server.on('exit', () => reject(new Error(`the server ended: ${text}`)));
  });
  return { server, folder, url };
}

async function collect(stream) {
  const out = [];
  for await (const part of stream) out.push(part);
  return out;
}

async function suite(url) {
  const client = new OpenAI({ baseURL: url, apiKey: 'sk-test', maxRetries: 0 });
  const chat = (text = 'Hi', more = {}, options = {}) => {
    calls += 1;
    return client.chat.completions.create({ model, messages: user(text), ...more }, options);
  };
  const said = async (text, more) => (await chat(text, more)).choices[0].message.content;
  const counted = (promise) => {
    calls += 1;
    return promise;
  };
  const refused = async (kind, param, promise) => {
    const error = await promise.then(() => assert.fail(`${param} was not refused`), (e) => e);
    assert.ok(error instanceof kind, `${param}: ${error}`);
    if (param !== null) assert.equal(error.param, param);
    assert.ok(error.code, `${error}`);
    return error;
  };

  // Plain answers and every field.
  const answer = await chat();
  assert.equal(answer.choices[0].message.content, 'Hello there.');
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.ok((await chat()).usage.prompt_tokens_details.cached_tokens > 0);
  for (const more of [
    { temperature: 0 }, { temperature: 2, seed: 1 }, { top_p: 0.5 }, { presence_penalty: 1 }, { frequency_penalty: -1 },
    { user: 'me' }, { store: false }, { metadata: { a: 'b' } }, { seed: 7 }, { logit_bias: { 5: -50 } }, { max_tokens: 100 },
    { max_completion_tokens: 1e9 }, { parallel_tool_calls: true }, { modalities: ['text'] }, { service_tier: 'auto' },
    { top_k: 5, min_p: 0.1, repetition_penalty: 1.1, cache_salt: 's' }, { tools, tool_choice: 'none' },
    { tools, tool_choice: 'auto' }, { response_format: { type: 'text' } }, { stop: null },
  ]) assert.equal(await said('Hi', more), 'Hello there.', JSON.stringify(more));
  assert.deepEqual((await chat('COUNT', { n: 2, stop: [' three'] })).choices.map((c) => c.message.content), ['one two', 'one two']);
  assert.equal((await chat('COUNT', { max_tokens: 3 })).choices[0].finish_reason, 'length');
  const logprobs = (await chat('COUNT', { logprobs: true, top_logprobs: 3, max_tokens: 2 })).choices[0].logprobs.content;
  assert.equal(logprobs.length, 2);
  assert.equal(logprobs[0].top_logprobs.length, 3);

  // Roles and content.
  assert.ok(await said('', { messages: [{ role: 'system', content: 's' }, { role: 'developer', content: 'd' }, ...user('a'), ...user('b')] }));
  const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}`, detail: 'high' } };
  const small = await chat('', { messages: user([{ type: 'text', text: 'x' }, { ...image, image_budget: 70 }]) });
  const large = await chat('', { messages: user([{ type: 'text', text: 'x' }, image]) });
  assert.ok(small.usage.prompt_tokens + 100 < large.usage.prompt_tokens);
  const wav = fs.readFileSync(speech).toString('base64');
  const heard = await chat('', { messages: user([{ type: 'input_audio', input_audio: { data: wav, format: 'wav' } }]) });
  assert.ok(heard.usage.prompt_tokens > 70);

  // Thinking, tools, forms.
  const thought = (await chat('THINK', { reasoning_effort: 'high' })).choices[0].message;
  assert.equal(thought.reasoning_content, 'Deep.');
  assert.equal(thought.content, 'Answer.');
  assert.equal(await said('THINK', { chat_template_kwargs: { enable_thinking: true } }), 'Answer.');
  const called = (await chat('CALL', { tools })).choices[0];
  assert.equal(called.finish_reason, 'tool_calls');
  const first = called.message.tool_calls[0];
  assert.deepEqual(JSON.parse(first.function.arguments), { city: 'Oslo' });
  const history = [...user('CALL'), called.message, { role: 'tool', tool_call_id: first.id, content: '-3' }];
  assert.equal(await said('', { messages: history, tools }), 'It is cold.');
  assert.equal((await chat('TWO', { tools })).choices[0].message.tool_calls.length, 2);
  assert.equal((await chat('TWO', { tools, parallel_tool_calls: false })).choices[0].message.tool_calls.length, 1);
  for (const tool_choice of ['required', { type: 'function', function: { name: 'get_weather' } }]) {
    const forced = (await chat('Hi', { tools, tool_choice, max_tokens: 40 })).choices[0];
    assert.equal(forced.message.tool_calls[0].function.name, 'get_weather');
  }
  const format = { type: 'json_schema', json_schema: { name: 'p', schema, strict: true } };
  assert.deepEqual(JSON.parse(await said('JSON', { response_format: format })), { name: 'Ada', age: 36 });
  assert.ok(JSON.parse(await said('JSON', { response_format: { type: 'json_object' } })));
  const parsed = await counted(client.chat.completions.parse({ model, messages: user('JSON'), response_format: format }));
  assert.ok(parsed.choices[0].message.content.includes('Ada'));

  // Streams.
  const stream = async (text = 'Hi', more = {}) => collect(await chat(text, { stream: true, ...more }));
  assert.equal((await stream()).map((c) => c.choices[0].delta.content ?? '').join(''), 'Hello there.');
  assert.equal((await stream('Hi', { stream_options: { include_usage: true } })).at(-1).usage.completion_tokens, 4);
  assert.equal((await stream('COUNT', { max_tokens: 2 })).at(-1).choices[0].finish_reason, 'length');
  const parts = await stream('TWO', { tools });
  const streamed = {};
  for (const part of parts) {
    for (const delta of part.choices[0].delta.tool_calls ?? [])
      streamed[delta.index] = (streamed[delta.index] ?? '') + (delta.function?.arguments ?? '');
  }
  assert.deepEqual(Object.values(streamed).map((a) => JSON.parse(a).city), ['Oslo', 'Rom']);
  assert.equal((await stream('THINK', { reasoning_effort: 'high' })).map((c) => c.choices[0].delta.reasoning_content ?? '').join(''), 'Deep.');
  assert.deepEqual(new Set((await stream('Hi', { n: 3 })).map((c) => c.choices[0].index)), new Set([0, 1, 2]));
  const running = await chat('SLOW', { stream: true });
  for await (const _ of running) break;
  running.controller.abort();
  const final = await counted(client.chat.completions.stream({ model, messages: user('CALL'), tools }).finalChatCompletion());
  assert.ok(final.choices[0].message.tool_calls.length);

  // Errors are typed.
  const bad = {
    temperature: { temperature: -1 }, n: { n: 1e6 }, top_p: { top_p: 2 }, messages: { messages: [] }, max_tokens: { max_tokens: -5 },
    stop: { stop: [7] }, tools: { tools: 5 }, typical_p: { typical_p: 0.5 }, 'messages[0].role': { messages: [{ role: 'x', content: 'y' }] },
    logit_bias: { logit_bias: { x: 1 } }, audio: { audio: { voice: 'a', format: 'wav' } }, seed: { seed: 'one' },
    response_format: { response_format: { type: 'json_schema', json_schema: { name: 'p', schema: { type: 'object', not: {} } } } },
    'messages[0].content[0].image_url.url': { messages: user([{ type: 'image_url', image_url: { url: 'http://localhost/a.png' } }]) },
  };
  for (const [param, more] of Object.entries(bad)) await refused(OpenAI.BadRequestError, param, chat('Hi', more));
  // What nobody knows changes nothing, and is named.
  const taken = await client.chat.completions.create({ model, messages: user('Hi'), nonsense: 1 }).withResponse();
  assert.equal(taken.response.headers.get('x-facet-ignored'), 'nonsense');
  assert.equal(taken.data.choices[0].message.content, 'Hello there.');
  assert.equal((await refused(OpenAI.BadRequestError, 'messages', chat('word '.repeat(140000)))).code, 'context_length_exceeded');
  assert.equal((await refused(OpenAI.NotFoundError, 'model', chat('Hi', { model: 'nope' }))).code, 'model_not_found');
  const stranger = new OpenAI({ baseURL: url, apiKey: 'wrong', maxRetries: 0 });
  assert.equal((await refused(OpenAI.AuthenticationError, null, counted(stranger.models.list()))).code, 'invalid_api_key');
  await assert.rejects(chat('SLOW', {}, { timeout: 200 }), OpenAI.APIConnectionTimeoutError);

  // Models, completions, responses, embeddings, transcriptions.
  assert.equal((await counted(client.models.list())).data[0].id, model);
  assert.equal((await counted(client.models.retrieve(model))).context_length, 131072);
  assert.equal((await counted(client.completions.create({ model, prompt: 'x' }))).choices[0].text, 'Hello there.');
  assert.equal((await counted(client.completions.create({ model, prompt: ['x', 'y'], n: 2 }))).choices.length, 4);
  const texts = await collect(await counted(client.completions.create({ model, prompt: 'x', stream: true })));
  assert.equal(texts.map((c) => c.choices[0].text).join(''), 'Hello there.');
  const response = await counted(client.responses.create({ model, input: 'Hi', instructions: 'Be brief.' }));
  assert.equal(response.output_text, 'Hello there.');
  const next = await counted(client.responses.create({ model, input: 'more', previous_response_id: response.id }));
  assert.ok(next.usage.input_tokens > response.usage.input_tokens);
  assert.equal((await counted(client.responses.retrieve(response.id))).id, response.id);
  await counted(client.responses.delete(response.id));
  await refused(OpenAI.NotFoundError, null, counted(client.responses.retrieve(response.id)));
  const used = await counted(client.responses.create({ model, input: 'CALL', tools: flatTools }));
  assert.deepEqual(used.output.map((item) => item.type), ['reasoning', 'message', 'function_call']);
  const output = { type: 'function_call_output', call_id: used.output[2].call_id, output: '-3' };
  const after = await counted(client.responses.create({ model, input: [output], tools: flatTools, previous_response_id: used.id }));
  assert.equal(after.output_text, 'It is cold.');
  const types = (await collect(await counted(client.responses.create({ model, input: 'THINK', stream: true })))).map((e) => e.type);
  assert.equal(types[0], 'response.created');
  assert.equal(types.at(-1), 'response.completed');
  const vectors = await counted(client.embeddings.create({ model, input: ['a', 'b'] }));  // asks for base64 and decodes it
  assert.equal(vectors.data.length, 2);
  assert.ok(Math.abs(vectors.data[0].embedding.reduce((sum, v) => sum + v * v, 0) - 1) < 1e-5);
  await refused(OpenAI.BadRequestError, 'dimensions', counted(client.embeddings.create({ model, input: 'a', dimensions: 3 })));
  for (const kind of ['json', 'text', 'verbose_json', 'srt', 'vtt']) {
    const file = await toFile(fs.readFileSync(speech), 'speech.wav');
    const heard = await counted(client.audio.transcriptions.create({ model, file, response_format: kind }));
    assert.ok((heard.text ?? heard).includes('Hello there.'), kind);
  }
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => said(`${i} COUNT`)));
  assert.ok(answers.every((text) => text.startsWith('one two')));
}

const { server, folder, url } = startServer();
try {
  await suite(await url);
  assert.ok(calls >= 60, `${calls}`);
} finally {
  server.removeAllListeners('exit');
  const ended = new Promise((resolve) => server.on('exit', resolve));
  server.kill('SIGTERM');
  assert.equal(await ended, 0, 'the server did not end well');
  fs.rmSync(folder, { recursive: true });
}
console.log(`openai ${(await import('openai/version')).VERSION}: ${calls} calls agree`);
