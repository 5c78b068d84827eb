"""The vocabulary of OpenAI's embedding models, read one way: from token ids to text.

Clients such as LangChain send arrays of ``cl100k_base`` ids whatever the model is called. Read in
another vocabulary, many of them would pass as valid and come out as silently wrong vectors.
"""

from binascii import a2b_base64
from collections.abc import Sequence

from emblem.errors import ModelError


class Cl100k:
    """The ordinary tokens of cl100k_base: 100,256 byte strings by rank."""

    SIZE = 100_256

    def __init__(self, ranks: bytes) -> None:
        """Read tiktoken's rank file: a line a token, its bytes in base64 and its rank."""
        tokens: dict[int, bytes] = {}
        try:
            for line in ranks.splitlines():
                token, rank = line.split()
                tokens[int(rank)] = a2b_base64(token, strict_mode=True)
        except ValueError as error:
            raise ModelError(
                f"the cl100k_base ranks are not as tiktoken writes them: {error}"
            ) from None
        if tokens.keys() != set(range(self.SIZE)):
            raise ModelError(f"the cl100k_base ranks are not those from 0 to {self.SIZE - 1}")
        self._tokens = [tokens[rank] for rank in range(self.SIZE)]

    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of a token array.

        The tokens' bytes are joined before they are read as UTF-8, since one character may span
        tokens; what a client cut inside a character becomes U+FFFD. Raises ValueError, saying
        which, for an id that is not an ordinary token.
        """
        if ids and not (min(ids) >= 0 and max(ids) < self.SIZE):
            wrong = next(token for token in ids if not 0 <= token < self.SIZE)
            raise ValueError(
                f"has the id {wrong}, which is no ordinary cl100k_base token (0…{self.SIZE - 1})"
            )
        return b"".join(map(self._tokens.__getitem__, ids)).decode("utf-8", "replace")
