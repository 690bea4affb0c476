"""The HTTP clients of Python's standard library. Arguments: port. Prints what they saw, as JSON."""

import hashlib
import http.client
import json
import sys
import urllib.error
import urllib.request

port = int(sys.argv[1])
base = f"http://127.0.0.1:{port}"
seen = {}

# One connection, several requests.
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
for number in range(20):
    connection.request("GET", f"/n{number}", headers={"Host": "app"})
    socket = connection.sock
    body = json.loads(connection.getresponse().read())
    assert body["url"] == f"/n{number}", body
    assert connection.sock is socket and socket is not None, "the connection was not kept"
seen["kept"] = True

# A body of unknown length, in chunks.
pieces = [bytes([number]) * 10_000 for number in range(50)]
connection.request("POST", "/digest", body=iter(pieces), headers={"Host": "app"}, encode_chunked=True)
digest = json.loads(connection.getresponse().read())
seen["chunked"] = digest["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()
connection.close()

# The sidecar as proxy, and an error of the mesh.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": base}))
seen["proxy"] = json.loads(opener.open("http://app.shop/by-urllib").read())["url"]
try:
    opener.open("http://nowhere/")
except urllib.error.HTTPError as error:
    seen["refused"] = [error.code, error.headers["server"]]

print(json.dumps(seen))
