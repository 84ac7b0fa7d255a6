"""gcloud's own argument parser, asked whether it would accept calls. Nothing is run.

The Google Cloud SDK is Python: its command tree (googlecloudsdk.calliope) is loaded in one process with the
SDK's libraries on the path, and each call goes through the parser that `gcloud` itself begins with: commands,
flags, their types, which of them are required and which exclude each other. What only a server knows (names,
values of some flags) is not covered. One second to load, some milliseconds a call.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps.appengine.local.datastore_emulator import sdk_roots

PARSE = """
import contextlib, io, json, sys
sdk = sys.argv[1]
sys.path[:0] = [sdk + "/lib", sdk + "/lib/third_party"]
from googlecloudsdk import gcloud_main
from googlecloudsdk.core import properties

tree = gcloud_main.CreateCLI([])

def fault(words):
    said = io.StringIO()
    properties.VALUES.PushInvocationValues()
    try:
        with contextlib.redirect_stderr(said):
            parsed = tree.top_element._parser.parse_args(words)
            if parsed.CONCEPT_ARGS is not None:  # resources: which project, which location
                parsed.CONCEPT_ARGS.ParseConcepts()
    except SystemExit:
        return said.getvalue().strip()
    except Exception as error:
        return str(error)
    finally:
        properties.VALUES.PopInvocationValues()

print(json.dumps([fault(words) for words in json.load(sys.stdin)]))
"""


def sdk() -> Path:
    """The root of the Google Cloud SDK. Skips the test without one, fails it in CI."""
    for root in sdk_roots():
        if (root / "lib/googlecloudsdk/calliope").is_dir():
            return root
    if os.environ.get("CI"):
        pytest.fail("The Google Cloud SDK is missing")
    pytest.skip("the Google Cloud SDK is not installed")


def faults(calls: list[list[str]], config: Path) -> dict[str, str]:
    """The calls that gcloud would refuse, each with what it says.

    `config` is a folder for gcloud's own files, and the current one of the calls: flags that name a file
    are read while they are parsed.
    """
    config.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(config),
        "CLOUDSDK_CONFIG": str(config),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_CORE_PROJECT": "example",
    }
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(sdk())],
        input=json.dumps([words[1:] for words in calls]),
        cwd=config,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    return {" ".join(words): fault for words, fault in zip(calls, said, strict=True) if fault is not None}
