from pathlib import Path

import pytest

from apps.appengine.local import app_yaml


def read(tmp_path: Path, text: str) -> app_yaml.AppYaml:
    file = tmp_path / "app.yaml"
    file.write_text(text)
    return app_yaml.read(file)


def test_the_entrypoint_is_split_as_a_shell_would(tmp_path: Path) -> None:
    text = "entrypoint: gunicorn --threads 8\n  --access-logformat '%(h)s %(r)s' main:app"
    expected = ["gunicorn", "--threads", "8", "--access-logformat", "%(h)s %(r)s", "main:app"]
    assert read(tmp_path, text).entrypoint == expected


def test_static_handlers_carry_their_folder_and_expiration(tmp_path: Path) -> None:
    handlers = (
        "[{url: /static/, static_dir: out, expiration: 1d 2h 3m 4}, {url: /i, static_dir: i}, {url: /.*}]"
    )
    static, images = read(tmp_path, f"entrypoint: x\nhandlers: {handlers}").static_handlers
    assert (static.url, static.folder, static.expiration_seconds) == ("/static", tmp_path / "out", 93_784)
    assert images.expiration_seconds == 600


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("handlers: []", "entrypoint"),
        ("", "entrypoint"),
        ("{entrypoint: x, handlers: [{url: /s, static_dir: s, expiration: soon}]}", "expiration"),
    ],
)
def test_a_mistake_is_reported_with_file_and_field(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(ValueError, match=rf"app.yaml: {field}"):
        read(tmp_path, text)
