"""Runs a command with a GPU of its own: `python workflow/cards.py COMMAND ...`. It waits until one is free.

A GPU is held by a lock of the operating system, which ends with the command. On a cluster the scheduler does this.
"""

import fcntl
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LOOK_EVERY = 0.5  # seconds
VISIBLE = "CUDA_VISIBLE_DEVICES"


def cards() -> list[str]:
    """The GPUs that this process may use: those of `CUDA_VISIBLE_DEVICES`, or all of the machine."""
    if VISIBLE in os.environ:
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        return list(dict.fromkeys(itertools.takewhile(is_card, names)))  # as CUDA, which stops at what is no GPU
    if not shutil.which("nvidia-smi"):
        return []
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True, timeout=60
    )
    return [name for name in asked.stdout.split() if is_card(name)] if asked.returncode == 0 else []


def is_card(name: str) -> bool:
    """Whether a name is that of a GPU for CUDA: a number or a UUID, and not -1 or NoDevFiles."""
    return name.isdecimal() or name.startswith(("GPU-", "MIG-"))


def take(names: list[str]) -> str:
    """Lock one of the GPUs until this process ends, and return its name. Waits while all are at work."""
    folder = Path(tempfile.gettempdir()) / f"gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    told = False
    while True:
        for name in names:
            handle = os.open(folder / name.replace("/", "-"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
            else:
                os.set_inheritable(handle, True)  # by the command that takes the place of this process
                return name
        if not told:
            print(f"all {len(names)} GPUs are at work; waiting for one", file=sys.stderr, flush=True)
            told = True
        time.sleep(LOOK_EVERY)


def main() -> None:
    command = sys.argv[1:]
    # Whoever names a device has chosen one.
    if os.environ.get("MEGAN_DEVICE", "auto") in ("", "auto", "cuda") and (names := cards()):
        os.environ[VISIBLE] = take(names)
        print(f"on GPU {os.environ[VISIBLE]} of {', '.join(names)}", file=sys.stderr, flush=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
