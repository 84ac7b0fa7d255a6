"""Who may do what: users, organizations, memberships, API keys."""

import hashlib
import secrets
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.utils import timezone

from apps.core import ids
from apps.core.snapshots import Snapshotted, change


class UserManager(BaseUserManager["User"]):
    """Makes users that are known by their e-mail address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Raises ValueError without an e-mail address."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """For `manage.py createsuperuser`."""
        return self.create_user(email, password, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in, with an e-mail address for a name."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()

    def __str__(self) -> str:
        return self.email


def organization_id() -> str:
    return ids.new("org")


class Organization(models.Model):
    """A team's account; owns everything else."""

    id = models.CharField(primary_key=True, max_length=40, default=organization_id, editable=False)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)
    members = models.ManyToManyField(User, through="Membership", related_name="organizations")

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user's place in an organization."""

    class Role(models.TextChoices):
        OWNER = "owner"
        MEMBER = "member"
        VIEWER = "viewer"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "organization"], name="one_membership_per_organization")
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class ApiKey(Snapshotted):
    """A credential that acts for its whole organization. Shown once: only its digest is kept."""

    PREFIX = "sk_"

    digest = models.CharField(primary_key=True, max_length=64)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=200)
    hint = models.CharField(max_length=12, help_text="The first characters, to tell keys apart.")
    created_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}...)"

    @classmethod
    def issue(cls, organization: Organization, name: str) -> tuple["ApiKey", str]:
        """Make a key. Returns it with its text, which is not kept and can not be shown again."""
        text = cls.PREFIX + secrets.token_urlsafe(32)
        key = cls.objects.create(
            digest=cls.digest_of(text), organization=organization, name=name, hint=text[:9]
        )
        return key, text

    @staticmethod
    def digest_of(text: str) -> str:
        """SHA-256 in hex. The text is 256 random bits, so no salt or slow hash is needed."""
        return hashlib.sha256(text.encode()).hexdigest()

    def revoke(self) -> None:
        """Refuse the key from now on, in every process. Raises snapshots.Unavailable."""
        with change(self):
            self.revoked_at = timezone.now()
            self.save(update_fields=["revoked_at"])
