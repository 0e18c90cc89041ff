"""The JSON Schemas of OME (the image schema and, from 0.4, the strict one) as ngff-zarr ships them, over the group's document."""

import json
from pathlib import Path

import jsonschema
import ngff_zarr
from common import Level, main
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

SPEC = Path(ngff_zarr.__file__).parent / "spec"


def read(path: str) -> list[Level]:
    v3 = Path(path, "zarr.json")
    attributes = json.loads(v3.read_text())["attributes"] if v3.exists() else json.loads(Path(path, ".zattrs").read_text())
    content = attributes.get("ome", attributes)
    version = content.get("version") or content["multiscales"][0]["version"]
    schemas = {p.name: json.loads(p.read_text()) for p in (SPEC / version / "schemas").glob("*.schema")}
    # folders lie beside one another under the id of their version
    resources = [(schema["$id"], Resource.from_contents(schema, default_specification=DRAFT202012)) for schema in schemas.values() if "$id" in schema]
    registry = Registry().with_resources(resources)
    for name in ("image.schema", "strict_image.schema"):
        if name in schemas:
            jsonschema.Draft202012Validator(schemas[name], registry=registry).validate(attributes)
    return []


main(read)
