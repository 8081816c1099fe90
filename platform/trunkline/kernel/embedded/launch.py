"""Run a command that does not outlive its parent: `python -I -S launch.py PARENT SIGNAL COMMAND...`.

A script of its own because a `preexec_fn` is unsafe (and warned about) in a process with threads.
Linux: PR_SET_PDEATHSIG, which survives exec; it follows the *thread* that started us.
Elsewhere: a forked watchdog holds the reading end of standard input, a pipe whose other end only the
parent has; at its end the watchdog signals the command, if that is still its own parent.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main() -> None:
    parent, signum, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            sys.exit(1)
    else:
        _watch(signum)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


def _watch(signum: int) -> None:
    watched = os.getpid()
    if os.fork():
        return
    os.setsid()
    while os.read(0, 1):
        pass
    if os.getppid() == watched:
        os.kill(watched, signum)
    os._exit(0)


if __name__ == "__main__":
    main()
