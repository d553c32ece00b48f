"""Programs are made once for each key, whole or not at all, whatever happens meanwhile."""

import asyncio
import errno
import os

import pytest

from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.clock import SystemClock
from jeroboam.nodeimages.build_times import BuildPlan, BuildStep, BuildTimes
from jeroboam.nodeimages.programs import Program, ProgramCache

ONE = Program(name="one", version="v1", outputs=("one", "uno"))
TWO = Program(name="two", version="v2", outputs=("two",))


class Told:
    """A report that remembers."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.there: list[str] = []
        self.steps: list[BuildStep | None] = []
        self.waits: list[str] = []

    def begin(self, what: str, step: BuildStep | None = None) -> None:
        self.steps.append(step)

    def wait(self, what: str) -> None:
        self.waits.append(what)

    def end(self, what: str, seconds: float | None) -> None:
        (self.there if seconds is None else self.made).append(what)


class Workshop:
    """A source that makes files, and fails, waits or lacks something where it is told to."""

    def __init__(self, recipe: str = "first") -> None:
        self.recipe_text = recipe
        self.fails: dict[str, Exception] = {}
        self.forgets: set[str] = set()
        self.made: list[str] = []
        self.lacks: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def ready(self) -> None:
        if self.lacks is not None:
            raise self.lacks

    async def recipe(self, program: Program) -> str:
        return self.recipe_text

    async def make(self, program: Program, into) -> None:
        for name in program.outputs:
            if name not in self.forgets:
                (into / name).write_text(f"{name} by {self.recipe_text}")
        self.made.append(program.name)
        await self.gate.wait()
        if program.name in self.fails:
            raise self.fails.pop(program.name)


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def cache(tmp_path, told):
    return ProgramCache(tmp_path / "cache", SystemClock(), told)


def whole(tmp_path):
    return sorted(path.name.rpartition("-")[0] for path in (tmp_path / "cache").iterdir() if path.is_dir())


async def test_what_was_made_is_not_made_again(cache, told):
    source = Workshop()
    first = await cache.get(source, [ONE, TWO])
    assert {name: path.read_text() for name, path in first.items()} == {
        "one": "one by first",
        "uno": "uno by first",
        "two": "two by first",
    }
    assert all(os.access(path, os.X_OK) for path in first.values())
    source.lacks = Permanent("nothing is asked of the machine any more")
    assert await cache.get(source, [ONE, TWO]) == first
    assert source.made == ["one", "two"]
    assert (told.made, told.there) == (["one v1", "two v2"], ["one v1", "two v2"])


async def test_another_recipe_or_version_is_another_program(cache):
    first = await cache.get(Workshop(), [ONE])
    assert (await cache.get(Workshop("second"), [ONE]))["one"] != first["one"]
    later = Program(name="one", version="v1.1", outputs=ONE.outputs)
    assert (await cache.get(Workshop(), [later]))["one"] != first["one"]
    assert first["one"].read_text() == "one by first"


async def test_a_failure_leaves_what_was_finished_and_nothing_half(cache, tmp_path):
    source = Workshop()
    source.fails["two"] = Temporary("the proxy is away")
    with pytest.raises(Temporary, match="away"):
        await cache.get(source, [ONE, TWO])
    assert whole(tmp_path) == ["one-v1"]
    await cache.get(source, [ONE, TWO])
    assert source.made == ["one", "two", "two"]


async def test_a_full_disk_is_said_so(cache, tmp_path):
    source = Workshop()
    source.fails["one"] = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(Permanent, match=r"disk of .*cache is full"):
        await cache.get(source, [ONE])
    assert whole(tmp_path) == []


async def test_what_the_machine_lacks_is_said_before_anything_is_made(cache):
    source = Workshop()
    source.lacks = Permanent("apt-get install gcc")
    with pytest.raises(Permanent, match="gcc"):
        await cache.get(source, [ONE, TWO])
    assert source.made == []


async def test_an_output_that_is_missing_is_an_error(cache, tmp_path):
    source = Workshop()
    source.forgets = {"uno"}
    with pytest.raises(Permanent, match="left no uno"):
        await cache.get(source, [ONE])
    assert whole(tmp_path) == []


async def test_cancelled_work_is_cleared_away(cache, tmp_path):
    source = Workshop()
    source.gate.clear()
    work = asyncio.ensure_future(cache.get(source, [ONE]))
    while not source.made:
        await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert whole(tmp_path) == []


async def test_what_a_killed_process_left_is_cleared_away(cache, tmp_path):
    source = Workshop()
    made = await cache.get(source, [ONE])
    folder = made["one"].parent
    left = folder.with_name(f"{folder.name}.x7.part")
    folder.rename(left)
    (left / "uno").unlink()
    again = await cache.get(source, [ONE])
    assert again == made
    assert again["uno"].is_file()
    assert not left.exists()


async def test_two_at_once_make_it_once(tmp_path):
    source, told = Workshop(), Told()
    caches = [ProgramCache(tmp_path / "cache", SystemClock(), told) for _ in range(2)]
    source.gate.clear()
    works = [asyncio.ensure_future(cache.get(source, [ONE])) for cache in caches]
    while not source.made:
        await asyncio.sleep(0)
    source.gate.set()
    first, second = await asyncio.gather(*works)
    assert first == second
    assert source.made == ["one"]
    assert told.waits == ["one v1"], "the second one reports that it waits"


async def test_each_begin_says_its_place_among_what_is_missing(cache, told):
    await cache.get(Workshop(), [ONE])
    three = Program(name="three", version="v3", outputs=("three",))
    await cache.get(Workshop(), [ONE, TWO, three])
    assert [(step.number, step.count) for step in told.steps] == [(1, 1), (1, 2), (2, 2)]
    assert told.steps[1].seconds_left > told.steps[2].seconds_left > 0


async def test_what_programs_took_is_remembered(cache, tmp_path):
    source = Workshop()
    await cache.get(source, [ONE])
    times = BuildTimes(tmp_path / "cache" / "build-times.json")
    assert times.expect("one") < 10 < times.expect("two")
    source.fails["two"] = Temporary("the proxy is away")
    with pytest.raises(Temporary):
        await cache.get(source, [TWO])
    assert times.expect("two") > 10, "a failure teaches nothing"


def test_the_time_that_is_left_follows_the_pace(tmp_path):
    file = tmp_path / "build-times.json"
    times = BuildTimes(file)
    for name in ("one", "two", "three"):
        times.learn(name, 60)
    slow, usual = (BuildPlan(times, ["one", "two", "three"]) for _ in range(2))
    assert slow.begin() == BuildStep(number=1, count=3, seconds_left=180)
    slow.end(180)
    assert slow.begin() == BuildStep(number=2, count=3, seconds_left=240)
    usual.begin()
    usual.end(60)
    assert usual.begin() == BuildStep(number=2, count=3, seconds_left=120)
    for damaged in ("{", "[]", '{"one": "x"}'):
        file.write_text(damaged)
        assert times.expect("one") == times.expect("never built")
