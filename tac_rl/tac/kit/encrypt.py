"""Encrypt evaluator.py of the folder UTILS to evaluator.py.enc with TAC's key, as a task image is built.

The key is public: this keeps the evaluator from a casual glance in an image and is no protection.
"""

import os

from cryptography.fernet import Fernet
from eval import UTILS, fernet_key

SECRET = "theagentcompany is all you need"


def main():
    path = os.path.join(UTILS, "evaluator.py")
    with open(path, "rb") as file:
        source = file.read()
    with open(path + ".enc", "wb") as file:
        file.write(Fernet(fernet_key(SECRET)).encrypt(source))


if __name__ == "__main__":
    main()
