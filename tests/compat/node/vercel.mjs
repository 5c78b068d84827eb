// The Vercel AI SDK through both of its providers.
// stdin: {"model", "texts"}; stdout: {"openai", "compatible"}, each {"one", "many", "tokens"}.
import { readFileSync } from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, embedMany } from "ai";

const { model, texts } = JSON.parse(readFileSync(0, "utf8"));
const baseURL = process.env.OPENAI_BASE_URL;
const apiKey = process.env.OPENAI_API_KEY;
const models = {
  openai: createOpenAI({ baseURL, apiKey }).textEmbeddingModel(model),
  compatible: createOpenAICompatible({ name: "emblem", baseURL, apiKey }).textEmbeddingModel(model),
};

const results = {};
for (const [name, embedder] of Object.entries(models)) {
  const one = await embed({ model: embedder, value: texts[0] });
  const many = await embedMany({ model: embedder, values: texts });
  results[name] = { one: one.embedding, many: many.embeddings, tokens: many.usage.tokens };
}
console.log(JSON.stringify(results));
