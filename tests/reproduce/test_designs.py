import shlex
from pathlib import Path

import pytest

from t5rank import cli
from t5rank.reproduce import DESIGNS, Options, find_design, plan
from t5rank.reproduce.inputs import check_inputs
from t5rank.reproduce.running import _experiment

ROOT = Path(__file__).parents[2]
OPTIONS = Options(Path("data"), Path("out"), initial_checkpoint="t5")


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: f"{d.name}-{d.size}")
def test_every_step_is_a_command_that_exists_with_recipes_that_exist(design):
    steps = plan(design, _experiment(design, OPTIONS, ""), OPTIONS)
    parser = cli._parser()
    for step in steps:
        if not step.command:
            continue
        arguments = parser.parse_args(cli._one_word_bindings(step.command))
        for file in getattr(arguments, "gin_file", ()):
            assert (ROOT / file.replace("t5rank/configs", "gin")).is_file()


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: f"{d.name}-{d.size}")
def test_every_file_that_a_command_reads_is_an_input_or_in_an_archive(design):
    steps = plan(design, _experiment(design, OPTIONS, ""), OPTIONS)
    known = {each.path for each in design.inputs}
    read = {
        part.removeprefix("data/").split(":")[0]
        for step in steps
        for word in step.command
        for option in shlex.split(word.replace(",", " ").replace("=", " "))
        for part in [option.strip("'")]
        if part.startswith("data/")
    }
    assert read and read <= known


def test_the_tiny_designs_files_are_those_of_the_shared_data(shared_data):
    for design in DESIGNS:
        if design.size == "tiny":
            assert len(check_inputs(design.inputs, shared_data)) == len(design.inputs)


def test_a_pretrained_design_wants_a_checkpoint():
    design = find_design("rankt5", "base", DESIGNS)
    options = Options(Path("data"), Path("out"))
    with pytest.raises(ValueError, match="expected --initial_checkpoint"):
        plan(design, _experiment(design, options, ""), options)


def test_an_unknown_name_or_size_is_told_those_there_are():
    with pytest.raises(ValueError, match=r"Experiment 'rankt6' is not known.*rankt5 --size large"):
        find_design("rankt6", None, DESIGNS)
    with pytest.raises(ValueError, match=r"'rankt5' of size 'huge'.*rankt5 --size tiny"):
        find_design("rankt5", "huge", DESIGNS)


def test_a_checkpoint_takes_the_place_of_the_stages():
    design = find_design("rankt5", "tiny", DESIGNS)
    titles = [step.title for step in plan(design, _experiment(design, OPTIONS, ""), OPTIONS)]
    assert not any("start" in title for title in titles)
