"""Where a customer's link leads while there are no pages for customers."""

from webtest import TestApp

from main import app


def test_anybody_may_read_it_and_it_passes_nothing_on(shared_datastore: object, db: None) -> None:
    page = TestApp(app).get("/portal", status=200)
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.html.h1.text == "Your webhooks have no pages here yet"
    assert page.html.select("script, form") == []
