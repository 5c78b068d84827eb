"""What deployments are held to is kept as it was written, once, and never trusted otherwise."""

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.errors import ModelError
from emblem.space import Space
from emblem.types import Overflow, Reference
from emblem.wrappers.references import FileReferences

SPACE = Space.declared("openai/text-embedding-3-small", 4, normalised=True)
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)


def reference(by: str = "first", texts: str = "t1") -> Reference:
    return Reference(texts, VECTORS, (2,), by, 123.5)


def test_a_reference_is_given_as_it_was_kept(tmp_path: Path) -> None:
    kept = FileReferences(tmp_path / "spaces").put(SPACE, reference())
    again = FileReferences(tmp_path / "spaces").get(SPACE, "t1")
    for one in (kept, again):
        assert one is not None
        assert one.vectors.tobytes() == VECTORS.tobytes()
        assert one.vectors.dtype == np.float32
        assert (one.texts, one.refused, one.by, one.made) == ("t1", (2,), "first", 123.5)
    assert [path.name.startswith("openai-text-embedding-3-small-") for path in _files(tmp_path)]
    assert len(_files(tmp_path)) == 1


def test_there_is_none_of_another_space_rule_or_set_of_texts(tmp_path: Path) -> None:
    references = FileReferences(tmp_path)
    assert references.get(SPACE, "t1") is None
    references.put(SPACE, reference())
    cut = Space.declared(SPACE.name, 4, normalised=True, overflow=Overflow.TRUNCATE)
    wide = Space.declared(SPACE.name, 8, normalised=True)
    assert references.get(cut, "t1") is None
    assert references.get(wide, "t1") is None
    assert references.get(SPACE, "t2") is None


def test_whoever_comes_first_is_kept_however_many_come_at_once(tmp_path: Path) -> None:
    barrier, found = threading.Barrier(8), list[str]()

    def put(by: str) -> None:
        barrier.wait()
        found.append(FileReferences(tmp_path / "new").put(SPACE, reference(by)).by)

    threads = [threading.Thread(target=put, args=(f"d{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert len(_files(tmp_path)) == 1, "nothing is left beside it"


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_damaged_file_is_said_and_never_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spaces")
    references = FileReferences(folder)
    references.put(SPACE, reference())
    path = references.path(SPACE, "t1")
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), "cut short"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is damaged") as caught:
        references.get(SPACE, "t1")
    assert f"{path.parent.name}/{path.name}: " in str(caught.value)
    assert str(path) not in str(caught.value)  # clients hear it, too
    with pytest.raises(ModelError, match="is damaged"):
        references.put(SPACE, reference())


def test_the_file_of_another_space_is_not_taken_for_this_one(tmp_path: Path) -> None:
    references = FileReferences(tmp_path)
    references.put(SPACE, reference())
    other = Space.declared("other", 4, normalised=True)
    references.path(SPACE, "t1").rename(references.path(other, "t1"))
    with pytest.raises(ModelError, match="it is of declared:openai"):
        references.get(other, "t1")


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(ModelError, match="cannot be written") as caught:
        FileReferences(taken).put(SPACE, reference())
    assert str(caught.value).startswith("taken/")
    with pytest.raises(ModelError, match="cannot be read"):
        FileReferences(taken).get(SPACE, "t1")


def test_where_the_disk_knows_no_links_there_is_one_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    references = FileReferences(tmp_path)
    assert references.put(SPACE, reference("one")).by == "one"
    assert references.put(SPACE, reference("two")).by == "one"
    assert len(_files(tmp_path)) == 1


def test_doubts_are_counted_for_each_space_whenever_somebody_finds_out(tmp_path: Path) -> None:
    references, elsewhere = FileReferences(tmp_path / "new"), FileReferences(tmp_path / "new")
    other = Space.declared("other", 4, normalised=True)
    assert references.doubts(SPACE) == 0
    assert references.doubt(SPACE, 0) == 1
    assert elsewhere.doubts(SPACE) == 1
    assert elsewhere.doubt(SPACE, 0) == 2, "what it gave since the first is in doubt, too"
    assert elsewhere.doubt(SPACE, 4) == 5
    assert (references.doubts(SPACE), references.doubts(other)) == (5, 0)
    references.put(SPACE, reference())
    assert references.doubts(SPACE) == 5
    assert len(_files(tmp_path)) == 2


def test_doubts_that_cannot_be_read_or_written_are_said(tmp_path: Path) -> None:
    references = FileReferences(tmp_path)
    references.doubt(SPACE, 0)
    (path,) = _files(tmp_path)
    path.write_text("many")
    with pytest.raises(ModelError, match="it is to hold a number") as caught:
        references.doubts(SPACE)
    assert f"{path.parent.name}/{path.name}: " in str(caught.value)
    assert str(path) not in str(caught.value)  # clients hear it, too
    with pytest.raises(ModelError, match="cannot be"):
        FileReferences(path).doubt(SPACE, 0)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
