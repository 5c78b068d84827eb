"""Files of texts and of vectors: what is read, what is written, and how."""
