# `make help` lists what there is. `run` and `test` build .venv themselves.
.DEFAULT_GOAL := help
PYTHON_IN_VENV := .venv/bin/python

.PHONY: help venv run test deploy rollback check format requirements bench bench-datastore

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

venv: ## build .venv from the pinned requirements (quick when nothing changed)
	@"$${PYTHON:-python3}" apps/appengine/local/environment.py

run: ## start everything locally, no cloud account needed (PORT=8080, LOCAL_HOME=.local, TASKS_TARGET=http as on Cloud Run)
	@exec ./run

test: ## run all tests, the core on SQLite and PostgreSQL, with and without Redis
	@exec ./test

deploy: venv ## release this commit to PROJECT=... (TARGET=cloudrun, DRY_RUN=1: docs/deploy.md)
	@exec $(PYTHON_IN_VENV) -m apps.appengine.deploy deploy

rollback: venv ## go back to the version before, or to VERSION=..., in PROJECT=...
	@exec $(PYTHON_IN_VENV) -m apps.appengine.deploy rollback

bench: venv ## measure messages through a whole local run (MESSAGES=1000)
	$(PYTHON_IN_VENV) -m bench.throughput

bench-datastore: venv ## measure the embedded Datastore beside both of Google's emulators
	$(PYTHON_IN_VENV) -m bench.datastore

check: venv ## format, lint, strict types, import contracts, templates, Dockerfile, system checks, terraform/
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/djlint --check --lint apps
	.venv/bin/hadolint Dockerfile
	DJANGO_SETTINGS_MODULE=mysite.settings.test $(PYTHON_IN_VENV) manage.py check --fail-level WARNING
	DJANGO_SETTINGS_MODULE=mysite.settings.test $(PYTHON_IN_VENV) manage.py makemigrations --check --dry-run
	BUILD_MODE=1 APP_YAML=app.yaml GOOGLE_CLOUD_PROJECT=my-project DJANGO_SETTINGS_MODULE=mysite.settings.production \
		$(PYTHON_IN_VENV) manage.py check --deploy --fail-level WARNING
	$(PYTHON_IN_VENV) -m tests.policy

format: venv ## format the code and apply safe lint fixes
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .
	.venv/bin/djlint --reformat --quiet apps

requirements: venv ## compile the four requirements files from pyproject.toml
	.venv/bin/uv pip compile pyproject.toml $(COMPILE) -o requirements.txt
	.venv/bin/uv pip compile pyproject.toml --group dev $(COMPILE) -c requirements.txt -o requirements-dev.txt
	.venv/bin/uv pip compile --group services --no-deps $(COMPILE) -o requirements-services.txt
	.venv/bin/uv pip compile --group policy $(COMPILE) -o requirements-policy.txt

COMPILE := --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet
