"""README.md lists every attack that is tried here, by name."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parent / "README.md"
TEST = re.compile(r"^def test_(\w+)\(", re.MULTILINE)
MINIMUM = 40


def attacks():
    """The tests of this folder, as sentences."""
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    return {
        name.replace("_", " ") for file in files if file != Path(__file__) for name in TEST.findall(file.read_text())
    }


def test_every_attack_is_listed_by_name() -> None:
    listed = re.findall(r"^- _(.+)_$", DOCUMENT.read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(attacks())
    assert len(listed) >= MINIMUM
