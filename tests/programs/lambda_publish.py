"""Publishes a layer to what plays AWS on loopback, as the AWS command line would, and compares what is there then.

Usage: lambda_publish.py LAYER.zip
"""

import base64
import hashlib
import os
import subprocess
import sys

import botocore.session

with open(sys.argv[1], "rb") as file:
    layer = file.read()

server = subprocess.Popen(
    [os.path.join(os.path.dirname(sys.executable), "moto_server"), "--host", "127.0.0.1", "--port", "0"],
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
)
try:
    for line in server.stdout:
        if "http://127.0.0.1:" in line:
            endpoint = "http://" + line.split("http://")[1].split()[0]
            break
    else:
        sys.exit("moto_server does not say where it listens")
    client = botocore.session.get_session().create_client(
        "lambda", region_name="eu-central-1", endpoint_url=endpoint, aws_access_key_id="any", aws_secret_access_key="any",
    )
    published = client.publish_layer_version(
        LayerName="glassbox", Content={"ZipFile": layer},
        CompatibleRuntimes=["python3.12", "nodejs20.x"], CompatibleArchitectures=["x86_64"],
    )
    found = client.get_layer_version(LayerName="glassbox", VersionNumber=published["Version"])
    expected = base64.b64encode(hashlib.sha256(layer).digest()).decode(), len(layer)
    is_same = all((one["Content"]["CodeSha256"], one["Content"]["CodeSize"]) == expected for one in (published, found))
    print("the same" if is_same else f"{expected} is not {published} or {found}")
finally:
    server.terminate()
    server.wait()
