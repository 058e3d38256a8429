// The official `@google/genai` client against a scripted server, run by vendor_client.sh. More than forty calls: every field,
// streaming and not, errors as typed exceptions.
import assert from 'node:assert/strict';
import { ApiError, GoogleGenAI, Type } from '@google/genai';
import { collect, model, schema, withServer } from './scripted_server.mjs';

const declaration = {
  name: 'get_weather',
  description: 'Weather',
  parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ['city'] },
};
const tools = [{ functionDeclarations: [declaration] }];
let calls = 0;

await withServer(async (url, data) => {
  const client = new GoogleGenAI({ apiKey: 'sk-test', httpOptions: { baseUrl: url } });
  const ask = (contents = 'Hi', config = undefined, more = {}) => {
    calls += 1;
    return client.models.generateContent({ model, contents, config, ...more });
  };
  const stream = async (contents = 'Hi', config = undefined) => {
    calls += 1;
    return collect(await client.models.generateContentStream({ model, contents, config }));
  };

  // Plain answers and every field.
  const answer = await ask();
  assert.equal(answer.text, 'Hello there.');
  assert.equal(answer.candidates[0].finishReason, 'STOP');
  assert.equal(answer.usageMetadata.candidatesTokenCount, 4);
  assert.ok((await ask()).usageMetadata.cachedContentTokenCount > 0);
  for (const config of [{ temperature: 0 }, { topP: 0.5 }, { topK: 5 }, { seed: 1 }, { maxOutputTokens: 100 }, { presencePenalty: 1 },
    { frequencyPenalty: -1 }, { systemInstruction: 'Be brief.' }, { stopSequences: ['zzz'] }, { responseModalities: ['TEXT'] },
    { responseMimeType: 'text/plain' }, { thinkingConfig: { thinkingBudget: 0 } }, { thinkingConfig: { thinkingLevel: 'LOW' } },
    { safetySettings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'BLOCK_NONE' }] },
    { mediaResolution: 'MEDIA_RESOLUTION_LOW' }, { tools: [{ googleSearch: {} }] },
    { tools, toolConfig: { functionCallingConfig: { mode: 'NONE' } } }])
    assert.equal((await ask('Hi', config)).text, 'Hello there.', JSON.stringify(config));
  assert.equal((await ask('COUNT', { maxOutputTokens: 3 })).candidates[0].finishReason, 'MAX_TOKENS');
  assert.equal((await ask('COUNT', { stopSequences: ['four'] })).text, 'one two three ');
  assert.equal((await ask('Hi', { candidateCount: 2 })).candidates.length, 2);
  const { logprobsResult } = (await ask('COUNT', { responseLogprobs: true, logprobs: 3, maxOutputTokens: 2 })).candidates[0];
  assert.equal(logprobsResult.topCandidates[0].candidates.length, 3);

  // Media.
  const picture = { inlineData: { mimeType: 'image/png', data } };
  const count = async (contents) => (await client.models.countTokens({ model, contents })).totalTokens;
  assert.ok(await count([picture, { text: 'What?' }]) > await count('What?') + 60);
  assert.equal((await ask([picture, { text: 'What?' }])).text, 'Hello there.');

  // Thinking.
  const thought = await ask('THINK', { thinkingConfig: { includeThoughts: true } });
  assert.equal(thought.text, 'Answer.');
  assert.deepEqual(thought.candidates[0].content.parts[0], { text: 'Deep.', thought: true });
  assert.equal((await ask('THINK')).candidates[0].content.parts.length, 1);

  // Functions.
  const said = await ask('CALL', { tools });
  assert.deepEqual(said.functionCalls[0].args, { city: 'Oslo' });
  const result = { functionResponse: { name: 'get_weather', response: { output: '-3' } } };
  assert.equal((await ask([{ role: 'user', parts: [{ text: 'CALL' }] }, said.candidates[0].content, { role: 'user', parts: [result] }],
    { tools })).text, 'It is cold.');
  assert.equal((await ask('TWO', { tools })).functionCalls.length, 2);
  for (const functionCallingConfig of [{ mode: 'ANY' }, { mode: 'ANY', allowedFunctionNames: ['get_weather'] }, { mode: 'VALIDATED' }])
    assert.equal((await ask('FORCED', { tools, toolConfig: { functionCallingConfig } })).functionCalls[0].name, 'get_weather');

  // Forms.
  assert.ok(JSON.parse((await ask('JSON', { responseMimeType: 'application/json' })).text));
  assert.equal(JSON.parse((await ask('JSON', { responseMimeType: 'application/json', responseJsonSchema: schema })).text).age, 36);
  const own = { type: Type.OBJECT, properties: { name: { type: Type.STRING }, age: { type: Type.INTEGER } },
    required: ['name', 'age'], propertyOrdering: ['name', 'age'] };
  assert.equal(JSON.parse((await ask('JSON', { responseMimeType: 'application/json', responseSchema: own })).text).name, 'Ada');

  // Streams.
  const parts = await stream();
  assert.equal(parts.map((part) => part.text ?? '').join(''), 'Hello there.');
  assert.equal(parts.at(-1).usageMetadata.candidatesTokenCount, 4);
  assert.equal((await stream('COUNT', { maxOutputTokens: 2 })).at(-1).candidates[0].finishReason, 'MAX_TOKENS');
  const found = (await stream('TWO', { tools })).flatMap((part) => part.functionCalls ?? []);
  assert.deepEqual(found.map((one) => one.args.city), ['Oslo', 'Rom']);
  for await (const part of await client.models.generateContentStream({ model, contents: 'SLOW' })) if (part.text) break;

  // Chats send back what they have heard.
  const chat = client.chats.create({ model });
  assert.equal((await chat.sendMessage({ message: 'Hi' })).text, 'Hello there.');
  const counted = await collect(await chat.sendMessageStream({ message: 'COUNT' }));
  assert.equal(counted.map((part) => part.text ?? '').join(''), 'one two three four five six seven eight');
  assert.ok((await chat.sendMessage({ message: 'Hi' })).text);
  assert.ok(chat.getHistory(true).length >= 6);

  // Errors are typed.
  const refused = (asked, words, status = 400) => assert.rejects(asked, (error) => {
    assert.ok(error instanceof ApiError, error);
    assert.equal(error.status, status, error.message);
    assert.ok(error.message.includes(words), error.message);
    return true;
  });
  await refused(ask('Hi', { temperature: -1 }), 'temperature');
  await refused(ask('Hi', { topP: 2 }), 'topP');
  await refused(ask('Hi', { maxOutputTokens: -5 }), 'maxOutputTokens');
  await refused(ask('Hi', { cachedContent: 'cachedContents/x' }), 'cachedContent');
  await refused(ask('Hi', { tools, toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['nope'] } } }), 'nope');
  await refused(ask('word '.repeat(140000)), 'exceeds the maximum number of tokens');
  await refused(ask('Hi', undefined, { model: 'nope' }), 'nope', 404);
  await refused(ask([{ inlineData: { mimeType: 'application/pdf', data: '' } }]), 'mimeType');
  await refused(new GoogleGenAI({ apiKey: 'wrong', httpOptions: { baseUrl: url } }).models.generateContent({ model, contents: 'x' }),
    'API key', 401);

  // Models and embeddings.
  assert.deepEqual((await collect(await client.models.list())).map((one) => one.name), [`models/${model}`]);
  assert.equal((await client.models.get({ model })).inputTokenLimit, 131072);
  assert.equal((await client.models.embedContent({ model, contents: ['a', 'b'] })).embeddings.length, 2);
  assert.ok((await Promise.all(Array.from({ length: 8 }, () => ask()))).every((one) => one.text === 'Hello there.'));
});
assert.ok(calls >= 40, `${calls}`);
console.log(`${calls} calls and more with @google/genai`);
