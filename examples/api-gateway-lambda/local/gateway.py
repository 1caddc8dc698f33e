"""Stands in for API Gateway and the Lambda runtime, on one machine: HTTP requests become events of the
function's handler (payload format 2.0 of HTTP APIs), as many at a time as come.

It checks no token: API Gateway's authorizer would, and pgweir does in any case.
"""

import http.server
import os
import sys
import types
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "function"))

import handler  # noqa: E402


class Gateway(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = {"http": {"method": "GET"}}
        event = {"version": "2.0", "rawPath": self.path, "headers": headers, "requestContext": request}
        context = types.SimpleNamespace(function_name="orders", aws_request_id=str(uuid.uuid4()))
        answer = handler.handler(event, context)
        body = answer["body"].encode()
        self.send_response(answer["statusCode"])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass  # Lambda writes no access log, either.


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    print(server.server_port, flush=True)
    server.serve_forever()
