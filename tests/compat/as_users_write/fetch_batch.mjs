const { EMBED_BASE, EMBED_MODEL, EMBED_KEY } = process.env;

const response = await fetch(`${EMBED_BASE}/${EMBED_MODEL}/v1/embeddings`, {
  method: "POST",
  headers: {
    Authorization: `Bearer ${EMBED_KEY}`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({
    input: ["First document", "Second document", "Third document"],
  }),
});
if (!response.ok) throw new Error(await response.text());
console.log(JSON.stringify(await response.json()));
