"""The vocabulary of OpenAI's embedding models, read one way: from token ids to text.

Clients such as LangChain send arrays of ``cl100k_base`` ids whatever the model is called. Read in
another vocabulary, many of them would pass as valid and come out as silently wrong vectors.
"""

from binascii import a2b_base64
from collections.abc import Sequence
from io import BytesIO

import numpy as np

from emblem.errors import ModelError


class Cl100k:
    """The ordinary tokens of cl100k_base: 100,256 byte strings by rank.

    They lie end to end in one array. As objects they would take some 20 MB while they are read.
    """

    SIZE = 100_256

    def __init__(self, ranks: bytes) -> None:
        """Read tiktoken's rank file: a line a token, its bytes in base64 and its rank."""
        joined = bytearray()
        starts = np.zeros(self.SIZE, dtype=np.int64)
        lengths = np.zeros(self.SIZE, dtype=np.int64)
        wrong = f"the cl100k_base ranks are not those from 0 to {self.SIZE - 1}"
        try:
            for line in BytesIO(ranks):
                token, number = line.split()
                rank, content = int(number), a2b_base64(token, strict_mode=True)
                if not 0 <= rank < self.SIZE or lengths[rank] or not content:
                    raise ModelError(wrong)
                starts[rank], lengths[rank] = len(joined), len(content)
                joined += content
        except ValueError as error:
            raise ModelError(
                f"the cl100k_base ranks are not as tiktoken writes them: {error}"
            ) from None
        if not lengths.all():
            raise ModelError(wrong)
        self._joined = np.frombuffer(bytes(joined), dtype=np.uint8)
        self._starts, self._lengths = starts, lengths

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
        tokens = np.array(ids, dtype=np.int64)
        lengths = self._lengths[tokens]
        ends = lengths.cumsum()
        # Where each byte lies: from its token's start on, as far as it is into that.
        at = np.repeat(self._starts[tokens] - ends + lengths, lengths)
        at += np.arange(len(at))
        content: bytes = self._joined[at].tobytes()
        return content.decode("utf-8", "replace")
