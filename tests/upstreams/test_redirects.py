"""What is said of a server that points elsewhere."""

import pytest

from emblem.errors import DeploymentFailed
from emblem.upstreams.answers import Detail
from emblem.upstreams.refusals import Asked, error


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://other.example/v1", "it points to other.example, which is not followed"),
        ("/v2", "it points to another path, which is not followed"),
        ("http://[x", "it points to what is no address, which is not followed"),
    ],
)
def test_wherever_a_server_points_it_is_not_followed(location: str, said: str) -> None:
    found = error(Asked("p", "m", 1, (), ()), 307, {"location": location}, Detail("x"), None)
    assert isinstance(found, DeploymentFailed)
    assert str(found) == f"p answers 307: {said}"
