"""`import_registries` that stops after each chunk it wrote, for whoever kills it there.

`python -m tests.services.bulk.import_in_steps FILE SLUG` with the settings in the
environment: prints a line a chunk, and goes on when one is typed.
"""

import signal
import sys

import django


def main(file: str, slug: str) -> None:
    # Whoever runs the tests in the background may have it ignored, and we inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    django.setup()
    from django.core.management import call_command

    from orgs.services.bulk import importing

    write = importing._write

    def write_and_wait(*arguments: object) -> None:
        write(*arguments)
        print("written", flush=True)
        sys.stdin.readline()

    importing._write = write_and_wait
    importing.CHUNK = 10
    call_command("import_registries", file, "--organization", slug)


if __name__ == "__main__":
    main(*sys.argv[1:])
