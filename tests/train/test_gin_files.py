"""gin's errors as one sentence that names file and line."""

import pytest

from t5rank.train import gin_files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("X = 1\nA B\n", r"r\.gin' cannot be parsed at line 2: Couldn't parse statement"),
        ("X = 1\nA = [1,\n", r"r\.gin' cannot be parsed at line 2: EOF in multi-line statement"),
        ("\nA = foo\n", r"r\.gin' cannot be parsed at line 2: 'foo' is no value"),
        ("A = 'b\n", r"r\.gin' cannot be parsed at line 1"),
        ("\ninclude 'no.gin'\n", r"r\.gin', line 2, includes 'no\.gin', which does not exist"),
    ],
)
def test_what_gin_cannot_parse_is_named_by_file_and_line(text, message, tmp_path):
    (tmp_path / "r.gin").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        gin_files.bindings_of([str(tmp_path / "r.gin")])
    assert "\n" not in str(error.value)


def test_an_error_in_an_included_file_names_that_file(tmp_path):
    (tmp_path / "inner.gin").write_text("A B\n")
    (tmp_path / "outer.gin").write_text(f"include '{tmp_path}/inner.gin'\n")
    with pytest.raises(ValueError, match=r"inner\.gin' cannot be parsed at line 1"):
        gin_files.bindings_of([str(tmp_path / "outer.gin")])


def test_a_circle_of_includes_is_an_error(tmp_path):
    file = tmp_path / "r.gin"
    file.write_text(f"include '{file}'\n")
    with pytest.raises(ValueError, match="includes itself"):
        gin_files.bindings_of([str(file)])


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "r.gin").write_bytes(b"# caf\xe9\n")
    with pytest.raises(ValueError, match=r"r\.gin' has broken UTF-8 at byte 6"):
        gin_files.bindings_of([str(tmp_path / "r.gin")])
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory\)"):
        gin_files.bindings_of([str(tmp_path)])
    with pytest.raises(ValueError, match=r"'t5rank/configs/no\.gin' does not exist"):
        gin_files.bindings_of(["t5rank/configs/no.gin"])


def test_an_option_that_cannot_be_parsed_is_named():
    with pytest.raises(ValueError, match=r"Option --gin\.STEPS has a value that gin cannot parse"):
        gin_files.bindings_of([], ["STEPS=[1"])
