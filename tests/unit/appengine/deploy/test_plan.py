import io
import signal
from collections.abc import Callable

import pytest

from apps.appengine.deploy.plan import Step, Undoing, carry_out
from apps.appengine.deploy.shell import FailedError, Shell


class Site:
    """Steps that write down what they do, on a shell whose words can be read."""

    def __init__(self, *, dry: bool = False) -> None:
        self.out = io.StringIO()
        self.undoing = Undoing(Shell(dry=dry, out=self.out))
        self.done: list[str] = []

    def step(
        self, name: str, undo: Callable[[], object] | None = None, fault: BaseException | None = None
    ) -> Step:
        def do() -> None:
            if undo:
                self.undoing.later(f"{name} undone", undo)
            self.done.append(name)
            if fault:
                raise fault

        return Step(name, "a reason", do)

    def undo(self, name: str, fault: BaseException | None = None) -> Callable[[], None]:
        def do() -> None:
            self.done.append(f"-{name}")
            if fault:
                raise fault

        return do

    @property
    def words(self) -> str:
        return self.out.getvalue()


def test_a_plan_that_works_undoes_nothing() -> None:
    site = Site()
    assert carry_out([site.step("a", site.undo("a")), site.step("b")], site.undoing) == 0
    assert site.done == ["a", "b"]
    assert "[2/2] b: a reason" in site.words


def test_a_failure_undoes_the_step_itself_and_those_before_the_last_first() -> None:
    site = Site()
    steps = [
        site.step("a", site.undo("a")),
        site.step("b", site.undo("b"), FailedError("no luck")),
        site.step("c", site.undo("c")),
    ]
    assert carry_out(steps, site.undoing) == 1
    assert site.done == ["a", "b", "-b", "-a"]
    assert "FAILED in step 2 of 3, b: no luck" in site.words
    assert "Not begun: c." in site.words


def test_an_undo_that_fails_stops_no_other_and_hides_no_first_failure() -> None:
    site = Site()
    steps = [
        site.step("a", site.undo("a")),
        site.step("b", site.undo("b", KeyError("another"))),
        site.step("c", None, FailedError("no luck")),
    ]
    assert carry_out(steps, site.undoing) == 1
    assert site.done[-2:] == ["-b", "-a"]
    end = site.words.rpartition("Step 3 of 3")[2]
    assert "c, failed: no luck" in end
    assert "b undone" in end.partition("COULD NOT BE TAKEN BACK")[2]
    assert "a undone" in end.partition("COULD NOT BE TAKEN BACK")[0]


def test_a_mistake_in_the_program_is_taken_back_too_and_shows_its_traceback() -> None:
    site = Site()
    assert carry_out([site.step("a", site.undo("a"), KeyError("typo"))], site.undoing) == 1
    assert site.done == ["a", "-a"]
    assert "Traceback" in site.words


def test_what_is_settled_is_not_undone() -> None:
    site = Site()
    settle = Step("settle", "a reason", site.undoing.settle)
    steps = [site.step("a", site.undo("a")), settle, site.step("b", None, FailedError("no luck"))]
    assert carry_out(steps, site.undoing) == 1
    assert site.done == ["a", "b"]
    assert "The release stands" in site.words


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_undoes_and_one_more_does_not_stop_the_undoing(number: signal.Signals) -> None:
    site = Site()

    def undo() -> None:
        signal.raise_signal(number)
        site.done.append("-a")

    site.undoing.later("a undone", undo)
    before = signal.getsignal(number)
    steps = [Step("b", "a reason", lambda: signal.raise_signal(number))]
    assert carry_out(steps, site.undoing) == 128 + number
    assert site.done == ["-a"]
    assert "Still taking back" in site.words
    assert signal.getsignal(number) is before


def test_a_dry_run_shows_the_undo_where_it_would_be_owed_and_keeps_it_a_comment() -> None:
    site = Site(dry=True)
    shell = site.undoing.shell
    site.undoing.later("it is as before", lambda: shell.show("undo --now"))
    shell.show("do --now")
    assert site.words.splitlines() == [
        "# If this or a later step fails: it is as before",
        "#   undo --now",
        "do --now",
    ]
