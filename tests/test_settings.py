"""Settings: a call's word over the environment's over the file's over the default; refused at the door."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heavylift.errors import InvalidArgument
from heavylift.settings import _LOWEST, Settings, processors, project_root


def load(root: Path, env: dict[str, str] | None = None, file: str | None = None, **said: Any) -> Settings:
    if file is not None:
        (root / "heavylift.toml").write_text(file)
    return Settings.load(env or {}, root=root, **said)


# --- what follows from what --------------------------------------------------------------------------------


def test_locks_are_renewed_four_times_in_their_life_unless_said_otherwise(tmp_path: Path) -> None:
    assert Settings().heartbeat == 7.5
    assert Settings(lock=8).heartbeat == load(tmp_path, {"HEAVYLIFT_LOCK": "8"}).heartbeat == 2.0
    assert Settings(lock=8, heartbeat=1).heartbeat == 1


def test_a_lock_of_the_wrong_type_in_the_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="lock='30'"):
        load(tmp_path, file='lock = "30"')


# --- who is heard ----------------------------------------------------------------------------------------


def test_the_default_counts_where_nobody_said_anything(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings(root=tmp_path)


@pytest.mark.parametrize(
    ("file", "env", "said", "places"),
    [
        (None, {}, None, 100),
        ("places = 1", {}, None, 1),
        ("places = 1", {"HEAVYLIFT_PLACES": "2"}, None, 2),
        ("places = 1", {"HEAVYLIFT_PLACES": "2"}, 3, 3),
        ("places = 1", {"HEAVYLIFT_PLACES": ""}, None, 1),
        (None, {"HEAVYLIFT_PLACES": "100"}, None, 100),
        ("places = 1", {"HEAVYLIFT_PLACES": "100"}, None, 100),
        (None, {"HEAVYLIFT_PLACES": "7"}, 0, 0),
    ],
)
def test_the_call_goes_over_the_environment_over_the_file_over_the_default(
    tmp_path: Path, file: str | None, env: dict[str, str], said: int | None, places: int
) -> None:
    """A value that equals the default is still said: the environment's 100 goes over the file's 1."""
    assert load(tmp_path, env, file, places=said).places == places


def test_redis_url_stands_in_for_our_own_variable(tmp_path: Path) -> None:
    theirs = {"REDIS_URL": "redis://theirs"}
    assert load(tmp_path, theirs).redis_url == "redis://theirs"
    assert load(tmp_path, theirs | {"HEAVYLIFT_REDIS_URL": "redis://ours"}).redis_url == "redis://ours"
    assert load(tmp_path, theirs, redis_url="redis://said").redis_url == "redis://said"


def test_values_of_every_kind_are_read_from_the_environment(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        {
            "HEAVYLIFT_CLUSTER": "yes",
            "HEAVYLIFT_SLOTS": "3",
            "HEAVYLIFT_POLL": "0.5",
            "HEAVYLIFT_PREFIX": "shop",
            "HEAVYLIFT_ALLOWED_ROOTS": f"{tmp_path}/a:{tmp_path}/b",
        },
    )
    assert (settings.cluster, settings.slots, settings.poll, settings.prefix) == (True, 3, 0.5, "shop")
    assert settings.allowed_roots == (tmp_path / "a", tmp_path / "b")


def test_allowed_roots_of_the_file_are_relative_to_it(tmp_path: Path) -> None:
    assert load(tmp_path, file='allowed_roots = ["photos"]').allowed_roots == (tmp_path / "photos",)


def test_a_lock_brings_its_heartbeat_along(tmp_path: Path) -> None:
    assert load(tmp_path, lock=8.0).heartbeat == 2.0
    assert load(tmp_path, lock=8.0, heartbeat=1.0).heartbeat == 1.0


def test_settings_do_not_change(tmp_path: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(tmp_path).places = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("file", "env", "said", "queues"),
    [
        (None, {}, None, None),
        ("queues = {critical = 5, default = 1}", {}, None, {"critical": 5, "default": 1}),
        ('queues = ["critical", "default"]', {}, None, {"critical": 1, "default": 1}),
        ("queues = {critical = 5}", {"HEAVYLIFT_QUEUES": "default, critical=2"}, None, {"default": 1, "critical": 2}),
        (None, {"HEAVYLIFT_QUEUES": "default"}, {"critical": 3}, {"critical": 3}),
    ],
)
def test_queues_with_weights_are_said_in_every_place(
    tmp_path: Path, file: str | None, env: dict[str, str], said: Any, queues: dict[str, int] | None
) -> None:
    settings = load(tmp_path, env, file, queues=said)
    assert settings.queues == queues
    assert list(settings.queues or ()) == list(queues or ()), "their order is kept: it counts if they are strict"


def test_costs_and_strict_are_said_in_every_place(tmp_path: Path) -> None:
    assert load(tmp_path).costs == {}
    settings = load(tmp_path, {"HEAVYLIFT_COSTS": "images=2"}, 'strict = true\nqueues = ["images"]')
    assert (settings.costs, settings.strict) == ({"images": 2}, True)


# --- refused at the door ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "low"), _LOWEST.items())
def test_a_value_below_the_lowest_is_refused_by_name(tmp_path: Path, name: str, low: float) -> None:
    with pytest.raises(InvalidArgument, match=f"{low} or more") as refused:
        load(tmp_path, **{name: low - 1})
    assert refused.value.field == name


@pytest.mark.parametrize(
    ("env", "field"),
    [
        ({"HEAVYLIFT_PLACES": "many"}, "HEAVYLIFT_PLACES"),
        ({"HEAVYLIFT_PLACES": "1.5"}, "HEAVYLIFT_PLACES"),
        ({"HEAVYLIFT_POLL": "soon"}, "HEAVYLIFT_POLL"),
        ({"HEAVYLIFT_CLUSTER": "maybe"}, "HEAVYLIFT_CLUSTER"),
        ({"HEAVYLIFT_POLL": "nan"}, "poll"),
        ({"HEAVYLIFT_QUEUES": "images=many"}, "HEAVYLIFT_QUEUES"),
        ({"HEAVYLIFT_QUEUES": "images,,mail"}, "HEAVYLIFT_QUEUES"),
        ({"HEAVYLIFT_QUEUES": "images=1,images=2"}, "HEAVYLIFT_QUEUES"),
        ({"HEAVYLIFT_COSTS": "images=-1"}, "HEAVYLIFT_COSTS"),
        ({"HEAVYLIFT_COSTS": "images=0"}, "costs"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(tmp_path: Path, env: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        load(tmp_path, env)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("file", "field"),
    [
        ("places = ", "heavylift.toml"),
        ("plaaces = 3", "plaaces"),
        ("places = 'three'", "places"),
        ("places = true", "places"),
        ("cluster = 'yes'", "cluster"),
        ("prefix = 3", "prefix"),
        ("places = 1.5", "places"),
        ("allowed_roots = 'photos'", "allowed_roots"),
        ("allowed_roots = [3]", "allowed_roots"),
        ("[worker]\nplaces = 3", "worker"),
        ("queues = 'images'", "queues"),
        ("queues = ['images', 'images']", "queues"),
        ("queues = []", "queues"),
        ("queues = {images = 0}", "queues"),
        ("queues = {images = 1.5}", "queues"),
        ("queues = {'my images' = 1}", "queues"),
        ("costs = ['images']", "costs"),
        ("costs = {images = true}", "costs"),
        ("strict = true", "strict"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_by_name(tmp_path: Path, file: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        load(tmp_path, file=file)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"heartbeat": 20.0}, "heartbeat"),
        ({"prefix": ""}, "prefix"),
        ({"prefix": "a{b}"}, "prefix"),
        ({"prefix": "a b"}, "prefix"),
        ({"colour": "red"}, "colour"),
        ({"poll": float("nan")}, "poll"),
        ({"slots": "2"}, "slots"),
        ({"lock": True}, "lock"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused_by_name(tmp_path: Path, said: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        load(tmp_path, **said)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("file", "env", "said", "where"),
    [
        ("places = -1", {}, {}, "heavylift.toml"),
        ("plaaces = 1", {}, {}, "heavylift.toml"),
        ("queues = {images = 0}", {}, {}, "heavylift.toml"),
        ("middleware = [1]", {}, {}, "heavylift.toml"),
        ("middleware = 'a:B'", {}, {}, "heavylift.toml"),
        ("allowed_roots = 3", {}, {}, "heavylift.toml"),
        ("places = -1", {"HEAVYLIFT_PLACES": "-2"}, {}, "HEAVYLIFT_PLACES"),
        (None, {"HEAVYLIFT_DURABLE": "sure"}, {}, "HEAVYLIFT_DURABLE"),
        (None, {"HEAVYLIFT_PREFIX": "a b"}, {}, "HEAVYLIFT_PREFIX"),
        ("places = 1", {"HEAVYLIFT_PLACES": "2"}, {"places": -3}, None),
        ("lock = 1", {}, {"heartbeat": 1.0}, None),
    ],
)
def test_what_is_refused_is_said_to_come_from_its_file_or_its_variable(
    tmp_path: Path, file: str | None, env: dict[str, str], said: dict[str, Any], where: str | None
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        load(tmp_path, env, file, **said)
    assert ("said by" in str(refused.value)) == (where is not None)
    place = str(tmp_path / where) if where == "heavylift.toml" else where
    assert place is None or str(refused.value).endswith(f"(said by {place})")


names = st.sampled_from([f.name for f in dataclasses.fields(Settings) if f.name != "root"])


@given(names, st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
def test_whatever_the_environment_says_is_taken_or_refused(name: str, text: str) -> None:
    try:
        Settings.load({f"HEAVYLIFT_{name.upper()}": text}, root=Path("/nowhere"))
    except InvalidArgument:
        pass


def test_middleware_is_named_in_the_environment_and_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "heavylift.toml").write_text('middleware = ["a.b:C"]')
    assert Settings.load({}, root=tmp_path).middleware == ("a.b:C",)
    assert Settings.load({"HEAVYLIFT_MIDDLEWARE": "x:Y, z:W"}, root=tmp_path).middleware == ("x:Y", "z:W")
    with pytest.raises(InvalidArgument, match="module:Name"):
        Settings.load({"HEAVYLIFT_MIDDLEWARE": "x.Y"}, root=tmp_path)
    for wrong in ('"a:B"', "[1]", '["a"]'):
        (tmp_path / "heavylift.toml").write_text(f"middleware = {wrong}")
        with pytest.raises(InvalidArgument, match="module:Name"):
            Settings.load({}, root=tmp_path)


# --- the project's root ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [".heavylift/", "heavylift.toml", "handlers/"])
def test_the_root_is_the_nearest_folder_upwards_with_a_mark(tmp_path: Path, mark: str) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    path = tmp_path / "a" / mark
    path.mkdir() if mark.endswith("/") else path.touch()
    assert project_root(deep) == tmp_path / "a"


def test_the_file_of_the_named_root_is_read(tmp_path: Path) -> None:
    (tmp_path / "heavylift.toml").write_text("places = 3")
    assert Settings.load({"HEAVYLIFT_ROOT": str(tmp_path)}).places == 3
    assert Settings.load({"HEAVYLIFT_ROOT": str(tmp_path)}).root == tmp_path


def test_there_is_a_processor() -> None:
    assert processors() >= 1
