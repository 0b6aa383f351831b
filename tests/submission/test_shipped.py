"""Every shipped challenge: written, looked at, read back, and scored as loops over the organisers' rules score it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.submission_tables import MULTI, SINGLE, make_table
from tinkit.files.shipped import shipped_names
from tinkit.scores import ScoreTable
from tinkit.submission import (
    Answers,
    Challenge,
    Rehearsal,
    Scored,
    check_submission,
    load_challenge,
    plan_submission,
    rehearse,
    write_submission,
)
from tinkit.submission.ids import IdList
from tinkit.submission.spec_parts import parse_answers

CLIPS, CLASSES = 24, 23
ASKED = {
    "epic100": {"sls_pt": "2", "sls_tl": "3", "sls_td": "4"},
    "kinetics": {"external_data": "true", "external_details": "ImageNet"},
}
IDS = tuple(f"cat {i % 3}/v_{'ab-_' if i % 2 else 'xyzw'}{i:07d}.mp4" for i in range(CLIPS))


def table_of(rules: Challenge, seed: int, width: int) -> ScoreTable:
    scores = np.random.default_rng(seed).normal(size=(CLIPS, width)).astype(np.float32)
    task = SINGLE if rules.task == "any" else rules.task
    names = [f"Doing {i}" for i in range(width)]
    return make_table(scores, kind="logits", task=task, ids=IDS, classes=names)


def labels_of(rules: Challenge, seed: int, width: int) -> tuple[tuple[int, ...], ...]:
    random = np.random.default_rng(seed)
    count = [1 if rules.task != MULTI else int(random.integers(0 if i else 1, 4)) for i in range(CLIPS)]
    return tuple(tuple(sorted(random.choice(width, size, replace=False).tolist())) for size in count)


def there_and_back(name: str, folder: Path) -> tuple[Path, Rehearsal, dict[str, ScoreTable], Answers]:
    rules, _ = load_challenge(name)
    if rules.delimiter == " " and rules.syntax == "text" and rules.filename in ("id", "basename"):
        assert rules.filename == "basename"  # whose names hold no space
    tables = {
        head: table_of(rules, seed, rules.classes_of(head) or CLASSES) for seed, head in enumerate(rules.head_names)
    }
    heads = {head: Scored(table) for head, table in tables.items()}
    answers = parse_answers(ASKED.get(name, {}), rules.asked, rules.title)
    ids = IdList(folder / "ids.txt", "text", IDS, tuple(range(1, CLIPS + 1)))
    ending = "zip" if rules.zip else "json" if rules.syntax == "json" else "csv"
    out = folder / f"out.{ending}"
    plan = plan_submission(heads, rules, ids, answers=answers)
    write_submission(plan, out, inputs={}, ids=None)
    classes = None if rules.heads else [f"Doing {i}" for i in range(CLASSES)]
    report = check_submission(out, rules, ids=ids, classes=classes)
    assert report.problems == (), name
    assert (report.rows, report.notes) == (CLIPS, ())
    truth = {head: labels_of(rules, 7 + seed, tables[head].scores.shape[1]) for seed, head in enumerate(heads)}
    listed = Answers(ids, truth.get("", ()), {head: own for head, own in truth.items() if head})
    return out, rehearse(out, rules, listed, classes=classes), tables, listed


@pytest.mark.parametrize("name", shipped_names("submissions"))
def test_what_is_written_is_read_back_and_scored(name: str, tmp_path: Path) -> None:
    rules, _ = load_challenge(name)
    _, rehearsal, tables, answers = there_and_back(name, tmp_path)
    assert rehearsal.clips == CLIPS
    for metric, value in rehearsal.metrics.items():
        head, _, bare = metric.rpartition("_") if rules.heads else ("", "", metric)
        if head == rules.joint and head:
            continue  # below, by a loop over all pairs
        scores = tables[head].scores.astype(np.float64)
        own = answers.heads[head] if head else answers.labels
        assert value == pytest.approx(plain_metric(bare, scores, own, rules), abs=1e-9), metric


def plain_metric(metric: str, scores: NDArray[Any], labels: tuple[tuple[int, ...], ...], rules: Challenge) -> float:
    """What the metric is, in loops over ranked lists; classes beyond the file's list are not in them."""
    probabilities = 1 / (1 + np.exp(-scores))
    if rules.task != MULTI:
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
    values = scores if rules.values == "any" or rules.rows == "ranked" else probabilities
    most = min(rules.most, scores.shape[1]) if rules.rows != "scores" else scores.shape[1]
    ranked = [sorted(range(len(row)), key=lambda c, row=row: -row[c])[:most] for row in values]
    pairs = [(i, c) for i, own in enumerate(ranked) for c in own]
    top = {
        k: float(np.mean([own[0] in row[:k] for own, row in zip(labels, ranked, strict=True) if own]))
        for k in (1, 3, 5)
    }
    match metric:
        case "top1" | "top5" | "hit1" | "hit3":
            return top[int(metric[-1])]
        case "mean_top1_top5_error":
            return ((1 - top[1]) + (1 - top[5])) / 2
        case "mean_class_accuracy":
            seen = {own[0] for own in labels}
            return float(
                np.mean([np.mean([ranked[i][0] == c for i in range(CLIPS) if labels[i] == (c,)]) for c in seen])
            )
        case "macro_f1":
            told, truth = [row[0] for row in ranked], [own[0] for own in labels]
            return float(np.mean([f1(told, truth, c) for c in {*told, *truth}]))
        case "sample_map":
            return float(np.mean([ap(row, set(own)) for row, own in zip(ranked, labels, strict=True) if own]))
        case "micro_map":
            pairs.sort(key=lambda pair: -values[pair])
            return ap(pairs, {(i, c) for i, own in enumerate(labels) for c in own})
        case "class_map" | "charades_map":
            late = [not own and metric == "charades_map" for own in labels]
            columns = []
            for c in sorted({c for own in labels for c in own}):
                order = sorted(range(CLIPS), key=lambda i: (late[i], -values[i, c]))
                columns.append(ap(order, {i for i, own in enumerate(labels) if c in own}))
            return float(np.mean(columns))
        case "interpolated_map":
            columns = []
            for c in sorted({c for own in labels for c in own}):
                order = sorted((i for i in range(CLIPS) if c in ranked[i]), key=lambda i: -values[i, c])
                columns.append(interpolated(order, {i for i, own in enumerate(labels) if c in own}))
            return float(np.mean(columns))
        case "gap20":
            best = [(i, c) for i, own in enumerate(ranked) for c in own[:20]]
            best.sort(key=lambda pair: -values[pair])
            return ap(best, {(i, c) for i, own in enumerate(labels) for c in own})
    raise AssertionError(metric)


def ap(order: list[Any], positive: set[Any]) -> float:
    """The sum of the precisions at the positives over the number of all, found or not."""
    hits, total = 0, 0.0
    for place, item in enumerate(order, 1):
        if item in positive:
            hits += 1
            total += hits / place
    return total / len(positive)


def interpolated(order: list[int], positive: set[int]) -> float:
    """The area under the highest precision at each recall or a larger one."""
    points = [(sum(i in positive for i in order[: k + 1]) / (k + 1)) for k in range(len(order))]
    found = [max(points[k:]) for k, i in enumerate(order) if i in positive]
    return sum(found) / len(positive)


def f1(told: list[int], truth: list[int], c: int) -> float:
    both = sum(a == b == c for a, b in zip(told, truth, strict=True))
    return 2 * both / (told.count(c) + truth.count(c))


def test_an_action_is_the_product_of_verb_and_noun(tmp_path: Path) -> None:
    out, rehearsal, tables, answers = there_and_back("epic100", tmp_path)
    verbs, nouns = (np.exp(tables[head].scores.astype(np.float64)) for head in ("verb", "noun"))
    hits = {1: 0, 5: 0}
    for i in range(CLIPS):
        products = (verbs[i] / verbs[i].sum())[:, None] * (nouns[i] / nouns[i].sum())
        best = np.argsort(-products.ravel(), kind="stable")
        wanted = answers.heads["verb"][i][0] * 300 + answers.heads["noun"][i][0]
        for k in hits:
            hits[k] += int(wanted in best[:k])
    assert rehearsal.metrics["action_top1"] == hits[1] / CLIPS
    assert rehearsal.metrics["action_top5"] == hits[5] / CLIPS
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["test.json"]
        document = json.loads(archive.read("test.json"))
    assert {key: value for key, value in document.items() if key != "results"} == {
        "version": "0.2",
        "challenge": "action_recognition",
        "sls_pt": 2,
        "sls_tl": 3,
        "sls_td": 4,
    }
    first = document["results"][IDS[0]]
    assert list(first) == ["verb", "noun"]
    assert list(first["noun"]) == [str(c) for c in range(300)]
    assert np.float32(first["verb"]["96"]) == tables["verb"].scores[0, 96]


def test_the_documents_and_lines_are_the_organisers(tmp_path: Path) -> None:
    document = json.loads(there_and_back("kinetics", tmp_path / "kinetics")[0].read_text())
    assert document["version"] == "VERSION 1.3"
    assert document["external_data"] == {"used": True, "details": "ImageNet"}
    assert list(document["results"])[:2] == ["xyzw0000000", "ab-_0000001"]
    assert [set(pair) for pair in document["results"]["ab-_0000001"]] == [{"label", "score"}] * 5
    assert document["results"]["ab-_0000001"][0]["label"].startswith("Doing ")
    assert set(json.loads(there_and_back("activitynet", tmp_path / "anet")[0].read_text())) == {"version", "results"}
    lines = there_and_back("youtube8m", tmp_path / "yt8m")[0].read_text().splitlines()
    assert lines[0] == "VideoId,LabelConfidencePairs"
    cells = lines[1].split(",")[1].split(" ")
    assert len(cells) == 40
    assert [float(text) for text in cells[1::2]] == sorted((float(text) for text in cells[1::2]), reverse=True)
    lines = there_and_back("charades", tmp_path / "charades")[0].read_text().splitlines()
    assert [len(line.split(" ")) for line in lines] == [1 + CLASSES] * CLIPS
    assert there_and_back("kaggle", tmp_path / "kaggle")[0].read_text().splitlines()[0] == "id,label"
    header = there_and_back("kaggle_scores", tmp_path / "scores")[0].read_text().splitlines()[0]
    assert header.startswith("id,Doing 0,Doing 1,")
