"""What is fused, compared and submitted is what was written: hashes, records, marks of trials, and odd places."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tests.helpers.fusion_members import scores_of, write_run
from tests.helpers.score_files import digest_of
from tinkit.cli.app import app
from tinkit.errors import UsageError, UserError
from tinkit.files.block_sums import BlockSums
from tinkit.files.locks import writing
from tinkit.scores import read_scores, write_scores


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs and a fusion of them, `fusions/f`."""
    monkeypatch.chdir(tmp_path)
    for run in ("a", "b"):
        write_run(tmp_path / "runs", run)
    said("ensemble", "a", "b", "--method", "mean-logits", "--name", "f")
    return tmp_path


def said(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: str | Path) -> str:
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    return str(caught.value)


SUBMIT = ("-c", "mmit", "--out", "sub/a.csv")
FUSED = ("fusions/f/val.arrow", "fusions/f/test.arrow")


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_a_flipped_bit_in_a_fusions_scores_is_refused_wherever_they_are_used(here: Path) -> None:
    path = here / "fusions" / "f" / "test.arrow"
    scores = np.array(read_scores(path).scores)
    value = scores[7, 2].tobytes()
    place = path.read_bytes().index(scores[7].tobytes()) + 2 * len(value)
    flip(path, 8 * place + 30)  # of the exponent: a number near one becomes one near 1e38
    assert not np.array_equal(read_scores(path).scores, scores)
    for words in (
        ("submit", "f", *SUBMIT),
        ("submit", path, *SUBMIT),
        ("ensemble", *FUSED, "a", "--name", "g", "--method", "mean-logits"),
        ("scores", "show", path),
        ("scores", "diff", path, path),
        ("scores", "merge", path, "--out", "m.arrow"),
        ("compare", "f"),
    ):
        assert "fusions/f/test.arrow: damaged" in refused(*words).replace(f"{here}/", "")
    assert sorted(entry.name for entry in here.iterdir()) == ["fusions", "runs"]


def test_scores_that_were_written_by_another_are_not_those_that_are_described(here: Path) -> None:
    path = here / "fusions" / "f" / "test.arrow"
    table = read_scores(path)
    write_scores(path, dataclasses.replace(table, scores=table.scores + 1))  # whose checksum is right
    for words in (
        ("submit", "f", *SUBMIT),
        ("submit", FUSED[1], *SUBMIT),
        ("ensemble", *FUSED, "a", "--name", "h", "--method", "mean-logits"),
        ("compare", "f"),
    ):
        assert "test.arrow: is not the file that" in refused(*words)


DAMAGED: list[bytes] = [
    b"", b"{", b"[]", b"7", b"null", b"[" * 100_000, b'{"a":' * 5000, b"\xff\xfe{}", "{}".encode("utf-16"), b"{}",
    b'{"outputs": {}, "metrics": {}}',
    b'{"fit": 3, "outputs": {}, "metrics": {}}',
    b'{"fit": null, "outputs": [], "metrics": {}}',
    b'{"fit": null, "outputs": {"test": {"path": 3, "sha256": "0"}}, "metrics": {}}',
    b'{"fit": null, "outputs": {}, "metrics": {"cross_validated": {"counts": {}, "sample_map": NaN}}}',
    b'{"fit": 1' + b"0" * 5000 + b', "outputs": {}, "metrics": {}}',
    b'{"fit": null, "outputs": {}, "metrics": {}, "published": [{"number": "x"}]}',
    b'{"fit": null, "outputs": {}, "metrics": {}, "trial": "yes"}',
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_record_is_refused_by_name(here: Path, content: bytes) -> None:
    (here / "fusions" / "f" / "fusion.json").write_bytes(content)
    for words in (("submit", "f", *SUBMIT), ("submit", FUSED[1], *SUBMIT), ("compare", "f")):
        assert re.search(r"fusions/f/fusion\.json(:1)?: not the record of a fusion", refused(*words))
    assert "exists already" in refused("ensemble", "a", "b", "--method", "mean-logits", "--name", "f")
    said("ensemble", "a", "b", "--method", "mean-logits", "--name", "f", "--force")
    said("submit", "f", *SUBMIT)


@pytest.mark.parametrize(
    "content", [*DAMAGED[:8], b'{"file": "a\\u0000b"}', b'{"file": "\\ud800"}', b'{"file": "../x"}']
)
def test_a_damaged_manifest_is_refused_by_name(here: Path, content: bytes) -> None:
    said("submit", "f", *SUBMIT)
    (here / "sub" / "manifest.json").write_bytes(content)
    assert "sub/a.csv: is there already" in refused("submit", "f", *SUBMIT)
    (here / "sub" / "a.csv").unlink()
    assert "sub/manifest.json: is not the manifest" in refused("submit", "f", *SUBMIT)
    said("submit", "f", *SUBMIT, "--force")
    assert (here / "sub" / "other.manifest.json").read_bytes() == content
    said("submit", "--check", "sub/a.csv", "-c", "mmit")


def test_an_unfinished_result_is_refused_until_its_command_is_repeated(here: Path) -> None:
    said("submit", "f", *SUBMIT)
    journal = {"stage": ".stage-fusion.json-00000000", "files": ["test.arrow", "fusion.json"], "removed": []}
    (here / "fusions" / "f" / ".fusion.json.unfinished").write_text(json.dumps(journal))
    for words in (
        ("submit", "f", *SUBMIT),
        ("submit", FUSED[1], *SUBMIT),
        ("compare", "f"),
        ("ensemble", *FUSED, "a", "--name", "g", "--method", "mean-logits"),
    ):
        assert "unfinished" in refused(*words)
    said("ensemble", "a", "b", "--method", "mean-logits", "--name", "f")
    assert "exists already" in said("submit", "f", *SUBMIT)
    journal = {"stage": ".stage-manifest.json-00000000", "files": ["a.csv", "manifest.json"], "removed": []}
    (here / "sub" / ".manifest.json.unfinished").write_text(json.dumps(journal))
    result = CliRunner().invoke(app, ["submit", "--check", "sub/a.csv", "-c", "mmit"])
    assert "unfinished" in result.output
    assert result.exit_code == 1


def test_scores_of_a_trial_are_said_to_be_that_all_the_way(here: Path) -> None:
    for split in ("val", "test"):
        path = here / "runs" / "b" / "scores" / f"{split}-1x1-best.arrow"
        table = read_scores(path)
        trial = dataclasses.replace(
            table, scores=np.array(table.scores), info=dataclasses.replace(table.info, trial=True)
        )
        write_scores(path, trial)
    assert "warning: the scores of b are of a trial" in said(
        "ensemble", "a", "b", "--method", "mean-logits", "--name", "g"
    )
    assert json.loads((here / "fusions" / "g" / "fusion.json").read_text())["trial"] == ["b"]
    assert read_scores("fusions/g/test.arrow").info.trial
    assert "warning: these are scores of a trial" in said("submit", "g", *SUBMIT)
    manifest = json.loads((here / "sub" / "manifest.json").read_text())
    assert manifest["scores"]["trial"] is True
    assert any("trial" in note for note in manifest["notes"])
    assert json.loads((here / "fusions" / "f" / "fusion.json").read_text())["trial"] == []
    assert "trial" not in said("submit", "f", "-c", "mmit", "--out", "other/a.csv")


def test_a_run_is_submitted_where_one_of_its_files_fits(here: Path) -> None:
    said("submit", "a", *SUBMIT)
    manifest = json.loads((here / "sub" / "manifest.json").read_text())
    assert manifest["inputs"]["scores"]["path"] == "runs/a/scores/test-1x1-best.arrow"
    write_scores(here / "runs" / "a" / "scores" / "test-2x3-best.arrow", scores_of("a", "test", views="2x3"))
    with pytest.raises(UsageError, match="a run with 2 score files of the split 'test'") as caught:
        CliRunner().invoke(app, ["submit", "a", *SUBMIT, "--force"], catch_exceptions=False)
    for views in ("1x1", "2x3"):
        assert f"runs/a/scores/test-{views}-best.arrow" in str(caught.value)
    assert "no score file of the split 'train'" in refused("submit", "b", *SUBMIT, "--force", "--split", "train")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["mean-logits", "mean-probabilities", "mean-ranks"])
def test_scores_that_are_not_finite_stop_fusion_and_submission(here: Path, value: float, method: str) -> None:
    path = here / "runs" / "b" / "scores" / "test-1x1-best.arrow"
    table = pa.ipc.open_file(path).read_all()
    scores = np.array(table["scores"].chunk(0).values.to_numpy())
    scores[3 * 6 + 2] = value
    column = pa.FixedSizeListArray.from_arrays(pa.array(scores), type=table.schema.field("scores").type)
    with pa.ipc.new_file(path.with_suffix(".new"), table.schema) as writer:  # as another tool writes it
        writer.write_table(table.set_column(1, table.schema.field("scores"), column))
    path.with_suffix(".new").replace(path)
    for words in (("ensemble", "a", "b", "--method", method, "--name", "g"), ("submit", "b", *SUBMIT)):
        message = refused(*words)
        assert "test/3.mp4" in message
        assert "runs/b/scores/test-1x1-best.arrow" in message
    assert not (here / "sub").exists()
    assert not (here / "fusions" / "g").exists()


def places(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe.arrow")
    plug = socket.socket(socket.AF_UNIX)
    plug.bind(os.fspath(folder / "socket.arrow"))
    plug.close()
    (folder / "folder.arrow").mkdir()
    (folder / "kept").write_text("mine")
    (folder / "link.arrow").symlink_to(folder / "kept")
    (folder / "dangling.arrow").symlink_to(folder / "nowhere")
    return {
        "a pipe": folder / "pipe.arrow",
        "a socket": folder / "socket.arrow",
        "a folder": folder / "folder.arrow",
        "a link": folder / "link.arrow",
        "link": folder / "dangling.arrow",
        "device": Path("/dev/null"),
    }


def test_devices_pipes_and_links_are_no_place_for_a_result(
    here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("p")
    shard = "runs/a/scores/val-1x1-best.arrow"
    (here / "x.csv").write_text("id,p,q\n1,0,1\n")
    facts = ("--kind", "logits", "--task", "multi-label", "--dataset", "toy", "--split", "val")
    for said_so, place in places(folder).items():
        before = place.lstat()
        for words in (
            ("submit", "f", "-c", "mmit"),
            ("scores", "merge", shard),
            ("scores", "import", "x.csv", *facts),
        ):
            message = refused(*words, "--out", place, "--force")
            assert f"is {said_so}" in message or said_so in message
            assert str(place) in message
        assert (place.lstat().st_ino, place.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert (folder / "kept").read_text() == "mine"
    (folder / "manifest.json").symlink_to("/dev/null")
    assert "manifest.json: is a link" in refused("submit", "f", "-c", "mmit", "--out", folder / "a.csv", "--force")
    assert not (folder / "a.csv").exists()


def test_a_linked_fusion_keeps_its_name_and_lies_where_the_link_leads(here: Path) -> None:
    disk = here / "big" / "disk17"
    disk.mkdir(parents=True)
    (here / "fusions" / "mine").symlink_to(disk)
    said("ensemble", "a", "b", "--method", "mean-logits", "--name", "mine")
    assert sorted(path.name for path in disk.iterdir()) == ["fusion.json", "fusion.npz", "test.arrow", "val.arrow"]
    assert (here / "fusions" / "mine").is_symlink()
    rows = json.loads(said("compare", "mine", "--json"))
    assert {row["run"] for row in rows} == {"mine"}
    rows = json.loads(said("compare", "fusions/mine", "--json"))
    assert {row["run"] for row in rows} == {"mine"}
    said("submit", "mine", *SUBMIT)
    with writing(disk):  # by its other name
        assert "in use by process" in refused(
            "ensemble", "a", "b", "--method", "mean-ranks", "--name", "mine", "--force"
        )
    anonymous = here / "elsewhere"
    for split in ("val", "test"):
        table = scores_of("x", split, labelled=split == "val", hashes={})
        info = dataclasses.replace(table.info, run="")
        write_scores(anonymous / f"{split}.arrow", dataclasses.replace(table, info=info))
    (here / "theirs").symlink_to(anonymous)
    record = json.loads(
        said(
            "ensemble", "theirs/val.arrow", "theirs/test.arrow", "a", "--method", "mean-logits", "--name", "n", "--json"
        )
    )
    assert {member["name"] for member in record["members"]} == {"theirs", "a"}


def test_show_says_that_a_fitted_split_is_optimistic(here: Path) -> None:
    for run, strength in (("good", 3.0), ("noise", 0.0)):
        write_run(here / "runs", run, strength=strength)
    said("ensemble", "good", "noise", "--name", "fitted", "--parts", "3")
    assert read_scores("fusions/fitted/val.arrow").info.trained_on == ("train", "val")
    assert "optimistic" in said("scores", "show", "fusions/fitted/val.arrow")
    assert "optimistic" not in said("scores", "show", FUSED[0])
    assert json.loads(said("scores", "show", "fusions/fitted/val.arrow", "--json"))[0]["optimistic"] is True
    assert json.loads(said("scores", "show", FUSED[0], "--json"))[0]["optimistic"] is False


def test_every_input_is_hashed_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summed: list[int] = []
    update = BlockSums.update
    monkeypatch.setattr(BlockSums, "update", lambda self, data: summed.append(len(data)) or update(self, data))
    said("ensemble", "a", "b", "--method", "mean-logits", "--name", "g")
    files = [*(here / "runs").glob("[ab]/scores/*.arrow"), *(here / "fusions" / "g").glob("*.arrow")]
    assert 0 < sum(summed) <= sum(path.stat().st_size for path in files)  # using checks them, and writing sums
    record = json.loads((here / "fusions" / "g" / "fusion.json").read_text())
    for member in record["members"]:
        for entry in member["scores"].values():
            assert entry["digest"] == digest_of(entry["path"])
