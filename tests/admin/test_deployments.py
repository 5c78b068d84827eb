"""Where a model is served: what /admin/models, /admin/health and /ready say of its deployments."""

from admin.office import Office
from api.asking import ask
from api.small_app import Embedder
from emblem.types import DeploymentState, Health

WELL = DeploymentState(
    "local",
    "local",
    requests=2,
    max_requests=64,
    answered=7,
    worst_cosine=0.99999951,
    proven_s=12.34567,
)
AWAY = DeploymentState(
    "azure",
    "openai",
    Health.QUARANTINED,
    "its secret is out",
    max_requests=8,
    weight=3.0,
    answered=5,
    failures=4,
    invalid=1,
    worst_cosine=0.931,
    retry_s=2.5,
)


class Deployed(Embedder):
    """An embedder with two deployments."""

    states: tuple[DeploymentState, ...] = (WELL, AWAY)

    def deployments(self) -> tuple[DeploymentState, ...]:
        return self.states


def deployed(office: Office) -> Deployed:
    embedder = Deployed()
    office.service._embedders["tiny"] = embedder  # type: ignore[index]
    return embedder


def test_a_model_lists_where_it_is_served_and_how_that_is(office: Office) -> None:
    deployed(office)
    found = {one["id"]: one for one in office.get("/admin/models").json["data"]}
    assert found["asking"]["deployments"] == []
    local, azure = found["tiny"]["deployments"]
    assert found["mine"]["deployments"] == [local, azure], "an alias has those of its model"
    assert local == {
        "name": "local",
        "kind": "local",
        "health": "serving",
        "problem": None,
        "weight": 1.0,
        "requests": 2,
        "max_requests": 64,
        "answered": 7,
        "failures": 0,
        "invalid": 0,
        "worst_cosine": 1.0,
        "proven_seconds_ago": 12.346,
        "retry_seconds": None,
    }
    assert (azure["health"], azure["problem"]) == ("quarantined", AWAY.problem)
    assert (azure["worst_cosine"], azure["proven_seconds_ago"]) == (0.931, None)
    assert (azure["failures"], azure["invalid"], azure["retry_seconds"]) == (4, 1, 2.5)


def test_a_deployment_that_does_not_serve_makes_the_server_less_than_well(office: Office) -> None:
    embedder = deployed(office)
    health = office.get("/admin/health").json
    assert (health["status"], health["models"]) == ("degraded", [])
    assert health["deployments"] == [f"tiny: azure quarantined: {AWAY.problem}"]
    embedder.states = (WELL,)
    health = office.get("/admin/health").json
    assert (health["status"], health["deployments"]) == ("ok", [])


def test_ready_names_such_a_deployment_to_anybody_and_not_what_is_wrong_with_it(
    office: Office,
) -> None:
    embedder = deployed(office)
    reply = ask(office.app, "GET", "/ready")
    assert reply.status == 200
    assert reply.json == {"status": "ready", "degraded": ["tiny: azure is quarantined"]}
    embedder.states = (WELL,)
    assert ask(office.app, "GET", "/ready").json == {"status": "ready"}
    embedder.says = "has no deployment that can answer"
    assert ask(office.app, "GET", "/ready").status == 503
