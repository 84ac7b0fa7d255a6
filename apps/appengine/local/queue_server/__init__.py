"""A local Cloud Tasks: speaks its gRPC API, reads queue.yaml, keeps tasks on disk, dispatches over HTTP.

Run `python -m apps.appengine.local.queue_server --help`. A task's way through it: `api` checks and
stores it (`validate`, `store`), `runner` leases it when it is due and its queue has a token (`bucket`),
`attempt` sends it, and `retry` says whether and when it is sent again. `page` shows it all.
Not modelled: the slow start of an idle queue, Retry-After, tokens signed by Google.
Development only: production has Cloud Tasks itself.
"""
