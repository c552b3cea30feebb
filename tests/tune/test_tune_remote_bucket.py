"""Sealed folders in a bucket: whole or not there."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.contracts import Manifest, digest_bytes
from wherry.contracts.errors import DigestError, FileAccessError, MissingError, UriError
from wherry.tune.adapters.bucket import Bucket, BucketMirror
from wherry.tune.checkpoints import FolderCheckpoints
from wherry.tune.signals import interruptible, wanted_back
from wherry.tune.step import Progress

RUN = digest_bytes(b"run")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    return Bucket("file:bucket")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    moto = pytest.importorskip("moto.server")
    import s3fs

    server = moto.ThreadedMotoServer(port=0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": address}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("mirrored")
    yield Bucket("s3://mirrored/below")
    server.stop()


def sealed(folder: Path, text: str = "weights") -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "state").write_text(text)
    (folder / "deep" / "more").write_text("more")
    Manifest.seal(folder)
    return folder


class Learner:
    """A learner whose state is a number."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def save_state(self, folder: Path) -> None:
        (folder / "state").write_text(str(self.number))

    def load_state(self, folder: Path) -> None:
        self.number = int((folder / "state").read_text())


def test_a_folder_comes_back_byte_for_byte(bucket: Bucket, tmp_path: Path) -> None:
    made = Manifest.read(sealed(tmp_path / "one") / "manifest.json")
    bucket.push(tmp_path / "one", "a/b")
    assert bucket.digest("a/b") == made.digest
    bucket.pull("a/b", tmp_path / "two")
    assert Manifest.verified(tmp_path / "two").digest == made.digest


def test_one_without_its_manifest_is_not_there(bucket: Bucket, tmp_path: Path) -> None:
    bucket.push(sealed(tmp_path / "one"), "a/b")
    (tmp_path / "bucket/a/b/manifest.json").unlink()
    assert bucket.digest("a/b") is None
    assert bucket.folders("a") == []
    with pytest.raises(MissingError):
        bucket.pull("a/b", tmp_path / "two")


def test_changed_bytes_are_refused_and_nothing_is_left(bucket: Bucket, tmp_path: Path) -> None:
    bucket.push(sealed(tmp_path / "one"), "a")
    (tmp_path / "bucket/a/state").write_text("WEIGHTS")
    with pytest.raises(DigestError):
        bucket.pull("a", tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_a_manifest_cannot_lead_outside_its_folder(bucket: Bucket, tmp_path: Path) -> None:
    bucket.push(sealed(tmp_path / "one"), "a")
    place = tmp_path / "bucket/a/manifest.json"
    place.write_text(place.read_text().replace("deep/more", "../../evil"))
    with pytest.raises(Exception, match="leaves its folder"):
        bucket.pull("a", tmp_path / "two")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("uri", ["hf://a/b", "file:../x", "http://x", "pkg://a/b"])
def test_other_places_are_refused(bucket: Bucket, uri: str) -> None:
    with pytest.raises(UriError):
        Bucket(uri)


def test_a_place_that_may_not_be_written_is_told_by_its_address(
    bucket: Bucket, tmp_path: Path
) -> None:
    (tmp_path / "bucket").write_text("a file")
    with pytest.raises(FileAccessError, match="file:bucket/a"):
        bucket.push(sealed(tmp_path / "one"), "a")


@pytest.mark.parametrize("place", ["bucket", pytest.param("s3", marks=pytest.mark.local)])
def test_another_machine_goes_on_from_the_last_checkpoint(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    mirror = BucketMirror(request.getfixturevalue(place), "run")
    one = FolderCheckpoints(tmp_path / "here", RUN, mirror)
    for step in (5, 10, 15):
        one.save(Progress(step=step), Learner(step))  # type: ignore[arg-type] # all it needs
    other, learner = FolderCheckpoints(tmp_path / "there", RUN, mirror), Learner()
    found = other.resume(learner)  # type: ignore[arg-type] # as above
    assert found is not None
    assert (found.step, learner.number) == (15, 15)
    bucket = request.getfixturevalue(place)
    assert bucket.folders("run") == ["step-00000010", "step-00000015"]
    one.clear()
    assert bucket.folders("run") == []


def test_a_spoilt_checkpoint_in_the_bucket_gives_way_to_the_one_before(
    bucket: Bucket, tmp_path: Path
) -> None:
    mirror = BucketMirror(bucket, "run")
    one = FolderCheckpoints(tmp_path / "here", RUN, mirror)
    for step in (5, 10):
        one.save(Progress(step=step), Learner(step))  # type: ignore[arg-type] # as above
    (tmp_path / "bucket/run/step-00000010/state").write_text("99")
    found = FolderCheckpoints(tmp_path / "there", RUN, mirror).resume(Learner())  # type: ignore[arg-type] # as above
    assert found is not None
    assert found.step == 5


def test_a_bucket_out_of_reach_stops_the_run_instead_of_starting_it_anew(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object, **named: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(bucket._fs, "glob", broken)
    one = FolderCheckpoints(tmp_path / "here", RUN, BucketMirror(bucket, "run"))
    with pytest.raises(FileAccessError, match="not yours"):
        one.resume(Learner())  # type: ignore[arg-type] # as above


def test_sigterm_is_heard_once_and_interrupts_the_second_time() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with wanted_back() as leaving:
        assert not leaving()
        os.kill(os.getpid(), signal.SIGTERM)
        assert leaving()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_is_what_ctrl_c_is_where_a_job_runs_elsewhere() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
