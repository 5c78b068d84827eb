"""Requests that cannot be served: one status, in OpenAI's shape, saying what is wrong and where."""

import json
import logging
from typing import Any

import pytest

from api.asking import Reply, ask, post
from api.small_app import DIGEST, Small
from emblem.api import inputs
from emblem.api.app import Bounds
from emblem.api.wire import MAX_SEARCHED_BYTES
from emblem.core.plan import MAX_CHARACTERS_PER_TOKEN
from emblem.service import Limits


def refused(reply: Reply, status: int = 400, param: str | None = None, **more: Any) -> str:
    """Give the message of an error of this status, field, type and code."""
    expected = {"type": "invalid_request_error", "code": None} | more
    error = reply.error
    assert reply.status == status, error
    assert {key: error[key] for key in expected} == expected
    assert error["param"] == param
    assert reply.headers["x-request-id"]
    message: str = error["message"]
    return message


# -- bodies that are no JSON --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "it is empty"),
        (b"{", "Input data was truncated"),
        (b"input=x", "invalid character (byte 0)"),
        (b'{"model":"tiny","input":NaN}', "invalid character"),
        (b'{"model":"tiny","input":[Infinity]}', "invalid character"),
        (b'{"model":"tiny","input":"x",}', "malformed"),
        (b'{"model":"tiny","input":"x"} {}', "trailing characters"),
        (b'{"model":"tiny","input":' + b"[" * 100_000, "nested too deeply"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "nested too deeply"),
        (b'{"model":"\xc3"}', "not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "invalid character (byte 0)"),
        (b'{"user":"\\ud800"}', "half of a surrogate pair"),
        (b'{"model":"\\udc00"}', "half of a surrogate pair"),
    ],
)
def test_what_is_no_json_is_said_to_be_none(small: Small, body: bytes, why: str) -> None:
    message = refused(post(small.app, body))
    assert message.startswith("We could not parse the JSON body of your request: ")
    assert why in message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'["x","\\ud800 x"]', "half of a surrogate pair"),
        (b'["\\udc00"]', "half of a surrogate pair"),
        (b'"\\ud800\\u0041"', "half of a surrogate pair"),
        (b'"\xff"', "not UTF-8"),
        (b'["\xed\xa0\x80"]', "not UTF-8"),
    ],
)
def test_a_text_that_is_no_unicode_is_refused(small: Small, text: bytes, why: str) -> None:
    reply = post(small.app, b'{"model":"tiny","input":' + text + b"}")
    assert why in reply.error["message"]
    assert reply.status == 400
    assert small.embedder.requests == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"[]", "an array"), (b'"x"', "a string"), (b"null", "null"), (b"1", "a number")],
)
def test_a_body_that_is_no_object_is_refused(small: Small, body: bytes, kind: str) -> None:
    message = refused(post(small.app, body))
    assert message == (
        f"The JSON body of your request is invalid: it must be an object and is {kind}."
    )


# -- fields -------------------------------------------------------------------------------------

WHOLE = "a whole number of at least 1, or null,"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("dimensions", "3", f"it must be {WHOLE} and is a string."),
        ("dimensions", True, f"it must be {WHOLE} and is a boolean."),
        ("dimensions", 0, f"it must be {WHOLE} and is less."),
        ("dimensions", -1, f"it must be {WHOLE} and is less."),
        ("dimensions", 2.0, f"it must be {WHOLE} and is a number with a fraction or an exponent."),
        ("dimensions", [], f"it must be {WHOLE} and is an array."),
        ("model", 3, "it must be a string, or null, and is a number."),
        ("user", {}, "it must be a string, or null, and is an object."),
        (
            "encoding_format",
            "hex",
            "it must be one of 'float', 'base64', or null, and is 'hex'.",
        ),
        (
            "encoding_format",
            5,
            "it must be one of 'float', 'base64', or null, and is a number.",
        ),
        ("encoding_format", "", "it must be one of 'float', 'base64', or null, and is ''."),
        (
            "input_type",
            "passage",
            "it must be one of 'query', 'document', or null, and is 'passage'.",
        ),
        (
            "overflow",
            ["mean"],
            "it must be one of 'mean', 'truncate', 'error', or null, and is an array.",
        ),
        (
            "output_dtype",
            "FLOAT",
            (
                "it must be one of 'float', 'int8', 'uint8', 'binary', 'ubinary', or null, "
                "and is 'FLOAT'."
            ),
        ),
        (
            "priority",
            False,
            "it must be one of 'interactive', 'bulk', or null, and is a boolean.",
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_it_takes(
    small: Small, field: str, value: object, said: str
) -> None:
    message = refused(post(small.app, {"model": "tiny", "input": "x", field: value}), param=field)
    assert message == f"'$.{field}' is invalid: {said}"


def test_a_long_wrong_value_is_not_repeated_whole(small: Small) -> None:
    body = {"model": "tiny", "input": "x", "overflow": "y" * 10_000}
    assert len(refused(post(small.app, body), param="overflow")) < 300


@pytest.mark.parametrize("digits", [30, 4000, 6000])
def test_a_huge_number_of_dimensions_is_refused(small: Small, digits: int) -> None:
    body = b'{"model":"tiny","input":"x","dimensions":1' + b"0" * digits + b"}"
    refused(post(small.app, body), param="dimensions")


def test_more_dimensions_than_the_model_has_are_refused_in_words_that_help(small: Small) -> None:
    body = {"model": "text-embedding-3-small", "input": "x", "dimensions": 1536}
    message = refused(post(small.app, body), param="dimensions")
    assert message.startswith(
        "text-embedding-3-small is served here by tiny (8 numbers, not OpenAI's 1536)"
    )


@pytest.mark.parametrize(
    ("model", "own", "param"),
    [
        ("tiny", {"input_type": "query"}, "input_type"),
        ("asking-query", {"input_type": "document"}, "input_type"),
        ("acme/four", {"dimensions": 8}, "dimensions"),
        ("cut", {"overflow": "mean"}, "overflow"),
        ("small", {"output_dtype": "float"}, "output_dtype"),
        ("tiny", {"output_dtype": "binary", "dimensions": 7}, "dimensions"),
    ],
)
def test_what_the_model_or_alias_cannot_give_is_refused_with_its_field(
    small: Small, model: str, own: dict[str, Any], param: str
) -> None:
    refused(post(small.app, {"model": model, "input": "x"} | own), param=param)
    assert small.embedder.requests == []


# -- models -------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{"input": "x"}, {"input": "x", "model": None}, {"model": ""}])
def test_without_a_model_one_is_asked_for(small: Small, body: dict[str, Any]) -> None:
    assert refused(post(small.app, body), param="model") == "you must provide a model parameter"


@pytest.mark.parametrize("path", ["/v1/embeddings", "/gpt-9/v1/embeddings"])
def test_an_unknown_model_is_404_and_says_what_to_do(small: Small, path: str) -> None:
    body = {"model": "gpt-9", "input": "x"}
    message = refused(post(small.app, body, path), 404, "model", code="model_not_found")
    assert message == (
        "The model `gpt-9` does not exist or you do not have access to it. "
        "Fetch it with: emblem pull gpt-9"
    )


def test_a_digest_that_is_not_served_is_404_naming_what_is(small: Small) -> None:
    reply = post(small.app, {"model": "tiny@00000000", "input": "x"})
    assert f"tiny@{DIGEST}" in refused(reply, 404, "model", code="model_not_found")


def test_path_and_body_that_name_two_models_are_refused(small: Small) -> None:
    body = {"model": "asking", "input": "x"}
    message = refused(post(small.app, body, "/tiny/v1/embeddings"), param="model")
    assert "`tiny`" in message
    assert "`asking`" in message


# -- inputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "and is missing."),
        ({"input": None}, "and is null."),
        ({"input": 3}, "and is a number."),
        ({"input": 3.5}, "and is a number with a fraction or an exponent."),
        ({"input": True}, "and is a boolean."),
        ({"input": {"text": "x"}}, "and is an object."),
        ({"input": []}, "it is an empty array."),
    ],
)
def test_an_input_of_no_form_is_refused(small: Small, body: dict[str, Any], said: str) -> None:
    message = refused(post(small.app, {"model": "tiny"} | body), param="input")
    assert message.startswith("'$.input' is invalid: ")
    assert message.endswith(said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "$.input[0] is an empty string"),
        (["a", "", "b", ""], "$.input[1] is an empty string; $.input[3] is an empty string"),
        (["a", 1, None], ("$.input[1] must be a string and is a number; "
         "$.input[2] must be a string and is null")),
        (["a", ["b"]], "$.input[1] must be a string and is an array"),
        ([None], "$.input[0] must be a string or a token id (whole number) and is null"),
        ([True, "x"], "$.input[0] must be a string or a token id (whole number) and is a boolean"),
        ([{"text": "x"}], "$.input[0] must be a string or a token id (whole number) and is an object"),
        ([1.0, 2, "x", 2.5, ""], (
            "$.input[0] must be a string or a token id (whole number) and is a number "
            "with a fraction or an exponent; $.input[3] must be a string or a token id "
            "(whole number) and is a number with a fraction or an exponent; "
            "$.input[4] is an empty string")),
        ([[]], "$.input[0] is an empty array"),
        ([[1], [], [2]], "$.input[1] is an empty array"),
        ([["a"]], "$.input[0] must hold token ids and holds a string"),
        ([[1, True]], "$.input[0] must hold token ids and holds a boolean"),
        ([[1], "a", [[2]]], ("$.input[1] must be an array of token ids and is a string; "
         "$.input[2] must hold token ids and holds an array")),
        ([1, "a", 2, None], ("$.input[1] must be a token id, as the first item is, and is a string; "
         "$.input[3] must be a token id, as the first item is, and is null")),
        ([1, True], "$.input[1] must be a token id, as the first item is, and is a boolean"),
        ([[1], [100_256], [-1]], ("$.input[1] has the id 100256, which is no ordinary cl100k_base "
         "token (0…100255); $.input[2] has the id -1, which is no ordinary cl100k_base token "
         "(0…100255)")),
    ],
)  # fmt: skip
def test_every_wrong_item_is_named_with_its_index(small: Small, value: object, said: str) -> None:
    message = refused(post(small.app, {"model": "tiny", "input": value}), param="input")
    assert message == f"'$.input' is invalid: {said}."
    assert small.embedder.requests == []


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (r'"\ud800"', [0]),
        (r'["x", "\ud800 x", "\ud83d\ude00", "a\udc00"]', [1, 3]),
        (r'"\ud800", "dimensions": "x"', [0]),
    ],
)
def test_every_text_with_half_of_a_surrogate_pair_is_named(
    small: Small, value: str, wrong: list[int]
) -> None:
    body = f'{{"model": "tiny", "input": {value}}}'.encode()
    message = refused(post(small.app, body), param="input")
    said = "; ".join(
        f"$.input[{index}] has a \\u escape that is half of a surrogate pair" for index in wrong
    )
    assert message == f"'$.input' is invalid: {said}."


def test_a_huge_body_is_not_searched_for_half_of_a_pair(small: Small) -> None:
    body = rb'{"model":"tiny","input":["' + b"x" * MAX_SEARCHED_BYTES + rb'","\ud800"]}'
    assert "half of a surrogate pair" in refused(post(small.app, body))


def test_a_text_too_large_to_read_is_named_with_an_empty_one(small: Small) -> None:
    value = ["ok", "", "x" * (8192 * MAX_CHARACTERS_PER_TOKEN + 1), 5]
    message = refused(post(small.app, {"model": "tiny", "input": value}), param="input")
    assert message == (
        "'$.input' is invalid: $.input[1] is an empty string; $.input[2] is too long: "
        "This model's maximum context length is 8192 tokens, however you requested "
        "524289 characters, too many to read; $.input[3] must be a string and is a number."
    )


def test_only_the_first_twenty_wrong_items_are_named(small: Small) -> None:
    reply = post(small.app, {"model": "tiny", "input": ["x", *[""] * 30]})
    message = refused(reply, param="input")
    assert [f"[{n}]" in message for n in range(31)] == [False, *[True] * 20, *[False] * 10]
    assert message.endswith("; and 10 more.")


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ("tiny", b"1" + b"0" * 30),
        ("tiny", b"1" + b"0" * 6000),
        ("tiny", b"1e400"),
        ("tiny", b"-5"),
        ("native", b"1" + b"0" * 6000),
        ("native", b"1e400"),
    ],
)
def test_a_number_that_is_no_id_is_refused(small: Small, model: str, written: bytes) -> None:
    body = b'{"model":"' + model.encode() + b'","input":[' + written + b"]}"
    refused(post(small.app, body), param="input")


def test_token_ids_are_refused_where_the_name_refuses_them(small: Small) -> None:
    message = refused(post(small.app, {"model": "refusing", "input": [[1]]}), param="input")
    assert "check_embedding_ctx_length=False" in message


def test_empty_texts_are_taken_where_the_configuration_takes_them() -> None:
    small = Small(limits=Limits(empty_input=True))
    for value in ("", ["", "x"]):
        assert post(small.app, {"model": "tiny", "input": value}).status == 200
    refused(post(small.app, {"model": "tiny", "input": []}), param="input")
    refused(post(small.app, {"model": "tiny", "input": [[]]}), param="input")


# -- limits -------------------------------------------------------------------------------------


def test_more_inputs_than_allowed_are_counted_in_the_refusal(small: Small) -> None:
    for value in (["x"] * 2049, [[1]] * 2049):
        message = refused(post(small.app, {"model": "tiny", "input": value}), param="input")
        assert "has 2049 items and may have at most 2048" in message


def test_more_ids_than_an_input_may_have_are_refused_in_the_words_that_clients_look_for(
    small: Small,
) -> None:
    for value in ([1] * 8193, [[1], [1] * 8193]):
        message = refused(post(small.app, {"model": "tiny", "input": value}), param="input")
        assert "maximum context length is 8192 tokens, however you requested 8193" in message
    assert post(small.app, {"model": "tiny", "input": [1] * 8192}).status == 200


def test_more_ids_than_a_request_may_have_are_their_own_type_of_error(small: Small) -> None:
    kind = "max_tokens_per_request"
    value = [[1] * 8000] * 37 + [[1] * 4000]
    assert post(small.app, {"model": "tiny", "input": value}).status == 200
    for more in ([*value, [1]], [1] * 300_001):
        reply = post(small.app, {"model": "tiny", "input": more})
        message = refused(reply, param="input", type=kind, code=kind)
        assert message.startswith("Requested 300001 tokens, max 300000 tokens per request")


@pytest.mark.parametrize(
    "items", [b"1,", b"[1],", b"[],", b'"",', b"{},", b"null,", b'["a"],', b"1.5,", b'"[",']
)
def test_a_body_full_of_items_is_refused_before_they_become_objects(
    small: Small, items: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []
    problem = inputs._item_problem

    def counting(*arguments: Any) -> Any:
        looked_at.append(1)
        return problem(*arguments)

    monkeypatch.setattr(inputs, "_item_problem", counting)
    many = items * 400_000
    reply = post(small.app, b'{"model":"tiny","input":[' + many + items[:-1] + b"]}")
    assert reply.status == 400
    assert reply.error["param"] == "input"
    assert looked_at == []


def test_brackets_in_texts_are_no_arrays(small: Small) -> None:
    text = "[[1, 2], {}]" * 5_000
    assert post(small.app, {"model": "tiny", "input": [text, text]}).status == 200
    assert small.asked.inputs == (text, text)


# -- what the headers say of the body -----------------------------------------------------------


def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    small = Small(Bounds(max_body_bytes=100))
    for length in ("101", "9" * 19, "9" * 5000, "0" * 50 + "101"):
        reply = post(small.app, b"", headers={"Content-Length": length})
        refused(reply, 413, code="request_too_large")
        assert reply.headers["connection"] == "close"


def test_a_body_that_fits_is_read_whatever_zeros_its_length_begins_with() -> None:
    small = Small(Bounds(max_body_bytes=100))
    body = json.dumps({"model": "tiny", "input": "x"}).encode()
    for length in (str(len(body)), "0" * 50 + str(len(body)), "none"):
        assert post(small.app, body, headers={"Content-Length": length}).status == 200


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "APPLICATION/JSON; charset=UTF-8",
        "application/json;charset=utf-8",
        "application/vnd.acme+json",
        "",
        " ",
    ],
)
def test_json_by_any_of_its_names_or_none_is_read(small: Small, media: str) -> None:
    body = {"model": "tiny", "input": "x"}
    assert post(small.app, body, headers={"Content-Type": media}).status == 200


@pytest.mark.parametrize("media", ["text/plain", "multipart/form-data; boundary=x", "json"])
def test_a_body_that_is_said_to_be_something_else_is_415(small: Small, media: str) -> None:
    reply = post(small.app, {"model": "tiny", "input": "x"}, headers={"Content-Type": media})
    message = refused(reply, 415, code="unsupported_content_type")
    assert "Send application/json." in message


def test_a_packed_body_is_415(small: Small) -> None:
    reply = post(small.app, b"", headers={"Content-Encoding": "gzip"})
    refused(reply, 415, code="unsupported_content_encoding")
    plain = {"Content-Encoding": "identity"}
    assert post(small.app, {"model": "tiny", "input": "x"}, headers=plain).status == 200


# -- what does not get into the log -------------------------------------------------------------


def test_neither_texts_nor_keys_get_into_the_log(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        post(small.app, {"model": "tiny", "input": "a secret text"})
        post(small.app, {"model": "tiny", "input": ["a secret text", 1]})
        post(small.app, b'{"input": "a secret text')
        post(small.app, b"", key="sk-secret-key-that-is-wrong")
    assert len(caplog.records) >= 4
    assert "secret" not in caplog.text


def test_a_path_cannot_pass_for_another_line_of_the_log(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "emblem.access"):
        ask(small.app, "GET", "/x%0aGET%20/v1/models%20200%1b%5b2J" + "y" * 1000)
    [message] = caplog.messages
    assert message.isprintable()
    assert len(message) < 400
