"""`make structure`: what it counts."""

from pathlib import Path

import pytest

from scripts.structure import Size, find_cycles, find_faults, find_top_level, measure_classes

MODULES = {
    "__init__.py": "",
    "first.py": "from . import second\n",
    "second.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import first\n",
    "third.py": "from . import second\n\n\nclass Big:\n    def __init__(self):\n        self.a = self.b = 1\n\n    def do(self):\n        self.a += 1\n",
    "part/__init__.py": "",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("scripts.structure.PACKAGE", "built_for_a_test")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    for name, text in MODULES.items():
        file = tmp_path / "built_for_a_test" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_an_import_for_the_type_checker_closes_a_cycle(root: Path) -> None:
    assert find_cycles(root) == [("built_for_a_test.first", "built_for_a_test.second")]


def test_the_methods_and_the_attributes_of_a_class_are_counted(root: Path) -> None:
    assert measure_classes(root) == [Size("built_for_a_test.third.Big", methods=2, attributes=2)]


def test_what_stands_at_the_top_is_counted(root: Path) -> None:
    assert find_top_level(root) == (["__init__.py", "first.py", "second.py", "third.py"], ["part"])


def test_a_cycle_that_is_not_allowed_is_a_fault(root: Path) -> None:
    assert list(find_faults(root)) == ["a cycle of imports: built_for_a_test.first, built_for_a_test.second"]
