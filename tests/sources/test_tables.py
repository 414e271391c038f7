"""Tables as text."""

from __future__ import annotations

import pandas as pd
import pytest

from prebake.errors import SourceError
from prebake.sources.tables import bare_name, parse_table, split_in


def test_cells_stay_the_text_that_they_are_as_an_independent_reader_says(tmp_path):
    text = 'id_code, note ,diagnosis\n0709652336e2,"a, b",2\n007,NA,\n1e5,"two\nlines",nan\n'
    (tmp_path / "t.csv").write_text(text)
    table = parse_table("t.csv", text.encode())
    expected = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert [list(cells) for _, cells in table.lines] == expected.values.tolist()
    assert table.columns == ("id_code", "note", "diagnosis")
    assert [number for number, _ in table.lines] == [2, 3, 5]


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfid_code,diagnosis\r\na,1\r\n",
        "id_code,diagnosis\na,1".encode("utf-16"),
        b"\n\nid_code;diagnosis\na;1;;\n\n",
        b" id_code\tDiagnosis \r\na\t 1 \r\n\t\r\n",
    ],
)
def test_byte_order_marks_line_ends_and_blank_lines_do_no_harm(data):
    table = parse_table("t.csv", data)
    assert (table.columns, [cells for _, cells in table.lines][:1]) == (("id_code", "diagnosis"), [("a", "1")])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b"id,label\n\xe4,1\n", r"is not UTF-8 text \(byte 9\)"),
        (b"id,label\na,1\nb,2,3\n", "line 3 has more cells than the header"),
        (b'id,label\n"a' + b"x" * 200_000, "is not a line of a CSV"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(data, message):
    with pytest.raises(SourceError, match=message):
        parse_table("t.csv", data)


def test_lines_of_name_and_grade_have_no_header():
    table = parse_table("train.txt", b"007 0004.jpg 0\r\n\r\nx.JPG\t5\r\n")
    assert table.header == ()
    assert table.lines == ((1, ("007 0004.jpg", "0")), (3, ("x.JPG", "5")))
    assert table.split == "train"


def test_a_column_that_is_there_twice_is_refused_when_it_is_needed():
    table = parse_table("t.csv", b"id,Label,label\na,1,2\n")
    assert table.find("id") == 0
    with pytest.raises(SourceError, match="2 columns 'label'"):
        table.find("label")


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "trainLabels_cropped", "a. IDRiD_Disease Grading_Training Labels", "resized_train"]),
        ("val", ["valid", "val_images", "Validation"]),
        ("test", ["ODIR-5K_Testing_Images", "b. Testing Set", "test_1"]),
        ("", ["train_test", "strained", "contest", "", "image"]),
    ],
)
def test_a_name_tells_its_split_by_whole_words(split, names):
    assert [split_in(name) for name in names] == [split] * len(names)


BARE = {"a.PNG": "a", "1.2.840": "1.2.840", "a.b.tiff": "a.b", ".png": ".png", "a.txt": "a.txt"}


@pytest.mark.parametrize(("name", "bare"), BARE.items())
def test_only_the_extension_of_a_photograph_is_dropped(name, bare):
    assert bare_name(name) == bare
