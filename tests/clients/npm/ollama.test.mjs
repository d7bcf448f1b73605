// Ollama's own package for JavaScript against the engine.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Ollama } from "ollama";

const client = new Ollama({ host: process.env.ENGINE_URL });
const model = "tiny";
const messages = [{ role: "user", content: "Hello" }];
const options = { num_predict: 12, seed: 3 };

test("a stream of a chat says what the answer in one piece says", async () => {
  const whole = await client.chat({ model, messages, options });
  let text = "";
  for await (const line of await client.chat({ model, messages, options, stream: true })) {
    text += line.message.content;
  }
  assert.equal(text, whole.message.content);
});

test("a prompt is answered in a form", async () => {
  const answer = await client.generate({ model, prompt: "Hello", format: { enum: ["Hello, wörld."] } });
  assert.equal(JSON.parse(answer.response), "Hello, wörld.");
});

test("a request without input loads the model", async () => {
  assert.equal((await client.generate({ model, prompt: "" })).done_reason, "load");
  assert.ok((await client.ps()).models.some((one) => one.model === model));
});

test("models are listed and shown", async () => {
  assert.ok((await client.list()).models.some((one) => one.name === model));
  assert.equal((await client.show({ model })).details.family, "llama");
});

test("vectors of texts", async () => {
  const answer = await client.embed({ model, input: ["Hello", "world"] });
  assert.deepEqual(answer.embeddings.map((one) => one.length), [64, 64]);
});

test("what is refused is the package's error", async () => {
  await assert.rejects(client.chat({ model: "nothing", messages }), /no model 'nothing'/);
});
