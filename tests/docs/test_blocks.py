"""Every block of code that README and docs/ show runs here, or says that it is not run, and why."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.helpers.page_runner import PageError, PageRunner
from tests.helpers.pages import Block, blocks
from tests.helpers.places import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "extending").glob("*.md"))]
RUN = ("bash", "sh", "python")
SHOWN = ("toml", "text", "json", "csv", "diff")
OWN = {
    "evening.md",
    "fuse.md",
    "submit.md",
    "score-files.md",
}  # with tests of their own, as the pages of docs/extending/ have


def has_own_test(page: Path) -> bool:
    return page.name in OWN or page.parent.name == "extending"


RUNNING = [
    page
    for page in PAGES
    if not has_own_test(page) and any(one.language in RUN and not one.not_run for one in blocks(page))
]
SLOW = {
    "README.md",
    "mmit.md",
    "something-something.md",
    "flow.md",
    "export.md",
    "your-own-videos.md",
    "look.md",
    "packed.md",
    "report.md",
    "troubleshooting.md",
    "watch.md",
}

FIRST = {"start.md", "train.md"}  # they train what the others find trained


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What readers have before a page: the sets, and two models of the demo, trained and tested on both splits."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        runner = PageRunner(folder, patch)
        for layout in ("mmit", "sthv1", "sthv2"):
            runner.tinkit("world", ["synth", layout, f"data/{layout}"])
        shutil.copytree("data/mmit", "demo/data")
        shutil.copytree("data/mmit-answers", "demo/data-answers")
        shutil.copytree("data/sthv2", "demo/sthv2")
        for name in ("demo_tin", "demo_tsm"):
            runner.tinkit("world", ["train", name, "--data", "demo/data", "--quiet"])
            for split in ("val", "test"):
                runner.tinkit("world", ["test", name, "--split", split, "--quiet"])
        videos = sorted(Path("demo/data/videos").rglob("*.mp4"))
        Path("mine/clips").mkdir(parents=True)
        for name, video in zip(
            ("party_01", "party_02", "garden_01", "garden_02", "hall_01", "hall_02"), videos, strict=False
        ):
            shutil.copy(video, f"mine/clips/{name}.mp4")
    return folder


def pages_to_run() -> list[object]:
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(page, id=page.name, marks=marks[page.name in SLOW]) for page in RUNNING]


@pytest.mark.parametrize("page", pages_to_run())
def test_the_blocks_of_a_page_run(page: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(world, tmp_path / "here")
    if page.name in FIRST:
        shutil.rmtree(tmp_path / "here" / "runs")
    runner = PageRunner(tmp_path / "here", monkeypatch)
    ran = [runner.run(block) for block in blocks(page)]
    assert any(ran)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_what_its_blocks_are(page: Path) -> None:
    kinds = {token.type for token in MarkdownIt().parse(page.read_text())}
    assert "code_block" not in kinds, "an indented block: fence it"
    for block in blocks(page):
        if block.language.startswith("{"):
            continue
        assert block.language in (*RUN, *SHOWN), f"{block}: say the language"
        if block.not_run:
            assert len(block.not_run.split()) >= 3, f"{block}: say why it is not run"
        elif block.language not in RUN:
            assert not re.search(r"^(\$ |tinkit |make |pip |python )", block.text, re.MULTILINE), f"{block}: commands"
        if block.language == "toml":
            tomllib.loads(block.text)


def test_pages_that_do_not_run_here_have_a_test_of_their_own() -> None:
    others = "".join(
        file.read_text() for file in Path(__file__).parent.glob("test_*.py") if file.name != Path(__file__).name
    )
    for page in filter(has_own_test, PAGES):
        if any(one.language in RUN and not one.not_run for one in blocks(page)):
            assert page.name in others, f"no test of tests/docs/ names {page.name}"


def test_readme_is_short_and_begins_with_the_two_commands() -> None:
    readme = ROOT / "README.md"
    assert len(readme.read_text().splitlines()) < 120
    assert blocks(readme)[0].text.split("\n")[:2] == ["make demo", "make test"]
    for said in ("pip install", "source .venv/bin/activate", "tensorboard --logdir", "docs/static/demo.svg"):
        assert said in readme.read_text()


@pytest.mark.parametrize(
    ("text", "language", "problem"),
    [
        ("make demo\n", "bash", "mark the block as not run"),
        ("tinkit recipes no_such_recipe\n", "bash", "no_such_recipe"),
        ("tinkit data show mmit --id no/such.mp4\n", "bash", "no/such.mp4"),
        ("tinkit recipes --jsn\n", "bash", "--jsn"),
    ],
)
def test_a_block_that_does_not_work_is_found(
    text: str, language: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PageError, match=problem):
        PageRunner(tmp_path, monkeypatch).run(Block(tmp_path / "page.md", 1, language, text))
