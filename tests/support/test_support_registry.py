"""Plug-ins by name, by entry point, by module:Class."""

from __future__ import annotations

import pytest

from ev_marl.support.errors import UnknownNameError
from ev_marl.support.registry import Registry, did_you_mean, known_names


def test_names_and_imports() -> None:
    registry: Registry[object] = Registry("colour", "ev_marl.test_colours")
    registry.register("red")(1)
    registry.register("red")(1)
    assert "red" in registry
    assert list(registry) == ["red"]
    assert registry.get("red") == 1
    assert registry.get("ev_marl.support.registry:Registry") is Registry
    with pytest.raises(ValueError, match="colour 'red' is registered already"):
        registry.register("red")(2)
    with pytest.raises(UnknownNameError, match=r"no colour is called 'rad'. Did you mean 'red'\? Known: red"):
        registry.get("rad")
    with pytest.raises(UnknownNameError, match="cannot be imported"):
        registry.get("ev_marl.support.registry:Nothing")


def test_no_suggestion_for_a_far_word() -> None:
    assert did_you_mean("zebra", ["red"]) == ""


def test_names_are_known_without_the_registry() -> None:
    registry: Registry[object] = Registry("shape", "ev_marl.test_shapes")
    assert known_names("ev_marl.test_shapes") == []
    registry.register("square")(1)
    registry.register("circle")(2)
    assert known_names("ev_marl.test_shapes") == ["circle", "square"]
