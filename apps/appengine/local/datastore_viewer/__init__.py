"""A read-only page of what the Datastore holds, with a box for GQL. It asks through the API alone."""
