// Which error classes the OpenAI client raises. stdout: a list of {name, status, code, param, type}.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const stranger = new OpenAI({ maxRetries: 0, apiKey: "sk-nobody-gave-me-this-key" });
const attempts = [
  () => stranger.embeddings.create({ model: "text-embedding-3-small", input: "a" }),
  () => client.embeddings.create({ model: "no-such-model", input: "a" }),
  () => client.embeddings.create({ model: "text-embedding-3-small", input: [] }),
];
const seen = [];
for (const attempt of attempts) {
  try {
    await attempt();
    seen.push(null);
  } catch (error) {
    const { status, code, param, type } = error;
    seen.push({ name: error.constructor.name, status, code, param, type });
  }
}
console.log(JSON.stringify(seen));
