"""A migration runs while the release before it still serves: it may only add.

docs/decisions: two releases run at once. What a rule here refuses is done in two releases, or listed.
"""

import pytest
from django.apps import apps
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.models.functions import Now

# "app.name": why the release before can live with it. Each names a migration that a rule below refuses.
EXCEPTIONS: dict[str, str] = {}


def refused(operation: Operation, created: set[str]) -> str:
    """Why the release before could not live with the operation, or nothing. `created`: new models."""
    if getattr(operation, "model_name", "").lower() in created:
        return ""
    match operation:
        case migrations.CreateModel() | migrations.AddIndex() | migrations.AlterModelOptions():
            return ""
        case migrations.AddField(field=field) if field.many_to_many:
            return ""
        case migrations.AddField(field=field) if field.unique or not (field.null or field.has_db_default()):
            return f"{operation.name}: the release before inserts rows without it; null=True or a db_default"
        case migrations.AddField():
            return ""
    return f"{type(operation).__name__} is more than an addition"


def refusals(migration: migrations.Migration) -> list[str]:
    operations = migration.operations
    created = {one.name.lower() for one in operations if isinstance(one, migrations.CreateModel)}
    return [reason for operation in operations if (reason := refused(operation, created))]


def own() -> dict[str, migrations.Migration]:
    """The migrations of this project's apps but the first of each: "app.name" to it."""
    labels = {config.label for config in apps.get_app_configs() if config.name.startswith("apps.")}
    found = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    return {f"{app}.{name}": one for (app, name), one in found.items() if app in labels and not one.initial}


def test_every_migration_leaves_the_release_before_it_working() -> None:
    found = {name: reasons for name, one in own().items() if (reasons := refusals(one))}
    assert {name: reasons for name, reasons in found.items() if name not in EXCEPTIONS} == {}
    assert EXCEPTIONS.keys() <= found.keys(), "an exception that none needs"


def of(*operations: Operation) -> migrations.Migration:
    migration = migrations.Migration("0002_test", "shop")
    migration.operations = operations
    return migration


def add(field: models.Field) -> migrations.Migration:
    return of(migrations.AddField("order", "extra", field))


@pytest.mark.parametrize(
    "migration",
    [
        add(models.TextField(null=True)),
        add(models.IntegerField(db_default=0)),
        add(models.DateTimeField(db_default=Now())),
        add(models.ForeignKey("shop.order", models.CASCADE, null=True)),
        add(models.ManyToManyField("shop.order")),
        of(migrations.AddIndex("order", models.Index(fields=["id"], name="i"))),
        of(
            migrations.CreateModel("Line", [("id", models.AutoField(primary_key=True))]),
            migrations.AddField("line", "text", models.TextField()),
            migrations.AddConstraint("line", models.UniqueConstraint(fields=["text"], name="u")),
        ),
    ],
)
def test_an_addition_is_allowed(migration: migrations.Migration) -> None:
    assert refusals(migration) == []


@pytest.mark.parametrize(
    "migration",
    [
        add(models.TextField()),
        add(models.TextField(default="")),
        add(models.TextField(null=True, unique=True)),
        of(migrations.RemoveField("order", "extra")),
        of(migrations.RenameField("order", "extra", "more")),
        of(migrations.AlterField("order", "extra", models.TextField())),
        of(migrations.DeleteModel("Order")),
        of(migrations.RenameModel("Order", "Purchase")),
        of(migrations.AlterModelTable("order", "purchases")),
        of(migrations.AddConstraint("order", models.UniqueConstraint(fields=["extra"], name="u"))),
        of(migrations.RunSQL("DROP TABLE shop_order")),
        of(migrations.RunPython(migrations.RunPython.noop)),
    ],
)
def test_what_the_release_before_would_trip_over_is_refused(migration: migrations.Migration) -> None:
    assert len(refusals(migration)) == 1
