"""Plug-ins by name, by entry point, by module:Class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from ev_marl.scenario.units import NonNegativePrice
from ev_marl.support.errors import OptionError, TrustError, UnknownNameError
from ev_marl.support.registry import Registry, did_you_mean

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


class Colour(Protocol):
    name: str

    def mixed(self) -> str: ...


class Red:
    name = "red"

    def __init__(self, share: float = 1.0, layers: int | None = None, tone: str = "", matt: bool = False) -> None:
        self.share = share
        if tone == "none":
            raise LookupError("no such tone")

    def mixed(self) -> str:
        return self.name


class Dear(Red):
    def __init__(self, price: NonNegativePrice) -> None:
        super().__init__()
        self.price = price


class Vague(Red):
    def __init__(self, share: float, like: Unknown = None) -> None:
        super().__init__(share)


def colours() -> Registry[Colour]:
    registry: Registry[Colour] = Registry("colour", "ev_marl.test_colours", Colour)
    registry.register("red")(Red)
    return registry


def test_names() -> None:
    registry = colours()
    registry.register("red")(Red)
    assert "red" in registry
    assert list(registry) == ["red"]
    assert registry.get("red") is Red
    assert registry.make("red", 0.5).share == 0.5
    with pytest.raises(ValueError, match="colour 'red' is registered already"):
        registry.register("red")(object)
    with pytest.raises(UnknownNameError, match=r"no colour is called 'rad'. Did you mean 'red'\? Known: red"):
        registry.get("rad")


def test_own_code_is_imported_only_by_agreement() -> None:
    registry = colours()
    with pytest.raises(TrustError, match=r"colour 'nowhere\.at\.all:Class' is custom code.*--trust.*trust=True"):
        registry.get("nowhere.at.all:Class")
    assert registry.get(f"{__name__}:Red", trust=True) is Red


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:Class", "cannot be imported: ModuleNotFoundError"),
        (f"{__name__}:Nothing", "cannot be imported: AttributeError"),
        ("own_code_that_fails:Class", "cannot be imported: ZeroDivisionError"),
        (".relative:Class", "write custom code as module:Class"),
        (":Class", "write custom code as module:Class"),
        ("module:", "write custom code as module:Class"),
        ("a:b:c", "write custom code as module:Class"),
        ("sys:exit", "is not a class"),
        ("os:system", "is not a class"),
    ],
)
def test_own_code_that_is_none(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_code_that_fails.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UnknownNameError, match=message):
        colours().get(name, trust=True)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "red",
            {"shade": 1},
            r"colour 'red': got an unexpected keyword.*'shade'.*Options: share, layers, tone, matt",
        ),
        ("red", {"share": "much"}, "colour 'red': share: found 'much'; expected a number"),
        ("red", {"share": float("nan")}, "colour 'red': share: found nan; expected a finite number"),
        ("red", {"share": 1e300}, r"colour 'red': share: found 1e\+300; expected 0, or a magnitude"),
        ("red", {"share": True}, "colour 'red': share: found true; expected a number"),
        ("red", {"layers": 1.5}, r"colour 'red': layers: found 1\.5; expected a whole number"),
        ("red", {"matt": "False"}, "colour 'red': matt: found 'False'; expected true or false"),
        ("red", {"matt": 1}, "colour 'red': matt: found 1; expected true or false"),
        ("red", {"tone": "none"}, r"colour 'red': 'no such tone' \(LookupError\)|colour 'red': no such tone"),
        ("json:JSONDecoder", {}, "colour 'json:JSONDecoder' is not a valid colour: JSONDecoder lacks mixed, name"),
    ],
)
def test_what_does_not_go(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        colours().make(name, options=options, trust=True)
    assert colours().make("red", options={"layers": None, "share": 1, "matt": True}).mixed() == "red"


def test_no_suggestion_for_a_far_word() -> None:
    assert did_you_mean("zebra", ["red"]) == ""


def test_types_of_options_are_their_schema() -> None:
    registry = colours()
    registry.register("dear")(Dear)
    registry.register("vague")(Vague)

    def dear(price: object) -> Any:
        return registry.make("dear", options={"price": price})

    assert (dear(0.25).price, dear("250 EUR/MWh").price) == (0.25, 0.25)
    with pytest.raises(OptionError, match=r"colour 'dear': price: found '1 EUR' with the unit 'EUR'.*EUR/kWh"):
        dear("1 EUR")
    with pytest.raises(OptionError, match="colour 'dear': price: Input should be greater than or equal to 0"):
        dear(-1)
    with pytest.raises(OptionError, match="colour 'vague': share: found 'much'; expected a number"):
        registry.make("vague", options={"share": "much"})
