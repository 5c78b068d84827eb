"""A thousand requests that are wrong in ways drawn by chance: each is told so, none does harm."""

import json
import random
import string
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

from server import RunningServer

MODEL = "all-MiniLM-L6-v2"
COUNT = 1000
Draw = random.Random


@dataclass(frozen=True, slots=True)
class Bad:
    """One request that must be refused with one of these statuses."""

    statuses: tuple[int, ...]
    body: bytes = b"{}"
    method: str = "POST"
    path: str = "/v1/embeddings"
    headers: Mapping[str, str] = field(default_factory=dict)
    with_key: bool = True


def good(draw: Draw) -> dict[str, Any]:
    return {"model": MODEL, "input": word(draw)}


def word(draw: Draw) -> str:
    return "".join(draw.choices(string.ascii_letters + "äß中😀 ", k=draw.randint(1, 30)))


def anything(draw: Draw, depth: int = 0) -> Any:
    """Draw a JSON value."""
    kinds = ["null", "bool", "int", "float", "text"] + ["list", "dict"] * (depth < 3)
    match draw.choice(kinds):
        case "null":
            return None
        case "bool":
            return draw.random() < 0.5
        case "int":
            return draw.choice([0, -1, 7, 2**63, -(2**70)])
        case "float":
            return draw.choice([0.5, -1e300, 1e-9])
        case "text":
            return word(draw)
        case "list":
            return [anything(draw, depth + 1) for _ in range(draw.randint(0, 4))]
        case _:
            return {word(draw): anything(draw, depth + 1) for _ in range(draw.randint(0, 3))}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def noise(draw: Draw) -> Bad:
    return Bad((400,), b"\xff" + draw.randbytes(draw.randint(0, 300)))


def truncated(draw: Draw) -> Bad:
    whole = as_json(good(draw))
    return Bad((400,), whole[: draw.randrange(len(whole))])


def not_an_object(draw: Draw) -> Bad:
    return Bad((400,), as_json(draw.choice([None, 1, "x", [anything(draw)], True])))


def wrong_input(draw: Draw) -> Bad:
    wrong: list[Any] = [
        *(None, True, 0.5, {}, [], [[]], [""], "", [None], [True], [0.5], [{}]),
        *([word(draw), ""], [word(draw), 1], [1, word(draw)], [[1], word(draw)], [[1], 2]),
        *([[[1]]], [1, 0.5], [1, None], {word(draw): anything(draw)}),
    ]
    return Bad((400,), as_json({**good(draw), "input": draw.choice(wrong)}))


def wrong_ids(draw: Draw) -> Bad:
    wrong = draw.choice([-1, 100_256, 100_257, 100_300, 2**31, 2**63, 2**64, -(2**80)])
    ids = [draw.randrange(1000) for _ in range(draw.randint(0, 20))] + [wrong]
    draw.shuffle(ids)
    return Bad((400,), as_json({**good(draw), "input": draw.choice([ids, [[1], ids]])}))


def too_much(draw: Draw) -> Bad:
    many: list[Any] = [
        [word(draw)] * 2049,
        "word " * 8300,
        [1] * 8193,
        [[1] * 8000] * 38,
        "x" * 600_000,
    ]
    return Bad((400,), as_json({**good(draw), "input": draw.choice(many)}))


def wrong_option(draw: Draw) -> Bad:
    name, values = draw.choice(
        [
            ("dimensions", [0, -1, 385, 1536, 2**70, 1.5, "8", True, [], {}]),
            ("encoding_format", ["", "hex", 1, [], {}]),
            ("input_type", ["query", "document", "passage", 1, []]),
            ("overflow", ["", "cut", 1, []]),
            ("output_dtype", ["", "float16", 1, []]),
            ("priority", ["", "now", 1, []]),
            ("user", [1, [], {}]),
        ]
    )
    return Bad((400,), as_json({**good(draw), name: draw.choice(values)}))


def wrong_model(draw: Draw) -> Bad:
    named = draw.choice([word(draw), f"{MODEL}@00000000", "org/name", "..", "a" * 5000])
    return Bad((404,), as_json({**good(draw), "model": named}))


def no_model(draw: Draw) -> Bad:
    return Bad((400,), as_json({"input": word(draw), "model": draw.choice([None, "", 1, []])}))


def bad_escape(draw: Draw) -> Bad:
    wrong = draw.choice([rb"\ud800", rb"\udfff", rb"\ud800A", rb"\x41", rb"\u12", b"\x01", b"\n"])
    return Bad((400,), b'{"model": "%s", "input": "a %s b"}' % (MODEL.encode(), wrong))


def bad_number(draw: Draw) -> Bad:
    wrong = draw.choice([b"NaN", b"Infinity", b"-Infinity", b"01", b"1e", b"+1", b"[NaN]"])
    return Bad((400,), b'{"model": "%s", "input": %s}' % (MODEL.encode(), wrong))


def nested(draw: Draw) -> Bad:
    depth = draw.choice([2000, 100_000])
    return Bad((400,), b'{"model": "x", "input": ' + b"[" * depth + b"]" * depth + b"}")


def wrong_path(draw: Draw) -> Bad:
    path = draw.choice(
        ["/v1", "/v2/embeddings", "/v1/embeddings/x", "/v1/completions", "/%00", "/../x"]
    )
    return Bad((404,), as_json(good(draw)), draw.choice(["GET", "POST", "DELETE"]), path)


def other_models_path(draw: Draw) -> Bad:
    path = f"/{draw.choice(['nothing', 'org/name', 'wordllama-256'])}/v1/embeddings"
    return Bad((400, 404), as_json(good(draw)), path=path)


def wrong_method(draw: Draw) -> Bad:
    method, path = draw.choice(
        [("GET", "/v1/embeddings"), ("PUT", "/v1/embeddings"), ("DELETE", "/v1/models"),
         ("POST", "/v1/models"), ("PATCH", f"/{MODEL}/v1/embeddings"), ("POST", "/health")]
    )  # fmt: skip
    return Bad((405,), as_json(good(draw)), method, path)


def wrong_key(draw: Draw) -> Bad:
    given = draw.choice(["", "Bearer", "Bearer ", "Bearer sk-x", "Basic eA==", "sk-x", "Bearer ä"])
    headers = {"Authorization": given.encode("latin-1").decode("latin-1")} if given else {}
    path = draw.choice(["/v1/embeddings", "/v1/models", "/nowhere", "/x/v1/embeddings"])
    method = draw.choice(["GET", "POST"])
    return Bad((401,), as_json(anything(draw)), method, path, headers, with_key=False)


def wrong_header(draw: Draw) -> Bad:
    headers = draw.choice(
        [
            {"Content-Type": "text/plain"},
            {"Content-Type": "application/x-www-form-urlencoded"},
            {"Content-Type": "multipart/form-data; boundary=x"},
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ]
    )
    return Bad((415,), as_json(good(draw)), headers=headers)


WAYS: list[Callable[[Draw], Bad]] = [
    *(noise, truncated, not_an_object, wrong_input, wrong_ids, wrong_option, wrong_model),
    *(no_model, bad_escape, bad_number, nested, wrong_path, other_models_path),
    *(wrong_method, wrong_key, wrong_header),
]
RARE = [too_much]  # megabytes each


def drawn() -> list[Bad]:
    draw = Draw(20261121)
    ways = draw.choices([*WAYS, *RARE], [10] * len(WAYS) + [2] * len(RARE), k=COUNT)
    return [way(draw) for way in ways]


def complaint(server: RunningServer, session: requests.Session, bad: Bad) -> str:
    """Send one and say what is wrong with the answer, "" where nothing is."""
    headers = {"Content-Type": "application/json", **bad.headers}
    if bad.with_key:
        headers |= server.headers
    answer = session.request(
        bad.method, server.root + bad.path, data=bad.body, headers=headers, timeout=60
    )
    about = f"{bad.method} {bad.path} {bad.body[:200]!r}: {answer.status_code} {answer.text[:300]}"
    if answer.status_code not in bad.statuses:
        return about
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return f"no error object: {about}"
    kinds = {"message": str, "type": str, "param": str | None, "code": str | None}
    if error.keys() != kinds.keys():
        return f"other fields: {about}"
    wrong = [name for name, kind in kinds.items() if not isinstance(error[name], kind)]
    if wrong or not error["message"] or "x-request-id" not in answer.headers:
        return f"wrong {wrong}: {about}"
    return ""


def test_a_thousand_bad_requests_are_refused_as_openai_does(busy_server: RunningServer) -> None:
    before = busy_server.post({"model": MODEL, "input": "still here"}).json()
    bad = drawn()
    assert min(Counter(one.statuses for one in bad).values()) >= 10

    def send(part: list[Bad]) -> list[str]:
        with requests.Session() as session:
            session.trust_env = False
            return [said for one in part if (said := complaint(busy_server, session, one))]

    with ThreadPoolExecutor(8) as pool:
        complaints = [
            one for found in pool.map(send, [bad[n::8] for n in range(8)]) for one in found
        ]
    assert not complaints, "\n".join(complaints[:10])
    assert busy_server.post({"model": MODEL, "input": "still here"}).json() == before
    assert busy_server.get("/ready").status_code == 200
