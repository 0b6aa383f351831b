"""The messages that the page quotes are messages of the program."""

from __future__ import annotations

import re

from tests.helpers.places import ROOT


def quoted() -> list[str]:
    """What the first columns of the page's tables quote of messages: words in backticks, not commands."""
    rows = re.findall(r"^\| (.+?) \| .+\|$", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    texts = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    return [part for text in texts for part in re.split(r"\s*\.\.\.\s*|'\w+'", text) if len(part.split()) > 1]


def test_quoted_messages_exist() -> None:
    source = " ".join(file.read_text() for file in sorted((ROOT / "tinkit").rglob("*.py")))
    others = {
        "tinkit: command not found",
        "operator torchvision::nms does not exist",
        "--overfit 16",
    }  # of other programs
    ours = [text for text in quoted() if text not in others and not text.startswith("tinkit ")]
    assert len(ours) >= 5
    assert [text for text in ours if text.strip() not in source] == []
