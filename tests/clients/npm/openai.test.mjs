// OpenAI's own package for JavaScript against the engine.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: `${process.env.ENGINE_URL}/v1`, apiKey: "none", maxRetries: 0 });
const model = "tiny";
const messages = [{ role: "user", content: "Hello" }];
const weather = {
  name: "get_weather",
  parameters: {
    type: "object",
    properties: { city: { type: "string", enum: ["Paris", "Lisboa"] } },
    required: ["city"],
    additionalProperties: false,
  },
};

test("a stream says what the answer in one piece says", async () => {
  const asked = { model, messages, max_tokens: 12, seed: 3 };
  const whole = await client.chat.completions.create(asked);
  let text = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
  assert.equal(text, whole.choices[0].message.content);
});

test("the helper for streams puts calls together again", async () => {
  const runner = client.chat.completions.stream({
    model,
    messages,
    max_tokens: 200,
    tools: [{ type: "function", function: weather }],
    tool_choice: "required",
    parallel_tool_calls: false,
    stream_options: { include_usage: true },
  });
  const final = await runner.finalChatCompletion();
  const [call] = final.choices[0].message.tool_calls;
  assert.ok(["Paris", "Lisboa"].includes(JSON.parse(call.function.arguments).city));
  assert.ok(final.usage.completion_tokens > 0);
});

test("an answer is parsed by a zod schema", async () => {
  const Verdict = z.object({ colour: z.enum(["red", "green"]), sure: z.boolean() });
  const parsed = await client.chat.completions.parse({
    model,
    messages,
    max_tokens: 200,
    response_format: zodResponseFormat(Verdict, "verdict"),
  });
  assert.equal(typeof parsed.choices[0].message.parsed.sure, "boolean");
});

test("a response is what its stream ends with", async () => {
  const asked = { model, input: "Hello", max_output_tokens: 12 };
  const whole = await client.responses.create(asked);
  const streamed = await client.responses.stream(asked).finalResponse();
  assert.equal(streamed.output_text, whole.output_text);
});

test("vectors come as base64 and are unpacked", async () => {
  const answer = await client.embeddings.create({ model, input: ["Hello", "world"] });
  assert.deepEqual(answer.data.map((one) => one.embedding.length), [64, 64]);
});

test("models are listed", async () => {
  assert.ok((await client.models.list()).data.some((one) => one.id === model));
});

test("what is not here is the exception that the package has for it", async () => {
  await assert.rejects(client.chat.completions.create({ model: "nothing", messages }), OpenAI.NotFoundError);
});
