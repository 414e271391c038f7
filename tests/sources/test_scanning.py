"""Plain folders, tables that do not fit, several sources, explicit labels."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from prebake.errors import OptionError, SourceError, TableError
from prebake.sources import scan, survey


def table(samples):
    return {sample.id: sample.label for sample in samples}


def problems(source, **options):
    with pytest.raises(TableError) as error:
        scan(source, **options)
    return error.value.problems


# -- without a table --------------------------------------------------------------------------------------------------


def test_a_folder_without_a_table_packs_unlabelled_in_natural_order(make):
    samples = scan(make({"10_left.jpg": None, "2_left.JPEG": None, "1_left.png": None}))
    assert [(s.id, s.label, s.group, s.split) for s in samples] == [
        ("1_left", None, None, ""),
        ("2_left", None, None, ""),
        ("10_left", None, None, ""),
    ]


def test_ids_of_sub_folders_keep_the_part_of_the_path_that_differs(make):
    source = make(
        {"all/site_a/1.png": None, "all/site_b/1.png": None, "all/site_b/2.jpg": None, "all/site_b/2.png": None}
    )
    assert [s.id for s in scan(source)] == ["site_a/1", "site_b/1", "site_b/2.jpg", "site_b/2.png"]


def test_a_single_photograph_is_a_source(make):
    (sample,) = scan(make({"eye.7.JPG": None, "other.jpg": None}) / "eye.7.JPG")
    assert (sample.id, sample.label, sample.member) == ("eye.7", None, "eye.7.JPG")


def test_photographs_named_one_by_one_are_one_source_for_each_folder(make):
    one, two = make({"b.png": None, "a.png": None}, name="one"), make({"a.png": None}, name="two")
    assert [s.id for s in scan([one / "b.png", one / "a.png"])] == ["b", "a"]
    assert [s.id for s in scan([one / "b.png", two / "a.png", one / "a.png"])] == ["one/b", "one/a", "two/a"]


def test_sub_folders_called_0_1_2_are_labels(make):
    source = make({"train/0/a.png": None, "train/1/b.png": None, "test/2/c.png": None})
    assert [(s.id, s.label, s.split) for s in scan(source)] == [
        ("test/2/c", 2, "test"),
        ("train/0/a", 0, "train"),
        ("train/1/b", 1, "train"),
    ]


@pytest.mark.parametrize("folders", [("1", "2"), ("0", "2"), ("0", "x"), ("0", "00")])
def test_numbered_folders_that_may_be_patients_are_not_labels(make, folders):
    assert {s.label for s in scan(make({f"{folder}/a.png": None for folder in folders}))} == {None}


def test_hidden_files_and_what_is_no_photograph_are_ignored(make):
    junk = (
        "._a.png",
        ".hidden/b.png",
        "__MACOSX/c.png",
        "x/__MACOSX/._d.png",
        "Thumbs.db",
        "readme.txt",
        "e.pdf",
        "a.png.md5",
    )
    for kind in ("folder", "zip", "tar"):
        found = survey(make(dict.fromkeys(junk) | {"a.png": None}, kind))
        assert [s.member for s in found.samples] == ["a.png"]
        assert found.notes == ()


def test_a_folder_without_photographs_says_so(make):
    with pytest.raises(SourceError, match="there are no photographs in"):
        scan(make({"train.zip": b"PK", "train.csv": "id_code,diagnosis\na,1\n"}))


# -- tables of any kind -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written", ["a", "a.png", "a.jpg", "A", "./a.png", "images/a", "images\\a.png", "x/images/a.png", " a "]
)
def test_a_row_may_name_its_photograph_in_many_ways(make, written):
    (sample,) = scan(make({"labels.csv": f"id_code,diagnosis\n{written},3\n", "x/images/a.png": None}))
    assert (sample.member, sample.label) == ("x/images/a.png", 3)


def test_a_row_may_name_the_folders_that_lead_to_the_source(make, tmp_path):
    source = make({"a.png": None, "x/b.png": None, "images/b.png": None}, name="project/images")
    (tmp_path / "t.csv").write_text("path,label\nimages/a.png,1\nproject/images/x/b.png,2\nimages/b.png,3\n")
    assert [s.member for s in scan(source, labels=tmp_path / "t.csv")] == ["a.png", "x/b.png", "images/b.png"]
    (tmp_path / "t.csv").write_text("path,label\nother/a.png,1\n")
    assert problems(source, labels=tmp_path / "t.csv")[0].endswith("no photograph of this name in a folder 'other'")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_accents_that_a_mac_writes_in_pieces_are_the_same_letters(make, kind):
    composed, pieces = "Jos\u00e9", "Jose\u0301"
    source = make({"t.csv": f"image,level\n{composed}/a,3\n", f"{pieces}/a.png": None}, kind)
    assert [(s.id, s.member, s.label) for s in scan(source)] == [(f"{composed}/a", f"{pieces}/a.png", 3)]
    bare = make({f"{pieces}.png": None}, kind, name="bare")
    assert [(s.id, s.member) for s in scan(bare)] == [(composed, f"{pieces}.png")]


@pytest.mark.parametrize(
    ("name", "label"), [("Image_Name", "Label"), ("filename", "class"), ("id", "target"), ("Path", "DR grade")]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_common_names_of_columns_and_separators_are_known(make, name, label, delimiter):
    text = delimiter.join([name, "comment", label]) + "\n" + delimiter.join(["a", "", "2.5"])
    assert table(scan(make({"t.csv": text, "a.png": None}))) == {"a": 2.5}


def test_a_table_without_a_column_of_labels_is_told_unless_it_holds_nothing_but_ids(make):
    found = survey(make({"t.csv": "image,severity\na,1\n", "a.png": None}))
    assert table(found.samples) == {"a": None}
    (note,) = found.notes
    assert note.startswith("data: t.csv has no column of labels (diagnosis, level, label, ")
    assert survey(make({"t.csv": "image\na\n", "a.png": None}, name="ids")).notes == ()


def test_groups_and_splits_of_a_table_are_taken(make):
    text = "image,grade,patient_id,split\na,1,007,train\nb,,007,Testing\nc,NA,,holdout\n"
    samples = scan(make({"t.csv": text} | {f"{name}.png": None for name in "abc"}))
    assert [(s.label, s.group, s.split) for s in samples] == [
        (1, "007", "train"),
        (None, "007", "test"),
        (None, None, "holdout"),
    ]


@pytest.mark.parametrize("column", ["group", "Patient ID", "PatientID", "patient", "subject_id", "Subject"])
def test_common_names_of_the_patient_are_known(make, column):
    source = make({"t.csv": f"image,grade,{column}\na,1,007\n", "a.png": None})
    assert [s.group for s in scan(source)] == ["007"]


def test_a_split_column_may_take_photographs_from_any_folder(make):
    source = make({"t.csv": "image,grade,split\na,1,test\n", "train/a.png": None})
    assert [s.split for s in scan(source)] == ["test"]


def test_a_split_column_tells_two_photographs_of_one_name_apart(make):
    text = "image,grade,split\na,1,Training\na,2,test\n"
    samples = scan(make({"t.csv": text, "train/a.png": None, "test/a.png": None}))
    assert [(s.id, s.member, s.label) for s in samples] == [
        ("train/a", "train/a.png", 1),
        ("test/a", "test/a.png", 2),
    ]
    source = make({"t.csv": "image,grade\na,1\n", "x/a.png": None, "test/a.png": None}, name="without")
    assert "2 photographs have this name" in problems(source)[0]


def test_a_file_of_validation_labels_may_take_photographs_from_the_training_folder(make):
    files = {"train.csv": "id_code,diagnosis\na,1\n", "valid.csv": "id_code,diagnosis\nb,2\n"}
    samples = scan(make(files | {"train_images/a.png": None, "train_images/b.png": None}))
    assert [(s.id, s.split) for s in samples] == [("a", "train"), ("b", "val")]


def test_two_columns_that_could_be_the_labels_are_not_guessed_between(make):
    with pytest.raises(SourceError, match="2 columns that could hold the labels: diagnosis, grade"):
        scan(make({"t.csv": "image,grade,diagnosis\na,1,2\n", "a.png": None}))


def test_two_tables_for_the_same_photographs_are_not_guessed_between(make):
    text = "image,level\n1_left,0\n"
    with pytest.raises(
        SourceError, match=r"two tables for the same photographs: trainLabels.csv and trainLabels_cropped.csv"
    ):
        scan(make({"trainLabels.csv": text, "trainLabels_cropped.csv": text, "1_left.jpeg": None}))


def test_what_a_model_said_is_never_read_as_labels(make):
    text = "id_code,diagnosis\na,4\n"
    found = survey(make({"predictions.csv": text, "my_submission.csv": text, "a.png": None}))
    assert table(found.samples) == {"a": None}


def test_a_table_that_is_not_understood_is_told(make, caplog):
    source = make({"notes.csv": "what,ever\n1,2\n", "a.png": None})
    with caplog.at_level(logging.WARNING, "prebake.sources"):
        assert len(scan(source)) == 1
    assert caplog.messages == ["data: not read: notes.csv; to use one (as CSV), name it with --labels"]


def test_photographs_that_no_row_names_are_left_out_and_told(make):
    found = survey(make({"t.csv": "image,level\nb,1\n", "a.png": None, "b.png": None, "c.png": None}))
    assert table(found.samples) == {"b": 1}
    assert found.unlisted == ("data/a.png", "data/c.png")
    assert found.notes == ("data: 2 photographs that no table names are left out: data/a.png, data/c.png",)
    one = survey(make({"t.csv": "image,level\nb,1\n", "a.png": None, "b.png": None}, name="one"))
    assert one.notes == ("one: 1 photograph that no table names is left out: one/a.png",)


# -- problems ---------------------------------------------------------------------------------------------------------


def test_all_problems_are_reported_at_once_with_their_lines(make, tmp_path):
    text = (
        "id_code,diagnosis\na,1\na,2\nmissing,0\nb,two\n../c,1\n/etc/passwd,1\nC:\\c,1\n,3\nc,inf\n"
        "twin,1\nlink,0\nd,1_0\na.png,1\n"
    )
    source = make({"t.csv": text, "c.png": None, "d.png": None, "twin.png": None, "x/twin.png": None})
    for name in "ab":
        (source / f"{name}.png").write_bytes(b"")
    (source / "link.png").symlink_to(tmp_path / "nowhere.png")
    found = problems(source)
    assert list(found) == [
        "t.csv line 3: 'a': duplicate id, also in t.csv line 2",
        "t.csv line 4: 'missing': no photograph of this name",
        "t.csv line 5: 'b': the label 'two' is no number",
        "t.csv line 6: '../c': the id leads out of the source by '..'",
        "t.csv line 7: '/etc/passwd': an absolute path is no id; give it relative to the source",
        "t.csv line 8: 'C:\\\\c': an absolute path is no id; give it relative to the source",
        "t.csv line 9: '': empty id",
        "t.csv line 10: 'c': the label 'inf' is no number",
        "t.csv line 11: 'twin': 2 photographs have this name: twin.png, x/twin.png",
        "t.csv line 12: 'link': link.png is a link that leads nowhere",
        "t.csv line 13: 'd': the label '1_0' is no number",
        "t.csv line 14: 'a.png': duplicate id, also in t.csv line 2",
    ]


def test_two_photographs_of_one_name_are_a_problem_that_names_both(make):
    source = make({"t.csv": "image,level\na,1\n", "x/a.png": None, "y/a.jpg": None})
    assert problems(source) == ("t.csv line 2: 'a': 2 photographs have this name: x/a.png, y/a.jpg",)


def test_an_extension_or_the_case_may_tell_two_photographs_apart(make):
    text = "image,level\na.jpg,1\nb,2\nB,3\n"
    samples = scan(make({"t.csv": text, "a.png": None, "a.jpg": None, "b.png": None, "B.png": None}))
    assert [(s.id, s.member) for s in samples] == [("a", "a.jpg"), ("b", "b.png"), ("B", "B.png")]


def test_two_rows_of_one_photograph_are_a_problem(make):
    source = make({"train.csv": "image,level\na,1\n", "valid.csv": "image,level\nA,1\nx/a,2\n", "x/a.png": None})
    assert problems(source) == (
        "valid.csv line 2: 'A': x/a.png is also what train.csv line 2 ('a') means",
        "valid.csv line 3: 'x/a': x/a.png is also what train.csv line 2 ('a') means",
    )


def test_control_characters_in_an_id_are_a_problem(make):
    assert "cannot be printed" in problems(make({"t.csv": "image,level\na\x1bb,1\n", "a.png": None}))[0]


def test_names_that_are_not_text_are_a_problem_only_where_they_matter(make):
    source = make({"a.png": None})
    (source / b"b\xff.png".decode(errors="surrogateescape")).write_bytes(b"")
    assert "cannot be printed" in problems(source)[0]
    (source / "t.csv").write_text("image,level\na,1\n")
    assert table(scan(source)) == {"a": 1}
    (note,) = survey(source).notes
    assert r"b\udcff.png" in note.encode().decode()


# -- labels that the user names ---------------------------------------------------------------------------------------


def test_named_labels_replace_the_tables_of_the_source(make, tmp_path):
    source = make({"train.csv": "id_code,diagnosis\na,1\n", "a.png": None})
    (tmp_path / "mine.csv").write_text("id_code,diagnosis\na,4\n")
    assert table(scan(source, labels=tmp_path / "mine.csv")) == {"a": 4}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.csv", "image,camera\na,x\n", "has no column of labels"),
        ("mine.csv", "x,y\na,1\n", "is not a table of labels"),
        ("mine.xlsx", "", "is a spreadsheet"),
        ("mine.csv", "", "is empty"),
    ],
)
def test_named_labels_that_cannot_be_used_are_refused(make, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=message):
        scan(make({"a.png": None}), labels=tmp_path / name)


def test_named_labels_that_are_not_there_are_refused(make, tmp_path):
    with pytest.raises(SourceError, match="cannot read the labels in"):
        scan(make({"a.png": None}), labels=tmp_path / "none.csv")


# -- several sources --------------------------------------------------------------------------------------------------


def test_ids_and_groups_of_several_sources_are_kept_apart(make):
    one = make({"t.csv": "image,level,patient\na,1,p\n", "a.png": None}, name="one")
    other = make({"a.png": None}, "zip", name="other")
    samples = scan([one, other])
    assert [(s.id, s.group, s.source, s.path) for s in samples] == [
        ("one/a", "one/p", "one", "one/a.png"),
        ("other/a", None, "other", "other/a.png"),
    ]


def test_sources_of_the_same_name_are_numbered(make):
    sources = [make({"a.png": None}, name=f"{parent}/images") for parent in ("x", "y")]
    assert [s.id for s in scan(sources)] == ["images/a", "images-2/a"]


def test_the_same_source_twice_is_refused(make, tmp_path):
    source = make({"a.png": None})
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(SourceError, match="is named twice"):
        scan([source, tmp_path / "link"])


def test_named_labels_find_photographs_in_all_sources(make, tmp_path):
    one, two = (
        make({"a.png": None, "b.png": None}, name="one"),
        make({"sub/b.png": None, "c.png": None}, "zip", name="two"),
    )
    (tmp_path / "mine.csv").write_text("image,level,group\nc,1,p\ntwo/b,2,p\none/b,3,\n")
    found = survey([one, two], labels=tmp_path / "mine.csv")
    assert [(s.id, s.label, s.group) for s in found.samples] == [
        ("two/c", 1, "two/p"),
        ("two/b", 2, "two/p"),
        ("one/b", 3, None),
    ]
    assert found.unlisted == ("one/a.png",)
    (tmp_path / "mine.csv").write_text("image,level\nb,1\n")
    assert "2 photographs have this name" in problems([one, two], labels=tmp_path / "mine.csv")[0]


def test_problems_of_all_sources_come_together(make):
    sources = [make({"t.csv": "image,level\nno,1\n", "a.png": None}, name=name) for name in ("one", "two")]
    assert len(problems(sources)) == 2


# -- options ----------------------------------------------------------------------------------------------------------


def test_an_unknown_layout_and_no_source_are_wrong_options(make):
    with pytest.raises(OptionError, match="unknown layout 'kaggle'"):
        scan(make({"a.png": None}), layout="kaggle")
    with pytest.raises(OptionError, match="no source"):
        scan([])


def test_one_source_may_be_given_as_text(make):
    assert len(scan(str(make({"a.png": None})))) == 1


def test_no_heavy_library_is_loaded():
    code = "import sys, prebake.sources; print([m for m in ('torch', 'h5py', 'cv2', 'pandas') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout.strip() == "[]"
