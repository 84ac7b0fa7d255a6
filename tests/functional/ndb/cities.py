# mypy: allow-subclassing-any
"""What the tests of queries search: seven cities below three countries."""

from google.cloud import ndb


class City(ndb.Model):
    """Its key is Country/<code>/City/<name>."""

    name = ndb.StringProperty()
    country = ndb.StringProperty()
    population = ndb.IntegerProperty()
    tags = ndb.StringProperty(repeated=True)


CITIES = [
    ("Amsterdam", "NL", 900, ["port", "capital"]),
    ("Bern", "CH", 130, ["capital"]),
    ("Delft", "NL", 100, ["university"]),
    ("Geneva", "CH", 200, ["lake", "university"]),
    ("Oslo", "NO", 700, ["port", "capital"]),
    ("Rotterdam", "NL", 650, ["port"]),
    ("Zurich", "CH", 430, ["lake", "university"]),
]


def country(code: str) -> ndb.Key:
    return ndb.Key("Country", code)


def put_cities() -> None:
    ndb.put_multi(
        [
            City(id=name, parent=country(code), name=name, country=code, population=population, tags=tags)
            for name, code, population, tags in CITIES
        ]
    )


def names(found: list[City]) -> list[str]:
    """Of the cities found, in their order."""
    return [city.name for city in found]
