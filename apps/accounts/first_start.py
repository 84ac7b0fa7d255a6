"""What a developer signs in with after the first `make run`. Named in settings.LOCAL_FIRST_START."""

from pathlib import Path

from django.db import transaction

from apps.accounts.models import ApiKey, Membership, Organization, User

EMAIL = "dev@example.com"
PASSWORD = "local development"  # noqa: S105  for a laptop, printed at every start


def first_start(home: Path) -> dict[str, str]:
    """Make an organization, a user and an API key unless they are there. Returns lines to show.

    The key's text goes to `home`/api-key, since only its digest is kept in the database; a lost file
    gets a new key.
    """
    with transaction.atomic():
        user = User.objects.filter(email=EMAIL).first() or User.objects.create_user(EMAIL, PASSWORD)
        membership = Membership.objects.filter(user=user).first()
        organization = membership.organization if membership else Organization.objects.create(name="Example")
        if not membership:
            Membership.objects.create(user=user, organization=organization, role=Membership.Role.OWNER)
        key = _stored_key(home / "api-key", organization)
    return {"sign-in": f"{EMAIL} / {PASSWORD}", "API key": key}


def _stored_key(path: Path, organization: Organization) -> str:
    if path.exists():
        text = path.read_text().strip()
        if ApiKey.objects.filter(digest=ApiKey.digest_of(text), revoked_at=None).exists():
            return text
    _, text = ApiKey.issue(organization, "first start")
    path.unlink(missing_ok=True)  # or it would keep its mode
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return text
