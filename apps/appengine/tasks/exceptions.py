"""What can go wrong with a task, beside Django's own `django.tasks.exceptions`."""

from django.tasks.exceptions import TaskException


class TaskNotCreated(TaskException):
    """Cloud Tasks did not take the task. Its cause is chained; it was logged once already."""


class UnknownArguments(Exception):
    """The arguments do not fit the task's signature here. The release that enqueued them has another one."""


class PermanentTaskError(Exception):
    """Raise it in a task that can never succeed: it is logged, and Cloud Tasks does not try again."""
