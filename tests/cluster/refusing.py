"""Stands before an S3 server that takes no writes: `refusing.py HOST PORT BEHIND STATUS`; reads go on to the port behind.

Each write that it refuses is a line of its output.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial

_WRITES = (b"PUT", b"POST")
_CODES = {503: "SlowDown", 507: "XMinioStorageFull"}
"""What servers say beside these statuses; the second one is MinIO's, whose disk is full."""


async def _answer(host: str, behind: int, status: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request; the next one comes by another connection."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(_WRITES):
            print(status, head.split(b"\r\n", 1)[0].decode(), flush=True)
            writer.write(_refusal(status))
            while await reader.read(1 << 16):  # until the client has read it: what is closed with a rest to be read is cut off
                pass
        else:
            there, back = await asyncio.open_connection(host, behind)
            back.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            while data := await there.read(1 << 16):
                writer.write(data)
                await writer.drain()
            back.close()
    writer.close()


def _refusal(status: int) -> bytes:
    body = f"<Error><Code>{_CODES[status]}</Code><Message>The test takes no writes.</Message></Error>"
    head = [f"HTTP/1.1 {status} Refused", "Content-Type: application/xml", f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(head).encode() + body.encode()


async def main(host: str, port: int, behind: int, status: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.start_server(partial(_answer, host, behind, status), host, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
