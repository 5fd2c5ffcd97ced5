"""jaxsr.data.tables: lists of stems, class tables, and the files of both that are shipped."""

import pytest
from PIL import Image

from jaxsr.data.tables import nearest, read_class_table, read_names
from jaxsr.outdoor import NAMES, VOID
from jaxsr.types import UserError

# MSRC v2: images in each of its 20 scene groups, as counted in the folder of the data set.
GROUPS = (30,) * 9 + (32, 30, 34, 30, 30, 24) + (30,) * 4 + (21,)
MSRC_NAMES = [f"{g}_{n}_s" for g, count in enumerate(GROUPS, 1) for n in range(1, count + 1)]
# Its README: equal pictures under two names, and two that are nearly equal.
TWINS = [("1_27_s", "9_15_s"), ("1_26_s", "9_10_s"), ("4_2_s", "4_3_s")]


def held_out(name):
    """The rule on the first line of splits/msrc_v2_test.txt."""
    return int(name.split("_")[1]) <= 6


def test_shipped_split_follows_its_rule():
    assert len(MSRC_NAMES) == 591
    test = read_names("msrc_v2_test")
    assert list(test) == [name for name in MSRC_NAMES if held_out(name)]
    assert len(test) == 120  # 20.3 %
    for g in range(1, 21):
        assert sum(name.startswith(f"{g}_") for name in test) == 6
    for a, b in TWINS:
        assert (a in test) == (b in test)


def test_split_on_the_real_data(shared):
    folder = shared / "msrc_v2"
    stems = {path.stem for path in (folder / "images").glob("*.jpg")}
    assert stems == set(MSRC_NAMES)
    table, test = read_class_table("msrc_v2"), set(read_names("msrc_v2_test"))
    seen = {True: {}, False: {}}
    for name in MSRC_NAMES:
        count = seen[name in test]
        labels = Image.open(folder / "labels" / f"{name}.png")
        for value in {table[value] for _, value in labels.getcolors()}:
            count[value] = count.get(value, 0) + 1
    every = set(range(8)) | {VOID}
    assert set(seen[True]) == set(seen[False]) == every
    mountain = NAMES.index("mountain")
    assert (seen[True][mountain], seen[False][mountain]) == (6, 20)  # of 26 in the README


def test_shipped_class_table():
    table = read_class_table("msrc_v2")
    assert sorted(table) == list(range(24)) and table[0] == VOID
    name = {index: NAMES[value] for index, value in table.items() if value != VOID}
    assert name[7] == "sky" and name[8] == "mountain" and name[10] == "water"
    # README of the set: building; grass; tree and flower; cow, horse, sheep, bird, cat and dog.
    assert [i for i in name if name[i] == "building"] == [1]
    assert [i for i in name if name[i] == "grass"] == [2]
    assert [i for i in name if name[i] == "plant"] == [3, 14]
    assert [i for i in name if name[i] == "animal"] == [4, 5, 6, 16, 20, 21]
    assert sum(value == "background" for value in name.values()) == 10


def test_a_path_wins_over_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(read_names("msrc_v2_test.txt")) == 120
    (tmp_path / "msrc_v2_test.txt").write_text("# mine\n\n a \nb\n")
    assert read_names("msrc_v2_test.txt") == ("a", "b")
    assert read_names(tmp_path / "msrc_v2_test.txt") == ("a", "b")
    assert len(read_names("msrc_v2_test")) == 120


def test_class_table_of_the_user(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\ufeffindex,class,outdoor\r\n3,oak,plant\r\n0,?,ignore\r\n", encoding="utf-8")
    assert read_class_table(path) == {3: 6, 0: 255}


@pytest.mark.parametrize(
    "text, words",
    [
        ("index,outdoor\n1,sky\n", "index,class,outdoor"),
        ("", "index,class,outdoor"),
        ("index,class,outdoor\n1,a,skye\n", "did you mean 'sky'"),
        ("index,class,outdoor\n1,a\n", "line 2"),
        ("index,class,outdoor\n1,a,sky\n1,b,sky\n", "line 3"),
        ("index,class,outdoor\n256,a,sky\n", "'256'"),
        ("index,class,outdoor\n-1,a,sky\n", "'-1'"),
        ("index,class,outdoor\nx,a,sky\n", "'x'"),
    ],
)
def test_wrong_class_tables(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        read_class_table(tmp_path / "t.csv")


def test_unknown_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match="did you mean 'msrc_v2'"):
        read_class_table("msrcv2")
    with pytest.raises(UserError, match="msrc_v2_test"):
        read_names(tmp_path / "none.txt")
    with pytest.raises(UserError, match="neither"):
        read_names(tmp_path)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        read_names(tmp_path / "b.txt")


def test_nearest_names_the_likeliest():
    known = ["brick", "chelsea"]
    assert nearest("chelse", known) == "did you mean 'chelsea'? known: brick, chelsea"
    assert nearest("zzz", ["brick"]) == "known: brick"
