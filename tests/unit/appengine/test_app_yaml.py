from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.appengine import app_yaml, start


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
        ("{entrypoint: x, handlers: /s}", "handlers"),
        ("{entrypoint: x, handlers: [{script: auto}]}", "handlers"),
        ("{entrypoint: x, env_variables: [A=b]}", "env_variables"),
        ("{entrypoint: x, automatic_scaling: {max_instances: many}}", "automatic_scaling.max_instances"),
        (
            "{entrypoint: x, basic_scaling: {max_instances: 1}, manual_scaling: {instances: 1}}",
            "basic_scaling",
        ),
    ],
)
def test_a_mistake_is_reported_with_file_and_field(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(ValueError, match=rf"app.yaml: {field}"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "kind", "most", "deadline"),
    [
        ("", "automatic_scaling", None, 600),
        ("automatic_scaling: {max_instances: 3}", "automatic_scaling", 3, 600),
        ("basic_scaling: {max_instances: 4, idle_timeout: 10m}", "basic_scaling", 4, 86_400),
        ("manual_scaling: {instances: 5}", "manual_scaling", 5, 86_400),
    ],
)
def test_scaling_bounds_instances_and_requests(
    tmp_path: Path, text: str, kind: str, most: int | None, deadline: int
) -> None:
    scaling = read(tmp_path, f"entrypoint: x\n{text}").scaling
    assert (scaling.kind, scaling.max_instances, scaling.request_deadline) == (kind, most, deadline)


@pytest.mark.parametrize(
    ("path", "url"), [("/static/a.css", "/static"), ("/staticky", "/.*"), ("/favicon.ico", "/favicon.ico")]
)
def test_the_first_handler_that_takes_a_path_gets_it(tmp_path: Path, path: str, url: str) -> None:
    files = "{url: /favicon.ico, static_files: f, upload: f}"
    app = read(
        tmp_path,
        f"entrypoint: x\nhandlers: [{{url: /static, static_dir: s}}, {files}, {{url: /.*, script: auto}}]",
    )
    handler = app.handler_of(path)
    assert handler is not None
    assert handler.url == url


def test_variables_of_the_file_that_app_yaml_names_replace_those_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "app.shop.yaml").write_text("{entrypoint: x, env_variables: {DB_NAME: shop, LIMIT: 100}}")
    environ = {"APP_YAML": "app.shop.yaml", "DB_NAME": "mine", "HOME": "/"}
    start.as_app_yaml_says(environ, tmp_path)
    assert environ == {"APP_YAML": "app.shop.yaml", "DB_NAME": "shop", "LIMIT": "100", "HOME": "/"}


def test_without_app_yaml_the_environment_stays_as_it_is(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    start.as_app_yaml_says(environ, tmp_path)
    assert environ == {}


@pytest.mark.parametrize("text", [None, "env_variables: {}"])
def test_a_file_that_cannot_be_read_stops_the_start_with_its_name(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "app.shop.yaml").write_text(text)
    with pytest.raises(ImproperlyConfigured, match=r"APP_YAML=app\.shop\.yaml: .*app\.shop\.yaml"):
        start.as_app_yaml_says({"APP_YAML": "app.shop.yaml"}, tmp_path)
