"""Each published layout, on files shaped like the real ones."""

from __future__ import annotations

import math

import pytest

from prebake.errors import SourceError, TableError
from prebake.sources import LAYOUTS, read_bytes, scan, survey
from prebake.sources.layouts import FOLDER, PUBLISHED

KINDS = ("folder", "zip", "tar")

APTOS = {
    "train.csv": "id_code,diagnosis\n0709652336e2,2\n000c1434d8d7,0\n1e5,4\n007,1\n",
    "test.csv": "id_code\n0005cfc8afb6\n",
    "sample_submission.csv": "id_code,diagnosis\n0005cfc8afb6,0\n",
    **{f"train_images/{name}.png": None for name in ("0709652336e2", "000c1434d8d7", "1e5", "007")},
    "test_images/0005cfc8afb6.png": None,
}
EYEPACS = {
    "trainLabels.csv": "image,level\n10_left,0\n10_right,1\n13_left,4\n",
    "retinopathy_solution.csv": "image,level,Usage\n1_left,2,Public\n",
    "sampleSubmission.csv": "image,level\n1_left,0\n",
    **{f"train/{name}.jpeg": None for name in ("10_left", "10_right", "13_left")},
    "test/1_left.jpeg": None,
}
IDRID_HEADER = "Image name,Retinopathy grade,Risk of macular edema ,,,,,,,,,\r\n"
IDRID_TRAIN = {
    "2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv": IDRID_HEADER
    + "IDRiD_001,3,2,,,,,,,,,\r\nIDRiD_002,0,0,,,,,,,,,\r\n,,,,,,,,,,,\r\n",
    "1. Original Images/a. Training Set/IDRiD_001.jpg": None,
    "1. Original Images/a. Training Set/IDRiD_002.jpg": None,
}
IDRID_TEST = {
    "2. Groundtruths/b. IDRiD_Disease Grading_Testing Labels.csv": (
        "Image name,Retinopathy grade,Risk of macular edema \r\nIDRiD_001,4,0\r\n"
    ),
    "1. Original Images/b. Testing Set/IDRiD_001.jpg": None,
}
MESSIDOR2 = {
    "messidor_data.csv": "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable\n"
    "20051020_43808_0100_PP.png,0,0,1\nIM002385.jpg,,,0\nIM004176.jpg,2,1,1\n20051020_43832_0100_PP.png,1.0,0,1\n",
    "IMAGES/20051020_43808_0100_PP.png": None,
    "IMAGES/20051020_43832_0100_PP.tif": None,
    "IMAGES/IM002385.JPG": None,
    "IMAGES/im004176.JPG": None,
}
DDR = {
    "DR_grading/train.txt": "007-0004-000.jpg 0\n007-0025-000.jpg 5\n",
    "DR_grading/valid.txt": "007-1782-100.jpg 4\r\n",
    "DR_grading/test.txt": "20170413102628830.jpg 1\n",
    "DR_grading/train/007-0004-000.jpg": None,
    "DR_grading/train/007-0025-000.jpg": None,
    "DR_grading/valid/007-1782-100.jpg": None,
    "DR_grading/test/20170413102628830.jpg": None,
    "lesion_segmentation/train/image/007-0004-000.jpg": None,
}
ODIR_HEADER = (
    "ID,Patient Age,Patient Sex,Left-Fundus,Right-Fundus,Left-Diagnostic Keywords,Right-Diagnostic Keywords,N,D"
)
ODIR = {
    "annotations.csv": f"\ufeff{ODIR_HEADER}\n"
    "0,69,Female,0_left.jpg,0_right.jpg,cataract,normal fundus,0,0\n"
    "1,57,Male,1_left.jpg,1_right.jpg,lens dust\uff0cnormal fundus,"
    "severe nonproliferative retinopathy\uff0cglaucoma,1,1\n"
    '2,42,Male,2_left.jpg,2_right.jpg,"hypertensive retinopathy,mild nonproliferative retinopathy",'
    "suspected diabetic retinopathy,0,1\n",
    **{f"Training Images/{n}_{eye}.jpg": None for n in range(3) for eye in ("left", "right")},
}
ALL = {
    "aptos": APTOS,
    "eyepacs": EYEPACS,
    "idrid": IDRID_TRAIN | IDRID_TEST,
    "messidor2": MESSIDOR2,
    "ddr": DDR,
    "odir": ODIR,
}


def table(samples):
    return {sample.id: sample.label for sample in samples}


def test_the_names_of_the_layouts_are_those_of_the_option():
    assert LAYOUTS == ("auto", "folder", "aptos", "eyepacs", "idrid", "messidor2", "ddr", "odir")
    assert {layout.name for layout in (*PUBLISHED, FOLDER)} == set(LAYOUTS) - {"auto"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", sorted(ALL))
def test_every_layout_is_recognised_and_read_the_same_from_folder_zip_and_tar(make, layout, kind):
    source = make(ALL[layout], kind)
    found = survey(source)
    assert found.layouts == {"data": layout}
    assert scan(source, layout=layout) == list(found.samples)
    from_folder = make(ALL[layout], "folder")
    content = [(s.id, s.member, s.label, s.group, s.split, s.size) for s in found.samples]
    assert content == [(s.id, s.member, s.label, s.group, s.split, s.size) for s in scan(from_folder)]
    for sample in found.samples:
        assert read_bytes(sample) == f"bytes of {sample.member}".encode()


def test_aptos_ids_stay_text_even_where_they_look_like_numbers(make):
    samples = scan(make(APTOS))
    assert table(samples) == {"0709652336e2": 2, "000c1434d8d7": 0, "1e5": 4, "007": 1, "0005cfc8afb6": None}
    assert [s.split for s in samples] == ["train"] * 4 + ["test"]
    assert samples[0].source == "data"
    assert samples[0].path == "data/train_images/0709652336e2.png"


def test_aptos_in_three_parts_with_nested_folders_is_read(make):
    files = {f"{split}.csv": f"id_code,diagnosis\n{split}a,1\n" for split in ("train_1", "valid", "test")}
    files |= {
        f"{s}_images/{s}_images/{t}a.png": None for s, t in (("train", "train_1"), ("val", "valid"), ("test", "test"))
    }
    assert [(s.id, s.split) for s in scan(make(files))] == [("train_1a", "train"), ("valida", "val"), ("testa", "test")]


def test_aptos_photographs_without_any_csv_pack_unlabelled_under_their_bare_ids(make):
    found = survey(make({"test_images/a.png": None, "test_images/b.png": None}, "zip"))
    assert table(found.samples) == {"a": None, "b": None}
    assert found.notes == ()


def test_eyepacs_groups_the_eyes_of_a_patient_and_takes_the_solution_for_the_test_set(make):
    samples = scan(make(EYEPACS))
    assert [(s.id, s.label, s.group, s.split) for s in samples] == [
        ("10_left", 0, "10", "train"),
        ("10_right", 1, "10", "train"),
        ("13_left", 4, "13", "train"),
        ("1_left", 2, "1", "test"),
    ]


def test_eyepacs_labels_that_lie_elsewhere_group_the_eyes_too(make, tmp_path):
    folder = make({name: None for name in EYEPACS if name.startswith("train/")})
    (tmp_path / "my solutions").mkdir()
    labels = tmp_path / "my solutions" / "trainLabels.csv"
    labels.write_text(EYEPACS["trainLabels.csv"])
    samples = scan(folder, labels=labels)
    assert [(s.group, s.split) for s in samples] == [("10", "train"), ("10", "train"), ("13", "train")]


def test_idrid_survives_trailing_spaces_empty_columns_and_empty_lines(make):
    samples = scan(make(IDRID_TRAIN))
    assert [(s.id, s.label, s.split, s.group) for s in samples] == [
        ("IDRiD_001", 3, "train", None),
        ("IDRiD_002", 0, "train", None),
    ]


def test_idrid_ids_that_repeat_in_the_test_set_are_told_apart_by_the_split(make):
    samples = scan(make(IDRID_TRAIN | IDRID_TEST))
    assert table(samples) == {"train/IDRiD_001": 3, "train/IDRiD_002": 0, "test/IDRiD_001": 4}
    assert samples[2].member == "1. Original Images/b. Testing Set/IDRiD_001.jpg"


def test_idrid_test_grades_never_go_to_training_photographs(make):
    labels_of_the_test_set_only = {name: text for name, text in IDRID_TEST.items() if name.endswith(".csv")}
    photographs_of_the_training_set_only = {name: text for name, text in IDRID_TRAIN.items() if name.endswith(".jpg")}
    with pytest.raises(TableError, match=r"IDRiD_001.*no photograph of this name in a folder for test"):
        scan(make(labels_of_the_test_set_only | photographs_of_the_training_set_only))


def test_the_whole_of_idrid_takes_the_photographs_next_to_the_table(make):
    part_b = {f"B. Disease Grading/{name}": text for name, text in IDRID_TRAIN.items()}
    part_c = {f"C. Localization/{name}": None for name in IDRID_TRAIN if name.endswith(".jpg")}
    assert [s.member[:10] for s in scan(make(part_b | part_c))] == ["B. Disease"] * 2


def test_messidor2_matches_stems_whatever_the_case_and_extension_and_leaves_ungradable_ones_without_label(make):
    found = survey(make(MESSIDOR2))
    assert table(found.samples) == {
        "20051020_43808_0100_PP": 0,
        "IM002385": None,
        "IM004176": 2,
        "20051020_43832_0100_PP": 1,
    }
    assert [s.member for s in found.samples][2:] == ["IMAGES/im004176.JPG", "IMAGES/20051020_43832_0100_PP.tif"]
    assert found.notes == ("data: 1 of 4 photographs have no label; training leaves them out: IM002385",)


def test_messidor2_groups_the_eyes_that_the_pairs_table_joins(make, tmp_path):
    pairs = {
        "messidor-2.csv": "left;right\n20051020_43808_0100_PP.png;20051020_43832_0100_PP.png\n"
        "IM004176.JPG;IM002385.JPG\n"
    }
    source = make(MESSIDOR2 | pairs)
    expected = ["20051020_43808_0100_PP", "IM004176", "IM004176", "20051020_43808_0100_PP"]
    found = survey(source)
    assert [s.group for s in found.samples] == expected
    assert not any("not read" in note for note in found.notes)
    labels = (source / "messidor_data.csv").rename(tmp_path / "elsewhere.csv")
    assert [s.group for s in scan(source, labels=labels)] == expected


def test_ddr_class_5_is_ungradable_and_no_sixth_grade(make):
    found = survey(make(DDR))
    assert [(s.id, s.label, s.split) for s in found.samples] == [
        ("007-0004-000", 0, "train"),
        ("007-0025-000", None, "train"),
        ("007-1782-100", 4, "val"),
        ("20170413102628830", 1, "test"),
    ]
    assert found.unlisted == ("data/lesion_segmentation/train/image/007-0004-000.jpg",)
    assert any("have no label; training leaves them out: 007-0025-000" in note for note in found.notes)


def test_odir_reads_grades_out_of_keywords_and_groups_the_eyes(make):
    samples = scan(make(ODIR))
    assert table(samples) == {"0_left": None, "0_right": 0, "1_left": 0, "1_right": 3, "2_left": 1, "2_right": None}
    assert [s.group for s in samples] == ["0", "0", "1", "1", "2", "2"]


def test_odir_with_one_line_an_eye_gives_each_eye_once(make):
    line = "0,69,Female,0_left.jpg,0_right.jpg,cataract,normal fundus,0,0"
    files = {"full_df.csv": f"{ODIR_HEADER},filename\n{line},0_right.jpg\n{line},0_left.jpg\n"}
    samples = scan(make(files | {f"Training Images/0_{eye}.jpg": None for eye in ("left", "right")}))
    assert table(samples) == {"0_left": None, "0_right": 0}


def test_odir_with_one_line_an_eye_asks_for_no_eye_that_has_no_line(make):
    line = "0,69,Female,0_left.jpg,0_right.jpg,cataract,normal fundus,0,0,0_right.jpg"
    samples = scan(make({"full_df.csv": f"{ODIR_HEADER},filename\n{line}\n", "preprocessed_images/0_right.jpg": None}))
    assert [(s.id, s.label, s.group) for s in samples] == [("0_right", 0, "0")]


def test_odir_as_a_spreadsheet_is_told_not_passed_over(make):
    found = survey(make({"data.xlsx": b"PK", "0_left.jpg": None}))
    assert found.notes == ("data: not read: data.xlsx; to use one (as CSV), name it with --labels",)
    with pytest.raises(SourceError, match="is not of the layout odir"):
        scan(make({"0_left.jpg": None}), layout="odir")


def test_a_layout_that_the_tables_do_not_fit_says_what_it_needs_and_what_is_there(make):
    with pytest.raises(SourceError) as error:
        scan(make(APTOS), layout="eyepacs")
    assert "trainLabels.csv with the columns image" in str(error.value)
    assert "train.csv (id_code, diagnosis)" in str(error.value)


def test_two_data_sets_in_one_folder_are_not_guessed_between(make):
    files = {f"a/{name}": text for name, text in APTOS.items()} | {f"e/{name}": text for name, text in EYEPACS.items()}
    with pytest.raises(SourceError, match="tables of several layouts"):
        scan(make(files))


def test_the_real_idrid_training_set_is_whole(idrid):
    found = survey(idrid)
    assert len(found.samples) == 413
    assert found.layouts == {"idrid": "idrid"}
    assert found.notes == ()
    labels = [sample.label for sample in found.samples]
    assert [labels.count(grade) for grade in range(5)] == [134, 20, 136, 74, 49]
    assert {sample.split for sample in found.samples} == {"train"}
    assert found.samples[0].id == "IDRiD_001"
    assert read_bytes(found.samples[0])[:3] == b"\xff\xd8\xff"
    assert all(label is not None and math.isfinite(label) for label in labels)
