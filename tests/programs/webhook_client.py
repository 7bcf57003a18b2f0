"""Talks to the webhook as an API server would, and as others might.

Arguments: the port and the authority's file. Standard input is a JSON list of what to do, standard output one of what came of
it: {"ask": [METHOD, PATH, HEADERS, BODY]} on one connection that stays open, where a BODY that is a number is so many bytes;
{"send": [TEXT...], "pause": SECONDS} on a connection of its own, over TLS or {"bare": true}; {"hold": N} opens N connections,
and keeps them to the end; {"from": ADDRESS} is where the connections after it come from. A patch in an answer is applied to the object that was asked about.
"""

import base64
import http.client
import json
import socket
import ssl
import sys
import time

import jsonpatch

port, authority = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=authority)
held = []
connection = None
source = None


def ask(method, path, headers, body):
    global connection
    if isinstance(body, int):
        body = b"x" * body
    if connection is None:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30, source_address=source)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    text = response.read().decode()
    answer = {"status": response.status, "text": text}
    if response.getheader("Connection") == "close":
        connection.close()
        connection = None
    if response.getheader("Content-Type") == "application/json":
        answer["review"] = json.loads(text)
        patch = answer["review"]["response"].get("patch")
        if patch is not None:
            operations = json.loads(base64.b64decode(patch, validate=True))
            answer["patched"] = jsonpatch.apply_patch(json.loads(body)["request"]["object"], operations)
    return answer


def connect(bare):
    plain = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=source)
    return plain if bare else context.wrap_socket(plain, server_hostname="127.0.0.1")


def send(parts, pause, bare):
    started = time.monotonic()
    received = b""
    try:
        stream = connect(bare)
        for part in parts:
            stream.sendall(part.encode("latin-1"))
            time.sleep(pause)
        while chunk := stream.recv(65536):
            received += chunk
    except OSError as error:
        received += f"[{type(error).__name__}]".encode()
    return {"text": received.decode("latin-1"), "seconds": time.monotonic() - started}


def do(step):
    global source
    if "from" in step:
        source = (step["from"], 0)
        return {}
    if "ask" in step:
        return ask(*step["ask"])
    if "hold" in step:
        held.extend(connect(step.get("bare", False)) for _ in range(step["hold"]))
        return {}
    return send(step["send"], step.get("pause", 0), step.get("bare", False))


json.dump([do(step) for step in json.load(sys.stdin)], sys.stdout)
