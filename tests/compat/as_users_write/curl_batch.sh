curl -sS "${EMBED_BASE}/${EMBED_MODEL}/v1/embeddings" \
  -H "Authorization: Bearer ${EMBED_KEY}" \
  -H "Content-Type: application/json" \
  -d '{
    "input": ["First document", "Second document", "Third document"],
    "encoding_format": "float"
  }'
