"""DICOM folders with labels. The files are written here by pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset as DicomDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless, generate_uid

from foundation.errors import DataError
from foundation.progress import Silent
from victim.loaders import load, load_dicom
from victim.loaders.dicom_slice import read_slice


class Heard(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def write(path: Path, stored: np.ndarray[Any, Any], **elements: Any) -> Path:
    """A DICOM image of 16-bit pixels; `elements` add or replace, None removes."""
    dataset = DicomDataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = elements.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    compress = elements.pop("compress", None)
    given = {
        "PatientName": "Doe^Jane",
        "PatientID": "MRN-0042",
        "Modality": "CT",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PixelData": stored.tobytes(),
    } | elements
    for key, value in given.items():
        if value is not None:
            setattr(dataset, key, value)
    if compress is not None:
        dataset.compress(compress, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def ramp() -> np.ndarray[Any, np.dtype[np.uint16]]:
    return np.linspace(0, 2048, 64, dtype=np.uint16).reshape(8, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty slices of twenty patients, two classes."""
    generator = np.random.default_rng(0)
    lines = ["file,label"]
    for number in range(40):
        stored = generator.integers(0, 2048, (8, 8)).astype(np.uint16)
        write(tmp_path / f"s{number:02}.dcm", stored, PatientID=f"MRN-{number // 2}")
        lines.append(f"s{number:02}.dcm,{'ill' if number // 2 % 2 else 'healthy'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


def test_a_labelled_folder_is_split_by_patient(folder: Path) -> None:
    dataset = load(str(folder), size=16)
    assert dataset.class_names == ("healthy", "ill")
    assert dataset.image_shape == (16, 16, 1)
    assert {name: len(s) for name, s in dataset.splits.items()} == {"train": 12, "val": 4, "test": 8, "thief": 16}
    assert all((np.unique(s.patients, return_counts=True)[1] == 2).all() for s in dataset.splits.values())
    assert load(str(folder), size=16, seed=0).sha256 == dataset.sha256 != load(str(folder), size=16, seed=1).sha256


def test_the_order_of_the_lines_changes_nothing(folder: Path) -> None:
    before = load(str(folder)).sha256
    head, *rest = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join([head, *reversed(rest)]))
    assert load(str(folder)).sha256 == before


def test_patients_are_running_numbers_that_tell_nothing_of_the_id(folder: Path) -> None:
    dataset = load(str(folder))
    numbers = np.concatenate([s.patients for s in dataset.splits.values()])
    assert sorted(set(numbers.tolist())) == list(range(20))


def test_the_tables_patient_goes_before_the_files(folder: Path) -> None:
    lines = (folder / "labels.csv").read_text().splitlines()
    rows = [f"{line},{'patient' if row == 0 else f'P{row}'}" for row, line in enumerate(lines)]
    (folder / "labels.csv").write_text("\n".join(rows))
    dataset = load(str(folder))
    assert len(np.unique(np.concatenate([s.patients for s in dataset.splits.values()]))) == 40


def test_rescale_and_a_given_window_are_applied(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", ramp(), RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=9, WindowWidth=9)
    hounsfield = ramp().astype(float) * 2 - 1000
    expected = np.clip((hounsfield - (40 - 200)) * 255 / 400, 0, 255)
    got = read_slice(path, size=8, window=(40.0, 400.0))
    assert np.abs(got.pixels - expected).max() <= 0.51
    assert got.own_window is None


def test_the_files_first_window_is_used_where_none_is_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", ramp(), WindowCenter=[0, -600], WindowWidth=[700, 1500])
    got = read_slice(path, size=8)
    assert got.own_window == (0.0, 700.0)
    assert np.array_equal(got.pixels, read_slice(path, size=8, window=(0.0, 700.0)).pixels)


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_of_no_width_in_the_file_is_passed_over(tmp_path: Path, width: int) -> None:
    got = read_slice(write(tmp_path / "a.dcm", ramp(), WindowCenter=0, WindowWidth=width), size=8)
    assert got.own_window is None


def test_ct_without_a_window_shows_lung_and_mediastinum(tmp_path: Path) -> None:
    got = read_slice(write(tmp_path / "a.dcm", ramp()), size=8).pixels
    expected = np.clip((ramp().astype(float) - 1024 + 1000) * 255 / 1400, 0, 255)
    assert np.abs(got - expected).max() <= 0.51


def test_other_modalities_without_a_window_take_the_stored_bits_range(tmp_path: Path) -> None:
    stored = ramp()  # up to 2048 of 12 bits: mid-grey, whatever the image's own maximum
    path = write(tmp_path / "a.dcm", stored, Modality="DX", BitsStored=12, HighBit=11, RescaleSlope=None)
    got = read_slice(path, size=8).pixels
    assert np.abs(got - stored * (255 / 4095)).max() <= 0.51


def test_signed_pixels_are_read_signed(tmp_path: Path) -> None:
    stored = (ramp().astype(np.int16) - 1024).astype(np.int16)
    got = read_slice(write(tmp_path / "a.dcm", stored, RescaleIntercept=0), size=8, window=(0.0, 2048.0)).pixels
    assert np.abs(got - np.clip((stored + 1024.0) * 255 / 2048, 0, 255)).max() <= 0.51


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    straight = read_slice(write(tmp_path / "a.dcm", ramp()), size=8).pixels
    path = write(tmp_path / "b.dcm", ramp(), PhotometricInterpretation="MONOCHROME1")
    assert np.abs(read_slice(path, size=8).pixels.astype(int) - (255 - straight.astype(int))).max() <= 1
    assert straight.std() > 10


def test_rle_is_decoded(tmp_path: Path) -> None:
    plain = read_slice(write(tmp_path / "a.dcm", ramp()), size=8).pixels
    packed = read_slice(write(tmp_path / "b.dcm", ramp(), compress=RLELossless), size=8).pixels
    assert np.array_equal(plain, packed)


def test_files_without_a_suffix_are_found_through_the_table(folder: Path) -> None:
    for file in folder.glob("*.dcm"):
        file.rename(file.with_suffix(""))
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace(".dcm", ""))
    assert sum(len(s) for s in load(str(folder)).splits.values()) == 40


def test_a_file_without_patient_counts_as_its_own_and_is_told(folder: Path) -> None:
    write(folder / "s00.dcm", ramp(), PatientID="")
    heard = Heard()
    dataset, _ = load_dicom(folder, progress=heard)
    assert len(np.unique(np.concatenate([s.patients for s in dataset.splits.values()]))) == 21
    assert heard.lines[0].startswith("1 files tell no patient")


def test_differing_windows_of_files_are_told(folder: Path) -> None:
    for number in range(2):
        write(folder / f"s0{number}.dcm", ramp(), WindowCenter=number, WindowWidth=100, PatientID="MRN-0")
    heard = Heard()
    load_dicom(folder, progress=heard)
    assert any("2 different windows" in line for line in heard.lines)
    quiet = Heard()
    load_dicom(folder, window=(0.0, 100.0), progress=quiet)
    assert quiet.lines == []


def _cut(path: Path) -> None:
    write(path, ramp())
    path.write_bytes(path.read_bytes()[:-20])


def _undecodable(path: Path) -> None:
    write(path, ramp(), PixelData=None)
    dataset = DicomDataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3"
    dataset.Rows = dataset.Columns = 8
    dataset.PatientID = "MRN-0042"
    from pydicom.encaps import encapsulate

    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xf7" + bytes(20)])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)


BAD_FILES = {
    "missing": (lambda path: path.unlink(), "does not exist"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_text("hello" * 100), "not a DICOM file"),
    "cut pixels": (_cut, "cannot read DICOM file"),
    "no pixels": (lambda path: write(path, ramp(), PixelData=None), "no pixel data"),
    "frames": (lambda path: write(path, ramp(), NumberOfFrames=2, PixelData=ramp().tobytes() * 2), "2 frames"),
    "undecodable": (_undecodable, "no installed decoder|cannot read"),
    "palette": (lambda path: write(path, ramp(), PhotometricInterpretation="PALETTE COLOR"), "PALETTE COLOR"),
    "infinite": (lambda path: write(path, ramp(), RescaleSlope="1e400"), "not finite"),
    "flat": (lambda path: write(path, ramp(), RescaleSlope=0, Modality="DX"), "rescale slope"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", list(BAD_FILES))
def test_a_bad_file_is_named_or_skipped_and_its_patient_never_told(
    folder: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil, words = BAD_FILES[kind]
    bad = folder / "s07.dcm"
    spoil(bad)
    capfd.readouterr()
    with pytest.raises(DataError, match=words) as caught:
        load(str(folder))
    assert str(bad) in str(caught.value)
    heard = Heard()
    dataset, skipped = load_dicom(folder, skip_bad=True, progress=heard)
    assert [item.file for item in skipped] == [bad]
    assert sum(len(s) for s in dataset.splits.values()) == 39
    told = "".join([str(caught.value), *heard.lines, *capfd.readouterr()])
    assert "MRN" not in told
    assert "Doe" not in told


BAD_TABLES = {
    "no columns file and label": "s00.dcm,healthy\ns01.dcm,ill",
    "names no files": "file,label\n",
    "line 2: no label": "file,label\ns00.dcm,",
    "line 3: no file": "file,label\ns00.dcm,ill\n,ill",
    "not inside": "file,label\n../s00.dcm,ill",
    "twice": "file,label\ns00.dcm,ill\ns00.dcm,healthy",
}


@pytest.mark.parametrize("message", list(BAD_TABLES))
def test_a_bad_table_is_refused_by_name(folder: Path, message: str) -> None:
    (folder / "labels.csv").write_text(BAD_TABLES[message])
    with pytest.raises(DataError, match=message) as caught:
        load(str(folder))
    assert "labels.csv" in str(caught.value)


def test_a_table_that_is_not_text_is_refused(folder: Path) -> None:
    (folder / "labels.csv").write_bytes(b"file,label\n\xff\xfe,ill\n")
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        load(str(folder))


def test_dicom_without_a_table_is_refused_with_a_hint(folder: Path) -> None:
    (folder / "labels.csv").unlink()
    with pytest.raises(DataError, match="no CSV file") as caught:
        load(str(folder))
    assert "file,label" in (caught.value.hint or "")


def test_two_tables_need_a_choice(folder: Path) -> None:
    table = (folder / "labels.csv").rename(folder / "a.csv")
    (folder / "b.csv").write_text(table.read_text())
    with pytest.raises(DataError, match="2 CSV files"):
        load(str(folder))
    assert len(load(str(folder), labels_csv=table).test) == 8


def test_whole_number_labels_sort_as_numbers(folder: Path) -> None:
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace("healthy", "10").replace("ill", "9"))
    assert load(str(folder)).class_names == ("9", "10")
