// A request for vectors as code that may be pasted elsewhere. Pure: values in, text out.

/** What stands where the key goes: the console knows no key. */
export const KEY = "YOUR_KEY";

// What OpenAI's clients know by themselves; the rest goes into extra_body.
const OPENAI = new Set(["model", "input", "dimensions", "encoding_format"]);

export function curl(baseUrl, body) {
  const quoted = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return [
    `curl -sS ${baseUrl}/embeddings \\`,
    `  -H "Authorization: Bearer ${KEY}" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d '${quoted}'`,
  ].join("\n");
}

export function python(baseUrl, body) {
  const own = Object.entries(body).filter(([name]) => OPENAI.has(name));
  const rest = Object.entries(body).filter(([name]) => !OPENAI.has(name));
  const given = own.map(([name, value]) => `    ${name}=${literal(value, 4)},`);
  if (rest.length) given.push(`    extra_body=${literal(Object.fromEntries(rest), 4)},`);
  return [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${baseUrl}", api_key="${KEY}")`,
    "answer = client.embeddings.create(",
    ...given,
    ")",
    "vectors = [one.embedding for one in answer.data]",
  ].join("\n");
}

export function javascript(baseUrl, body) {
  const given = Object.entries(body).map(([name, value]) => `  ${name}: ${literal(value, 2)},`);
  return [
    'import OpenAI from "openai";',
    "",
    `const client = new OpenAI({ baseURL: "${baseUrl}", apiKey: "${KEY}" });`,
    "const answer = await client.embeddings.create({",
    ...given,
    "});",
    "const vectors = answer.data.map((one) => one.embedding);",
  ].join("\n");
}

/** Texts, numbers, and lists and objects of them look alike in JSON, Python and JavaScript. */
function literal(value, indent) {
  return JSON.stringify(value, null, indent).replaceAll("\n", `\n${" ".repeat(indent)}`);
}
