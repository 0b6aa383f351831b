"""Files of class names, real ones of each owner and such as could be read in two ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinkit.errors import UserError
from tinkit.files.class_names import ClassNames, read_class_names

NAMES = st.lists(
    st.text("abcXYZ[]é/+-' ", min_size=1, max_size=10)
    .map(str.strip)
    .filter(lambda name: name and name.lower() not in ("name", "id")),
    min_size=2,
    max_size=12,
    unique=True,
)
WAYS = {
    "name,index": "{name},{index}", "index,name": "{index},{name}", "name;index": "{name};{index}",
    "index name": "{index} {name}", "tab": "{index}\t{name}", "quoted": '"{name}",{index}',
    "index. name": "{index}. {name}",
    "quoted behind": '{index} "{name}"', "cNNN name": "c{index:03d} {name}",
}  # fmt: skip


def read(tmp_path: Path, text: str, count: int | None = None, name: str = "c.txt") -> ClassNames:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return read_class_names(file, count)


def refused(tmp_path: Path, text: str, name: str = "c.txt") -> UserError:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text, name=name)
    assert caught.value.file is not None
    return caught.value


@pytest.mark.parametrize(
    ("text", "names", "first"),
    [
        ("id,name\n0,abseiling\n1,air drumming\n", ("abseiling", "air drumming"), 0),  # Kinetics' labels, mmaction2
        ("name,id\nabseiling,0\nair drumming,1\n", ("abseiling", "air drumming"), 0),
        ("Klasse;Nummer\nlaufen;0\nspringen;1\n", ("laufen", "springen"), 0),
        ("0,abseiling\n1,air drumming\n", ("abseiling", "air drumming"), 0),
        ('0,"air drumming"\n1,"answering, then asking"\n', ("air drumming", "answering, then asking"), 0),
        ("1 ApplyEyeMakeup\n2 ApplyLipstick\n3 Archery\n", ("ApplyEyeMakeup", "ApplyLipstick", "Archery"), 1),  # UCF101
        ('1 "x"\n2 "y z"\n', ("x", "y z"), 1),
        ("c000 Holding clothes\nc001 Putting clothes\n", ("Holding clothes", "Putting clothes"), 0),  # Charades
        ("A1. drink water\nA2. eat meal\n", ("drink water", "eat meal"), 1),  # NTU RGB+D
        ("id,key,instances,category\n0,take,\"['take', 'get']\",x\n1,put,\"['put']\",y\n", ("take", "put"), 0),
        ("stroking/petting,1\nadult+female+singing,0\n", ("adult+female+singing", "stroking/petting"), 0),  # Moments
        ("2\nrun\nwalk\n", ("run", "walk"), None),
        ("3\n1 run\n2 walk\n3 jump\n", ("run", "walk", "jump"), 1),
        ("id name\n1 run\n2 walk\n", ("run", "walk"), 1),
        # what really is the name
        ("2 people\nrunning\n", ("2 people", "running"), None),
        ("2 people\n3 people\n", ("2 people", "3 people"), None),
        ("no people\n1 person\n2 people\n", ("no people", "1 person", "2 people"), None),
        ("kick 1\nkick 2\n", ("kick 1", "kick 2"), None),
        ("Putting [something], then\nHolding [x]\n", ("Putting [something], then", "Holding [x]"), None),
        ("take one,2\nput\n", ("take one,2", "put"), None),
        ("n01440764 tench\nn01443537 goldfish\n", ("n01440764 tench", "n01443537 goldfish"), None),
        ('"2 people"\n"3"\n', ("2 people", "3"), None),
        ("0\n1\n2\n", ("0", "1", "2"), None),
        ("3.5 mm jack\n7 up\n", ("3.5 mm jack", "7 up"), None),
    ],
)  # fmt: skip
def test_real_files(tmp_path: Path, text: str, names: tuple[str, ...], first: int | None) -> None:
    for form in (text, text.replace("\n", "\r\n"), "\n" + text.replace("\n", "  \n\n")):
        assert read(tmp_path, form) == ClassNames(names, first)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("name\nrun\nwalk\n", 1, "may be a header"),
        ("class\nrun\n", 1, "may be a header"),
        ("Action\nrun\n", 1, "may be a header"),
        ('name,description\nrun,"on legs, fast"\nwalk,slowly\n', 1, "may be a header"),
        ("id,name\nrun\nwalk\n", 1, "may be a header"),
        ("label,youtube_id,time_start\nx,y,1\nz,v,2\n", 1, "'label,youtube_id,time_start' has no number"),
        ("label,youtube_id,split\nx,y,val\nz,v,val\n", 1, "may be a header"),
        ("name,description\nrun,on legs\nwalk,slowly\n", 1, "may be a header"),
        ("300\nrun\nwalk\n", 1, "the first line is '300', and 2 lines follow"),
        ("0,abseiling\nairplane\n2,archery\n", 2, "'airplane' has no number"),
        ("Foo Bar\n1 a\n2 b\n3 c\n4 d\n", 1, "'Foo Bar' has no number"),
        ("4 d\n1 a\n2 b\n3 c\n", 1, "may number the class or belong to its name"),
        ("a,0\nb,2\n", 2, "the index of 'b' is 2"),
        ("a,0\nb,-1\n", 2, "the index of 'b' is -1"),
        ("a,2\nb,3\n", 1, "the index of 'a' is 2"),
        ("a,0\na,1\n", 2, "the class 'a' stands on line 1 already"),
        ("a,0\nb,0\n", 2, "the index 0 of 'b' stands on line 1 already"),
        ("x," + "9" * 5000 + "\n", 1, "far too large"),
        ("id,key,n\n0,a,1\nx,b,2\n", 3, "its index is not a number"),
        ('id,key,n\n0,a,1\n1,"b,2\n', 4, "not csv"),
        ("", None, "the file is empty"),
        ("x" * (1 << 20) + "y", 1, "longer than"),
    ],
)
def test_what_is_not_clear_is_refused_by_its_line(tmp_path: Path, text: str, line: int | None, problem: str) -> None:
    error = refused(tmp_path, text)
    assert problem in str(error)
    assert error.line == line


def test_the_count_says_whether_the_first_line_is_a_class(tmp_path: Path) -> None:
    assert read(tmp_path, "name\nrun\nwalk\n", 2).names == ("run", "walk")
    assert read(tmp_path, "name\nrun\nwalk\n", 3).names == ("name", "run", "walk")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": "1", "b": 2}', (("a", "b"), 1)),
        ('{"0": "a", "1": "b"}', (("a", "b"), 0)),
        ('{"0": "1", "1": "0"}', (("1", "0"), 0)),
        ('{"Approaching [something]": 0}', (("Approaching something",), 0)),
    ],
)
def test_json_both_ways_round(tmp_path: Path, text: str, expected: tuple) -> None:
    assert read(tmp_path, text, name="c.json") == ClassNames(*expected)


def test_json_of_large_numbers(tmp_path: Path) -> None:
    assert "thousands of digits" in str(refused(tmp_path, '{"a": ' + "9" * 5000 + "}", "c.json"))
    assert "is '" in str(refused(tmp_path, '{"a": "' + "9" * 5000 + '"}', "c.json"))


@settings(max_examples=150)
@given(NAMES, st.sampled_from(sorted(WAYS)), st.integers(0, 1), st.sampled_from(["", "id,name", "count"]))
def test_what_is_numbered_is_read_with_or_without_header(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], way: str, first: int, head: str
) -> None:
    lines = [WAYS[way].format(name=name, index=index) for index, name in enumerate(names, first)]
    if head == "id,name":
        lines.insert(0, {"index name": "id name", "index. name": "id name"}.get(way, "id,name"))
    elif head == "count":
        lines.insert(0, str(len(names)))
    assert read(tmp_path_factory.mktemp("c"), "\n".join(lines)) == ClassNames(tuple(names), first)
