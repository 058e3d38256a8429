// A facet with a scripted model, for suites of vendors' clients.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const model = 'gemma-4-12b';
const quoted = (text) => `<|"|>${text}<|"|>`;
const toolCall = (city) => `<|tool_call>call:get_weather{city:${quoted(city)}}<tool_call|>`;
const call = `<|channel>thought\nLook.\n<channel|>Wait.${toolCall('Oslo')}`;
const script = [
  { match: 'CALL(.|\n)*response:get_weather', emit: 'It is cold.' },
  { match: 'CALL', emit: call },
  { match: 'TWO', emit: call + toolCall('Rom') },
  { match: 'FORCED', emit: toolCall('Oslo') },
  { match: 'JSON', emit: '{"name":"Ada","age":36}' },
  { match: 'THINK', emit: '<|channel>thought\nDeep.\n<channel|>Answer.' },
  { match: 'COUNT', emit: 'one two three four five six seven eight' },
  { match: 'SLOW', emit: 'tick tack '.repeat(200), delay_ms: 10 },
  { emit: 'Hello there.' },
];
export const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
export const schema = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
};

// Calls `suite(url, picture)` with the address without a path and a picture as base64; the key is "sk-test".
export async function withServer(suite) {
  const [facet, tests] = process.argv.slice(2);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'facet-js-'));
  const file = path.join(folder, 'script.jsonl');
  fs.writeFileSync(file, script.map((line) => JSON.stringify(line)).join('\n'));
  const server = spawn(facet, ['serve', `script:${file}`, '--served-model-name', model, '--port', '0', '--api-key', 'sk-test',
    '--vocab', path.join(tests, 'reference/gemma4/vocab.gguf')], { stdio: ['ignore', 'inherit', 'pipe'] });
  const url = new Promise((resolve, reject) => {
    let text = '';
    server.stderr.on('data', (bytes) => {
      text += bytes;
      const found = text.match(/(http:\/\/127\.0\.0\.1:\d+)\/v1/);
      if (found) resolve(found[1]);
    });
    server.on('exit', () => reject(new Error(`the server ended: ${text}`)));
  });
  try {
    const picture = fs.readFileSync(path.join(tests, '../examples/media/house.png')).toString('base64');
    await suite(await url, picture);
  } finally {
    server.removeAllListeners('exit');
    const ended = new Promise((resolve) => server.on('exit', resolve));
    server.kill('SIGTERM');
    const code = await ended;
    fs.rmSync(folder, { recursive: true });
    if (code !== 0) throw new Error(`the server ended with ${code}`);
  }
}

export async function collect(stream) {
  const out = [];
  for await (const part of stream) out.push(part);
  return out;
}
