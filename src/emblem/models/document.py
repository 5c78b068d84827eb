"""One JSON file of a model folder, read field by field. What it does not say is never guessed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from emblem.errors import ModelError

_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "an object",
    list: "a list",
}


@dataclass(frozen=True, slots=True)
class Document:
    """The object in a JSON file, or one inside it. ``path`` says where inside, as ``a.b.``."""

    file: Path
    fields: dict[str, Any]
    path: str = ""
    seen: set[str] = field(default_factory=set)

    def error(self, name: str, why: str) -> ModelError:
        """Make the error for a field of this file."""
        return ModelError(f"{self.file}: {self.path}{name}: {why}")

    def get(self, name: str, *kinds: type) -> Any:
        """Give a field, None where it is absent or null; raise where it is of another kind."""
        self.seen.add(name)
        value = self.fields.get(name)
        if value is None or type(value) in kinds or (type(value) is int and float in kinds):
            return value
        expected = " or ".join(_NAMES[kind] for kind in kinds)
        raise self.error(name, f"is {shown(value)}, not {expected}")

    def need(self, name: str, *kinds: type) -> Any:
        """Give a field; raise where it is absent, null or of another kind."""
        value = self.get(name, *kinds)
        if value is None:
            raise self.error(name, "is missing")
        return value

    def not_null(self, name: str) -> None:
        """Refuse null for a field whose absence transformers has a value for, and null has none."""
        if name in self.fields and self.fields[name] is None:
            raise self.error(name, "is null; a value is to be there, or no such field")

    def positive(self, name: str) -> int:
        """Give a whole number above zero."""
        value: int = self.need(name, int)
        if value <= 0:
            raise self.error(name, f"is {value}, not above zero")
        return value

    def inner(self, name: str) -> "Document | None":
        """Give an object inside this one, None where it is absent."""
        value = self.get(name, dict)
        return None if value is None else Document(self.file, value, f"{self.path}{name}.")

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse a field that asks for something other than what is implemented here."""
        self.seen.add(name)
        value = self.fields.get(name)
        if value is not None and value not in allowed:
            wanted = " or ".join(map(shown, allowed)) or "absent"
            raise self.error(name, f"is {shown(value)}, and only {wanted} is understood")

    def no_more(self, *ignored: str) -> None:
        """Refuse fields that nobody asked for, less those known to change no vector."""
        for name in self.fields:
            if name not in self.seen and name not in ignored:
                raise self.error(name, "is not a field that Emblem understands")


def read(file: Path) -> Document:
    """Read a file that holds an object. Raises ModelError where it does not."""
    return Document(file, _decoded(file, dict))


def read_if_there(file: Path) -> Document:
    """Read a file that holds an object; one that does not exist has no fields."""
    return read(file) if file.is_file() else Document(file, {})


def read_list(file: Path) -> list[Document]:
    """Read a file that holds a list of objects."""
    items = _decoded(file, list)
    for number, item in enumerate(items):
        if type(item) is not dict:
            raise ModelError(f"{file}: [{number}]: is {shown(item)}, not an object")
    return [Document(file, item, f"[{number}].") for number, item in enumerate(items)]


def _decoded(file: Path, kind: type) -> Any:
    try:
        value = msgspec.json.decode(file.read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{file}: is missing") from None
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{file}: is not JSON: {error}") from None
    except RecursionError:
        raise ModelError(f"{file}: is nested too deeply") from None
    if type(value) is not kind:
        raise ModelError(f"{file}: is {shown(value)}, not {_NAMES[kind]}")
    return value


def shown(value: object) -> str:
    """Give a value as JSON, short enough for a message."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"
