"""What a key looks like."""

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from emblem.ledger.secret import digest, key_id, secret


@given(st.binary(min_size=32, max_size=32))
def test_a_key_is_sk_and_43_characters_that_need_no_quoting(entropy: bytes) -> None:
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{43}", secret(entropy))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_different_random_bytes_are_different_keys(one: bytes, other: bytes) -> None:
    assert (secret(one) == secret(other)) == (one == other)


def test_an_id_is_readable_and_fixed_in_length() -> None:
    assert key_id(bytes(range(8))) == "key_0001020304050607"


@given(st.text(st.characters(exclude_categories=[])))
def test_anything_that_a_client_may_send_has_a_digest(text: str) -> None:
    expected = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    assert digest(text) == expected
