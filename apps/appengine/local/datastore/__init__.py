"""An embedded Datastore: google.datastore.v1.Datastore over SQLite, for the unmodified NDB client.

It has one idea, the real one's: every query is a range scan over an order-preserving encoding of an
index. Read `encoding` (values as bytes), `indexes` (the entries of an entity), `query` (what was asked),
`plan` (which indexes answer it), `scan` (walking them), then `store` (SQLite, transactions), `commit`
(mutations) and `server` (the gRPC calls).
"""
