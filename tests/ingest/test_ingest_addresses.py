"""What addresses data may come from, and what of them is shown."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.contracts.errors import FormatError, MissingError, UriError
from wherry.ingest.addresses import below, kind_of, redacted, refuse_odd_name, repository


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (".", "dvc"),
        ("/srv/data.git", "dvc"),
        ("https://h/x.git", "dvc"),
        ("git@github.com:org/x.git", "dvc"),
        ("file:///srv/x.git", "dvc"),
        ("hf://datasets/org/name@main", "hf"),
        ("s3://bucket/a/b", "s3"),
        ("gs://bucket", "gs"),
        ("file:rows", "file"),
    ],
)
def test_the_kind_follows_from_the_address(address: str, kind: str) -> None:
    assert kind_of(address) == kind


@pytest.mark.parametrize(
    "address",
    [
        "hf://org/model",
        "hf://datasets/name",
        "hf://datasets/../x",
        "s3:bucket",
        "s3://",
        "s3://B/x",
        "s3://key:secret@bucket/x",
        "gs:///x",
        "gs://bucket/\x1b[2J",
        "s3://bucket/a\nb",
    ],
)
def test_a_malformed_address_is_refused(address: str) -> None:
    with pytest.raises(UriError) as caught:
        kind_of(address)
    assert "secret" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_repositories_are_folders_or_encrypted_addresses(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    good = ("https://h/x.git", "ssh://git@h/x", "git@github.com:org/x.git", f"file://{tmp_path}")
    for address in (str(tmp_path), *good):
        assert repository(address) == address
    for bad in ("http://h/x", "git://h/x", "file:///etc", "ext::sh -c id", "ftp://h/x"):
        with pytest.raises(UriError):
            repository(bad)
    with pytest.raises(MissingError, match="no folder"):
        repository(str(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host/x.git", "https://host/x.git"),
        ("https://secret@host/x", "https://host/x"),
        ("https://me:se@cret@host/x", "https://host/x"),
        ("git@host:x.git", "git@host:x.git"),
        ("no https://a:secret@h/x, nor s3://k:secret@b/y", "no https://h/x, nor s3://b/y"),
        ("404, url='https://h/x?X-Amz-Signature=secret'", "404, url='https://h/x'"),
        ("mail me@host.org at https://host/a@b", "mail me@host.org at https://host/a@b"),
    ],
)
def test_a_password_in_an_address_is_never_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_refused_repository_does_not_show_its_token() -> None:
    with pytest.raises(UriError) as caught:
        repository("http://me:secret@host/x.git")
    assert "secret" not in str(caught.value)


def test_a_path_in_a_bucket_cannot_climb_out() -> None:
    assert below("/a/b/", "./c") == "a/b/c"
    assert below("", "") == ""
    with pytest.raises(UriError):
        below("a", "../b")


@given(st.text(max_size=40))
def test_no_name_that_passes_leaves_its_folder_or_breaks_a_line(name: str) -> None:
    try:
        refuse_odd_name(name, frozenset({"manifest.json"}))
    except FormatError as error:
        assert str(error).isprintable()
        return
    assert Path("/in", name).resolve().is_relative_to("/in")
    assert Path("/in", name) != Path("/in")
    assert name.isprintable()
