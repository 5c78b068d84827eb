// The OpenAI client with its defaults: it asks for base64 and decodes it.
// stdin: {"model", "texts"}; stdout: {"vectors", "usage"}.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const { model, texts } = JSON.parse(readFileSync(0, "utf8"));
const client = new OpenAI();
const response = await client.embeddings.create({ model, input: texts });
console.log(
  JSON.stringify({
    vectors: response.data.map((item) => Array.from(item.embedding)),
    usage: response.usage,
  }),
);
