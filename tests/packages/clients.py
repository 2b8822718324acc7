"""Feeds the answers that the scenarios saw to the generated clients.

    python3 clients.py DOCUMENT SEEN ANSWERS_TS

Each file of SEEN is one answer: the name of its operation, the status, the content type and the body. The Python client reads
each of them, and what it made of it must be written again as it came. For TypeScript's compiler they are written into
ANSWERS_TS, each with the type of its operation.
"""

import importlib
import json
import pkgutil
import sys
from datetime import datetime
from pathlib import Path

import httpx
import tidegate_client.api
from tidegate_client import Client


def modules():
    """The module of each operation, by the operation's name."""
    found = {}
    for tag in pkgutil.iter_modules(tidegate_client.api.__path__):
        package = importlib.import_module(f"tidegate_client.api.{tag.name}")
        for module in pkgutil.iter_modules(package.__path__):
            found[module.name] = importlib.import_module(f"{package.__name__}.{module.name}")
    return found


def written(value):
    """What was read, as it would be written."""
    if isinstance(value, list):
        return [written(item) for item in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


def moment(text):
    try:
        return datetime.fromisoformat(text) if len(text) > 10 else None
    except ValueError:
        return None


def differences(one, other, place=""):
    """Where two values differ; the same moment may be written in two ways."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            if name in one and name in other:
                yield from differences(one[name], other[name], f"{place}/{name}")
            else:
                yield f"{place}/{name} is in one of them"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (item, other_item) in enumerate(zip(one, other)):
            yield from differences(item, other_item, f"{place}/{index}")
    elif one != other and not (
        isinstance(one, str) and isinstance(other, str) and moment(one) and moment(one) == moment(other)
    ):
        yield f"{place}: {one!r} became {other!r}"


def response_of(document, operation, status):
    """What the document says of an answer, and the status under which it says it."""
    for item in document["paths"].values():
        for described in item.values():
            if described.get("operationId") == operation:
                responses = described["responses"]
                found = status if status in responses else "default"
                return responses[found], found
    raise SystemExit(f"the document has no operation {operation}")


def main():
    document = json.loads(Path(sys.argv[1]).read_text())
    files = sorted(Path(sys.argv[2]).glob("*.json"))
    known, client = modules(), Client(base_url="http://daemon", raise_on_unexpected_status=True)
    faults, read, seen = [], 0, set()
    typescript = ['import type { operations } from "./api.js";', ""]
    for number, file in enumerate(files):
        answer = json.loads(file.read_text())
        operation, status, body = answer["operation"], answer["status"], answer["body"]
        content_type = answer["content_type"]
        seen.add((operation, status))
        response, found = response_of(document, operation, status)
        key = found if found == "default" else int(found)
        type_of = f'operations[{operation!r}]["responses"][{key!r}]["content"][{content_type!r}]'
        typescript.append(f"export const a{number}: {type_of} = {json.dumps(body)};")
        if not content_type.endswith(("/json", "+json")):
            continue
        reply = httpx.Response(int(status), json=body)
        try:
            parsed = known[operation]._parse_response(client=client, response=reply)
        except Exception as error:  # Whatever it is, the client does not take the answer.
            faults.append(f"{file.name}: {error!r}")
            continue
        read += 1
        faults += [f"{file.name}{at}" for at in differences(body, written(parsed))]
    for item in document["paths"].values():
        for described in item.values():
            for status, response in described["responses"].items():
                is_json = "application/json" in response.get("content", {})
                if is_json and status.startswith("2") and (described["operationId"], status) not in seen:
                    if described["operationId"] != "openapi":
                        faults.append(f"no answer {status} of {described['operationId']} was seen")
    Path(sys.argv[3]).write_text("\n".join(typescript) + "\n")
    print(f"{read} answers of {len(seen)} kinds were read and written again")
    if faults:
        raise SystemExit("\n".join(faults))


main()
