"""Folders of images by class, and `load`, which picks the loader."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foundation.errors import DataError, UsageError
from foundation.progress import Advance, Silent
from victim.loaders import load, load_folder
from victim.loaders.picture import read_picture
from victim.loaders.pixels import squared


class Heard(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps = 0.0

    def task(self, description: str, total: float | None = None) -> AbstractContextManager[Advance]:
        @contextmanager
        def opened() -> Iterator[Advance]:
            def advance(steps: float = 1, note: str = "") -> None:  # noqa: ARG001
                self.steps += steps

            yield advance

        return opened()

    def say(self, message: str) -> None:
        self.lines.append(message)


def picture(value: int, mode: str = "L", size: tuple[int, int] = (20, 16)) -> Image.Image:
    noise = np.random.default_rng(value).integers(0, 256, (size[1], size[0]), np.uint8)
    return Image.fromarray(noise).convert(mode)


def fill(root: Path, classes: tuple[str, ...] = ("healthy", "ill"), count: int = 12) -> Path:
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture(100 * label + number).save(root / name / f"p{number // 2}_{number}.png")
    return root


def test_classes_are_the_directories_names_sorted(tmp_path: Path) -> None:
    dataset, skipped = load_folder(fill(tmp_path / "set", ("b", "a", "c")))
    assert dataset.class_names == ("a", "b", "c")
    assert dataset.name == "set"
    assert dataset.image_shape == (64, 64, 1)
    assert sum(len(s) for s in dataset.splits.values()) == 36
    assert skipped == []


def test_mixed_sizes_suffixes_and_nesting_become_one_shape(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "ill" / "2021" / "may").mkdir(parents=True)
    picture(1, size=(300, 40)).save(tmp_path / "ill" / "2021" / "may" / "a.JPG")
    picture(2, size=(5, 90)).save(tmp_path / "ill" / "2021" / "b.tiff")
    dataset, _ = load_folder(tmp_path, size=32)
    assert dataset.image_shape == (32, 32, 1)
    assert sum(len(s) for s in dataset.splits.values()) == 26


def test_one_colour_image_makes_three_channels_and_grey_rgb_does_not(tmp_path: Path) -> None:
    fill(tmp_path)
    picture(1, "RGB").save(tmp_path / "ill" / "grey.png")
    assert load_folder(tmp_path)[0].image_shape == (64, 64, 1)
    Image.new("RGB", (20, 16), (200, 10, 10)).save(tmp_path / "ill" / "red.png")
    assert load_folder(tmp_path)[0].image_shape == (64, 64, 3)


def test_victim_and_thief_hold_equally_many_patients(tmp_path: Path) -> None:
    dataset, _ = load_folder(fill(tmp_path, count=100))
    assert {name: len(s) for name, s in dataset.splits.items()} == {"train": 70, "val": 20, "test": 40, "thief": 70}


def test_the_seed_alone_decides_the_splits(tmp_path: Path) -> None:
    fill(tmp_path)
    same, again, other = (load_folder(tmp_path, seed=seed)[0].sha256 for seed in (1, 1, 2))
    assert same == again != other


def test_prefix_keeps_a_patients_images_in_one_split(tmp_path: Path) -> None:
    fill(tmp_path, count=40)
    dataset, _ = load_folder(tmp_path, patient_from="prefix")
    counts = [np.unique(s.patients, return_counts=True)[1] for s in dataset.splits.values()]
    assert np.concatenate(counts).tolist() == [4] * 20  # p0…p19, two images in each class
    dataset.checked()


def test_given_splits_are_kept(tmp_path: Path) -> None:
    for part, count in (("train", 10), ("val", 3), ("test", 5)):
        fill(tmp_path / part, count=count)
    dataset, _ = load_folder(tmp_path)
    assert {name: len(s) for name, s in dataset.splits.items()} == {"train": 10, "val": 6, "test": 10, "thief": 10}
    stored = {squared(read_picture(p).pixels, 64).tobytes() for p in (tmp_path / "test").rglob("*.png")}
    assert {image.tobytes() for image in dataset.test.images} == stored


def test_a_patient_in_two_given_splits_is_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        fill(tmp_path / part)
    with pytest.raises(DataError, match="stands in another split"):
        load_folder(tmp_path, patient_from="prefix")


def test_16_bit_png_is_scaled_from_the_whole_range(tmp_path: Path) -> None:
    values = np.array([[0, 257], [32896, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    found = read_picture(tmp_path / "deep.png")
    assert np.rint(found.pixels).tolist() == [[0, 1], [128, 255]]
    assert found.peak == 65535


def test_16_bit_window_maps_its_ends_and_clips(tmp_path: Path) -> None:
    values = np.array([[0, 1000], [2000, 4000]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.tif")
    found = read_picture(tmp_path / "deep.tif", (2000.0, 2000.0))
    assert found.pixels.tolist() == [[0, 0], [127.5, 255]]


def test_12_bit_images_in_16_bits_come_with_advice(tmp_path: Path) -> None:
    fill(tmp_path)
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(tmp_path / "ill" / "x.png")
    heard = Heard()
    load_folder(tmp_path, progress=heard)
    assert any("give a window" in line for line in heard.lines)


def test_float_tiff_needs_a_window(tmp_path: Path) -> None:
    Image.fromarray(np.array([[-1.0, 1.0]], np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match=r"f\.tif holds values from -1 to 1"):
        read_picture(tmp_path / "f.tif")
    assert read_picture(tmp_path / "f.tif", (0.0, 2.0)).pixels.tolist() == [[0, 255]]


def test_nan_in_a_float_tiff_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.array([[np.nan, 1.0]], np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match=r"f\.tif holds NaN"):
        read_picture(tmp_path / "f.tif", (0.0, 2.0))


def test_transparency_lies_over_black(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (200, 100, 50, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (4, 4), (200, 100, 50, 255)).save(tmp_path / "solid.png")
    assert read_picture(tmp_path / "clear.png").pixels.max() == 0
    assert read_picture(tmp_path / "solid.png").pixels[0, 0].tolist() == [200, 100, 50]


def test_palette_and_cmyk_give_their_colours(tmp_path: Path) -> None:
    red = Image.new("RGB", (16, 16), (250, 5, 5))
    red.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "palette.png")
    red.convert("CMYK").save(tmp_path / "press.jpg", quality=95)
    for name in ("palette.png", "press.jpg"):
        assert np.abs(read_picture(tmp_path / name).pixels[8, 8].astype(int) - [250, 5, 5]).max() <= 6, name


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, size=(20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").pixels.shape == (20, 10)


def test_crop_takes_the_middle_and_pad_keeps_all() -> None:
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    assert (squared(wide, 10, "crop") == 200).all()
    padded = squared(wide, 30, "pad")
    assert padded.shape == (30, 30)
    assert np.array_equal(padded[10:20], wide)
    assert padded[:10].max() == padded[20:].max() == 0


def _truncated_jpeg(path: Path) -> None:
    picture(1, size=(200, 200)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:4000])


def _truncated_png(path: Path) -> None:
    picture(1, size=(200, 200)).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:4000])


def _flipped_png(path: Path) -> None:
    picture(1, size=(200, 200)).save(path, "PNG")
    content = bytearray(path.read_bytes())
    content[3000] ^= 0xFF
    path.write_bytes(content)


def _frames(path: Path) -> None:
    picture(1).save(path, "TIFF", save_all=True, append_images=[picture(2)])


def _bomb(path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))))


BAD_FILES = {
    "empty": ("x.png", lambda path: path.write_bytes(b""), "is empty"),
    "text": ("x.png", lambda path: path.write_text("not an image"), "not a PNG, JPEG or TIFF"),
    "truncated jpeg": ("x.jpg", _truncated_jpeg, "truncated"),
    "truncated png": ("x.png", _truncated_png, "torn"),
    "flipped png": ("x.png", _flipped_png, "torn"),
    "two frames": ("x.tif", _frames, "2 frames"),
    "bomb": ("x.png", _bomb, "too large"),
}


@pytest.mark.parametrize("kind", list(BAD_FILES))
def test_a_bad_file_is_named_or_skipped(tmp_path: Path, kind: str) -> None:
    name, write, words = BAD_FILES[kind]
    bad = fill(tmp_path) / "ill" / name
    write(bad)
    with pytest.raises(DataError, match=words) as caught:
        load(str(tmp_path))
    assert str(bad) in str(caught.value)
    assert "--skip-bad" in str(caught.value) or caught.value.hint
    heard = Heard()
    dataset, skipped = load_folder(tmp_path, skip_bad=True, progress=heard)
    assert [item.file for item in skipped] == [bad]
    assert words in skipped[0].reason
    assert sum(len(s) for s in dataset.splits.values()) == 24
    assert str(bad) in heard.lines[0]
    assert heard.steps == 25


def test_a_class_of_bad_files_only_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="class 'third' has no readable image"):
        load(str(tmp_path), skip_bad=True)


def test_hidden_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "ill" / "._p0_0.png").write_bytes(b"resource fork")
    (tmp_path / "notes.txt").write_text("hello")
    assert sum(len(s) for s in load(str(tmp_path)).splits.values()) == 24


def test_an_image_outside_every_class_is_refused_by_name(tmp_path: Path) -> None:
    picture(1).save(fill(tmp_path) / "stray.png")
    with pytest.raises(DataError, match=r"stray\.png stands in no class directory"):
        load(str(tmp_path))


def test_train_without_test_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    with pytest.raises(DataError, match="no image in test"):
        load(str(tmp_path))


def test_a_directory_beside_train_and_test_is_refused_by_name(tmp_path: Path) -> None:
    for part in ("train", "test", "extra"):
        fill(tmp_path / part)
    with pytest.raises(DataError, match="extra stands beside"):
        load(str(tmp_path))


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image under"):
        load(str(tmp_path))


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one class only"):
        load(str(fill(tmp_path, ("alone",))))


def test_a_class_of_too_few_patients_is_refused_by_name(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "rare").mkdir()
    picture(1).save(tmp_path / "rare" / "a.png")
    with pytest.raises(DataError, match="class 'rare'"):
        load(str(tmp_path))


@pytest.mark.parametrize("source", ["phantm", "no/such/place", "no.npz"])
def test_a_missing_source_is_a_usage_error_with_a_hint(source: str) -> None:
    with pytest.raises(UsageError, match="no such file") as caught:
        load(source)
    assert "phantom" in (caught.value.hint or "")


def test_an_unknown_kind_of_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "data.h5").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"data\.h5 is not a data set"):
        load(str(tmp_path / "data.h5"))


@pytest.mark.parametrize(
    "wrong", [{"thief_fraction": 1.0}, {"thief_fraction": -0.1}, {"size": 0}, {"window": (0.0, 0.0)}]
)
def test_wrong_settings_are_usage_errors(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        load(str(fill(tmp_path)), **wrong)  # type: ignore[arg-type]
