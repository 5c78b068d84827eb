"""``emblem completion``: what a shell completes after ``emblem``, and the script that tells it so.

The scripts ask ``emblem`` itself at every Tab, in typer's way: through ``_EMBLEM_COMPLETE``.
"""

from collections.abc import Callable
from typing import Annotated

import typer

from emblem.errors import EmblemError, InvalidRequest

COMPLETION_EPILOG = """
[bold]Examples[/bold]

  [cyan]source <(emblem completion bash)[/cyan]                  a line for ~/.bashrc

  [cyan]source <(emblem completion zsh)[/cyan]                   a line for ~/.zshrc, below compinit

  [cyan]emblem completion fish > ~/.config/fish/completions/emblem.fish[/cyan]
"""

# A word with a colon, such as nomic-embed-text:v1.5, is several words to bash: what comes before
# the last of them is there already, and is taken off what is offered.
_BASH = r"""_emblem() {
    local IFS=$'\n' word=${COMP_LINE:0:COMP_POINT}
    word=${word##*[[:space:]]}
    local words=${COMP_LINE:0:COMP_POINT-${#word}}
    COMPREPLY=($(COMP_WORDS="$words$word" COMP_CWORD=$(_emblem_count "$words") \
        _EMBLEM_COMPLETE=complete_bash "$1" 2>/dev/null))
    local before=
    case $word in *[:=]*) before=${word%"${word##*[:=]}"} ;; esac
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}

_emblem_count() {
    local IFS=$' \t\n'
    set -f
    set -- $1
    echo $#
}

complete -o bashdefault -o default -F _emblem emblem
"""

_ZSH = r"""#compdef emblem

_emblem() {
    eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _EMBLEM_COMPLETE=complete_zsh emblem \
        2>/dev/null)
}

compdef _emblem emblem
"""

_FISH = r"""function __emblem_complete
    env _EMBLEM_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=$argv[1] \
        _TYPER_COMPLETE_ARGS=(commandline -cp) emblem 2>/dev/null
end

complete --command emblem --no-files --arguments "(__emblem_complete get-args)" \
    --condition "__emblem_complete is-args"
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def shells(incomplete: str) -> list[str]:
    """Offer the shells that there is a script for."""
    return [shell for shell in SCRIPTS if shell.startswith(incomplete)]


ShellArgument = Annotated[
    str, typer.Argument(metavar="bash|zsh|fish", help="your shell", autocompletion=shells)
]


def completion(shell: ShellArgument) -> None:
    """Print the script that lets a shell complete commands, flags and models."""
    if shell not in SCRIPTS:
        raise InvalidRequest(f"there is no completion for {shell!r}; there is for bash, zsh, fish")
    typer.echo(SCRIPTS[shell], nl=False)


def words(*offered: str) -> Callable[[str], list[str]]:
    """Give what offers the words that an option takes."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in offered if word.startswith(incomplete)]

    return complete


def models(incomplete: str) -> list[str]:
    """Offer the models of this machine and of the catalogue. Never fails: a Tab shows no errors."""
    from emblem.models import catalog

    names = {*_installed(), *(row.name for row in catalog.ROWS)}
    return sorted(name for name in names if name.startswith(incomplete))


def installed(incomplete: str) -> list[str]:
    """Offer the models of this machine."""
    return sorted(name for name in _installed() if name.startswith(incomplete))


def _installed() -> list[str]:
    from pathlib import Path

    from emblem.cli.options import loaded
    from emblem.models.library import Library

    try:
        settings = loaded(None, None).settings
        found = Library(Path(settings.home)).installed()
        return [one if isinstance(one, str) else one.name for one in found] + [*settings.models]
    except (EmblemError, OSError):
        return []
