"""The pages of the documentation, and the fenced blocks in them.

Every fence says by its language what becomes of it:

- ``bash``, ``python``, ``javascript``: it is run, and must succeed;
- ``json``, ``text``: what the fence before it printed;
- ``toml``: an ``emblem.toml``, which must load.

A comment right above a fence changes that: ``<!-- serve with this -->`` (a toml fence: the fences
after it in the page run against a server with these settings), ``<!-- slow -->`` (run by ``make
test-slow``), ``<!-- transcript -->`` (what ``make serve`` printed), ``<!-- layers -->`` (those of pyproject.toml), ``<!-- not run: why -->``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]

RUN = ("bash", "python", "javascript")
PRINTED = ("json", "text")
SERVE_WITH_THIS = "serve with this"
SLOW = "slow"
TRANSCRIPT = "transcript"
LAYERS = "layers"
NOT_RUN = "not run: "

_COMMENT = re.compile(r"<!-- (.+) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A fence. ``line`` counts from 1; ``config`` is the emblem.toml in force where it stands."""

    page: Path
    line: int
    language: str
    content: str
    mark: str
    config: str = ""

    def __str__(self) -> str:
        """Name the block as an editor finds it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        """Tell whether the test of examples runs it."""
        return self.language in RUN and not self.mark


def blocks(page: Path) -> list[Block]:
    """Give the fences of a page in their order."""
    found, mark, config = [], "", ""
    for token in MarkdownIt().parse(page.read_text("utf-8")):
        if token.type == "fence":
            assert token.map is not None
            block = Block(page, token.map[0] + 1, token.info.strip(), token.content, mark, config)
            found.append(block)
            if mark == SERVE_WITH_THIS:
                config = block.content
        comment = _COMMENT.fullmatch(token.content.strip()) if token.type == "html_block" else None
        mark = comment[1] if comment else ""
    return found


ALL = [block for page in PAGES for block in blocks(page)]


def answers(block: Block) -> list[Block]:
    """Give the fences that show what a block printed."""
    found = []
    for one in ALL[ALL.index(block) + 1 :]:
        if one.page != block.page or one.language not in PRINTED or one.mark:
            break
        found.append(one)
    return found


def between(page: Path, name: str) -> str:
    """Give what stands between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``."""
    found = re.search(
        rf"<!-- {name}: begin -->\n(.*?)\n<!-- {name}: end -->", page.read_text("utf-8"), re.DOTALL
    )
    assert found, f"{page.name} has no {name}"
    return found[1].strip()


def rows(table: str) -> list[list[str]]:
    """Give the cells of a markdown table, without its head and without backticks around a cell."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [
        [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines[2:]
    ]
