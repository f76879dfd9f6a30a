"""HTTP over a unix socket or TCP, one connection a request unless kept."""
import http.client, json, socket


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error's code, or None."""
        return self.json["error"]["code"] if self.status >= 400 else None


class Connection(http.client.HTTPConnection):
    def __init__(self, address, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.address = address

    def connect(self):
        if isinstance(self.address, str):
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            self.sock = socket.socket()
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.address)


class Wire:
    def __init__(self, address):
        self.address = address

    def connection(self, timeout=30):
        return Connection(self.address, timeout)

    def request(self, method, path, body=None, headers=None):
        connection = self.connection()
        try:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def post(self, path, value, headers=None):
        """`value` as JSON, or bytes as they are."""
        body = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
        return self.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})

    def fill(self, text, **fields):
        return self.post("/v1/fill", {"text": text, **fields})

    def raw(self, data, timeout=30):
        """Bytes as they are; what comes back until the other side closes or is silent."""
        connection = self.connection(timeout)
        connection.connect()
        answer = b""
        try:
            connection.sock.sendall(data)
            connection.sock.settimeout(timeout)
            while part := connection.sock.recv(65536):
                answer += part
                if b"\r\n\r\n" in answer and b"Content-Length" in answer:
                    head, _, body = answer.partition(b"\r\n\r\n")
                    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                    if len(body) >= length:
                        break
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
        finally:
            connection.close()
        return answer
