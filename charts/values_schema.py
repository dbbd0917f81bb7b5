"""The schema of the chart's values: written by hand, but for `$defs`, which come from the operator's settings."""

import json
from typing import Any

from finetune_operator.settings import Settings

Schema = dict[str, Any]

OWN_VALUES = ("namespaces", "trainer", "profiles", "checkProfile", "stores")
"""Settings that the chart renders from values of their own."""
_QUANTITY: Schema = {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|[MGTPE]i?)?$"}
_CREDENTIALS = r"^(AWS|GOOGLE|AZURE)_.*(KEY|KEY_ID|SECRET|TOKEN|PASSWORD|CONNECTION_STRING|SAS)$|^HF_TOKEN$"
"""Names that settings of stores may not have; the operator knows them more exactly."""
_PORT: Schema = {"type": "integer", "minimum": 1024, "maximum": 65535}


def values_schema(text: str) -> str:
    """Return the schema with `$defs` from the code.

    Args:
        text: `values.schema.json` as it is.
    """
    return json.dumps({**json.loads(text), "$defs": definitions()}, indent=2) + "\n"


def definitions() -> Schema:
    """Schemas of a profile, of the stores and of the plain settings, in camelCase and closed."""
    whole = Settings.model_json_schema(by_alias=True)
    found: Schema = {name: _plain(schema) for name, schema in whole["$defs"].items() if name != "TrainerImage"}
    profile = found["Profile"]["properties"]
    for field in ("requests", "limits"):  # quantities may be numbers in values
        profile[field] = {**profile[field], "additionalProperties": _QUANTITY}
        del profile[field]["patternProperties"]
    for field in ("nodeSelector", "labels", "annotations"):
        profile[field]["additionalProperties"] = False  # besides the patterns of its keys
    for field in ("workSize", "sharedMemorySize"):
        profile[field] |= _QUANTITY
    stores = found["Stores"]["properties"]["settings"]
    stores["additionalProperties"] = False  # besides the patterns of its keys
    stores["patternProperties"] |= {_CREDENTIALS: False}
    settings = {name: _plain(schema) for name, schema in whole["properties"].items() if name not in OWN_VALUES}
    for field in ("metricsPort", "healthPort"):
        settings[field] |= _PORT
        settings[field]["description"] = settings[field]["description"].partition(";")[0] + "."
    found["Settings"] = {"type": "object", "additionalProperties": False, "properties": settings}
    return found


def _plain(schema: Any) -> Any:
    """Without titles, which repeat the names, and without defaults, which are in values.yaml."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _plain(inner) for name, inner in value.items()} if key == "properties" else _plain(value)
        for key, value in schema.items()
        if key not in ("title", "default")
    }
