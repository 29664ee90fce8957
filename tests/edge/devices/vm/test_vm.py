"""The virtual machine: its kernel, its options, and what is told when it does not start."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.devices.information import inspect
from edge.devices.system.launch import IsolatedDevice, Launch
from edge.devices.system.launch import launch as launch_device
from edge.devices.vm import image, launch, machine
from foundation.errors import DeviceError, UsageError

pytestmark = pytest.mark.device


@pytest.fixture
def _can_run() -> None:
    reasons = launch.missing("arm64-v8a")
    if reasons:
        pytest.skip("; ".join(reasons))


@pytest.mark.usefixtures("_can_run")
def test_little_memory_and_a_small_disk_are_what_was_asked_for() -> None:
    with launch.start(memory_bytes=128 << 20, data_bytes=16 << 20) as device, _connected(device) as adb:
        kernel, *_ = adb.check_shell("uname -r").decode().split()
        assert kernel.endswith("arm64")
        total = int(adb.check_shell("grep MemTotal /proc/meminfo").split()[1])
        assert 64 << 10 < total < 128 << 10
        assert b" /data ext4 " in adb.check_shell("cat /proc/mounts")
        blocks = int(adb.check_shell("df -k /data/local/tmp").decode().split("\n")[1].split()[1])
        assert blocks < 16 << 10
        assert adb.check_shell("id -u") == b"2000\n"
        assert device.address is None


@pytest.mark.usefixtures("_can_run")
def test_a_kernel_with_large_pages() -> None:
    if not launch.built("arm64-v8a", 16384):
        pytest.skip("edgecat emulator build vm:arm64-v8a --page-size 16k brings its kernel (92 MB)")
    with launch.start(page_bytes=16384) as device, _connected(device) as adb:
        assert inspect(adb, "vm:arm64-v8a").page_bytes == 16384


@pytest.mark.usefixtures("_can_run")
def test_a_kernel_that_gives_up_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = launch.build("arm64-v8a")
    (tmp_path / "image").mkdir()
    (tmp_path / "image/vmlinuz").symlink_to(built.kernel)
    (tmp_path / "image/initrd.img").write_bytes(b"")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arguments = ["--image", str(tmp_path / "image"), "--memory-bytes", str(256 << 20), "--timeout", "50"]
    with pytest.raises(DeviceError, match=r"did not start.*panic"):
        launch_device(Launch("vm", "arm64-v8a", arguments, 60))
    assert list(tmp_path.glob("edgecat-*")) == []


@pytest.mark.usefixtures("_can_run")
@pytest.mark.parametrize(
    ("options", "words"),
    [({"memory_bytes": 8 << 20}, "too little memory"), ({"page_bytes": 8192}, "no kernel with pages of 8192")],
)
def test_options_that_cannot_be_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        launch.start(**options)


def test_a_data_disk_too_small_for_a_file_system_says_so(tmp_path: Path) -> None:
    if machine.find_program(machine.MAKE_FILESYSTEM) is None:
        pytest.skip("needs mke2fs (apt-get install e2fsprogs)")
    with pytest.raises(DeviceError, match="cannot make the data disk"):
        machine.make_data_disk(tmp_path / "disk", 1000)


def test_only_arm64_is_to_be_had() -> None:
    with pytest.raises(UsageError, match="x86_64"):
        launch.missing("x86_64")


def test_a_machine_without_qemu_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "find_program", lambda _: None)
    assert any("apt-get install" in reason for reason in launch.missing("arm64-v8a"))
    with pytest.raises(DeviceError, match="cannot run here") as caught:
        launch.start()
    assert "qemu-system-arm" in (caught.value.hint or "")


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs cpio to read what we wrote (apt-get install cpio)")
def test_the_initial_file_system_is_a_cpio_archive_that_others_can_read(tmp_path: Path) -> None:
    rootfs = tmp_path / "rootfs"
    (rootfs / "system/bin").mkdir(parents=True)
    (rootfs / "system/bin/tool").write_bytes(b"odd")
    (rootfs / "system/bin/tool").chmod(0o755)
    (rootfs / "bin").symlink_to("/system/bin")
    (rootfs / "vendor").mkdir()
    with (tmp_path / "initrd").open("wb") as stream:
        image._write_initrd(stream, rootfs, {"virtio_net": b"module"})
    out = tmp_path / "out"
    out.mkdir()
    with (tmp_path / "initrd").open("rb") as stream:
        command = ["cpio", "-i", "--quiet", "--no-absolute-filenames", "--nonmatching", "dev/console"]
        subprocess.run(command, stdin=stream, cwd=out, check=True, capture_output=True)
    assert (out / "system/bin/tool").read_bytes() == b"odd"
    assert stat.S_IMODE((out / "system/bin/tool").stat().st_mode) == 0o755
    assert (out / "bin").is_symlink()
    assert (out / "vendor/lib/modules/order").read_text() == "virtio_net.ko\n"
    assert (out / "init").read_text().startswith("#!/system/bin/sh\n")
    assert "edgecat.kind=vm" in (out / "vendor/build.prop").read_text()


def _connected(device: IsolatedDevice) -> Adb:
    return Adb(DirectConnection.over(device.connect(), "vm:arm64-v8a"))
