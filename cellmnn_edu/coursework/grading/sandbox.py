"""Cage the running process, with what Linux gives to everybody: no root, no other program, the standard library only.

Each layer is tried: namespaces (an empty network; an own, small, empty folder), Landlock (which files), seccomp (which
system calls), resource limits. `probe` then tries to break out; only its answer counts.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import socket
import struct
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Files of coursework/ that an answer may meet; the others know solutions.
PUBLIC = ("__init__.py", "assignment.py", "given.py", "outcome.py")
DISK = 16 << 20  # bytes of the own folder
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime", "/sys/devices/system/cpu")

NEW_USER, NEW_NET, NEW_IPC, NEW_MOUNTS, NEW_NAMES = 0x10000000, 0x40000000, 0x08000000, 0x00020000, 0x04000000
PRIVATE = 0x44000  # MS_REC | MS_PRIVATE
READ_FILE, READ_DIR = 1 << 2, 1 << 3
# Write, remove and make directories and files, move, truncate: the rights on the own folder.
WRITE = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | 1 << 14

# System calls refused, as numbers of x86_64 and aarch64 (None: not there). From the kernel's tables.
REFUSED = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242),
    "bind": (49, 200), "listen": (50, 201),
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None),
    "unshare": (272, 97), "setns": (308, 268), "personality": (135, 92),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "process_madvise": (440, 440), "process_mrelease": (448, 448), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "setpriority": (141, 140), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "sched_setaffinity": (203, 122),
    "ioprio_set": (251, 30),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "quotactl": (179, 60), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "fanotify_init": (300, 262),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "sethostname": (170, 161), "setdomainname": (171, 162),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "syslog": (103, 116),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    # Memory and messages that outlive or leave the process, outside its limits.
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    # Landlock does not watch over modes, owners, times and attributes.
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "truncate": (76, 45),
}  # fmt: skip


class Machine(NamedTuple):
    """What differs between processors: seccomp's name for it, its column above, and some calls of its own."""

    audit: int
    column: int
    clone: int
    prlimit: int
    capset: int
    fcntl: int


MACHINES = {
    "x86_64": Machine(0xC000003E, 0, 56, 302, 126, 72),
    "aarch64": Machine(0xC00000B7, 1, 220, 261, 91, 25),
}
MACHINE = MACHINES.get(platform.machine()) if sys.platform == "linux" else None
LIBC = ctypes.CDLL(None, use_errno=True) if MACHINE else None


class Place(NamedTuple):
    """A path that may be read; a directory that is only `listed` does not open what lies in it."""

    path: Path
    listed: bool = False


def enter(folder: Path, places: Sequence[Place], memory: int, seconds: float) -> tuple[str, ...]:
    """Cage this process for good, in an empty folder.

    Parameters
    ----------
    folder : Path
        An empty folder; the working directory from now on.
    places : sequence of Place
        What may be read. Nothing else may be, and nothing may be written but in `folder`.
    memory : int
        Bytes that it may take beside what it has.
    seconds : float
        Of the processor.

    Returns
    -------
    tuple of str
        The layers that hold: "limits", "namespaces", "own folder", "landlock", "seccomp".
    """
    _limit(memory, seconds)
    if MACHINE is None:
        os.chdir(folder)
        return ("limits",)
    namespaces = _namespaces()
    own = namespaces and LIBC.mount(b"none", bytes(folder), b"tmpfs", 6, f"size={DISK},nr_inodes=2000".encode()) == 0
    os.chdir(folder)
    LIBC.prctl(38, 1, 0, 0, 0)  # no new privileges: what the next two ask for
    landlock = _landlock(folder if own else None, places)
    LIBC.syscall(MACHINE.capset, struct.pack("Ii", 0x20080522, 0), bytes(24))
    seccomp = _seccomp()
    found = {"namespaces": namespaces, "own folder": own, "landlock": landlock, "seccomp": seccomp}
    return ("limits", *(layer for layer, holds in found.items() if holds))


def probe(canary: Path, layers: Sequence[str]) -> dict[str, bool]:
    """Try to get out, and say what was out of reach.

    Parameters
    ----------
    canary : Path
        A file outside, which anybody may read and write.
    layers : sequence of str
        What `enter` returned.

    Returns
    -------
    dict
        "network", "files", "processes" -> True where it is blocked.
    """
    network = "namespaces" in layers or _fails(lambda: socket.socket().close())
    read, write = _fails(canary.read_bytes), _fails(lambda: canary.write_text("written over"))
    return {"network": network, "files": read and write, "processes": _fails(_fork)}


def places(hidden: Sequence[Path] = ()) -> list[Place]:
    """What an answer may read: Python, its libraries, this package without the solutions, its data.

    Parameters
    ----------
    hidden : sequence of Path
        Folders that stay closed wherever they lie: the submissions, the results.
    """
    package = Path(__file__).resolve().parents[2]
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    trees = [Path(sysconfig.get_path(kind)) for kind in kinds] + [Path(sys.base_prefix, "lib"), Path(sys.prefix, "lib")]
    trees += [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    trees += [*map(Path, (*SYSTEM, *DEVICES)), package, *_data(package)]
    trees = sorted({tree.resolve() for tree in trees if tree.exists()})
    outermost = [tree for tree in trees if not any(other in tree.parents for other in trees)]
    closed = [package / "coursework", *(Path(path).resolve() for path in hidden)]
    found = [place for tree in outermost for place in _without(tree, closed)]
    public = [package / "coursework" / name for name in PUBLIC]
    return [*found, *(Place(path) for path in public if path.exists())]


def _data(package: Path) -> list[Path]:
    """The data of a checkout; in a wheel they lie inside the package."""
    return [package.parent / "data"] if (package.parent / "pyproject.toml").exists() else []


def _without(tree: Path, closed: Sequence[Path]) -> Iterator[Place]:
    """The tree, or its parts beside what is closed."""
    if any(path == tree or path in tree.parents for path in closed):
        return
    if not any(tree in path.parents for path in closed):
        yield Place(tree)
        return
    yield Place(tree, listed=True)  # or Python's import would not find the parts
    for entry in sorted(tree.iterdir()):
        yield from _without(entry.resolve(), closed)


def _limit(memory: int, seconds: float) -> None:
    """Set the limits that every Unix knows."""
    import resource

    wanted = {"CORE": 0, "FSIZE": DISK, "NOFILE": 256}
    with contextlib.suppress(OSError):  # no /proc, no limit: macOS does not keep this one anyway
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted["AS"] = pages * resource.getpagesize() + memory
    # The softer limit of the processor names itself (SIGXCPU) when it kills.
    limits = {name: (value, value) for name, value in wanted.items()} | {"CPU": (int(seconds) + 1, int(seconds) + 5)}
    for name, value in limits.items():
        with contextlib.suppress(ValueError, OSError):  # one that is lower already
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), value)


def _namespaces() -> bool:
    """Leave network, message queues and mounts to the others; as root also where user namespaces are off."""
    apart = NEW_NET | NEW_IPC | NEW_MOUNTS | NEW_NAMES
    user, group = os.getuid(), os.getgid()
    if LIBC.unshare(NEW_USER | apart) == 0:
        # Without these lines no file of the own folder could have an owner.
        lines = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
        for name, line in lines.items():
            with contextlib.suppress(OSError):
                Path("/proc/self", name).write_text(line)
    elif LIBC.unshare(apart) != 0:
        return False
    return LIBC.mount(b"none", b"/", None, PRIVATE, None) == 0


def _landlock(folder: Path | None, places: Sequence[Place]) -> bool:
    """Allow reading in places and writing in the folder, and nothing else."""
    version = LIBC.syscall(444, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    handled = (1 << rights) - 1
    # Later versions also bar TCP ports (4), and sockets and signals to those outside (6).
    attributes = struct.pack("QQQ", handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = LIBC.syscall(444, attributes, ctypes.c_size_t(size), 0)
    if rules < 0:
        return False
    for place in places:
        inside = 0 if place.listed else READ_FILE
        _allow(rules, place.path, inside | READ_DIR if place.path.is_dir() else inside)
    _allow(rules, Path("/dev/null"), READ_FILE | 1 << 1)
    if folder is not None:
        _allow(rules, folder, (READ_FILE | READ_DIR | WRITE) & handled)
    done = LIBC.syscall(446, rules, 0) == 0
    os.close(rules)
    return done


def _allow(rules: int, path: Path, rights: int) -> None:
    with contextlib.suppress(OSError):  # a place that is gone needs no rule
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        LIBC.syscall(445, rules, 1, struct.pack("=Qi", rights, place), 0)
        os.close(place)


def _seccomp() -> bool:
    """Refuse the calls above, processes (but not threads), and the limits of others."""
    load, equal, at_least, any_of, answer = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions of classic BPF
    allow, kill, refuse, unknown = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026  # refuse: EPERM; unknown: ENOSYS
    code = [(load, 0, 0, 4), (equal, 1, 0, MACHINE.audit), (answer, 0, 0, kill), (load, 0, 0, 0)]
    if MACHINE.column == 0:  # the calls of x32, which go by other numbers
        code += [(at_least, 0, 1, 0x40000000), (answer, 0, 0, refuse)]
    for numbers in REFUSED.values():
        if (number := numbers[MACHINE.column]) is not None:
            code += [(equal, 0, 1, number), (answer, 0, 0, refuse)]
    # clone3 hides its flags in memory; told that it does not exist, libc takes clone, whose flags can be read.
    code += [(equal, 0, 1, 435), (answer, 0, 0, unknown)]
    code += [(equal, 0, 4, MACHINE.clone), (load, 0, 0, 16), (any_of, 1, 0, 0x10000), (answer, 0, 0, refuse)]
    code += [(answer, 0, 0, allow)]
    # fcntl could name another process that a pipe is to send a signal to: F_SETOWN, F_SETSIG, F_SETOWN_EX.
    code += [(equal, 0, 6, MACHINE.fcntl), (load, 0, 0, 24)]
    code += [(equal, 2, 0, 8), (equal, 1, 0, 10), (equal, 0, 1, 15), (answer, 0, 0, refuse), (answer, 0, 0, allow)]
    code += [(equal, 0, 3, MACHINE.prlimit), (load, 0, 0, 16), (equal, 1, 0, 0), (answer, 0, 0, refuse)]
    code += [(answer, 0, 0, allow)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    header = struct.pack("HxxxxxxP", len(code), ctypes.addressof(program))
    return LIBC.prctl(22, 2, header, 0, 0) == 0


def _fails(attempt: object) -> bool:
    try:
        attempt()
    except OSError:
        return True
    return False


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
