"""Reads OTLP's logs by OpenTelemetry's own messages (PyPI's opentelemetry-proto).

    otlp_receiver.py decode                 a request from stdin
    otlp_receiver.py serve FILE [OPTIONS]   requests over HTTP at a port of 127.0.0.1, which FILE.port says

Writes each record as an object in a line: to stdout, or appended to FILE.
    --tls CERT KEY   speaks TLS
    --refuse N       says of each request that so many of its records were refused
    --fail STATUS    answers the first two requests with this status, and Retry-After: 1
"""

import argparse
import gzip
import http.server
import json
import os
import ssl
import sys

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)


def plain(value):
    """An AnyValue as Python's own."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes(pairs):
    """Attributes as a dictionary. A name that occurs twice is a fault: the specification forbids it."""
    found = {}
    for pair in pairs:
        assert pair.key not in found, f"{pair.key} twice"
        found[pair.key] = plain(pair.value)
    return found


def records(body):
    """Each record of a request, with its resource and scope."""
    request = ExportLogsServiceRequest.FromString(body)
    for group in request.resource_logs:
        resource = attributes(group.resource.attributes)
        for scope in group.scope_logs:
            for record in scope.log_records:
                yield {
                    "resource": resource,
                    "scope": scope.scope.name,
                    "time": record.time_unix_nano,
                    "observed": record.observed_time_unix_nano,
                    "severity": record.severity_number,
                    "severity_text": record.severity_text,
                    "event_name": record.event_name,
                    "body": plain(record.body),
                    "attributes": attributes(record.attributes),
                }


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes requests as the protocol has them, and refuses others with 400."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        if server.failures > 0:
            server.failures -= 1
            return self.answer(server.options.fail, b"", {"Retry-After": "1"})
        if self.path != "/v1/logs" or self.headers["Content-Type"] != "application/x-protobuf":
            return self.answer(400, b"")
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        found = list(records(body))
        with open(server.options.file, "a") as out:
            for record in found:
                record["headers"] = {name.lower(): value for name, value in self.headers.items()}
                out.write(json.dumps(record) + "\n")
        response = ExportLogsServiceResponse()
        if server.options.refuse:
            response.partial_success.rejected_log_records = server.options.refuse
            response.partial_success.error_message = "as the test asked"
        self.answer(200, response.SerializeToString())

    def answer(self, status, body, headers={}):
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/x-protobuf", "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["decode", "serve"])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--tls", nargs=2)
    parser.add_argument("--refuse", type=int, default=0)
    parser.add_argument("--fail", type=int, default=0)
    options = parser.parse_args()
    if options.mode == "decode":
        for record in records(sys.stdin.buffer.read()):
            print(json.dumps(record))
        return
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.options, server.failures = options, 2 if options.fail else 0
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    # Whole at once: it is waited for.
    with open(options.file + ".port.new", "w") as out:
        out.write(str(server.server_port))
    os.rename(options.file + ".port.new", options.file + ".port")
    server.serve_forever()


main()
