#!/usr/bin/env python3
"""The published JSON Schema of mapping files accepts the mappings that are installed, and refuses what kaartd refuses."""
import copy
import glob
import json
import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import tap  # noqa: E402

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float), "integer": int}


class Schema:
    """As much of JSON Schema (draft 2020-12) as spec/mapping.schema.json uses; an unknown keyword is an error."""
    ignored = {"$schema", "$id", "$defs", "title", "description", "default"}

    def __init__(self, document):
        self.document = document

    def faults(self, schema, value, path=""):
        if schema is True:
            return []
        found = []
        for word, argument in schema.items():
            if word not in self.ignored:
                found += getattr(self, "check_" + word.replace("$", ""))(schema, argument, value, path)
        return found

    def check_ref(self, _, argument, value, path):
        return self.faults(self.document["$defs"][argument.rpartition("/")[2]], value, path)

    def check_const(self, _, argument, value, path):
        return [] if value == argument and type(value) is type(argument) else [f"{path}: not {argument}"]

    def check_enum(self, _, argument, value, path):
        return [] if value in argument else [f"{path}: {value!r} is none of {argument}"]

    def check_type(self, _, argument, value, path):
        wanted = argument if isinstance(argument, list) else [argument]
        fits = any(isinstance(value, TYPES[t]) and (t == "boolean" or not isinstance(value, bool)) for t in wanted)
        return [] if fits else [f"{path}: not of type {argument}"]

    def check_pattern(self, _, argument, value, path):
        return [f"{path}: does not match {argument}"] if isinstance(value, str) and not re.search(argument, value) else []

    def check_minLength(self, _, argument, value, path):
        return [f"{path}: too short"] if isinstance(value, str) and len(value) < argument else []

    def check_minimum(self, _, argument, value, path):
        return [f"{path}: below {argument}"] if isinstance(value, int) and value < argument else []

    def check_maximum(self, _, argument, value, path):
        return [f"{path}: above {argument}"] if isinstance(value, int) and value > argument else []

    def check_minItems(self, _, argument, value, path):
        return [f"{path}: too few"] if isinstance(value, list) and len(value) < argument else []

    def check_maxItems(self, _, argument, value, path):
        return [f"{path}: too many"] if isinstance(value, list) and len(value) > argument else []

    def check_items(self, _, argument, value, path):
        items = value if isinstance(value, list) else []
        return [fault for i, item in enumerate(items) for fault in self.faults(argument, item, f"{path}/{i}")]

    def check_required(self, _, argument, value, path):
        return [f"{path}: {name} is missing" for name in argument if isinstance(value, dict) and name not in value]

    def check_properties(self, _, argument, value, path):
        members = value.items() if isinstance(value, dict) else []
        return [fault for name, item in members if name in argument for fault in self.faults(argument[name], item, f"{path}/{name}")]

    def check_patternProperties(self, *_):
        return []  # remarks only: anything goes

    def check_additionalProperties(self, schema, argument, value, path):
        patterns = schema.get("patternProperties", {})
        others = [name for name in (value if isinstance(value, dict) else {}) if name not in schema.get("properties", {})
                  and not any(re.search(pattern, name) for pattern in patterns)]
        if argument is False:
            return [f"{path}: {name} is unknown" for name in others]
        return [fault for name in others for fault in self.faults(argument, value[name], f"{path}/{name}")]

    def check_anyOf(self, _, argument, value, path):
        tried = [self.faults(schema, value, path) for schema in argument]
        return [] if any(not faults for faults in tried) else min(tried, key=len)

    def check_oneOf(self, _, argument, value, path):
        fitting = sum(not self.faults(schema, value, path) for schema in argument)
        return [] if fitting == 1 else [f"{path}: {fitting} alternatives fit"]


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


class MappingSchema(unittest.TestCase):
    schema = Schema(read(os.path.join(ROOT, "spec", "mapping.schema.json")))
    installed = sorted(glob.glob(os.path.join(ROOT, "daemon", "source", "mappings", "*.json")))

    def faults(self, mapping):
        return self.schema.faults(self.schema.document, mapping)

    def test_installed_mappings(self):
        self.assertTrue(self.installed)
        for path in self.installed:
            self.assertEqual(self.faults(read(path)), [], path)

    def test_bad_mappings(self):
        good = read(self.installed[0])

        def broken(change):
            mapping = copy.deepcopy(good)
            change(mapping)
            return self.faults(mapping)
        field = {"pointer": "/x", "as": "datum"}
        for change in (lambda m: m.update(mapping=2), lambda m: m.pop("rows"), lambda m: m.update(rows="items"), lambda m: m.update(record=[]),
                       lambda m: m["paging"].update(type="nxt"), lambda m: m["records"].clear(), lambda m: m["records"][0].pop("id"),
                       lambda m: m["records"][0].update(kind="organisation"), lambda m: m["records"][0]["fields"].update(a="naam"),
                       lambda m: m["records"][0]["fields"].update(a=field), lambda m: m["records"][0]["fields"].update(a={"as": "date"}),
                       lambda m: m["records"][0]["fields"].update(a={"pointer": "/x", "template": "{/y}"}),
                       lambda m: m["records"][0]["id"]["identifiers"][0].update(scheme="bsn")):
            self.assertNotEqual(broken(change), [])

    def test_the_words_are_those_of_the_program(self):
        """Every member that the schema knows for a value is known to kaartd, and the other way round."""
        with open(os.path.join(ROOT, "daemon", "source", "mapping_loader.c"), encoding="utf-8") as file:
            text = file.read()
        call = re.search(r'loader_only\(\s*l,\s*json,\s*((?:"[^"]*"\s*)+)\);\s*read_form', text).group(1)
        program = set("".join(re.findall(r'"([^"]*)"', call)).split())
        published = next(s for s in self.schema.document["$defs"]["value"]["anyOf"] if s.get("type") == "object")["properties"]
        self.assertEqual(program, set(published))


if __name__ == "__main__":
    tap.main()
