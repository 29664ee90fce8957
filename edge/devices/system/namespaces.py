"""Linux system calls that Python has no names for (3.12 has some): namespaces, mounts, and a filter of system calls."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
OWN_SYSTEM = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_AF_VSOCK = 40
_EAFNOSUPPORT = 97

# Number of the system call clone, pivot_root and socket, and the audit architecture, by machine.
_NUMBERS = {"x86_64": (56, 155, 41, 0xC000003E), "aarch64": (220, 41, 198, 0xC00000B7)}


def supported() -> bool:
    """Whether this is a system that we know the numbers of."""
    return platform.system() == "Linux" and platform.machine() in _NUMBERS


def fork_into_namespaces() -> int:
    """Like `os.fork`, but the child has namespaces of its own and is their first process. Call it without threads.

    Raises:
        OSError: the kernel does not allow it.
    """
    # PyDLL keeps Python's lock over the call, as os.fork does.
    return _call(ctypes.PyDLL(None, use_errno=True).syscall, _number(0), OWN_SYSTEM | signal.SIGCHLD, 0, 0, 0, 0)


def unshare_user() -> None:
    """Enter a new user namespace; its user map is still to be written.

    Raises:
        OSError: the kernel does not allow it.
    """
    _call(_libc().unshare, CLONE_NEWUSER)


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    """See mount(2).

    Raises:
        OSError: names `target`.
    """
    words = [None if word is None else word.encode() for word in (source, target, kind, options)]
    try:
        _call(_libc().mount, words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    except OSError as error:
        raise OSError(error.errno, f"mounting {kind or source}: {error.strerror}", target) from error


def bind(source: str, target: str, flags: int = 0, *, recursive: bool = False) -> None:
    """Show `source` at `target` too, there with `flags` (MS_RDONLY, …).

    Raises:
        OSError: names `target`.
    """
    mount(source, target, flags=MS_BIND | (MS_REC if recursive else 0))
    if flags:
        # What the mount beneath forbids must be forbidden here too: the kernel lets nobody take that off.
        kept = os.statvfs(target).f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount("none", target, flags=MS_REMOUNT | MS_BIND | kept | flags)


def enter_root(place: str) -> None:
    """Make a mounted directory the root and leave the old root behind, out of reach.

    Raises:
        OSError: it is no mount, or may not be done.
    """
    os.chdir(place)
    # On top of itself: the old root lies beneath the new one until it is taken away.
    _call(_libc().syscall, _number(1), b".", b".")
    _call(_libc().umount2, b".", _MNT_DETACH)
    os.chdir("/")


def gain_no_privileges() -> None:
    """No program that this process starts can have more rights than it has."""
    _call(_libc().prctl, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def refuse_vsock() -> None:
    """Let no socket of the family VSOCK be made by this process or those it starts; `gain_no_privileges` first.

    A network namespace does not hold such sockets, so adbd, which opens one, could be reached from outside with it.
    """
    _, _, socket_call, audit = _NUMBERS[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | _EAFNOSUPPORT
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 4),
            (equal, 0, 4, audit),
            (load, 0, 0, 0),
            (equal, 0, 2, socket_call),
            (load, 0, 0, 16),
            (equal, 1, 0, _AF_VSOCK),
            (give, 0, 0, allow),
            (give, 0, 0, refuse),
        )
    )
    room = ctypes.create_string_buffer(program, len(program))
    filter_ = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(room)))
    _call(_libc().prctl, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filter_, 0, 0)


def _number(index: int) -> int:
    return _NUMBERS[platform.machine()][index]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(function: ctypes._FuncPointer, *arguments: object) -> int:
    result: int = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
