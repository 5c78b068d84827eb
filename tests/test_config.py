"""Settings: where a value comes from, what is refused, and in which words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.config import Loaded, Settings, describe, load
from emblem.errors import ConfigError
from emblem.types import Kind, Overflow

KEY = "sk-0123456789abcdefghij"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path


def read(folder: Path, toml: str | None = None, /, *, flags=None, config=None, **environ) -> Loaded:
    here = folder / "here"
    if toml is not None:
        (here / "emblem.toml").write_text(toml)
    return load(
        flags=flags or {},
        environ={"HOME": str(folder), **environ},
        directory=here,
        config_file=config,
    )


def refusal(folder: Path, toml: str | None = None, /, **given) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, toml, **given)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_anything_every_value_is_the_default(folder: Path) -> None:
    loaded = read(folder)
    assert loaded.settings == Settings(home=str(folder / ".local/share/emblem"))
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.file is None


def test_a_flag_beats_a_variable_and_a_variable_beats_the_file(folder: Path) -> None:
    toml = "port = 1\nthreads = 1\nmax_inputs = 1"
    loaded = read(folder, toml, flags={"port": "3"}, EMBLEM_PORT="2", EMBLEM_THREADS="2")
    settings = loaded.settings
    assert (settings.port, settings.threads, settings.max_inputs) == (3, 2, 1)
    assert loaded.file == folder / "here" / "emblem.toml"
    assert {name: loaded.origins[name] for name in ("port", "threads", "max_inputs", "host")} == {
        "port": "--port",
        "threads": "EMBLEM_THREADS",
        "max_inputs": str(loaded.file),
        "host": "default",
    }


def test_a_value_that_another_source_beats_must_still_be_right(folder: Path) -> None:
    assert "EMBLEM_PORT" in refusal(folder, flags={"port": "3"}, EMBLEM_PORT="many")


def test_every_setting_has_the_same_name_in_all_three_sources(folder: Path) -> None:
    texts = {"host": "localhost", "home": str(folder), "api_key": KEY, "sources": "hub"}
    texts["cors_origins"] = "https://app.example"
    texts["trusted_proxies"] = texts["console_proxy_addresses"] = "10.0.0.0/8"
    texts["console_groups"] = "*=admin"
    texts["proof_cosine"] = "0.99"
    texts["console_url"] = texts["console_oidc_issuer"] = "https://app.example"
    for setting in describe():
        first = setting.placeholder.partition("|")[0]
        text = texts.get(setting.name) or {"N": "7", "NUMBER": "7.5", "TEXT": "x"}.get(first, first)
        text = "true" if setting.shape == "switch" else text
        variable = f"EMBLEM_{setting.name.upper()}"
        flag: str | list[str] | bool = text
        if setting.shape == "switch":
            flag = True
        elif setting.shape == "list":
            flag = [text]
        from_variable = read(folder, **{variable: text})
        from_flag = read(folder, flags={setting.name: flag})
        assert from_variable.origins[setting.name] == variable
        assert getattr(from_variable.settings, setting.name) == getattr(
            from_flag.settings, setting.name
        )


def test_what_is_described_is_every_field_but_the_tables() -> None:
    names = [setting.name for setting in describe()]
    tables = ["upstreams", "models", "aliases", "chat", "rerank", "prices"]
    assert [*names, *tables] == list(Settings.__struct_fields__)
    assert all(setting.help and setting.expects for setting in describe())


def test_lists_are_comma_separated_in_a_variable_and_repeated_as_a_flag(folder: Path) -> None:
    assert read(folder, EMBLEM_SERVE="a, b,").settings.serve == ("a", "b")
    assert read(folder, flags={"serve": ["a", "b"]}).settings.serve == ("a", "b")
    assert read(folder, flags={"serve": []}).origins["serve"] == "default"
    assert read(folder, 'serve = ["a", "b"]').settings.serve == ("a", "b")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("0", False), ("False", False)])
def test_switches_read_from_a_variable(folder: Path, text: str, value: bool) -> None:
    assert read(folder, EMBLEM_OFFLINE=text).settings.offline is value


def test_a_switch_that_was_turned_off_is_named_as_it_was_written(folder: Path) -> None:
    loaded = read(folder, flags={"auth": False})
    assert (loaded.settings.auth, loaded.origins["auth"]) == (False, "--no-auth")


def test_an_empty_variable_counts_as_not_set(folder: Path) -> None:
    loaded = read(folder, EMBLEM_PORT="", EMBLEM_API_KEY=" ", EMBLEM_CONFIG="")
    assert (loaded.origins["port"], loaded.settings.api_key) == ("default", "")


def test_the_file_is_looked_for_in_four_places_in_order(folder: Path) -> None:
    home = folder / "home"
    home.mkdir()
    for port, path in enumerate(
        [home / "emblem.toml", folder / "here" / "emblem.toml", folder / "env", folder / "flag"], 1
    ):
        path.write_text(f"port = {port}")
    environ = {"EMBLEM_HOME": str(home), "EMBLEM_CONFIG": "../env"}
    assert read(folder, config=Path("../flag"), **environ).settings.port == 4
    assert read(folder, **environ).settings.port == 3
    del environ["EMBLEM_CONFIG"]
    assert read(folder, **environ).settings.port == 2
    (folder / "here" / "emblem.toml").unlink()
    assert read(folder, **environ).settings.port == 1


def test_tables_come_from_the_file(folder: Path) -> None:
    toml = """
        [models.mine]
        source = "./folder"
        overflow = "truncate"
        [aliases."org/query"]
        model = "mine"
        input_type = "query"
        dimensions = 256
    """
    loaded = read(folder, toml)
    assert loaded.settings.models["mine"].overflow is Overflow.TRUNCATE
    alias = loaded.settings.aliases["org/query"]
    assert (alias.model, alias.input_type, alias.dimensions) == ("mine", Kind.QUERY, 256)
    assert loaded.origins["models.mine"] == loaded.origins["aliases.org/query"] == str(loaded.file)


@pytest.mark.parametrize(
    ("environ", "home", "origin"),
    [
        ({}, "{}/.local/share/emblem", "default"),
        ({"XDG_DATA_HOME": "{}/data"}, "{}/data/emblem", "XDG_DATA_HOME"),
        ({"XDG_DATA_HOME": "data"}, "{}/.local/share/emblem", "default"),
        ({"XDG_DATA_HOME": "{}/data", "EMBLEM_HOME": "{}/own"}, "{}/own", "EMBLEM_HOME"),
        ({"EMBLEM_HOME": "~/own"}, "{}/own", "EMBLEM_HOME"),
        ({"EMBLEM_HOME": "../own"}, "{}/own", "EMBLEM_HOME"),
    ],
)
def test_home_is_an_absolute_path(
    folder: Path, environ: dict[str, str], home: str, origin: str
) -> None:
    loaded = read(folder, **{name: text.format(folder) for name, text in environ.items()})
    assert (loaded.settings.home, loaded.origins["home"]) == (home.format(folder), origin)


def test_home_in_a_file_is_seen_from_that_file(folder: Path) -> None:
    (folder / "etc").mkdir()
    (folder / "etc" / "emblem.toml").write_text('home = "state"')
    loaded = read(folder, config=folder / "etc" / "emblem.toml")
    assert loaded.settings.home == str(folder / "etc" / "state")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("prot = 1", "there is no setting 'prot'; did you mean port?"),
        ("[server]\nport = 1", "there is no setting 'server'; did you mean serve?"),
        ("[models.a]\nsorce = 'x'", "[models.a] has no key 'sorce'; did you mean source?"),
        ("[aliases.a]\ntarget = 'x'", "[aliases.a] has no key 'target'"),
        ("[aliases.a]\ndimensions = 3", "[aliases.a] needs 'model'"),
        ("models = 3", "models must be tables, each written [models.NAME]"),
        ("[models]\na = 3", "models must be tables, each written [models.NAME]"),
        ("port = '80'", "port is '80'; it must be a whole number from 1 to 65535"),
        ("port = 70000", "port is 70000; it must be a whole number from 1 to 65535"),
        ("port = true", "port is True; it must be a whole number from 1 to 65535"),
        ("auth = 1", "auth is 1; it must be true or false"),
        ("overflow = 'cut'", "overflow is 'cut'; it must be mean, truncate or error"),
        ("empty_input = 'x'", "empty_input is 'x'; it must be refuse or embed"),
        ("sources = 'hub'", "sources is 'hub'; it must be a list of texts"),
        ("body_timeout_s = inf", "body_timeout_s is inf; it must be a number above 0"),
        ("body_timeout_s = 0", "body_timeout_s is 0; it must be a number above 0"),
        ("[aliases.a]\nmodel='b'\ndimensions=0", "[aliases.a] dimensions is 0; it must be a whole"),
        ("[aliases.a]\nmodel='b'\ninput_type='q'", "input_type is 'q'; it must be query or doc"),
        ('home = "a\\u0000"', "home is 'a\\x00'; it must be a folder"),
        ("port = ", "is not TOML: Invalid value (at end of document)"),
        ("[models.'a b']", "a name needs printable characters, and no space"),
        ("[models.a]\n[aliases.a]\nmodel='b'", "'a' is in both [models] and [aliases]"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line_naming_it(
    folder: Path, toml: str, said: str
) -> None:
    message = refusal(folder, toml)
    assert message.startswith(str(folder / "here" / "emblem.toml"))
    assert said in message


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("EMBLEM_PROT", "1", "EMBLEM_PROT is not a setting of Emblem; did you mean EMBLEM_PORT?"),
        ("EMBLEM_PORT", "x", "EMBLEM_PORT is 'x'; it must be a whole number from 1 to 65535"),
        ("EMBLEM_AUTH", "maybe", "EMBLEM_AUTH is 'maybe'; it must be true or false"),
        ("EMBLEM_MODELS", "a", "EMBLEM_MODELS cannot be set; [models.NAME] belongs into emblem"),
        (
            "EMBLEM_SOURCES",
            "hug",
            "has 'hug', which is none of cache, hub, index; did you mean hub",
        ),
        ("EMBLEM_HOST", "http://x", "host (EMBLEM_HOST) is 'http://x'; it must be an address"),
        ("EMBLEM_CONFIG", "nowhere", "nowhere does not exist"),
        ("EMBLEM_CONFIG", "..", "cannot be read: Is a directory"),
    ],
)
def test_what_is_wrong_in_a_variable_is_one_line_naming_it(
    folder: Path, variable: str, text: str, said: str
) -> None:
    assert said in refusal(folder, **{variable: text})


def test_a_flag_that_is_wrong_is_named_as_it_was_written(folder: Path) -> None:
    said = refusal(folder, flags={"max_body_bytes": "0"})
    assert said == "--max-body-bytes is '0'; it must be a whole number from 1 up"
    assert "did you mean port" in refusal(folder, flags={"prot": "1"})


@pytest.mark.parametrize("key", ["short", "has spaces in the middle", "naïve-but-long-enough", 7])
def test_a_key_that_is_none_is_refused_and_never_repeated(folder: Path, key: str | int) -> None:
    from_file = refusal(folder, f"api_key = {key!r}")
    assert "api_key" in from_file
    assert str(key) not in from_file.replace(str(folder), "").replace("16", "")
    if isinstance(key, str):
        from_variable = refusal(folder, EMBLEM_API_KEY=key)
        assert "EMBLEM_API_KEY" in from_variable
        assert key not in from_variable


def test_no_secret_is_in_what_python_shows_of_the_settings(folder: Path) -> None:
    database = "postgresql://me:hunter2@db/emblem"
    found = read(folder, EMBLEM_API_KEY=KEY, EMBLEM_DATABASE=database, EMBLEM_PORT="9000")
    for shown in (repr(found), str(found.settings)):
        assert "port=9000" in shown
        assert KEY not in shown
        assert "hunter2" not in shown


def test_the_newline_at_the_end_of_a_secret_is_not_part_of_it(folder: Path) -> None:
    assert read(folder, EMBLEM_API_KEY=f"{KEY}\n").settings.api_key == KEY


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_without_keys_only_this_machine_is_served(folder: Path, host: str) -> None:
    said = refusal(folder, f"host = '{host}'", EMBLEM_AUTH="false")
    assert "auth = false (EMBLEM_AUTH)" in said
    assert host in said


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_without_keys_this_machine_is_served(folder: Path, host: str) -> None:
    assert read(folder, EMBLEM_AUTH="false", EMBLEM_HOST=host).settings.auth is False


def test_variables_that_set_nothing_are_left_alone(folder: Path) -> None:
    loaded = read(
        folder,
        EMBLEM_TORCH_PYTHON="/usr/bin/python3",
        EMBLEM_TEST_SOMETHING="1",
        # What Kubernetes adds beside a Service called "emblem" or "emblem-gpu".
        EMBLEM_SERVICE_HOST="10.0.0.1",
        EMBLEM_SERVICE_PORT="8080",
        EMBLEM_SERVICE_PORT_HTTP="8080",
        EMBLEM_PORT="tcp://10.0.0.1:8080",
        EMBLEM_PORT_8080_TCP="tcp://10.0.0.1:8080",
        EMBLEM_PORT_8080_TCP_ADDR="10.0.0.1",
        EMBLEM_GPU_PORT="tcp://10.0.0.2:8080",
        EMBLEM_GPU_SERVICE_HOST="10.0.0.2",
    )
    assert loaded.settings.port == 8080
    assert set(loaded.origins.values()) == {"default"}


@given(
    name=st.sampled_from([setting.name for setting in describe()]),
    text=st.text(st.characters(exclude_characters="\0")),
)
def test_any_text_is_either_a_value_or_one_line_naming_the_variable(name: str, text: str) -> None:
    variable = f"EMBLEM_{name.upper()}"
    environ = {"HOME": "/nowhere", variable: text}
    try:
        load(flags={}, environ=environ, directory=Path("/nowhere"))
    except ConfigError as error:
        assert variable in str(error)  # noqa: PT017 - most texts are values
        assert len(str(error).splitlines()) == 1  # noqa: PT017


def test_a_models_folder_is_seen_from_the_file_that_names_it(tmp_path: Path) -> None:
    """``./`` and ``~`` in a file mean the same wherever the server is started."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "emblem.toml").write_text(
        'serve = ["./one", "org/two"]\ndefault_model = "~/three"\n[models.four]\nsource = "../four"\n'
    )
    found = load(
        flags={},
        environ={"HOME": str(tmp_path / "me"), "USERPROFILE": str(tmp_path / "me")},
        directory=tmp_path,
        config_file=tmp_path / "etc" / "emblem.toml",
    ).settings
    assert found.serve == (str(tmp_path / "etc" / "one"), "org/two")
    assert found.default_model == str(tmp_path / "me" / "three")
    assert found.models["four"].source == str(tmp_path / "four")


@pytest.mark.parametrize("network", ["10.0.0.1/8", "proxy.example.org", "10.0.0.0/33", "*"])
def test_a_trusted_proxy_is_a_network(folder: Path, network: str) -> None:
    assert network in refusal(folder, EMBLEM_TRUSTED_PROXIES=network)
    right = read(folder, EMBLEM_TRUSTED_PROXIES="10.1.2.3, fd00::/8").settings
    assert right.trusted_proxies == ("10.1.2.3", "fd00::/8")
