"""Where the long tests of the document run: on SQLite and on PostgreSQL, once each.

Neither Redis nor Google's Datastore changes what schemathesis can see.
"""

import os

if "REDIS_HOST" in os.environ or "TEST_DATASTORE" in os.environ:
    collect_ignore = ["test_conformance.py"]
