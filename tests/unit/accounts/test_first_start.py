from pathlib import Path

import pytest
from django.contrib.auth import authenticate as sign_in

from apps.accounts.credentials import authenticate
from apps.accounts.first_start import EMAIL, PASSWORD, first_start
from apps.accounts.models import ApiKey, Membership, Organization, User

pytestmark = pytest.mark.django_db


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_it_makes_what_a_developer_signs_in_with(tmp_path: Path) -> None:
    shown = first_start(tmp_path)
    user = sign_in(username=EMAIL, password=PASSWORD)
    assert user
    membership = Membership.objects.get(user=user)
    assert membership.role == Membership.Role.OWNER
    credential = authenticate(shown["API key"])
    assert credential
    assert credential.organization_id == membership.organization_id
    assert shown["sign-in"] == f"{EMAIL} / {PASSWORD}"


def test_the_key_is_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    shown = first_start(tmp_path)
    assert (tmp_path / "api-key").read_text() == shown["API key"] + "\n"
    assert mode_of(tmp_path / "api-key") == 0o600


def test_a_second_start_makes_nothing_new(tmp_path: Path) -> None:
    first = first_start(tmp_path)
    assert first_start(tmp_path) == first
    for kind in (User, Organization, Membership, ApiKey):
        assert kind.objects.count() == 1


@pytest.mark.parametrize("text", [None, "", "\n", "sk_of-another-database\n"])
def test_a_lost_key_gets_a_new_one(tmp_path: Path, text: str | None) -> None:
    """The database keeps only a digest. The file may also be older than the database."""
    file = tmp_path / "api-key"
    lost = first_start(tmp_path)["API key"]
    file.unlink()
    if text is not None:
        file.write_text(text)
        file.chmod(0o644)
    new = first_start(tmp_path)["API key"]
    assert new != lost
    assert authenticate(new)
    assert file.read_text() == new + "\n"
    assert mode_of(file) == 0o600
    assert Organization.objects.count() == 1


def test_a_revoked_key_gets_a_new_one(tmp_path: Path) -> None:
    first_start(tmp_path)
    ApiKey.objects.get().revoke()
    assert authenticate(first_start(tmp_path)["API key"])


def test_what_somebody_changed_stays_changed(tmp_path: Path) -> None:
    first_start(tmp_path)
    user = User.objects.get()
    user.set_password("something else entirely")
    user.save()
    Organization.objects.update(name="Renamed")
    Membership.objects.update(role=Membership.Role.VIEWER)
    first_start(tmp_path)
    assert sign_in(username=EMAIL, password="something else entirely")
    assert Membership.objects.get().organization.name == "Renamed"
    assert Membership.objects.get().role == Membership.Role.VIEWER
