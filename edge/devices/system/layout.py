"""What an emulated device has beside its programs: Android's directories, links, accounts and properties."""

from __future__ import annotations

WORLD = "/data/local/tmp"
DIRECTORIES = (
    "apex",
    "data",
    "dev",
    "mnt",
    "proc",
    "sdcard",
    "storage",
    "sys",
    "system/bin",
    "system/etc",
    "vendor",
)
LINKS = {"bin": "/system/bin", "etc": "/system/etc", "system/bin/sh": "mksh", "storage/self": "/sdcard"}

# Of Debian's toybox, what Android's has too.
COMMANDS = """
base64 basename blkid blockdev cal cat chattr chgrp chmod chown chroot chrt cksum clear cmp comm cp cpio cut date devmem
df dirname dmesg dos2unix du echo egrep env expand fallocate false fgrep file find flock fmt free freeramdisk fsfreeze
fsync getconf grep groups gunzip head help hostname hwclock iconv id ifconfig inotifyd insmod install ionice iorenice
iotop kill killall ln logname losetup ls lsattr lsmod lspci lsusb makedevs md5sum microcom mkdir mkfifo mknod mkswap
mktemp modinfo mount mountpoint mv nc netcat netstat nice nl nohup nproc nsenter od partprobe paste patch pgrep pidof
ping ping6 pivot_root pkill pmap poweroff printenv printf prlimit ps pwd pwdx readahead readelf readlink realpath reboot
renice rev rfkill rm rmdir rmmod rtcwake sed seq setfattr setsid sha1sum sha224sum sha256sum sha384sum sha512sum sleep
sort split stat strings swapoff swapon sync sysctl tac tail tar taskset tee test time timeout top touch true truncate
tty tunctl uclampset ulimit umount uname uniq unix2dos unlink unshare uptime usleep uudecode uuencode uuidgen vconfig
vmstat watch wc which whoami xargs xxd yes zcat
"""

# First the kind's own word, which comes when the device starts, then what all kinds have in common.
KIND_PROPERTIES = "vendor/build.prop"
GETPROP = """#!/system/bin/sh
files="/vendor/build.prop /system/build.prop"
if [ $# -eq 0 ]; then
  cat $files | while IFS="=" read -r name value; do print -r -- "[$name]: [$value]"; done
  exit 0
fi
cat $files | while IFS="=" read -r name value; do
  if [ "$name" = "$1" ]; then print -r -- "$value"; exit 1; fi
done && print -r -- "$2"
exit 0
"""

_PASSWD = "root:x:0:0::/:/system/bin/sh\nshell:x:2000:2000::/:/system/bin/sh\n"
_GROUP = "root:x:0:\nshell:x:2000:\n"
_MKSHRC = "PS1='$USER@edgecat:$PWD $ '\n"


def build_properties(abi: str) -> dict[str, str]:
    """The properties that every emulated device of an ABI has; `ro.kernel.qemu` says that it is no phone."""
    return {
        "ro.product.manufacturer": "edgecat",
        "ro.product.device": "edgecat",
        "ro.product.name": "edgecat",
        "ro.product.cpu.abi": abi,
        "ro.product.cpu.abilist": abi,
        "ro.product.cpu.abilist64": abi,
        "ro.build.version.release": "14",
        "ro.build.version.sdk": "34",
        "ro.kernel.qemu": "1",
    }


def device_properties(kind: str, abi: str) -> dict[str, str]:
    """The properties of one kind of emulated device (`sandbox`, `vm`)."""
    return {
        "edgecat.kind": kind,
        "ro.product.model": f"edgecat {kind} {abi}",
        "ro.serialno": f"{kind}-{abi}",
        "ro.hardware": f"edgecat-{kind}",
    }


def property_lines(properties: dict[str, str]) -> str:
    """As files of properties have them."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def text_files(abi: str) -> dict[str, tuple[str, int]]:
    """Content and mode of the files that are written rather than copied, by path."""
    return {
        "system/build.prop": (property_lines(build_properties(abi)), 0o644),
        "system/bin/getprop": (GETPROP, 0o755),
        "system/etc/passwd": (_PASSWD, 0o644),
        "system/etc/group": (_GROUP, 0o644),
        "system/etc/hosts": ("127.0.0.1 localhost\n", 0o644),
        "system/etc/mkshrc": (_MKSHRC, 0o644),
    }


def environment() -> dict[str, str]:
    """The environment in which adbd, and so every command, runs."""
    return {
        "PATH": "/system/bin",
        "HOME": "/",
        "USER": "shell",
        "LOGNAME": "shell",
        "SHELL": "/system/bin/sh",
        "HOSTNAME": "edgecat",
        "TMPDIR": WORLD,
        "ANDROID_ROOT": "/system",
        "ANDROID_DATA": "/data",
        "EXTERNAL_STORAGE": "/sdcard",
    }
