"""Benchmarks in pairs: their turns, intervals and bounds, and that a run replaces its own rows and text alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.pairs import Bound, Interval, Row, Times, bytes_row, interval, paired, timed_row
from benchmarks.reference_tin import two_gathers
from benchmarks.tables import Record, Table, as_markdown, put_between, read, store, to_record, write_between
from benchmarks.tensor_bytes import peak_bytes
from tinkit.ops import interlace


def row(what: str = "interlace", case: str = "256x56; float32", ratio: float = 1.25) -> Row:
    return Row(what, case, "clone", 21, Interval(ratio, ratio - 0.1, ratio + 0.1), Bound(1.4), ms=10, against_ms=8)


def test_two_calls_take_turns_and_every_second_pair_begins_with_the_other() -> None:
    turns = ""

    def taking(name: str, milliseconds: float) -> float:
        nonlocal turns
        turns += name
        return milliseconds + len(turns)

    times = paired(lambda: taking("a", 0), lambda: taking("b", 100), 4)
    warm = len(turns) - 8
    assert turns[warm:] == "abbaabba"
    assert list(times.first - warm) == [1, 4, 5, 8]
    assert list(times.second - warm) == [102, 103, 106, 107]


def test_ratios_are_of_pairs_and_a_machine_that_slows_down_halfway_does_not_show() -> None:
    slow = np.array([1.0] * 10 + [5.0] * 11)
    found = timed_row("a", "case", "b", Times(slow * 3, slow * 2))
    assert found.ratio == (1.5, 1.5, 1.5)
    assert (found.pairs, found.ms, found.against_ms) == (21, 15, 10)


def test_the_interval_is_the_same_every_time_and_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    draws = [random.normal(1, 0.1, 41) for _ in range(200)]
    found = [interval(draw) for draw in draws]
    assert found[0] == interval(draws[0])
    assert all(low <= median <= high for median, low, high in found)
    covered = sum(low <= 1 <= high for _, low, high in found)
    assert 180 <= covered <= 199
    assert np.median([high - low for _, low, high in found]) < 0.1


@pytest.mark.parametrize(
    ("bound", "held"),
    [
        (Bound(1.2), True),
        (Bound(1.1), False),
        (Bound(1.2, "upper end at most"), False),
        (Bound(1.3, "upper end at most"), True),
        (Bound(1.1, "at least"), True),
        (Bound(1.2, "at least"), False),
    ],
)
def test_a_bound_is_put_to_the_median_or_to_the_upper_end(bound: Bound, held: bool) -> None:
    assert bound.held_by(Interval(1.15, 1.05, 1.25)) is held


def test_rows_of_the_same_comparison_and_machine_are_replaced_in_place_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "results" / "ops.csv"
    other = to_record(row(), "another, 8 cores")
    store([to_record(row(), "here"), other, to_record(row("fold"), "here")], path)
    store([to_record(row(ratio=9.5), "here"), to_record(row("new"), "here")], path)
    found = read(path)
    assert [(record["machine"], record["what"], record["ratio"]) for record in found] == [
        ("here", "interlace", "9.5000"),
        ("another, 8 cores", "interlace", "1.2500"),
        ("here", "fold", "1.2500"),
        ("here", "new", "1.2500"),
    ]
    assert [record["held"] for record in found] == ["no", "yes", "yes", "yes"]
    assert found[1] == other


def test_a_table_stores_each_row_at_once_and_puts_all_that_is_known_of_the_machine_into_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "README.md"
    document.write_text("before\n<!-- bench-ops -->\nold\n<!-- /bench-ops -->\nafter\n")
    store([to_record(row("earlier"), "here"), to_record(row("elsewhere"), "there")], tmp_path / "ops.csv")
    table = Table("ops", "here", tmp_path / "ops.csv", document)
    table.add(row("now", ratio=2))
    assert len(read(tmp_path / "ops.csv")) == 3
    table.finish()
    text = document.read_text()
    assert text.startswith("before\n<!-- bench-ops -->\n")
    assert text.endswith("\n<!-- /bench-ops -->\nafter\n")
    assert ("earlier" in text, "now" in text, "elsewhere" in text, "old\n" in text) == (True, True, False, False)
    assert "at most 1.4: missed" in capsys.readouterr().out


def test_markdown_puts_the_second_part_of_a_case_into_columns_and_marks_what_was_missed() -> None:
    rows = [row("move"), row("move", "256x56; bfloat16", 1.5), row("fold", "512x28; bfloat16")]
    lines = as_markdown([to_record(one, "here") for one in rows]).splitlines()
    assert lines[2:] == [
        "| what | against | case | float32 | bfloat16 |",
        "| --- | --- | --- | --- | --- |",
        "| move | clone | 256x56 | 1.250 [1.150, 1.350], at most 1.4 | **1.500 [1.400, 1.600], at most 1.4: missed** |",
        "| fold | clone | 512x28 |  | 1.250 [1.150, 1.350], at most 1.4 |",
    ]


def test_bytes_have_no_interval() -> None:
    record: Record = to_record(bytes_row("TIN", "case; float32", "TSN", (3 << 20, 2 << 20), Bound(1.02)), "here")
    assert (record["mib"], record["against_mib"], record["ms"], record["held"]) == ("3.000", "2.000", "", "no")
    assert as_markdown([record]).splitlines()[-1] == "| TIN | TSN | case | **1.500, at most 1.02: missed** |"


def test_only_what_lies_between_the_marks_is_replaced() -> None:
    text = "# Title\n\n<!-- t -->\n1\n2\n<!-- /t -->\nend\n"
    assert put_between(text, "t", "new") == "# Title\n\n<!-- t -->\nnew\n<!-- /t -->\nend\n"
    assert put_between(put_between(text, "t", "new"), "t", "1\n2") == text


@pytest.mark.parametrize(
    "text", ["", "<!-- t -->\n", "<!-- /t -->\n<!-- t -->\n", "<!-- t -->\n<!-- /t -->\n<!-- t -->\n"]
)
def test_a_document_without_its_marks_is_left_alone(text: str, tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(text)
    with pytest.raises(ValueError, match="once each"):
        write_between(document, "t", "new")
    assert document.read_text() == text


def test_bytes_are_counted_at_their_peak_also_inside_native_operators() -> None:
    x, gain = torch.randn(16, 64, 28, 28), torch.ones(2, 8, 4)
    size = x.numel() * x.element_size()
    assert peak_bytes(lambda: (x.clone(), x.clone())) == 2 * size
    assert peak_bytes(lambda: [x.clone().shape for _ in range(3)]) == size
    arguments = (torch.full((2, 4), 0.5), gain, 16, torch.ones(8, 64, 1, 1), None, [1, 1], [0, 0], [1, 1], 1)
    output = 16 * 8 * 28 * 28 * 4
    # The fold that was there before is kept aside while the convolution runs.
    assert peak_bytes(lambda: torch.ops.tinkit.interlaced_conv(x, *arguments)) >= size // 4 + output


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_published_way_that_operators_are_timed_against_computes_the_same(layout: torch.memory_format) -> None:
    x = torch.randn(8, 12, 3, 5, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    offset = torch.tensor([[0.5, -0.5, 1.7, -9.0], [1.0, -1.3, 0.0, 3.5]], dtype=torch.float64, requires_grad=True)
    gain = torch.rand(2, 4, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(8, 12, 3, 5, dtype=torch.float64)
    ways = []
    for way in (two_gathers, interlace):
        out = way(x, offset, gain, 8)
        ways.append([out, *torch.autograd.grad((out * weights).sum(), (x, offset, gain))])
    for published, ours in zip(*ways, strict=True):
        torch.testing.assert_close(published, ours)
