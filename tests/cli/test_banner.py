"""What a server says where it is, when it starts."""

import pytest

from emblem.cli.banner import _where
from emblem.config import Settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(), "its console: http://a:1/console)"),
        (Settings(console_url="https://b/x/"), "its console: https://b/x/console)"),
        (Settings(console=False), "(its API: http://a:1/docs)"),
    ],
)
def test_the_banner_names_the_console_where_there_is_one(settings: Settings, said: str) -> None:
    assert _where("http://a:1", settings).endswith(said)
