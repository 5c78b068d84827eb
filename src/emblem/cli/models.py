"""``emblem list``, ``emblem show`` and ``emblem rm``: the models on this machine and those known."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli import completion
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, loaded
from emblem.errors import ModelError

if TYPE_CHECKING:
    from emblem.cli.facts import Facts
    from emblem.config import Settings

AllOption = Annotated[
    bool, typer.Option("--all", "-a", help="those of the catalogue too that are not here")
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="a name, hub repository or folder", autocompletion=completion.models
    ),
]
NamesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="as emblem list shows them",
        autocompletion=completion.installed,
    ),
]

SHOW_EPILOG = """
[bold]Examples[/bold]

  [cyan]emblem show all-MiniLM-L6-v2[/cyan]

  [cyan]emblem show nomic-embed-text[/cyan]      known, though it was not pulled yet
"""

RM_EPILOG = """
[bold]Examples[/bold]

  [cyan]emblem rm wordllama-256[/cyan]
"""


def list_models(
    everything: AllOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """List the models that were pulled, with their spaces and sizes."""
    from emblem.cli.output import print_json

    settings = loaded(home, config).settings
    found = [*_here(settings), *(_elsewhere(settings) if everything else ())]
    if as_json:
        print_json(found)
    elif found:
        _print_list(found)
    else:
        typer.echo(
            "No model is here yet. emblem list --all shows those that are known, and "
            f"emblem pull {settings.default_model} fetches the default one.",
            err=True,
        )


def show(
    model: ModelArgument,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Show all that is known of a model: what it gives, how it is computed, where it came from."""
    from emblem.cli.output import print_json

    settings = loaded(home, config).settings
    facts = facts_of(model, settings)
    if as_json:
        print_json(facts)
    else:
        _print_facts(facts, settings)


def remove(
    models: NamesArgument,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Remove models that were pulled. Folders of your own are left alone.

    A server that runs keeps what it has loaded and goes on to list it, but cannot load it again.
    """
    from emblem.cli.output import print_json, size
    from emblem.serving import open_library

    library = open_library(loaded(home, config).settings)
    missing = [name for name in models if not Path(name).is_dir() and library.known(name) is None]
    if missing:
        raise ModelError(f"{', '.join(missing)}: not here, so nothing was removed; see emblem list")
    removed = [library.remove(name) for name in dict.fromkeys(models)]
    if as_json:
        print_json([{"name": one.name, "freed_bytes": one.bytes} for one in removed])
        return
    for one in removed:
        typer.echo(f"Removed {one.name} from {one.folder}, which frees {size(one.bytes)}.")
    typer.echo(
        "A server that runs keeps what it has loaded and goes on to list it, but cannot load it "
        "again.",
        err=True,
    )


def facts_of(reference: str, settings: Settings) -> Facts:
    """Give all that is known of a model. Raises ModelError where that is nothing."""
    from emblem.cli.facts import of_folder, of_row
    from emblem.models.identity import identify
    from emblem.models.reference import INT8
    from emblem.serving import find, open_library

    folder = find(reference, settings)
    own = settings.models.get(reference)
    source = (own.source if own else "") or reference
    if folder is not None:
        return of_folder(folder, reference, settings, open_library(settings).known(source))
    named = identify(source)
    if named.row is None and named.variant == INT8:
        raise ModelError(
            f"{source} is not here; to make it here, run: emblem quantize {named.base}"
        )
    if named.row is None:
        raise ModelError(
            f"{source} is not here, and the catalogue does not know it; emblem pull {source} "
            "fetches it, if the hub has it"
        )
    return of_row(named.row, named.variant)


def _here(settings: Settings) -> list[Facts]:
    from emblem.cli.facts import of_folder
    from emblem.serving import open_library

    installed = open_library(settings).all_installed()
    return [of_folder(one.folder, one.name, settings, one) for one in installed]


def _elsewhere(settings: Settings) -> list[Facts]:
    from emblem.cli.facts import of_row
    from emblem.models import catalog
    from emblem.serving import open_library

    library = open_library(settings)
    return [of_row(row) for row in catalog.ROWS if library.known(row.name) is None]


def _print_list(found: list[Facts]) -> None:
    from emblem.cli.output import moment, print_table, size

    head = ("name", "space", "numbers", "reads", "family", "size", "pulled")
    rows = [
        (
            one.name,
            f"cannot be served: {one.problem}" if one.problem else one.space or "not here",
            str(one.width or ""),
            _reads(one),
            one.family,
            size(one.bytes or one.download_bytes or 0) if one.bytes or one.download_bytes else "",
            moment(one.fetched) if one.fetched else "",
        )
        for one in found
    ]
    print_table(head, rows, right="numbers reads size")


def _quantised(facts: Facts) -> str:
    made = facts.quantised
    if made is None:
        return ""
    kept = (
        f"\n{len(made.kept)} layers are as they were: {', '.join(made.kept)}" if made.kept else ""
    )
    return (
        f"from {made.source}\nto which the cosine is {made.mean_cosine:.5f} in the mean and "
        f"{made.worst_cosine:.5f} at worst,\nthe rank correlation of similarities "
        f"{made.rank_correlation:.5f} ({made.texts} texts){kept}"
    )


def _reads(facts: Facts) -> str:
    return "any" if facts.any_length else str(facts.max_length or "")


def _print_facts(facts: Facts, settings: Settings) -> None:
    from emblem.cli.output import moment, print_facts, size

    files = "\n".join(f"{one.sha256}  {one.name} ({size(one.size)})" for one in facts.files)
    print_facts(
        [
            ("name", facts.name),
            ("also called", ", ".join(facts.other_names)),
            ("cannot be served", facts.problem),
            ("space", facts.space),
            ("family", facts.family),
            ("engine", facts.engine),
            ("quantised", _quantised(facts)),
            ("numbers", _numbers(facts)),
            ("reads at once", _length(facts)),
            ("longer texts", _overflow(facts)),
            ("pooling", ", ".join(facts.pooling)),
            ("dense layers", "\n".join(facts.dense)),
            ("normalised", _normalised(facts)),
            ("query prompt", _quoted(facts.query_prompt)),
            ("document prompt", _quoted(facts.document_prompt)),
            ("prompts", _when(facts)),
            ("languages", _languages(facts)),
            ("licence", facts.licence),
            ("gated", f"accept its licence at {facts.page} and set HF_TOKEN" * facts.gated),
            ("page", facts.page),
            ("retrieval", _score(facts)),
            ("parameters", f"{facts.parameters:,}" if facts.parameters else ""),
            ("note", facts.note),
            ("folder", facts.folder),
            ("came from", f"{facts.source} {facts.revision}".strip() if facts.source else ""),
            ("pulled", moment(facts.fetched) if facts.fetched else ""),
            ("size", size(facts.bytes) if facts.bytes else ""),
            ("files", files),
            ("not here yet", _how_to_have(facts)),
            ("try", _example(facts, settings)),
        ]
    )


def _normalised(facts: Facts) -> str:
    if facts.normalised is None:
        return ""
    return "yes: unit vectors" if facts.normalised else "no: vectors of any length"


def _numbers(facts: Facts) -> str:
    if facts.width is None:
        return ""
    if facts.min_width:
        return f"{facts.width}, or any from {facts.min_width} on (dimensions)"
    shorter = ", ".join(map(str, facts.shorter_widths))
    return f"{facts.width}, or {shorter} (dimensions)" if shorter else str(facts.width)


def _length(facts: Facts) -> str:
    if facts.any_length:
        return "any length"
    return f"{facts.max_length} tokens" if facts.max_length else ""


def _overflow(facts: Facts) -> str:
    rules = {
        "mean": "mean: the vectors of their parts are averaged, and nothing is cut",
        "truncate": "truncate: what is too long is cut off, and the answer says so",
        "error": "error: they are refused",
    }
    return rules.get(facts.overflow, "")


def _when(facts: Facts) -> str:
    if not (facts.query_prompt or facts.document_prompt):
        return ""
    put = "put before a text that says its kind (input_type query or document), and no other"
    if facts.prompts_needed:
        return f"{put}; this model wants one before every text, so always send input_type"
    return put


def _languages(facts: Facts) -> str:
    claimed = f" (its makers say {facts.languages_claimed})" if facts.languages_claimed else ""
    return f"{' '.join(facts.languages)}{claimed}" if facts.languages else ""


def _score(facts: Facts) -> str:
    score = facts.score
    if score is None:
        return "no published score that we know of" if facts.page or facts.licence else ""
    return f"{score.value:g} nDCG@10 on {score.benchmark}, as published at\n{score.source}"


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False) if text else ""


def _how_to_have(facts: Facts) -> str:
    from emblem.cli.output import size
    from emblem.models.reference import INT8
    from emblem.models.row import NATIVE

    if facts.installed:
        return ""
    if facts.name.endswith(f":{INT8}") and facts.family in NATIVE:
        return f"emblem quantize {facts.name.removesuffix(f':{INT8}')}"
    about = f" (about {size(facts.download_bytes)})" if facts.download_bytes else ""
    return f"emblem pull {facts.name}{about}"


def _example(facts: Facts, settings: Settings) -> str:
    import json

    from emblem.cli.address import base_url

    if facts.problem:
        return ""
    body = {"model": facts.name, "input": "A text"}
    if facts.query_prompt:
        body["input_type"] = "query"
    sent = json.dumps(body)
    return (
        f"emblem serve {shlex.quote(facts.reference or facts.name)}\n"
        f"curl {base_url(settings.host, settings.port, tls=settings.tls_cert)}/embeddings "
        '-H "Authorization: Bearer $OPENAI_API_KEY" '
        f"-H \"Content-Type: application/json\" -d '{sent}'"
    )
