// One turn of a session by the Vercel AI SDK's default OpenAI provider: node ai_sdk.mjs PROMPT. The conversation is kept in
// history.json of the working folder.
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, stepCountIs, tool } from 'ai';
import fs from 'node:fs';
import { z } from 'zod';

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY });
const kept = fs.existsSync('history.json') ? JSON.parse(fs.readFileSync('history.json', 'utf8')) : [];
const messages = [...kept, { role: 'user', content: process.argv[2] }];
const tools = {
  write: tool({
    description: 'Writes a file.',
    inputSchema: z.object({ path: z.string(), content: z.string() }),
    execute: async ({ path, content }) => {
      fs.writeFileSync(path, content);
      return 'written';
    },
  }),
  read: tool({
    description: 'Reads a file.',
    inputSchema: z.object({ path: z.string() }),
    execute: async ({ path }) => fs.readFileSync(path, 'utf8'),
  }),
};
const { text, response } = await generateText({ model: openai(process.env.MODEL), tools, messages, stopWhen: stepCountIs(6) });
fs.writeFileSync('history.json', JSON.stringify([...messages, ...response.messages]));
console.log(text);
