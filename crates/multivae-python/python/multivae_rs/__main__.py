"""The program: ``python -m multivae_rs`` is ``multivae``."""

import sys

from . import _native


def main() -> int:
    """Does what the arguments of the process ask for."""
    return _native.main(["multivae", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
