import hashlib
import pickle

import pytest
from django.contrib.auth import authenticate as sign_in
from django.core import serializers
from django.db import IntegrityError

from apps.accounts.credentials import authenticate
from apps.accounts.models import ApiKey, Membership, Organization, User
from apps.core import snapshots
from tests.unit.conftest import use_redis

pytestmark = pytest.mark.django_db


def test_a_keys_text_is_kept_nowhere(organization: Organization) -> None:
    key, text = ApiKey.issue(organization, "test")
    assert text.startswith("sk_")
    assert len(text) > 40
    stored = ApiKey.objects.get()
    assert stored == key
    assert stored.digest == hashlib.sha256(text.encode()).hexdigest()
    for shown in (serializers.serialize("json", [stored]), str(stored), repr(pickle.dumps(stored))):
        assert text[12:] not in shown


def test_a_keys_hint_tells_keys_apart_and_gives_little_away(organization: Organization) -> None:
    (first, text), (second, _) = ApiKey.issue(organization, "a"), ApiKey.issue(organization, "b")
    assert text.startswith(first.hint)
    assert first.hint != second.hint
    assert len(first.hint) <= 12


def test_keys_are_never_the_same(organization: Organization) -> None:
    assert len({ApiKey.issue(organization, "test")[1] for _ in range(50)}) == 50


def test_a_revoked_key_keeps_its_row(organization: Organization) -> None:
    key, _ = ApiKey.issue(organization, "test")
    key.revoke()
    assert ApiKey.objects.get().revoked_at is not None


def test_revoking_one_key_leaves_the_others(organization: Organization) -> None:
    (first, _), (_, other) = ApiKey.issue(organization, "a"), ApiKey.issue(organization, "b")
    first.revoke()
    assert authenticate(other)


def test_with_redis_out_of_reach_a_key_can_not_be_revoked_by_halves(
    organization: Organization, settings: object
) -> None:
    key, text = ApiKey.issue(organization, "test")
    use_redis(settings, 1)
    with pytest.raises(snapshots.Unavailable):
        key.revoke()
    assert key.revoked_at is None
    assert authenticate(text)


def test_a_user_signs_in_with_an_e_mail_address() -> None:
    user = User.objects.create_user("a@EXAMPLE.com", "correct horse battery")
    assert user.email == "a@example.com"
    assert sign_in(username="a@example.com", password="correct horse battery") == user
    assert sign_in(username="a@example.com", password="wrong") is None
    assert not user.is_superuser


def test_a_user_needs_an_e_mail_address_of_their_own() -> None:
    with pytest.raises(ValueError, match="e-mail"):
        User.objects.create_user("", "correct horse battery")
    User.objects.create_user("a@example.com")
    with pytest.raises(IntegrityError):
        User.objects.create_user("a@example.com")


def test_a_user_without_a_password_can_not_sign_in() -> None:
    User.objects.create_user("a@example.com")
    assert sign_in(username="a@example.com", password="") is None


def test_a_superuser_is_one() -> None:
    assert User.objects.create_superuser("a@example.com", "correct horse battery").is_superuser


def test_a_user_is_a_member_of_an_organization_once(organization: Organization) -> None:
    user = User.objects.create_user("a@example.com")
    Membership.objects.create(user=user, organization=organization, role=Membership.Role.OWNER)
    assert list(user.organizations.all()) == [organization]
    with pytest.raises(IntegrityError):
        Membership.objects.create(user=user, organization=organization)


def test_a_new_member_may_do_no_more_than_needed(organization: Organization) -> None:
    user = User.objects.create_user("a@example.com")
    assert Membership.objects.create(user=user, organization=organization).role == Membership.Role.MEMBER
