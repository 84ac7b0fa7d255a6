"""From a commit to a release that serves, and back: `make deploy`, `make rollback` and cloudbuild.yaml.

The plan is a list of steps (`app_engine.py`, `cloud_run.py`, `rollback.py`); `plan.py` carries it out and
takes back what must be when a step fails; `shell.py` prints each command before it runs. A dry run goes
through the same steps with a shell that only prints, so that the plan cannot say anything else than the run.

Never uploaded: only the standard library and PyYAML are needed.
"""
