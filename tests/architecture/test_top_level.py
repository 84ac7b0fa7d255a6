"""What lies at the top of the repository, and why. A new name needs a reason here."""

from tests.architecture import repository

REASONS = {
    ".ci": "what CI runs",
    ".dockerignore": "docker build reads it here: what the image is made of",
    ".env.example": "settings of a laptop: cp .env.example .env",
    ".gcloudignore": "gcloud reads it here: what is uploaded",
    ".gitignore": "git reads it here",
    ".python-version": "pyenv, uv and buildpacks read it here",
    "CHANGELOG.md": "changes, for those who upgrade",
    "Dockerfile": "the image for Cloud Run",
    "LICENSE": "Apache-2.0, where everybody looks for it",
    "Makefile": "the commands; `make help` lists them",
    "NOTICE": "what Apache-2.0 asks to be passed on",
    "README.md": "where to begin",
    "app.yaml": "gcloud app deploy: the service",
    "apps": "the platform and what it carries",
    "cloudbuild.yaml": "Cloud Build looks for it here: what a push to main does",
    "cron.yaml": "gcloud app deploy: the schedule",
    "index.yaml": "gcloud app deploy: Datastore's composite indexes",
    "main.py": "the entrypoint, main:app",
    "manage.py": "Django's command line",
    "mysite": "composition: settings, urls, cron, wsgi",
    "pyproject.toml": "dependencies and tools, in one place",
    "queue.yaml": "gcloud app deploy: the queues",
    "requirements-dev.txt": "pinned, compiled from pyproject.toml; `./run` and `./test` build .venv from it",
    "requirements-policy.txt": "pinned, compiled from pyproject.toml; `make check` installs it",
    "requirements-services.txt": "pinned, compiled from pyproject.toml; `./test` installs it if need be",
    "requirements.txt": "pinned, compiled from pyproject.toml; App Engine installs it",
    "run": "`make run` without make",
    "terraform": "what a deployment stands on",
    "test": "`make test` without make",
    "tests": "all tests",
}
# webhooks: begin
REASONS |= {"bench": "measurements that documents quote", "docs": "what the code cannot say"}
# webhooks: end


def test_every_name_at_the_top_has_a_reason() -> None:
    assert {path.parts[0] for path in repository.tracked()} == set(REASONS)
