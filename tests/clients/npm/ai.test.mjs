// Vercel's AI SDK against the engine, over chats and over Responses.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, streamText, tool } from "ai";
import { z } from "zod";

const baseURL = `${process.env.ENGINE_URL}/v1`;
const compatible = createOpenAICompatible({ name: "engine", baseURL, supportsStructuredOutputs: true });
const openai = createOpenAI({ baseURL, apiKey: "none" });
const models = { chats: compatible.chatModel("tiny"), responses: openai.responses("tiny") };
const prompt = "Hello";

for (const [api, model] of Object.entries(models)) {
  test(`${api}: a stream says what the answer in one piece says`, async () => {
    const asked = { model, prompt, maxOutputTokens: 12, temperature: 0.5 };
    const whole = await generateText(asked);
    let text = "";
    for await (const part of streamText(asked).textStream) text += part;
    assert.equal(text, whole.text);
    assert.ok(whole.usage.inputTokens > 0);
  });

  test(`${api}: a call that must be made fits its tool`, async () => {
    const get_weather = tool({ inputSchema: z.strictObject({ city: z.enum(["Paris", "Lisboa"]) }) });
    const asked = { model, prompt, maxOutputTokens: 200, tools: { get_weather }, toolChoice: "required" };
    const { toolCalls } = await generateText(asked);
    assert.ok(["Paris", "Lisboa"].includes(toolCalls[0].input.city));
    const kinds = [];
    for await (const part of streamText(asked).fullStream) kinds.push(part.type);
    assert.ok(kinds.includes("tool-call"));
    assert.ok(!kinds.includes("error"));
  });

  test(`${api}: an answer is held to a schema`, async () => {
    const schema = z.strictObject({ colour: z.enum(["red", "green"]), sure: z.boolean() });
    const { output } = await generateText({ model, prompt, output: Output.object({ schema }) });
    assert.equal(typeof output.sure, "boolean");
  });
}

test("thinking is told apart from the answer", async () => {
  const grammar = { kind: "gbnf", source: 'root ::= "Hello, wörld."' };
  const execution = { reasoning: { max_tokens: 8 }, grammar };
  const asked = { model: compatible.chatModel("thinker"), prompt, providerOptions: { engine: { execution } } };
  const { reasoningText, text } = await generateText(asked);
  assert.ok(reasoningText.length > 0);
  assert.equal(text, "Hello, wörld.");
});

test("vectors of texts", async () => {
  const { embeddings } = await embedMany({ model: compatible.embeddingModel("tiny"), values: ["Hello", "world"] });
  assert.deepEqual(embeddings.map((one) => one.length), [64, 64]);
});
