"""What is shipped to deploy Emblem with names only settings, routes, ports and files that there are.

No container engine and no cluster took part: what these tests read was never run.
"""

import re
import shutil
import socket
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from emblem.api.edge import OPEN
from emblem.config import database_address, load, redis_address
from emblem.config.address import read_secret
from emblem.errors import ConfigError
from system import require

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose"
KUBERNETES = ROOT / "deploy" / "kubernetes"

FILE = yaml.safe_load((COMPOSE / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
MANIFESTS = {
    one["kind"]: one
    for file in sorted(KUBERNETES.glob("*.yaml"))
    for one in [yaml.safe_load(file.read_text("utf-8"))]
}
POD = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
TOML = MANIFESTS["ConfigMap"]["data"]["emblem.toml"]
LABELS = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


# -- docker-compose ---------------------------------------------------------------------------


def test_every_variable_of_the_composition_is_a_setting() -> None:
    environ = SERVICES["emblem"]["environment"]
    settings = load(flags={}, environ=environ, directory=Path("/nowhere")).settings
    assert settings.metrics_port == 9464
    with pytest.raises(ConfigError):
        load(flags={}, environ={**environ, "EMBLEM_NOTHING": "1"}, directory=Path("/nowhere"))


def test_a_composed_server_may_take_longer_to_stop_than_requests_may_take_to_finish() -> None:
    emblem = SERVICES["emblem"]
    assert seconds(emblem["stop_grace_period"]) > int(
        emblem["environment"]["EMBLEM_SHUTDOWN_TIMEOUT_S"]
    )


def test_every_service_is_watched_bounded_and_started_again() -> None:
    for name, service in SERVICES.items():
        assert service["restart"] == "unless-stopped", name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert "healthcheck" in service or (name == "emblem" and "HEALTHCHECK" in DOCKERFILE)


def test_only_loopback_is_opened() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_the_services_name_is_defined() -> None:
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= FILE["secrets"].keys()
        assert set(service["networks"]) <= FILE["networks"].keys()
        assert set(service.get("depends_on", ())) <= SERVICES.keys()
        for value in (service.get("environment") or {}).values():
            if (found := re.fullmatch(r"/run/secrets/(\w+)", str(value))) is not None:
                assert found[1] in service["secrets"]
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            there = (COMPOSE / source).exists() if "/" in source else source in FILE["volumes"]
            assert there, source


def test_prometheus_scrapes_the_port_that_the_server_has() -> None:
    scrape = yaml.safe_load((COMPOSE / "prometheus.yml").read_text("utf-8"))
    (target,) = scrape["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == f"emblem:{SERVICES['emblem']['environment']['EMBLEM_METRICS_PORT']}"
    sources = yaml.safe_load((COMPOSE / "grafana" / "datasources.yml").read_text("utf-8"))
    assert sources["datasources"][0]["url"].startswith("http://prometheus:")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    require("openssl")
    shutil.copy(COMPOSE / "secrets.sh", tmp_path)
    subprocess.run(["sh", str(tmp_path / "secrets.sh")], check=True, timeout=30)
    return tmp_path / "secrets"


def test_passwords_are_made_once_for_their_owner_alone(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    named = {Path(one["file"]).name for one in FILE["secrets"].values()}
    assert named <= {file.name for file in secrets.iterdir()}
    before = {file.name: file.read_bytes() for file in secrets.iterdir()}
    subprocess.run(["sh", str(secrets.parent / "secrets.sh")], check=True, timeout=30)
    assert before == {file.name: file.read_bytes() for file in secrets.iterdir()}


def test_the_addresses_that_are_made_lead_to_the_services(secrets: Path) -> None:
    from sqlalchemy.engine import make_url

    environ = {
        "EMBLEM_DATABASE_FILE": str(secrets / "database_address"),
        "EMBLEM_REDIS_FILE": str(secrets / "redis_address"),
    }
    settings = load(flags={}, environ=environ, directory=Path("/nowhere")).settings
    database = make_url(database_address(settings))
    own = SERVICES["postgres"]["environment"]
    assert database.host == "postgres"
    assert (database.username, database.database) == (own["POSTGRES_USER"], own["POSTGRES_DB"])
    assert database.password == read_secret(secrets / "database_password", "database_password")
    assert redis_address(settings).endswith("@redis:6379/0")


def test_a_redis_starts_with_the_configuration_that_is_made(secrets: Path) -> None:
    from redis import Redis

    require("redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["redis-server", str(secrets / "redis.conf"), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=secrets)
    try:
        assert process.stdout is not None
        assert any(b"Ready to accept connections" in line for line in process.stdout)
        password = read_secret(secrets / "redis_password", "redis_password")
        with Redis(port=port, password=password, decode_responses=True) as client:
            assert client.ping()
            assert client.config_get("appendonly") == {"appendonly": "no"}
    finally:
        process.kill()
        process.communicate()


# -- Kubernetes -------------------------------------------------------------------------------


def test_the_configuration_of_the_pods_is_one(tmp_path: Path) -> None:
    file = tmp_path / "emblem.toml"
    file.write_text(TOML, "utf-8")
    settings = load(flags={}, environ={"EMBLEM_CONFIG": str(file)}, directory=tmp_path).settings
    ports = {one["name"]: one["containerPort"] for one in CONTAINER["ports"]}
    assert ports == {"http": settings.port, "metrics": settings.metrics_port}
    annotations = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert int(annotations["prometheus.io/port"]) == settings.metrics_port
    pause = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] > settings.shutdown_timeout_s + pause
    # What is commented out is right, too.
    file.write_text(re.sub(r"(?m)^# (?=\w+ =)", "", TOML), "utf-8")
    settings = load(flags={}, environ={"EMBLEM_CONFIG": str(file)}, directory=tmp_path).settings
    assert settings.trusted_proxies


def test_the_files_that_the_configuration_names_are_mounted() -> None:
    mounts = {one["mountPath"]: one["name"] for one in CONTAINER["volumeMounts"]}
    volumes = {one["name"]: one for one in POD["volumes"]}
    assert set(mounts.values()) == volumes.keys()
    (config,) = (one["value"] for one in CONTAINER["env"] if one["name"] == "EMBLEM_CONFIG")
    assert (
        volumes[mounts[config]]["configMap"]["name"] == MANIFESTS["ConfigMap"]["metadata"]["name"]
    )
    secret = volumes[mounts["/etc/emblem/secrets"]]["secret"]
    assert secret["secretName"] == MANIFESTS["Secret"]["metadata"]["name"]
    for setting in ("database", "redis"):
        written = tomllib.loads(TOML)[f"{setting}_file"]
        assert Path(written).parent.as_posix() == "/etc/emblem/secrets"
        assert Path(written).name in MANIFESTS["Secret"]["stringData"]
    assert tomllib.loads(TOML)["home"] in mounts  # the rest of the disk cannot be written
    assert "/tmp" in mounts


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probe_asks_for_what_needs_no_key(probe: str) -> None:
    asked = CONTAINER[probe]["httpGet"]
    assert OPEN.fullmatch(asked["path"])
    assert asked["port"] == "http"


def test_a_pod_is_started_again_only_where_its_process_does_not_answer() -> None:
    """A model that has lost a thread takes the pod out of the service, and not down."""
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/health"
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_a_pod_has_no_rights_that_it_does_not_need() -> None:
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {POD['securityContext']['runAsUser']} " in DOCKERFILE
    own = CONTAINER["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert POD["automountServiceAccountToken"] is False


def test_everything_is_about_the_same_pods() -> None:
    assert MANIFESTS["Service"]["spec"]["selector"] == LABELS
    assert MANIFESTS["Deployment"]["spec"]["selector"]["matchLabels"] == LABELS
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == LABELS
    scaled = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    deployment = MANIFESTS["Deployment"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert MANIFESTS["Service"]["spec"]["ports"][0]["targetPort"] == CONTAINER["ports"][0]["name"]


def test_pods_are_added_by_a_measure_that_needs_what_the_container_asks_for() -> None:
    (metric,) = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["resource"]["name"] in CONTAINER["resources"]["requests"]
    assert (
        "replicas" not in MANIFESTS["Deployment"]["spec"]
    )  # or every apply would undo the scaling


# -- the image --------------------------------------------------------------------------------


def test_the_image_has_what_the_databases_need() -> None:
    lock = (ROOT / "requirements" / "container.txt").read_text("utf-8")
    names = set(re.findall(r"(?m)^([a-z0-9-]+)==", lock))
    assert {"psycopg", "psycopg-binary", "redis", "hiredis", "opentelemetry-sdk"} <= names
    assert "requirements/container.txt" in DOCKERFILE


def test_the_image_has_the_versions_that_are_tested() -> None:
    def versions(name: str) -> set[str]:
        text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
        return set(re.findall(r"(?m)^([a-z0-9-]+==\S+)", text))

    assert versions("container") <= versions("dev")
    assert versions("core") <= versions("container")
