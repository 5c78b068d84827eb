"""Graphs that ship with a model: what they may take and give, and that sequences stay apart."""

from pathlib import Path

import numpy as np
import pytest

import tiny_layouts as tiny
from emblem.backends.graph import GraphBackend, groups
from emblem.backends.runtime import Node, op, openvino
from emblem.errors import ModelError
from emblem.model import Graph
from emblem.types import Row

VOCABULARY, WIDTH, LONGEST = 50, 8, 20
TABLE = np.random.default_rng(3).standard_normal((VOCABULARY, WIDTH)).astype(np.float32)


def parameter(name: str, kind: object = None, shape: tuple[int, ...] = (-1, -1)) -> Node:
    found = op.parameter(openvino.PartialShape(list(shape)), kind or openvino.Type.i64, name=name)
    found.output(0).set_names({name})
    return found


def states_of(ids: Node) -> Node:
    """Give each token its row of the table."""
    return op.gather(op.constant(TABLE), ids, op.constant(np.int64(0)))


def named(node: Node, name: str) -> Node:
    node.output(0).set_names({name})
    return node


def save(folder: Path, results: list[Node], inputs: list[Node]) -> Graph:
    """Write a graph in OpenVINO's format."""
    file = folder / "openvino_model.xml"
    openvino.save_model(openvino.Model(results, inputs), file, compress_to_fp16=False)
    return Graph(file, WIDTH, LONGEST)


def look_up(folder: Path, *others: Node) -> Graph:
    """Write a graph that gives each token its row, whatever else it takes."""
    ids = parameter("input_ids")
    return save(folder, [named(states_of(ids), "last_hidden_state")], [ids, *others])


def row_of(*lengths: int, seed: int = 0) -> Row:
    chance = np.random.default_rng(seed)
    ids = chance.integers(0, VOCABULARY, sum(lengths)).astype(np.int32)
    return Row(ids, np.array(lengths, np.int32))


def test_sequences_of_every_length_come_back_in_their_places(tmp_path: Path) -> None:
    graph = look_up(tmp_path, parameter("attention_mask", openvino.Type.i32))
    backend = GraphBackend(graph, threads=1)
    assert backend.width == WIDTH
    row = row_of(3, 7, 3, 1, 7, 20, 3)
    np.testing.assert_array_equal(backend.stream().run(row), TABLE[row.ids])


def test_a_sequence_is_told_that_all_of_it_counts_and_is_of_the_first_kind(tmp_path: Path) -> None:
    ids, mask, kinds = (parameter(n) for n in ("input_ids", "attention_mask", "token_type_ids"))
    shift = op.convert(op.subtract(mask, kinds), "f32")  # 1 where it is as it has to be
    bent = op.multiply(states_of(ids), op.unsqueeze(shift, op.constant(np.int64(2))))
    graph = save(tmp_path, [named(bent, "token_embeddings")], [ids, mask, kinds])
    row = row_of(4, 4, 9)
    np.testing.assert_array_equal(GraphBackend(graph, threads=1).stream().run(row), TABLE[row.ids])


@pytest.mark.parametrize("family", tiny.GRAPH_FAMILIES)
def test_a_transformer_gives_a_sequence_the_same_states_whatever_shares_its_row(
    family: str,
) -> None:
    graph = Graph(tiny.GRAPHS / f"{family}.onnx", tiny.HIDDEN, 60)
    backend = GraphBackend(graph, threads=2)
    assert not backend.alone
    stream = backend.stream()
    row = row_of(5, 9, 5, 33, 9, 1)
    together = stream.run(row)
    parts = np.split(row.ids, np.cumsum(row.lengths)[:-1])
    alone = [stream.run(Row(ids, np.array([len(ids)], np.int32))) for ids in parts]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)


def test_what_is_quantised_while_running_runs_alone_for_beside_others_it_would_change() -> None:
    graph = Graph(tiny.GRAPHS / "distilbert_quantized.onnx", tiny.HIDDEN, 60)
    backend = GraphBackend(graph, threads=1)
    assert backend.alone
    stream = backend.stream()
    row = row_of(6, 6, 6)
    together = stream.run(row)
    parts = np.split(row.ids, 3)
    alone = np.concatenate([stream.run(Row(ids, row.lengths[:1])) for ids in parts])
    assert together.tobytes() == alone.tobytes()
    stream._alone = False
    assert np.abs(stream.run(row) - alone).max() > 1e-3


def test_those_of_one_length_run_together_unless_each_is_to_run_alone() -> None:
    lengths = np.array([4, 2, 4, 2, 9], np.int32)
    assert [group.tolist() for group in groups(lengths, alone=False)] == [[1, 3], [0, 2], [4]]
    assert [group.tolist() for group in groups(lengths, alone=True)] == [[0], [1], [2], [3], [4]]


def test_an_output_is_known_by_its_name_or_by_being_the_only_one_of_tokens(tmp_path: Path) -> None:
    ids = parameter("input_ids")
    states = states_of(ids)
    pooled = op.reduce_mean(states, op.constant(np.int64(1)))
    for folder, name in ((tmp_path / "a", "token_embeddings"), (tmp_path / "b", "something")):
        results = [named(pooled, "sentence_embedding"), named(op.relu(states), name)]
        backend = GraphBackend(save(folder, results, [ids]), threads=1)
        row = row_of(3, 2)
        given = backend.stream().run(row)
        np.testing.assert_array_equal(given, np.maximum(TABLE[row.ids], 0))


def test_a_graph_that_pools_by_itself_is_refused_for_nobody_can_tell_how(tmp_path: Path) -> None:
    ids = parameter("input_ids")
    pooled = op.reduce_mean(states_of(ids), op.constant(np.int64(1)))
    graph = save(tmp_path, [named(pooled, "sentence_embedding")], [ids])
    with pytest.raises(ModelError, match=r"\.xml: gives sentence_embedding, and none of these"):
        GraphBackend(graph, threads=1)


def test_two_outputs_of_tokens_without_a_name_that_is_known_are_refused(tmp_path: Path) -> None:
    ids = parameter("input_ids")
    states = states_of(ids)
    results = [named(op.relu(states), "a"), named(op.tanh(states), "b")]
    with pytest.raises(ModelError, match=r"\.xml: gives a, b, and none of these are the states"):
        GraphBackend(save(tmp_path, results, [ids]), threads=1)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (("position_ids", None, (-1, -1)), "takes the input position_ids; input_ids, attention"),
        (("attention_mask", openvino.Type.f32, (-1, -1)), "attention_mask: is of the type f32"),
        (("attention_mask", None, (1, -1)), r"attention_mask: has the shape \[1,\?\], not one of"),
        (("token_type_ids", None, (-1, 128)), r"token_type_ids: has the shape \[\?,128\], not"),
        (("attention_mask", None, (-1, -1, -1)), "attention_mask: has the shape"),
    ],
)
def test_an_input_that_is_not_understood_is_named(
    other: tuple[str, object, tuple[int, ...]], why: str, tmp_path: Path
) -> None:
    graph = look_up(tmp_path, parameter(*other))
    with pytest.raises(ModelError, match=rf"openvino_model\.xml: {why}"):
        GraphBackend(graph, threads=1)


def test_a_graph_that_takes_no_token_ids_is_refused(tmp_path: Path) -> None:
    mask = parameter("attention_mask")
    graph = save(tmp_path, [named(states_of(mask), "last_hidden_state")], [mask])
    with pytest.raises(ModelError, match="takes no input_ids"):
        GraphBackend(graph, threads=1)


def test_states_of_another_width_than_the_configuration_says_are_refused(tmp_path: Path) -> None:
    graph = look_up(tmp_path)
    with pytest.raises(ModelError, match=r"gives 8 numbers for a token, and config\.json says 12"):
        GraphBackend(Graph(graph.file, 12, LONGEST), threads=1)


def test_states_that_are_not_those_of_the_sequences_are_no_vectors(tmp_path: Path) -> None:
    ids = parameter("input_ids")
    short = op.slice(states_of(ids), *(op.constant(np.array([n])) for n in (0, 2, 1, 1)))
    backend = GraphBackend(save(tmp_path, [named(short, "last_hidden_state")], [ids]), threads=1)
    with pytest.raises(ValueError, match=r"gave \(1, 2, 8\), not \(1, 3, 8\)"):
        backend.stream().run(row_of(3))


@pytest.mark.parametrize(
    ("lengths", "ids", "why"),
    [
        ([], 0, "a row has sequences"),
        ([2, 0], 2, "a sequence has tokens"),
        ([2, 2], 5, "5 ids for 4 tokens"),
        ([21], 21, "21 tokens are more than 20"),
    ],
)
def test_a_row_that_cannot_be_run_is_refused(
    lengths: list[int], ids: int, why: str, tmp_path: Path
) -> None:
    stream = GraphBackend(look_up(tmp_path), threads=1).stream()
    with pytest.raises(ValueError, match=why):
        stream.run(Row(np.zeros(ids, np.int32), np.array(lengths, np.int32)))


@pytest.mark.parametrize("content", [b"", b"<net", b'<net name="x" version="11"><layers></net>'])
def test_a_broken_description_is_one_line_that_names_the_file(
    content: bytes, tmp_path: Path
) -> None:
    graph = look_up(tmp_path)
    graph.file.write_bytes(content)
    with pytest.raises(ModelError, match=r"openvino_model\.xml: OpenVINO cannot run it: ") as one:
        GraphBackend(graph, threads=1)
    assert "\n" not in str(one.value)


def test_numbers_that_are_cut_short_are_one_line_that_names_the_file(tmp_path: Path) -> None:
    graph = look_up(tmp_path)
    numbers = graph.file.with_suffix(".bin")
    numbers.write_bytes(numbers.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"openvino_model\.xml: OpenVINO cannot run it: ") as one:
        GraphBackend(graph, threads=1)
    assert "\n" not in str(one.value)


def test_a_closed_graph_opens_no_stream_and_more_streams_than_threads_are_refused(
    tmp_path: Path,
) -> None:
    backend = GraphBackend(look_up(tmp_path), threads=2, streams=2)
    assert backend.streams == 2
    assert backend.row_bytes(64) < backend.row_bytes(128)
    backend.close()
    with pytest.raises(RuntimeError, match="closed"):
        backend.stream()
    with pytest.raises(ValueError, match="2 streams on 1 threads"):
        GraphBackend(look_up(tmp_path), threads=1, streams=2)
