"""A cluster's DNS, as far as pods need it: addresses of Services and of pods behind headless ones. `dns.py ADDRESS KUBECONFIG`.

The rest is answered with "no such name": no packet leaves the machine.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster.connection import Connection, connect

_KEEP_SECONDS = 2.0
_SUFFIX = ["svc", "cluster", "local"]
_ADDRESS = 1
_NO_SUCH_NAME = 3


@dataclass
class Names:
    """What names mean, looked up in the API and kept for two seconds; None for a name that there is not."""

    admin: Connection
    _known: dict[str, tuple[float, list[str] | None]] = field(default_factory=dict)

    def addresses(self, name: str) -> list[str] | None:
        """Return the addresses of a name."""
        until, found = self._known.get(name, (0.0, None))
        if until < time.monotonic():
            found = self._look_up(name)
            self._known[name] = time.monotonic() + _KEEP_SECONDS, found
        return found

    def _look_up(self, name: str) -> list[str] | None:
        labels = name.lower().rstrip(".").split(".")
        if labels[-1:] == ["svc"]:
            labels += _SUFFIX[1:]
        if labels[-3:] != _SUFFIX or len(labels) not in (5, 6):
            return None
        *host, service, namespace = labels[:-3]
        answer = self.admin.ask("GET", f"/api/v1/namespaces/{namespace}/services/{service}")
        if answer.status != 200:
            return None
        address = answer.document["spec"].get("clusterIP", "None")
        return self._pods(namespace, service, host) if host or address == "None" else [address]

    def _pods(self, namespace: str, service: str, host: list[str]) -> list[str] | None:
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io/service-name={service}"
        endpoints = [
            endpoint
            for part in self.admin.expect("GET", slices)["items"]
            for endpoint in part.get("endpoints") or []
            if not host or endpoint.get("hostname") == host[0]
        ]
        return [address for endpoint in endpoints for address in endpoint["addresses"]] or None


def answer(query: bytes, names: Names) -> bytes:
    """Return the answer to a packet with one question; of types other than A there are no records."""
    labels, place = [], 12
    while query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].decode())
        place += query[place] + 1
    question = query[12 : place + 5]
    kind = struct.unpack(">H", query[place + 1 : place + 3])[0]
    found = names.addresses(".".join(labels))
    records = (found or []) if kind == _ADDRESS else []
    header = struct.pack(">HHHHH", 0x8580 | (_NO_SUCH_NAME if found is None else 0), 1, len(records), 0, 0)
    body = [b"\xc0\x0c" + struct.pack(">HHIH", _ADDRESS, 1, 5, 4) + socket.inet_aton(address) for address in records]
    return query[:2] + header + question + b"".join(body)


def main(address: str, kubeconfig: Path) -> None:
    """Answer until the process ends."""
    names = Names(connect(kubeconfig))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        while True:
            query, asker = server.recvfrom(1500)
            try:
                server.sendto(answer(query, names), asker)
            except Exception as error:
                # The asker asks again; this one line says why it had to.
                print(f"{asker}: {error!r}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
