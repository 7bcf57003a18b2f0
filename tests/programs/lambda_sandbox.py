"""Plays an AWS Lambda sandbox: the Runtime, Extensions and Telemetry APIs, and the life of the processes that use them.

Usage: lambda_sandbox.py SCENARIO.json, which is
    {"task": folder of the function, "runtime": [words], "handler": "app.handler",
     "environment": {the function's configuration}, "telemetry": whether there is such an API,
     "steps": [{"invoke": payload, "timeout_ms": n}, {"freeze_ms": n}]}
The layer lies in /opt. What happened goes to stdout, as one JSON object.

Order and times are those of AWS, "Lambda execution environment lifecycle" and "Lambda Extensions API": extensions register
before the runtime starts; an invocation is over when the runtime and all extensions have asked for the next one, and the
sandbox is frozen then; a function that takes too long or crashes takes its sandbox with it, and the next invocation starts
another one; at the end there are two seconds.
"""

import array
import fcntl
import gzip
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EXTENSIONS = "/opt/extensions"
INIT_S = 10.0
SHUTDOWN_S = 2.0
RUNTIME_SHUTDOWN_S = 0.3
# What an extension's environment lacks of the function's.
OF_FUNCTION = ("_HANDLER", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_EXECUTION_ENV")


class Process:
    """A process of the sandbox, with everything that it starts, and what it says."""

    def __init__(self, words, environment, folder):
        self.started = time.monotonic()
        self.child = subprocess.Popen(
            words, env=environment, cwd=folder, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        self.said = {"stdout": b"", "stderr": b""}
        self.readers = [threading.Thread(target=self.read, args=(name,)) for name in self.said]
        for reader in self.readers:
            reader.start()

    def read(self, name):
        descriptor = getattr(self.child, name).fileno()
        while piece := os.read(descriptor, 1 << 16):
            self.said[name] += piece

    def hear_all(self):
        """Waits until everything that it has written is read; it must be stopped."""
        unread = array.array("i", [1])
        while unread[0]:
            fcntl.ioctl(self.child.stdout, termios.FIONREAD, unread)
            # What was just read is on its way to `said`.
            time.sleep(0.02)

    def signal(self, number):
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass

    def wait(self, seconds):
        """Whether it ended in time."""
        try:
            self.child.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def end(self):
        self.signal(signal.SIGKILL)
        self.child.wait()
        for reader in self.readers:
            reader.join()

    def report(self):
        return {"status": self.child.returncode, **{name: text.decode() for name, text in self.said.items()}}


class Client:
    """A client of the events API: the runtime, or an extension."""

    def __init__(self, name, events):
        self.name = name
        self.events = events
        self.waiting = False
        self.mail = []
        self.asked = None


class Sandbox:
    def __init__(self, scenario):
        self.scenario = scenario
        # One lock for everything: nothing here is busy.
        self.change = threading.Condition()
        self.names = []
        self.clients = {}
        self.extensions = {}
        self.runtime = None
        self.telemetry_ports = []
        self.telemetry = []
        self.errors = []
        self.replies = []
        self.said = []
        self.times = []
        self.answer = None
        self.has_init_error = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        threading.Thread(target=self.post_telemetry, daemon=True).start()
        self.peer = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve_peer, daemon=True).start()
        self.received = []
        if "receiver" in scenario:
            receiver = ThreadingHTTPServer(("127.0.0.1", scenario["receiver"]["port"]), receiver_of(self))
            receiver.daemon_threads = True
            threading.Thread(target=receiver.serve_forever, daemon=True).start()

    def serve_peer(self):
        """What the function connects to."""
        while True:
            connection, _ = self.peer.accept()
            connection.sendall(b"hello")
            connection.close()

    # ---- the life of the sandbox

    def environment(self):
        port = self.server.server_address[1]
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
            "LD_LIBRARY_PATH": "/var/task:/var/task/lib:/opt/lib",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_REGION": "eu-central-1",
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_EXECUTION_ENV": "AWS_Lambda_test",
            "LAMBDA_TASK_ROOT": self.scenario["task"],
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "_HANDLER": self.scenario["handler"],
            "PEER": str(self.peer.getsockname()[1]),
            **self.scenario["environment"],
        }

    def begin(self):
        """INIT. False where the function failed in it."""
        with self.change:
            self.clients, self.extensions, self.telemetry_ports, self.has_init_error = {}, {}, [], False
        self.tell("platform.initStart", {"initializationType": "on-demand", "phase": "init"})
        environment = self.environment()
        of_extension = {name: value for name, value in environment.items() if name not in OF_FUNCTION}
        self.names = names = sorted(os.listdir(EXTENSIONS)) if os.path.isdir(EXTENSIONS) else []
        for name in names:
            self.extensions[name] = Process([f"{EXTENSIONS}/{name}"], of_extension, "/")
        deadline = time.monotonic() + INIT_S
        if not self.until(lambda: all(name in self.clients for name in names), deadline):
            return self.init_failed("Extension.Crash")
        words = self.scenario["runtime"]
        wrapper = environment.get("AWS_LAMBDA_EXEC_WRAPPER")
        if wrapper:
            words = [wrapper, *words]
        with self.change:
            self.clients["runtime"] = Client("runtime", ["INVOKE"])
        self.runtime = Process(words, environment, self.scenario["task"])
        is_ready = self.until(lambda: all(client.waiting for client in self.clients.values()), deadline)
        for name, extension in self.extensions.items():
            asked = self.clients[name].asked
            self.times.append({"what": "ready", "who": name, "ms": asked and (asked - extension.started) * 1000})
        self.tell("platform.initRuntimeDone", {"phase": "init", "status": "success" if is_ready else "error"})
        return is_ready or self.init_failed("Runtime.ExitError")

    def init_failed(self, kind):
        self.errors.append({"what": "init", "kind": kind})
        return False

    def until(self, is_so, deadline):
        """Waits for a state of the clients. False if it did not come in time, or can no longer come."""
        with self.change:
            while not is_so():
                left = deadline - time.monotonic()
                if left <= 0 or self.has_init_error or self.is_broken():
                    return False
                self.change.wait(min(left, 0.005))
            return True

    def is_broken(self):
        processes = [*self.extensions.values(), *([self.runtime] if self.runtime else [])]
        return any(process.child.poll() is not None for process in processes)

    def invoke(self, payload, timeout_ms):
        """INVOKE. False where the sandbox is of no more use."""
        request_id = str(uuid.uuid4())
        began = time.monotonic()
        deadline = began + timeout_ms / 1000
        deadline_ms = int((time.time() + timeout_ms / 1000) * 1000)
        arn = "arn:aws:lambda:eu-central-1:123456789012:function:function"
        self.answer = None
        self.tell("platform.start", {"requestId": request_id, "version": "$LATEST"})
        event = {"eventType": "INVOKE", "deadlineMs": deadline_ms, "requestId": request_id, "invokedFunctionArn": arn,
                 "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1-5f35ae12-0c0fec141ab77a00bc047aa2"}}
        with self.change:
            # Extensions first, as the runtime interface emulator of AWS does it.
            for client in self.clients.values():
                if client.name != "runtime" and "INVOKE" in client.events:
                    client.mail.append(event)
            self.clients["runtime"].mail.append({"id": request_id, "payload": payload, "deadline_ms": deadline_ms, "arn": arn})
            for client in self.clients.values():
                client.waiting = "INVOKE" not in client.events
            self.change.notify_all()
        runtime = self.clients["runtime"]
        is_done = self.until(lambda: self.answer is not None and runtime.waiting, deadline)
        status = "success" if is_done else "failure" if self.runtime.child.poll() is not None else "timeout"
        done = time.monotonic()
        self.tell("platform.runtimeDone", {"requestId": request_id, "status": status})
        is_whole = is_done and self.until(lambda: all(client.waiting for client in self.clients.values()), deadline)
        if is_done and not is_whole:
            status = "timeout"
        reply = {"request_id": request_id, "status": status, "answer": self.answer}
        self.replies.append(reply)
        self.times.append({"what": "billed", "ms": (time.monotonic() - began) * 1000})
        self.times.append({"what": "after", "ms": (time.monotonic() - done) * 1000})
        if is_whole:
            self.freeze(0.05, reply)
            return True
        self.end(status)
        return False

    def freeze(self, seconds, reply=None):
        processes = [self.runtime, *self.extensions.values()]
        for process in processes:
            process.signal(signal.SIGSTOP)
        time.sleep(seconds)
        for process in processes:
            process.hear_all()
        if reply:
            reply["received"] = len(self.received)
            reply["delivered"] = {name: len(one.said["stdout"]) for name, one in self.extensions.items()}
        for process in processes:
            process.signal(signal.SIGCONT)

    def end(self, reason):
        """SHUTDOWN."""
        began = time.monotonic()
        if self.runtime:
            if reason == "spindown":
                self.runtime.signal(signal.SIGTERM)
                self.runtime.wait(RUNTIME_SHUTDOWN_S)
            self.runtime.end()
            self.said.append({"who": "runtime", **self.runtime.report()})
            self.runtime = None
        event = {"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": int((time.time() + SHUTDOWN_S) * 1000)}
        with self.change:
            for client in self.clients.values():
                if "SHUTDOWN" in client.events:
                    client.mail.append(event)
            self.change.notify_all()
        for name, extension in self.extensions.items():
            is_in_time = extension.wait(max(0, began + SHUTDOWN_S - time.monotonic()))
            self.times.append({"what": "shutdown", "who": name, "ms": (time.monotonic() - began) * 1000, "in_time": is_in_time})
            extension.end()
            self.said.append({"who": name, **extension.report()})
        self.extensions = {}

    def run(self):
        is_up = False
        for step in self.scenario["steps"]:
            if "freeze_ms" in step:
                self.freeze(step["freeze_ms"] / 1000)
                continue
            if not is_up and not self.begin():
                self.replies.append({"request_id": None, "status": "init", "answer": None})
                self.end("failure")
                continue
            is_up = self.invoke(step["invoke"], step.get("timeout_ms", 20000))
        if self.extensions or self.runtime:
            self.end("spindown")
        return {name: getattr(self, name) for name in ("replies", "said", "times", "errors", "received")}

    # ---- the Telemetry API

    def tell(self, kind, record):
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        with self.change:
            self.telemetry.append({"time": stamp, "type": kind, "record": record})

    def post_telemetry(self):
        while True:
            # The shortest buffering that AWS allows.
            time.sleep(0.025)
            with self.change:
                batch, ports = self.telemetry, self.telemetry_ports
                if not ports:
                    continue
                self.telemetry = []
            for port in ports if batch else []:
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
                    connection.request("POST", "/", json.dumps(batch), {"Content-Type": "application/json"})
                    connection.getresponse().read()
                    connection.close()
                except OSError:
                    pass


def receiver_of(sandbox):
    """A receiver of outputs in the sandbox's network; it leaves so many first requests without an answer."""
    left = [scenario_hangs(sandbox)]

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if left[0] > 0:
                left[0] -= 1
                time.sleep(60)
                return
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            sandbox.received.append(body.decode())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Receiver


def scenario_hangs(sandbox):
    return sandbox.scenario["receiver"].get("hangs", 0)


def handler_of(sandbox):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def body(self):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def reply(self, status, body=b"", headers=()):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def mail_for(self, client):
            """Blocks until there is something to do."""
            with sandbox.change:
                client.waiting = True
                client.asked = client.asked or time.monotonic()
                sandbox.change.notify_all()
                while not client.mail:
                    sandbox.change.wait()
                return client.mail.pop(0)

        def extension(self):
            return sandbox.clients.get(self.headers.get("Lambda-Extension-Identifier", "").partition(":")[0])

        def do_GET(self):
            if self.path == "/2018-06-01/runtime/invocation/next":
                task = self.mail_for(sandbox.clients["runtime"])
                self.reply(200, json.dumps(task["payload"]).encode(), [
                    ("Content-Type", "application/json"), ("Lambda-Runtime-Aws-Request-Id", task["id"]),
                    ("Lambda-Runtime-Deadline-Ms", str(task["deadline_ms"])),
                    ("Lambda-Runtime-Invoked-Function-Arn", task["arn"]),
                ])
            elif self.path == "/2020-01-01/extension/event/next" and self.extension():
                event = self.mail_for(self.extension())
                self.reply(200, json.dumps(event).encode(), [("Content-Type", "application/json")])
            else:
                self.reply(403, b'{"errorType":"Extension.UnknownExtensionIdentifier"}')

        def do_POST(self):
            body = self.body()
            if self.path == "/2020-01-01/extension/register":
                name = self.headers.get("Lambda-Extension-Name")
                with sandbox.change:
                    if name not in sandbox.names:
                        return self.reply(403, b'{"errorType":"Extension.InvalidExtensionName"}')
                    sandbox.clients[name] = Client(name, json.loads(body)["events"])
                    sandbox.change.notify_all()
                answer = {"functionName": "function", "functionVersion": "$LATEST", "handler": sandbox.scenario["handler"]}
                return self.reply(200, json.dumps(answer).encode(), [("Lambda-Extension-Identifier", f"{name}:{uuid.uuid4()}")])
            words = self.path.split("/")
            if words[2] == "extension" and words[4:] == ["error"]:
                report = json.loads(body)
                sandbox.errors.append({"what": f"extension {words[3]}", "kind": report["errorType"], "message": report["errorMessage"]})
                sandbox.has_init_error |= words[3] == "init"
            elif words[2:4] == ["runtime", "invocation"]:
                with sandbox.change:
                    sandbox.answer = {"kind": words[5], "body": body.decode()}
                    sandbox.change.notify_all()
            elif words[2:] == ["runtime", "init", "error"]:
                sandbox.errors.append({"what": "runtime init", "message": body.decode()})
                sandbox.has_init_error = True
            return self.reply(202, b'{"status":"OK"}')

        def do_PUT(self):
            wish = json.loads(self.body())
            if self.path != "/2022-07-01/telemetry" or not self.extension() or not sandbox.scenario["telemetry"]:
                return self.reply(404, b'{"errorType":"Telemetry.NotSupported"}')
            host, _, port = wish["destination"]["URI"].removeprefix("http://").rstrip("/").partition(":")
            if host != "sandbox.localdomain" or wish["schemaVersion"] != "2022-12-13" or wish["buffering"]["timeoutMs"] < 25:
                return self.reply(400, b'{"errorType":"ValidationError"}')
            with sandbox.change:
                sandbox.telemetry_ports = [*sandbox.telemetry_ports, int(port)]
            return self.reply(200, b'"OK"')

    return Handler


def bring_loopback_up():
    """In a network namespace of its own, as a sandbox has it."""
    set_flags, up = 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", up))


if __name__ == "__main__":
    bring_loopback_up()
    with open(sys.argv[1]) as file:
        sandbox = Sandbox(json.load(file))
    print(json.dumps(sandbox.run()))
    sys.stdout.flush()
    # Threads that still wait for mail are of no more use.
    os._exit(0)
