"""Profiles in a file of one's own: what the keys mean, and what is said of mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.own_profile import SCHEDULES, copied_text, find_profile, read_profile
from experiments.profiles import PAPER, PROFILES, QUICK, SMOKE, Profile
from experiments.stages import in_order
from mila.common.toml_files import as_toml
from mila.errors import UserError
from mila.schedule import Part, Schedule, one_part
from tests.support.pages import blocks
from tests.support.paths import ROOT
from tests.support.smoke_plans import smoke_plan


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the profile of a test is written."""
    return tmp_path / "mine.toml"


def lines_of(profile: Profile) -> Iterator[str]:
    """A file that says of every setting what a profile of the suite has."""
    others = (*SCHEDULES, "weights", "depths", "name", "base", "changes", "usual")
    same = {field.name: getattr(profile, field.name) for field in fields(Profile) if field.name not in others}
    yield 'base = "smoke"'
    yield from (f"{key} = {as_toml(value)}" for key, value in same.items() if value is not None)
    yield "depths = { " + ", ".join(f"{depth} = {own}" for depth, own in profile.depths.items()) + " }"
    if not profile.weights:
        yield 'weights = "none"'
    else:
        yield "weights = { " + ", ".join(f'{depth} = "{name}"' for depth, name in profile.weights.items()) + " }"
    for schedule in SCHEDULES:
        for part in getattr(profile, schedule).parts:
            yield f"[[{schedule}.part]]"
            yield from (f"{key} = {as_toml(list(v) if isinstance(v, tuple) else v)}" for key, v in vars(part).items())


@pytest.mark.parametrize("profile", [QUICK, PAPER], ids=lambda profile: profile.name)
def test_a_file_that_says_what_a_profile_has_makes_the_same_stages(file: Path, profile: Profile) -> None:
    file.write_text("\n".join(lines_of(profile)))
    own = read_profile(file)
    assert (own.name, own.base) == ("mine", "smoke")
    assert replace(own, name=profile.name, base=None, changes=()) == profile
    ours, theirs = ({s.key for s in in_order(smoke_plan(profile=p).stages())} for p in (own, profile))
    assert ours == theirs


def test_what_is_left_out_is_the_bases(file: Path) -> None:
    file.write_text('base = "quick"')
    own = read_profile(file)
    assert replace(own, name="quick", about=QUICK.about, base=None) == QUICK
    assert own.about == "A user's own profile, made from quick."


WHOLE = st.integers(1, 64)
NUMBER = st.floats(1e-9, 4)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "scale": NUMBER,
    "width": NUMBER,
    "flow_width": NUMBER,
    "stride": WHOLE,
    "train_clips": WHOLE,
    "test_clips": WHOLE,
    "flow_clips": WHOLE,
    "real_train_clips": WHOLE,
    "real_test_clips": WHOLE,
    "last_epochs": WHOLE,
    "keyframe_interval": WHOLE,
    "zero_init_residual": st.booleans(),
    "half_resolution": st.booleans(),
    "augmentation": st.sampled_from(["none", "mtan", "default"]),
    "precision": st.sampled_from(["float32", "bfloat16"]),
    "decoder_norm": st.sampled_from(["none", "batch", "group"]),
}
OF_PARTS: dict[str, st.SearchStrategy[Any]] = {
    "epochs": st.one_of(WHOLE, NUMBER),
    "batch": WHOLE,
    "lr": NUMBER,
    "decay": st.sampled_from(["none", "cosine", "step"]),
    "decay_at": st.floats(0, 1, exclude_max=True),
}


@given(
    base=st.sampled_from(sorted(PROFILES)),
    plain=st.fixed_dictionaries({}, optional=VALUES),
    everywhere=st.fixed_dictionaries({}, optional=OF_PARTS),
    method=st.fixed_dictionaries({}, optional=OF_PARTS),
)
def test_every_key_replaces_its_field(
    base: str, plain: dict[str, Any], everywhere: dict[str, Any], method: dict[str, Any]
) -> None:
    lines = [f'base = "{base}"', *(f"{key} = {as_toml(value)}" for key, value in plain.items())]
    for section, values in (("training", everywhere), ("method", method)):
        lines += [f"[{section}]", *(f"{key} = {as_toml(value)}" for key, value in values.items())]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "mine.toml"
        file.write_text("\n".join(lines))
        own = read_profile(file)
    fields_of: dict[str, Any] = {**plain}
    for name in SCHEDULES:
        changed = everywhere | (method if name == "method" else {})
        fields_of[name] = Schedule(tuple(replace(part, **changed) for part in getattr(PROFILES[base], name).parts))
    expected = replace(PROFILES[base], **fields_of)
    assert replace(own, name=base, about=expected.about, base=None, changes=()) == expected
    assert len(own.changes) == len(plain) + len(everywhere) + len(method)


def test_parts_of_a_schedule_can_be_listed(file: Path) -> None:
    file.write_text(
        'base = "quick"\n[training]\nbatch = 2\n[[method.part]]\nname = "first"\nepochs = 3\nencoders = "frozen"\n'
        "keyframes = true\n[[method.part]]\nepochs = 0.5\nbatch = 4\nbetas = [0.9, 0.999]\n"
    )
    own = read_profile(file)
    first, second = own.method.parts
    assert first == Part(3, 2, name="first", encoders="frozen", keyframes=True)
    assert second == Part(0.5, 4, betas=(0.9, 0.999))
    assert [part.batch for part in own.encoder.parts] == [2, 2]
    assert own.flow == one_part(epochs=1, batch=2, lr=3e-4, decay="cosine")
    assert own.changes == ("training.batch = 2", "method.part: 2")


def test_numbers_are_as_the_suite_writes_them_so_that_stages_are_shared(file: Path) -> None:
    file.write_text('base = "smoke"\nwidth = 1\n[training]\nepochs = 2.0\nbetas = [0, 0.99]')
    own = read_profile(file)
    assert repr(own.width) == "1.0"
    assert repr((own.method.parts[0].epochs, own.method.parts[0].betas)) == "(2, (0.0, 0.99))"


def test_frames_have_the_size_that_is_given(file: Path) -> None:
    file.write_text('base = "paper"\nframe_size = [64, 100]')
    assert {read_profile(file).size(suite) for suite in (smoke_plan().suite,)} == {(64, 100)}
    source = smoke_plan(profile=replace(SMOKE, frame_size=(64, 100))).train_data.source
    assert (source.height, source.width) == (64, 100)


def test_frames_that_are_too_small_are_refused(file: Path) -> None:
    file.write_text('base = "quick"\nscale = 0.02\nweights = "none"')
    with pytest.raises(UserError, match="profile mine frames of nyuv2 have 6 x 8 pixels .* a frame_size from 8 up"):
        smoke_plan(profile=read_profile(file))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", 'has no base; begin it with base = "quick", or another of: quick, study, smoke, reference, paper.'),
        ("base = ", "is not TOML"),
        ('base = "quik"', 'base must be one of: quick, study, smoke, reference, paper, not "quik".'),
        ("wdith = 1", "there is no key 'wdith' (did you mean width?); the keys are: base, about, scale, frame_size"),
        ("width = -1", "width must be a number above 0 and at most 4, not -1."),
        ("width = true", "width must be a number above 0 and at most 4, not true."),
        (f"width = 1{'0' * 400}", "width must be a number above 0 and at most 4, not 1000"),
        (f"about = {'[' * 5000}", "is not TOML"),
        (f'flow_weights = "{"x" * 300}"', "which is neither a file or a folder in"),
        (f'weights = "{"x" * 300}"', "there is no folder"),
        ("scale = inf", "scale must be a number above 0 and at most 4, not inf."),
        (
            "frame_size = [7, 64]",
            "frame_size must be [height, width], each a whole number from 8 to 4096, not [7, 64",
        ),
        ("frame_size = 64", "frame_size must be [height, width], each a whole number from 8 to 4096, not 64."),
        (
            "frame_size = [64, 64]\nscale = 1",
            "scale and frame_size both say how large frames are; leave one",
        ),
        ("train_clips = 1.5", "train_clips must be a whole number from 1 to 10000000, not 1.5."),
        ("keyframe_interval = 0", "keyframe_interval must be a whole number from 1 to 64, not 0."),
        ('augmentation = "flips"', 'augmentation must be one of: none, mtan, default, not "flips".'),
        ("half_resolution = 1", "half_resolution must be true or false, not 1."),
        ('about = "\\u202e"', "about must be a text, of characters that can be seen, not"),
        ("lr = 1e-3", "lr is said of schedules; write it under [training], or under [method] and the like."),
        ("method = 3", "method must be a section, not 3."),
        ("[method]\nbatch = 0", "[method]: batch must be a whole number from 1 to 65536, not 0."),
        (
            "[flow]\nrate = 1",
            "[flow]: there is no key 'rate'; the keys are: epochs, batch, lr, betas, decay",
        ),
        ("[training]\nbetas = [0.9, 1]", "[training]: betas must be two numbers from 0 to below 1, not [0.9, 1]."),
        ("[training]\nlr = 1e999", "[training]: lr must be a number above 0 and at most 100, not inf."),
        ("[method]\nlr = 1\n[[method.part]]\nepochs = 1", "[method]: lr is of all parts of method, but the file lists"),
        ("[[method.part]]\nbatch = 4", "[[method.part]] 1 does not say how many epochs it has; add epochs = 1"),
        (
            '[[method.part]]\nepochs = 1\nencoders = "cold"',
            "[[method.part]] 1: encoders must be one of: trained",
        ),
        ("[method]\npart = 3", "a part of a schedule is a section of its own; begin each with [[method.part]]."),
        ("[depths]\n101 = 20", "[depths]: 101 must be one of: 18, 34, 50, 101, not 20."),
        ("[depths]\n152 = 50", "[depths]: there is no key '152'; the keys are: 18, 34, 50, 101."),
        (
            'weights = "gone"',
            "weights must be a folder that is there, none, or a section [weights]",
        ),
        ('[weights]\n101 = "gone.pth"', "[weights]: 101 is 'gone.pth', which is neither a file or a folder in"),
        ('flow_weights = "gone.pth"', "flow_weights is 'gone.pth', which is neither a file or a folder in"),
        ('folder = "here"', 'folder must be the absolute path of a folder, not "here".'),
    ],
)
def test_mistakes_are_named(file: Path, text: str, sentence: str) -> None:
    begin = "" if not text or text.startswith("base") else 'base = "quick"\n'
    file.write_text(begin + text)
    with pytest.raises(UserError) as error:
        read_profile(file)
    assert sentence in str(error.value)
    assert str(file) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_what_cannot_be_a_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no profile 'huge'; choose one of: quick, .*or give a TOML file"):
        find_profile("huge")
    with pytest.raises(UserError, match="gone.toml: the file cannot be read .*docs/your_own_profile.md shows one"):
        find_profile(str(tmp_path / "gone.toml"))
    for name, sentence in (
        ("quick", "the suite has a profile 'quick' itself"),
        ("reference-40", "the suite has a profile 'reference-40' itself"),
        ("a b", "letters, digits, - and _"),
    ):
        (tmp_path / f"{name}.toml").write_text('base = "quick"')
        with pytest.raises(UserError, match=sentence):
            find_profile(str(tmp_path / f"{name}.toml"))
    assert find_profile("study") is PROFILES["study"]
    assert find_profile("reference-40").name == "reference-40"


def test_a_copy_says_the_same_wherever_it_lies(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / 'a "b" c', tmp_path / "copies"
    for each in (folder, elsewhere, folder / "w"):
        each.mkdir()
    file = folder / "mine.toml"
    file.write_text('\ufeffbase = "smoke"\nweights = "w"\n', encoding="utf-8")
    (elsewhere / "mine.toml").write_bytes(copied_text(file))
    assert read_profile(elsewhere / "mine.toml") == read_profile(file)
    assert read_profile(file).weights[50] == str(folder / "w")
    assert copied_text(elsewhere / "mine.toml") == (elsewhere / "mine.toml").read_bytes()


def test_the_example_of_the_docs_is_read(tmp_path: Path) -> None:
    (text,) = blocks(ROOT / "docs" / "your_own_profile.md", "toml")
    (tmp_path / "half_size.toml").write_text(text, encoding="utf-8")
    own = read_profile(tmp_path / "half_size.toml")
    assert own.base == "quick"
    assert len(own.changes) > 10
    assert own.method != QUICK.method
    smoke_plan(profile=own)
