import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured
from opentelemetry import trace

from apps.appengine.spans.install import install
from tests.architecture.repository import ROOT


@pytest.mark.parametrize(
    ("export_to", "rate", "named"),
    [
        ("telemetry.googleapis.com", 0.1, "TRACE_EXPORT"),
        ("", 1.5, "TRACE_SAMPLE_RATE"),
        ("", -1, "TRACE_SAMPLE_RATE"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(export_to: str, rate: float, named: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=named):
        install(export_to, rate, "some-project")


def test_a_tracer_that_somebody_set_before_stays() -> None:
    before = trace.get_tracer_provider()
    install("http://localhost:4318/v1/traces", 1.0, "some-project")
    assert trace.get_tracer_provider() is before


def test_a_process_that_sends_nothing_imports_nothing_for_it() -> None:
    program = (
        "import sys; from apps.appengine.spans.install import install; install(sys.argv[1], 0.1, 'p');"
        "unwanted = ('opentelemetry.proto', 'apps.appengine.spans.s');"
        "print([name for name in sys.modules if name.startswith(unwanted)])"
    )
    for url, imported in (("", "[]\n"), ("http://localhost:4318/", "['apps.appengine.spans.sender']\n")):
        done = subprocess.run(
            [sys.executable, "-c", program, url], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout == imported
