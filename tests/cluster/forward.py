"""Hands on the connections of a socket that was inherited to an address: `forward.py DESCRIPTOR HOST PORT`."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with suppress(ConnectionError, RuntimeError, OSError):
        writer.write_eof()


async def main(descriptor: int, host: str, port: int) -> None:
    """Serve until the process ends."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(host, port)
            await asyncio.gather(_pour(reader, inner_writer), _pour(inner_reader, writer))
            inner_writer.close()
        except OSError:
            pass  # nobody listens there yet
        finally:
            writer.close()

    server = await asyncio.start_server(connected, sock=socket.socket(fileno=descriptor))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
