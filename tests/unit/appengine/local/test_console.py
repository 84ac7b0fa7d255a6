import io
import json

import pytest

from apps.appengine.local.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(line: str, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    Console(stream).log("web", line)
    return stream.getvalue()


def test_a_plain_line_gets_its_programs_name() -> None:
    assert shown("Booting worker") == "web       | Booting worker\n"


def test_a_structured_line_becomes_severity_message_and_fields() -> None:
    event = {
        "severity": "ERROR",
        "message": "no answer",
        "time": "2026-01-01T00:00:00Z",
        "logging.googleapis.com/trace": "projects/local/traces/0af7",
        "queue": "default",
        "stack_trace": "Traceback:\n  line 1",
    }
    expected = "web       | ERROR   no answer queue=default\nweb       | Traceback:\nweb       |   line 1\n"
    assert shown(json.dumps(event)) == expected


@pytest.mark.parametrize("line", ["{", '{"a": 1}', "{not json}", '"text"'])
def test_a_line_that_only_looks_structured_is_shown_as_it_is(line: str) -> None:
    assert shown(line) == f"web       | {line}\n"


def test_colour_is_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\033[31m" in shown('{"severity": "ERROR", "message": "x"}', Terminal())
    assert "\033" not in shown('{"severity": "ERROR", "message": "x"}')
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in shown('{"severity": "ERROR", "message": "x"}', Terminal())


def test_a_terminal_that_is_gone_stops_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    Console(Gone()).say("still here")
