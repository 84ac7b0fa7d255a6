"""Ask a version that nobody uses yet, at its own URL, what people will ask it.

    python -m apps.appengine.deploy.smoke URL VERSION --page=/sign-in

Alive, and the version that was meant; ready; a page; and the style sheet that the page names, which must
have a hash in its name. /health and /ready, not /healthz and /readyz: Cloud Run keeps paths that end in z to
itself.
"""

import argparse
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from functools import partial

DEADLINE_S = 90.0  # a first request waits for an instance
EVERY_S = 3.0
STYLESHEET = re.compile(r'<link[^>]*rel="stylesheet"[^>]*href="([^"]+)"')
HASHED = re.compile(r"\.[0-9a-f]{12}\.\w+$")


class UnwellError(Exception):
    """An answer that is not the one hoped for; the message says which."""


def get(url: str, timeout: float = 30.0) -> str:
    """The body of a 200. Raises UnwellError."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310  gcloud said it
            status, text = answer.status, str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        raise UnwellError(f"{url}: {error}") from error
    if status != 200:
        raise UnwellError(f"{url} answered {status}: {text[:300]}")
    return text


def alive(base: str, version: str) -> None:
    """The version that was meant. Cloud Run's revisions are called SERVICE-VERSION."""
    answered = str(json.loads(get(f"{base}/health")).get("version", ""))
    if not answered.endswith(version):
        raise UnwellError(f"{base} is version {answered!r}, not {version!r}")


def page(base: str, path: str) -> None:
    """A page, and a static file that it names."""
    text = get(f"{base}{path}")
    found = STYLESHEET.search(text)
    if not found:
        raise UnwellError(f"{base}{path} names no style sheet")
    url = urllib.parse.urljoin(f"{base}{path}", found[1])
    if not HASHED.search(url):
        raise UnwellError(f"{url} has no hash in its name: browsers would keep an old one")
    get(url)


def insist(question: Callable[[], object], deadline: float, every: float) -> None:
    """Ask until the answer is good. Raises UnwellError with the last answer once the time is over."""
    while True:
        try:
            question()
            return
        except (UnwellError, ValueError) as error:
            if time.monotonic() > deadline:
                raise UnwellError(str(error)) from error
            time.sleep(every)


def ask(base: str, version: str, path: str, seconds: float = DEADLINE_S, every: float = EVERY_S) -> None:
    """Everything, in order. Raises UnwellError."""
    deadline = time.monotonic() + seconds
    questions: dict[str, Callable[[], object]] = {
        "alive": partial(alive, base, version),
        "ready": partial(get, f"{base}/ready"),
        "page and static file": partial(page, base, path),
    }
    for name, question in questions.items():
        insist(question, deadline, every)
        print(f"{name}: well", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("version")
    parser.add_argument("--page", default="/sign-in")
    parser.add_argument("--seconds", type=float, default=DEADLINE_S)
    arguments = parser.parse_args()
    try:
        ask(arguments.url.rstrip("/"), arguments.version, arguments.page, arguments.seconds)
    except UnwellError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
