"""Files of class names: as text and as JSON, in the file's order and sorted, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinkit.data.annotations.categories import classes_of
from tinkit.data.config.dataset import DataConfig
from tinkit.errors import UserError


def names(file: Path, order: str) -> tuple[str, ...]:
    return classes_of(DataConfig(dataset="sthv2", class_order=order), file).names  # type: ignore[arg-type]


class TestCategories:
    def write(self, tmp_path: Path, text: str, name: str = "c.txt") -> Path:
        file = tmp_path / name
        file.write_text(text)
        return file

    def test_names_with_commas_and_indices_in_any_order(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, "b, or not b,1\r\nstroking/petting,0\n\n")
        assert names(file, "file") == ("stroking/petting", "b, or not b")

    def test_a_name_a_line_where_only_some_lines_end_in_a_number(self, tmp_path: Path) -> None:
        assert names(self.write(tmp_path, "take one,2\nput\n"), "file") == ("take one,2", "put")

    def test_file_order_and_alphabetical(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, "Swiping Left\nDoing other things\nStop\n")
        assert names(file, "file") == ("Swiping Left", "Doing other things", "Stop")
        assert names(file, "alphabetical") == ("Doing other things", "Stop", "Swiping Left")

    @pytest.mark.parametrize(
        ("text", "line", "problem"),
        [
            ("a,0\nb,2\n", 2, "the index of 'b' is 2"),
            ("a,0\nb,0\n", 2, "the index 0 of 'b' stands on line 1 already"),
            ("a,1\nb,3\n", 2, "the index of 'b' is 3"),
            ("a,0\nb,-1\n", 2, "the index of 'b' is -1"),
            ("a\nb\na\n", 3, "the class 'a' stands on line 1 already"),
        ],
    )
    def test_holes_and_doubles_are_refused(self, tmp_path: Path, text: str, line: int, problem: str) -> None:
        with pytest.raises(UserError) as caught:
            names(self.write(tmp_path, text), "file")
        assert f"c.txt:{line}: {problem}" in str(caught.value)

    def test_json_indices_are_text_or_numbers(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, '{"Holding something": "1", "Approaching [something]": 0}', "c.json")
        assert names(file, "file") == ("Approaching something", "Holding something")

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ('{\n"a": "0",\n"a": "1"}', "c.json:3: the class 'a' stands on line 2 already"),
            ('{\n"a": "0",\n"b": "x"}', "c.json:3: the index of 'b' is 'x'"),
            ('{\n"a": "0",\n}', "c.json:"),
            ('["a", "b"]', "not an object of class names"),
            ("{}", "not an object of class names"),
        ],
    )
    def test_bad_json(self, tmp_path: Path, text: str, problem: str) -> None:
        with pytest.raises(UserError, match=r"c\.json") as caught:
            names(self.write(tmp_path, text, "c.json"), "file")
        assert problem in str(caught.value)
