"""Settings: ``emblem.toml``, ``EMBLEM_*`` and flags, with the same names, read once and frozen.

``settings`` says what can be set, ``values`` checks one value, ``loading`` brings the sources
together. Nothing else in Emblem reads the environment.
"""

from emblem.config.address import (
    cache_redis_address,
    database_address,
    redis_address,
    secrets_of,
)
from emblem.config.checks import name_problem
from emblem.config.console import Opening, openings
from emblem.config.deploying import check_serving
from emblem.config.headers import upstream_headers
from emblem.config.hosting import deployments
from emblem.config.loading import Loaded, environment, load
from emblem.config.oidc import Oidc, oidc
from emblem.config.passing import ChatSettings, RerankSettings, passed_to
from emblem.config.prices import rates
from emblem.config.settings import (
    SECRETS,
    TABLES,
    AliasSettings,
    ModelSettings,
    Setting,
    Settings,
    Shape,
    describe,
    written,
)
from emblem.config.telemetry import Telemetry, telemetry
from emblem.config.upstreams import DeploymentSettings, UpstreamSettings, upstream_keys

__all__ = [
    "SECRETS",
    "TABLES",
    "AliasSettings",
    "ChatSettings",
    "DeploymentSettings",
    "Loaded",
    "ModelSettings",
    "Oidc",
    "Opening",
    "RerankSettings",
    "Setting",
    "Settings",
    "Shape",
    "Telemetry",
    "UpstreamSettings",
    "cache_redis_address",
    "check_serving",
    "database_address",
    "deployments",
    "describe",
    "environment",
    "load",
    "name_problem",
    "oidc",
    "openings",
    "passed_to",
    "rates",
    "redis_address",
    "secrets_of",
    "telemetry",
    "upstream_headers",
    "upstream_keys",
    "written",
]
