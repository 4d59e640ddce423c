"""Call a function of a service for several databases, at the moment of a line on the standard input.

    python call_service.py FUNCTION NUMBERS DSN ...

It runs in the environment of the service's library, in the service's folder, so it imports nothing else.
"""

import asyncio
import inspect
import sys

import service


def main() -> None:
    function, numbers, *databases = sys.argv[1:]
    print("ready", flush=True)
    sys.stdin.readline()
    for dsn in databases:
        service.DSN = dsn
        for number in numbers.split(","):
            result = getattr(service, function)(int(number))
            if inspect.iscoroutine(result):
                asyncio.run(result)


if __name__ == "__main__":
    main()
