"""JSON and TOML as records: what is right comes back, each mistake is one sentence that names its place."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import pytest

from crisp.documents import (
    at_least,
    build_record,
    by_name,
    load_record,
    parse_json,
    read_json,
    read_record,
    read_toml,
    write_json,
)
from crisp.errors import InputError


class Step(Protocol):
    def __call__(self) -> int: ...


@dataclass(frozen=True)
class Short:
    RENAMED: ClassVar[Mapping[str, str]] = {"count": "iterations", "stop.after": "iterations"}
    iterations: int = 1

    def __post_init__(self) -> None:
        at_least(self, 1, "iterations")

    def __call__(self) -> int:
        return self.iterations


@dataclass(frozen=True)
class Long:
    rate: float = 0.5
    first: Short = field(default_factory=Short)

    def __call__(self) -> int:
        return 2


@dataclass(frozen=True)
class Settings:
    RENAMED: ClassVar[Mapping[str, str]] = {"steps": "step", "step.speed": "step.rate"}
    name: str
    step: Step
    mode: Literal["fast", "exact"] = "fast"
    bound_m: float | None = None
    sizes: tuple[int, int] = (1, 2)
    rows: tuple[Short, ...] = ()
    on: bool = True
    free: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


CHOICES = {Step: by_name(Short, Long)}
RIGHT: dict[str, Any] = {"name": "a", "step": {"kind": "Short"}}


def built(content: Any, **others: Any) -> Settings:
    return build_record(Settings, content, where="f.json", choices=CHOICES, **others)


def test_what_may_be_said_comes_back() -> None:
    content = RIGHT | {
        "step": {"kind": "Long", "rate": 2, "first": {"iterations": 3}},
        "mode": "exact",
        "bound_m": 0.5,
        "sizes": [3, 4],
        "rows": [{}, {"iterations": 7}],
        "on": False,
        "free": {"any": [1, {"thing": None}]},
        "seconds": {"a": 1, "b": 0.5},
    }
    assert built(content) == Settings(
        name="a",
        step=Long(2.0, Short(3)),
        mode="exact",
        bound_m=0.5,
        sizes=(3, 4),
        rows=(Short(), Short(7)),
        on=False,
        free={"any": [1, {"thing": None}]},
        seconds={"a": 1.0, "b": 0.5},
    )
    assert isinstance(built(content).step.rate, float)  # type: ignore[attr-defined]
    assert built(RIGHT | {"bound_m": None}) == built(RIGHT | {"bound_m": "none"}, none="none") == built(RIGHT)


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({"name": 5}, "name 5"),
        ({"name": None}, "name None"),
        ({"colour": 1}, "colour bound_m"),
        ({"step": 3}, "step Short Long 3"),
        ({"step": {"iterations": 3}}, "step Short Long"),
        ({"step": {"kind": "Newton"}}, "step Short Long Newton"),
        ({"step": {"kind": ["Short"]}}, "step Short"),
        ({"step": {"kind": "Short", "rate": 1}}, "step rate iterations"),
        ({"step": {"kind": "Short", "iterations": 0}}, "step iterations 0"),
        ({"step": {"kind": "Short", "iterations": True}}, "step.iterations True"),
        ({"step": {"kind": "Long", "first": {"iterations": 1.0}}}, "step.first.iterations 1.0"),
        ({"step": {"kind": "Long", "rate": "1"}}, "step.rate '1'"),
        ({"step": {"kind": "Long", "rate": True}}, "step.rate True"),
        ({"step": {"kind": "Long", "rate": float("nan")}}, "step.rate nan"),
        ({"step": {"kind": "Long", "rate": 10**400}}, "step.rate"),
        ({"step": {"kind": "Long", "rate": 10**5000}}, "step.rate"),
        ({"mode": "slow"}, "mode fast exact slow"),
        ({"mode": ["fast"]}, "mode fast exact"),
        ({"bound_m": "none"}, "bound_m none"),
        ({"sizes": [1]}, "sizes 2"),
        ({"sizes": [1, 2, 3]}, "sizes 2"),
        ({"sizes": [1, "2"]}, "sizes[1] '2'"),
        ({"sizes": "12"}, "sizes '12'"),
        ({"rows": {"iterations": 1}}, "rows list"),
        ({"rows": [{}, {"iterations": -1}]}, "rows[1] iterations -1"),
        ({"rows": [{}, 4]}, "rows[1] 4"),
        ({"on": 1}, "on 1"),
        ({"free": [1]}, "free [1]"),
        ({"seconds": {"a": "1"}}, "seconds '1'"),
    ],
)
def test_each_mistake_is_one_sentence_that_names_its_place(change: dict[str, Any], places: str) -> None:
    with pytest.raises(InputError) as caught:
        built(RIGHT | change)
    sentence = str(caught.value)
    assert sentence.startswith("f.json") and "\n" not in sentence and len(sentence) < 300
    for place in places.split():
        assert place in sentence


def test_what_is_missing_is_named_and_an_unknown_key_comes_first() -> None:
    with pytest.raises(InputError, match="'step'"):
        built({"name": "a"})
    with pytest.raises(InputError, match="'stepp'"):
        built({"name": "a", "stepp": {}})
    for content in ([], "text", 3, None):
        with pytest.raises(InputError, match=r"f\.json"):
            built(content)


@pytest.mark.parametrize(
    ("content", "old", "new"),
    [
        ({"name": "a", "steps": {}}, "steps", "step"),
        (RIGHT | {"step": {"kind": "Short", "count": 3}}, "step.count", "step.iterations"),
        (RIGHT | {"step": {"kind": "Long", "speed": 3}}, "step.speed", "step.rate"),
        (
            RIGHT | {"step": {"kind": "Long", "first": {"count": 1}}},
            "step.first.count",
            "step.first.iterations",
        ),
    ],
)
def test_an_old_key_is_refused_with_its_new_name(content: dict[str, Any], old: str, new: str) -> None:
    with pytest.raises(InputError, match=f"{re.escape(old)} .* {re.escape(new)}"):
        built(content)


def test_a_module_may_say_what_was_renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "RENAMED", {"velocity": "rate"}, raising=False)
    with pytest.raises(InputError, match=r"step\.velocity .* step\.rate"):
        built(RIGHT | {"step": {"kind": "Long", "velocity": 3}})


def test_keys_of_others_may_be_left_out() -> None:
    content = RIGHT | {"colour": 1, "rows": [{"iterations": 2, "colour": 1}]}
    assert built(content, strangers=True).rows == (Short(2),)


def test_depth_has_a_bound(tmp_path: Path) -> None:
    free: Any = 1
    for _ in range(70):
        free = [free]
    with pytest.raises(InputError, match=r"f\.json"):
        built(RIGHT | {"free": {"a": free}})
    path = tmp_path / "deep.json"
    for text in ("[" * 100_000, '{"a":' * 100_000):
        path.write_text(text)
        with pytest.raises(InputError, match=r"deep\.json"):
            parse_json(path)
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(InputError, match=r"deep\.toml"):
        read_toml(path, Short)
    path.write_text(".".join("a" * 5000) + " = 1\n")
    with pytest.raises(InputError, match=r"deep\.toml"):
        read_toml(path, Short)


@pytest.mark.parametrize("ending", ["json", "toml"])
def test_what_is_no_document_is_named(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"mine.{ending}"

    def refused() -> str:
        with pytest.raises(InputError, match=re.escape(str(path))) as caught:
            read_record(path, Short) if ending == "json" else read_toml(path, Short)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    refused()  # missing
    right = b'{"iterations": 2}' if ending == "json" else b"iterations = 2\n"
    path.write_bytes(b"\xef\xbb\xbf" + right)
    assert "byte order mark" in refused()
    for wrong in (
        right.decode().encode("utf-16"),
        b"\xff" + right,
        b"{",
        b"= 1",
        b"iterations = " + b"1" * 5000,
    ):
        path.write_bytes(wrong)
        refused()
    path.write_bytes(right)
    monkeypatch.setattr("crisp.documents.MOST_BYTES", 4)
    assert "larger" in refused()
    path.unlink()
    path.mkdir()
    refused()


def test_json_numbers_are_finite_where_they_have_a_type(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        path.write_text(f'{{"rate": {number}}}')
        with pytest.raises(InputError, match="rate"):
            read_record(path, Long)
    path.write_text("[1]")
    assert parse_json(path) == [1]
    with pytest.raises(InputError, match="object"):
        read_json(path)


def test_another_version_is_refused_before_all_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"format_version": 2, "unheard": "of"}')
    with pytest.raises(InputError, match="version 2"):
        read_record(path, Short, version=1)
    path.write_text("{}")
    with pytest.raises(InputError, match="version None"):
        read_record(path, Short, version=1)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    write_json(path, Long(0.25, Short(3)))
    assert read_record(path, Long) == Long(0.25, Short(3))
    write_json(path, {"a": float("nan"), "b": (1, 2)})
    assert json.loads(path.read_text()) == {"a": None, "b": [1, 2]}
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        write_json(tmp_path / "file" / "a.json", {})


def test_a_record_by_name_or_path(tmp_path: Path) -> None:
    (tmp_path / "three.toml").write_text("iterations = 3\n")
    for source in ("three", str(tmp_path / "three.toml")):
        assert load_record(Short, source, folder=tmp_path, what="plan") == Short(3)
    for source in ("four", "four.toml"):
        with pytest.raises(InputError, match=f"plan '{source}'.*three"):
            load_record(Short, source, folder=tmp_path, what="plan")
