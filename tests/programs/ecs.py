"""What AWS' own model of ECS says of a task definition: the judge of what `glassbox patch ecs` writes.

    ecs.py validate                 register-task-definition's JSON on stdin; says what is wrong with it, exit status 1 if anything is
    ecs.py register ENDPOINT        the same registered there; describe-task-definition's reply on stdout
    ecs.py properties RESOURCE      a template on stdin; the resource's properties as register-task-definition takes them on stdout
    ecs.py read                     a template of YAML, with its short functions, on stdin; the same as JSON on stdout

A template's keys are found in the model whatever their case, and what a function gives is made up: a text is `function`.
"""

import json
import sys

import botocore.session
import yaml
from botocore.config import Config
from botocore.validate import ParamValidator

class Template(yaml.SafeLoader):
    """Reads YAML with the short functions of CloudFormation."""

    def function(self, tag, node):
        construct = {"scalar": self.construct_scalar, "sequence": self.construct_sequence, "mapping": self.construct_mapping}[node.id]
        value = construct(node) if node.id == "scalar" else construct(node, deep=True)
        return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


Template.add_multi_constructor("!", Template.function)

SESSION = botocore.session.get_session()
REQUEST = SESSION.get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape


def is_function(value):
    return isinstance(value, dict) and len(value) == 1 and (next(iter(value)) == "Ref" or next(iter(value)).startswith("Fn::"))


def converted(value, shape):
    """A template's value as the API takes it; what the model does not know stays, for the validator to name."""
    if is_function(value):
        return {"string": "function", "integer": 1, "boolean": True, "list": [], "map": {}}.get(shape.type_name, {})
    if shape.type_name == "structure" and isinstance(value, dict):
        known = {name.lower(): name for name in shape.members}
        names = {key: known.get(key.lower(), key) for key in value}
        return {
            names[key]: converted(inner, shape.members[names[key]]) if names[key] in shape.members else inner
            for key, inner in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [converted(inner, shape.member) for inner in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: converted(inner, shape.value) for key, inner in value.items()}
    # CloudFormation takes numbers and booleans as text, and the other way round.
    if shape.type_name == "string" and isinstance(value, (int, float)):
        return str(value)
    if shape.type_name == "integer" and isinstance(value, str):
        return int(value)
    return value


def register(endpoint, task):
    client = SESSION.create_client(
        "ecs",
        region_name="eu-west-1",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}, proxies={}),
    )
    made = client.register_task_definition(**task)["taskDefinition"]["taskDefinitionArn"]
    reply = client.describe_task_definition(taskDefinition=made, include=["TAGS"])
    del reply["ResponseMetadata"]
    return reply


def main():
    command, *arguments = sys.argv[1:]
    value = yaml.load(sys.stdin, Template) if command in ("properties", "read") else json.load(sys.stdin)
    if command == "validate":
        report = ParamValidator().validate(value, REQUEST)
        print(report.generate_report())
        return 1 if report.has_errors() else 0
    if command == "register":
        value = register(arguments[0], value)
    elif command == "properties":
        value = converted(value["Resources"][arguments[0]]["Properties"], REQUEST)
    elif command != "read":
        return 64
    json.dump(value, sys.stdout, default=str)
    return 0


sys.exit(main())
