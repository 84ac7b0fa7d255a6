"""Cloud Tasks behind Django's own task framework (`django.tasks`, DEP 14).

A task's way: `task.py` (the definition) -> `backend.py` (enqueue) -> `request.py` (what Cloud Tasks
is told) -> `client.py` (the create call) -> `route.py` (what Cloud Tasks calls back) -> `execution.py`
(the function runs). `recorded.py` adds results kept in SQL.
"""
