"""jaxsr.inference.jobs: what is restored, and under which name."""

import os
from pathlib import Path

import pytest

from jaxsr.inference.jobs import Job, check_folder, plan
from jaxsr.types import UserError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def names(inputs, out="out", scale=4, **options):
    """{source: target} without problems."""
    found = plan(inputs, Path(out), scale=scale, **options)
    assert not found.problems, found.problems
    return {str(job.source): job.target.relative_to(out).as_posix() for job in found.jobs}


def test_files_keep_their_ending_or_get_another(here):
    touch("a.png", "b.JPG", "c.tiff", "scan", "d.webp")
    assert names(["a.png", "b.JPG", "c.tiff", "scan", "d.webp"]) == {
        "a.png": "a_x4.png", "b.JPG": "b_x4.JPG", "c.tiff": "c_x4.tiff", "scan": "scan_x4.png",
        "d.webp": "d_x4.webp",
    }  # fmt: skip
    assert names(["b.JPG", "c.tiff"], kind="jpeg", scale=2) == {
        "b.JPG": "b_x2.jpg", "c.tiff": "c_x2.jpg",
    }  # fmt: skip
    assert names(["a.png"], name="{stem}") == {"a.png": "a.png"}
    assert names(["a.png"], name="x{scale}-{stem}.v2") == {"a.png": "x4-a.v2.png"}


def test_a_file_that_is_not_there_is_a_job_that_will_say_so(here):
    assert plan(["none.png"], Path("out"), scale=2).jobs == (
        Job(Path("none.png"), Path("out/none_x2.png")),
    )


def test_folders_are_searched_and_keep_their_structure(here):
    touch("in/b.png", "in/a.png", "in/sub/deep/c.bmp", "in/notes.txt", "in/.hidden.png")
    touch("in/.cache/d.png", "in/._a.png", "in/sub/clip.gif")
    found = plan(["in"], Path("out"), scale=4)
    assert [str(job.source) for job in found.jobs] == ["in/a.png", "in/b.png", "in/sub/deep/c.bmp"]
    assert str(found.jobs[2].target) == "out/sub/deep/c_x4.bmp"
    assert found.others == 2 and not found.problems


def test_the_results_are_not_taken_for_inputs(here):
    touch("in/a.png", "in/out/a_x4.png")
    assert names(["in"], out="in/out") == {"in/a.png": "a_x4.png"}
    with pytest.raises(UserError, match="the folder of the pictures"):
        plan(["in"], Path("in"), scale=4)
    os.symlink("in", "link")
    with pytest.raises(UserError, match="the folder of the pictures"):
        plan(["in"], Path("link"), scale=4)
    os.symlink("..", "in/loop")  # links to folders are not followed
    assert names(["in"], out="in/out") == {"in/a.png": "a_x4.png"}


def test_patterns(here):
    touch("in/a.png", "in/b.png", "in/sub/c.png", "in/[x].png")
    assert list(names(["in/?.png"])) == ["in/a.png", "in/b.png"]
    assert names(["in/**/c.*"]) == {"in/sub/c.png": "c_x4.png"}
    assert list(names(["in/[x].png"])) == ["in/[x].png"]  # a file that is there is no pattern
    found = plan(["in/z*.png"], Path("out"), scale=4)
    assert not found.jobs and found.problems[0][1] == "no file fits in/z*.png: check the pattern."


def test_each_file_comes_once(here):
    touch("in/a.png", "in/b.png")
    assert list(names(["in/b.png", "in", "./in/a.png", "in/*.png"])) == ["in/b.png", "in/a.png"]


def test_clashing_names_get_their_endings(here):
    touch("a.png", "a.jpg", "b.png", "in/A.tif")
    assert names(["a.png", "a.jpg", "b.png"]) == {
        "a.png": "a_x4.png", "a.jpg": "a_x4.jpg", "b.png": "b_x4.png",
    }  # fmt: skip
    assert names(["a.png", "a.jpg", "b.png"], kind="png") == {
        "a.png": "a_png_x4.png", "a.jpg": "a_jpg_x4.png", "b.png": "b_x4.png",
    }  # fmt: skip
    # where the disk takes upper and lower case for the same
    assert set(names(["a.png", "in/A.tif"], kind="png").values()) == {
        "a_png_x4.png", "A_tif_x4.png",
    }  # fmt: skip


def test_names_that_clash_all_the_same_are_problems(here):
    touch("one/a.png", "two/a.png", "b.png")
    found = plan(["one/a.png", "two/a.png", "b.png"], Path("out"), scale=4)
    assert [str(job.source) for job in found.jobs] == ["b.png"]
    assert len(found.problems) == 2
    text = found.problems[0][1]
    assert "one/a.png and two/a.png would both become out/a_png_x4.png" in text
    assert names(["."]) == {
        "b.png": "b_x4.png", "one/a.png": "one/a_x4.png", "two/a.png": "two/a_x4.png",
    }  # fmt: skip


def test_a_source_is_never_written_over(here):
    touch("a.png", "b/a.png", "a_x4.png")
    found = plan(["a.png"], Path("."), scale=1, name="{stem}")
    assert not found.jobs
    assert found.problems[0][1].startswith("a.png would be written over a.png: ")
    # nor another's
    found = plan(["b/a.png", "a_x4.png"], Path("."), scale=4)
    assert [str(job.source) for job in found.jobs] == ["a_x4.png"]
    assert found.problems[0][1].startswith("b/a.png would be written over a_x4.png: ")
    os.symlink(here / "a.png", here / "b/link.png")
    found = plan(["b/link.png"], Path("b"), scale=1, name="{stem}")
    assert not found.jobs and len(found.problems) == 1


def test_a_folder_named_like_a_picture_is_a_problem(here):
    touch("in/a.png/b.png", "in/c.png")
    found = plan(["in"], Path("out"), scale=4)
    assert [str(job.source) for job in found.jobs] == ["in/c.png"]
    assert found.problems[0][1] == "in/a.png is a folder, though named like an image: rename it."
    assert str(plan(["in/a.png"], Path("out"), scale=4).jobs[0].source) == "in/a.png"


@pytest.mark.parametrize(
    "name", ["out", "{other}", "{stem}/{scale}", "{stem", "{0}", "{stem.x}", ""]
)
def test_other_patterns_of_names_are_refused(here, name):
    with pytest.raises(UserError, match="--name"):
        plan([], Path("out"), scale=4, name=name)


def test_other_places_are_refused(here):
    touch("file")
    with pytest.raises(UserError, match="is a file"):
        plan([], Path("file"), scale=4)
    with pytest.raises(UserError, match="named like a picture"):
        plan([], Path("out.png"), scale=4)


def test_the_folder_of_results_is_tried_before(here):
    check_folder(here / "new" / "out")
    assert list((here / "new" / "out").iterdir()) == []
    touch("file")
    with pytest.raises(UserError, match=r"--out .*file/out cannot be written \(Not a directory\)"):
        check_folder(here / "file" / "out")
