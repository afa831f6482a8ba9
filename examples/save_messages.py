"""A server that saves each message in a file: python save_messages.py [PORT]"""

import asyncio
import sys
from pathlib import Path

from estafeta import Message, Server


async def save(message: Message) -> None:
    await asyncio.to_thread(Path(f"{message.id}.eml").write_bytes, message.content)
    print(f"{message.id} from {message.reverse_path} to {', '.join(message.forward_paths)}", flush=True)


async def main(port: int) -> None:
    async with Server(save, port=port) as server:
        print(f"listening on port {server.port}", flush=True)
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8025))
