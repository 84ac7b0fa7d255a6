"""Read the schemas of the resources in terraform/ out of the bindings for Python that are made from them.

    pip download --no-deps cdktf-cdktf-provider-google==16.12.1   (49 MB; the provider's version 6.50.0)
    python -m tests.provider.read_schema cdktf_cdktf_provider_google-16.12.1-py3-none-any.whl

Writes schema.json beside this file: of each resource the names and types of its arguments, which ones must be
given and which Google tells, and how blocks nest. Needed when terraform/ takes up a new resource, or a newer
provider.
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

TERRAFORM = Path(__file__).resolve().parents[2] / "terraform"
SIMPLE: dict[str, Any] = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
}
MAPS = {"StringMap", "BooleanMap", "NumberMap", "AnyMap"}
# The provider's own arguments, of which the bindings say less.
PROVIDER = {
    "project": ["string", "optional"],
    "region": ["string", "optional"],
    "user_project_override": ["bool", "optional"],
    "billing_project": ["string", "optional"],
    "default_labels": [["map", "string"], "optional"],
}
# Parts that are never used, and that would only make the file long.
LEFT_OUT = re.compile(r"hook|timeouts$|^build$")

type Schema = dict[str, Any]
type Classes = dict[str, tuple[str, str]]  # base and body, by name


def main(wheel: str) -> None:
    """Write schema.json."""
    library = javascript(Path(wheel))
    used = {
        kind: sorted(set(re.findall(rf'^{kind} "(google_\w+)"', sources(), re.MULTILINE)))
        for kind in ("resource", "data")
    }
    written = {
        "provider": {"attributes": PROVIDER, "blocks": {}},
        "resources": {name: resource(library[folder(name)]) for name in used["resource"]},
        "data_sources": {name: resource(library[f"data-{name.replace('_', '-')}"]) for name in used["data"]},
        "ephemeral_resources": {},
    }
    path = Path(__file__).parent / "schema.json"
    path.write_text(lines(written))


def lines(written: dict[str, dict[str, Any]]) -> str:
    """JSON with a line for each resource, so that a change of one is seen as that."""
    parts = []
    for kind, schemas in written.items():
        inner = [
            f'  "{name}": {json.dumps(schema, sort_keys=True, separators=(",", ":"))}'
            for name, schema in schemas.items()
        ]
        parts.append(f'"{kind}": {{\n{",\n".join(inner)}\n}}')
    return f"{{\n{',\n'.join(parts)}\n}}\n"


def sources() -> str:
    return "".join(path.read_text() for path in sorted(TERRAFORM.rglob("*.tf")))


def folder(resource_type: str) -> str:
    return resource_type.removeprefix("google_").replace("_", "-")


def javascript(wheel: Path) -> dict[str, str]:
    """The generated modules by the name of their folder."""
    with zipfile.ZipFile(wheel) as outer:
        [name] = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        packed = io.BytesIO(outer.read(name))
    found = {}
    with tarfile.open(fileobj=packed) as inner:
        for member in inner:
            if match := re.fullmatch(r"package/lib/([\w-]+)/index\.js", member.name):
                file = inner.extractfile(member)
                found[match[1]] = file.read().decode() if file else ""
    return found


def resource(module: str) -> Schema:
    """The schema of the resource that a module is about."""
    parts = re.split(r"^class (\w+) extends cdktf\.(\w+) \{", module, flags=re.MULTILINE)
    classes = {name: (base, body) for name, base, body in zip(*[iter(parts[1:])] * 3, strict=True)}
    bases = {"TerraformResource", "TerraformDataSource"}
    top = next(name for name, (base, _) in classes.items() if base in bases)
    return block(classes, top)


def block(classes: Classes, name: str) -> Schema:
    """What a class has getters for."""
    body = classes[name][1]
    nested = {
        match[1]: match.groups()[1:]
        for match in re.finditer(
            r"this\._(\w+) = new (?:cdktf\.)?(\w+)\(this, \"(\w+)\"(?:, (true|false))?\)", body
        )
    }
    found: Schema = {"attributes": {}, "blocks": {}}
    for getter, code in re.findall(r"^    get (\w+)\(\) \{\n(.*?)^    \}", body, re.MULTILINE | re.DOTALL):
        if getter in nested:
            add_nested(found, classes, *nested[getter], kind_of(getter, body))
        elif match := re.search(r"this\.get(\w+?)Attribute\('(\w+)'", code):
            add(found, match[2], simple(match[1], is_set="cdktf.Fn.tolist(" in code), kind_of(getter, body))
    return found


def kind_of(getter: str, body: str) -> str:
    """Whether the argument must be given, may be, or is told by Google."""
    name = getter[0].upper() + getter[1:]
    if f"    set {getter}(value)" not in body and f"    put{name}(" not in body:
        return "computed"
    return "optional" if f"    reset{name}()" in body else "required"


def simple(name: str, *, is_set: bool) -> Any:
    type_ = SIMPLE[name]
    return ["set", type_[1]] if is_set and isinstance(type_, list) else type_


def add(found: Schema, name: str, type_: Any, kind: str) -> None:
    if not LEFT_OUT.search(name):
        found["attributes"][name] = [type_, kind]


def add_nested(
    found: Schema, classes: Classes, class_name: str, name: str, wraps_set: str | None, kind: str
) -> None:
    """A map, a block, or a list of objects that Google tells."""
    base = classes[class_name][0] if class_name in classes else class_name
    if base in MAPS:
        add(found, name, ["map", "string"], kind)
        return
    many = base == "ComplexList"
    inner = block(classes, class_name.removesuffix("List") + "OutputReference" if many else class_name)
    if kind == "computed":
        add(found, name, ["list", as_object(inner)], kind)
    elif not LEFT_OUT.search(name):
        nesting = "set" if many and wraps_set == "true" else "list"
        sizes = {"min": int(kind == "required"), "max": int(not many)}
        found["blocks"][name] = {"nesting": nesting, **sizes, **inner}


def as_object(schema: Schema) -> Any:
    """The type of a value that has the block's form."""
    fields = {name: type_ for name, (type_, _) in schema["attributes"].items()}
    return ["object", fields | {name: ["list", as_object(inner)] for name, inner in schema["blocks"].items()}]


if __name__ == "__main__":
    main(*sys.argv[1:])
