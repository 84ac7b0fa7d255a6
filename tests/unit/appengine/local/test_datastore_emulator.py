from pathlib import Path

import pytest

from apps.appengine.local import datastore_emulator
from apps.appengine.local.datastore_emulator import JAR, EmulatorMissingError


def test_the_sdk_is_found_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = tmp_path / JAR
    jar.parent.mkdir(parents=True)
    jar.touch()
    monkeypatch.setenv("CLOUDSDK_ROOT_DIR", str(tmp_path))
    assert datastore_emulator.find_jar() == jar


def test_the_sdk_is_found_around_a_linked_gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcloud = tmp_path / "sdk/bin/gcloud"
    gcloud.parent.mkdir(parents=True)
    gcloud.touch(mode=0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gcloud").symlink_to(gcloud)
    monkeypatch.delenv("CLOUDSDK_ROOT_DIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert next(datastore_emulator.sdk_roots()) == tmp_path / "sdk"


def test_a_missing_sdk_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datastore_emulator, "sdk_roots", lambda: iter([Path("/nowhere")]))
    with pytest.raises(EmulatorMissingError, match="gcloud components install cloud-datastore-emulator"):
        datastore_emulator.find_jar()


def test_a_java_that_does_not_run_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "java"
    stub.write_text("#!/bin/sh\nexit 1\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmulatorMissingError, match=r"Java is missing.*LOCAL_DATASTORE"):
        datastore_emulator.find_java()
