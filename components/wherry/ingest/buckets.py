"""What buckets of any provider have in common: no revisions, and names that begin alike."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from wherry.contracts import Source
from wherry.contracts.errors import MissingError, UriError
from wherry.ingest.addresses import below

T = TypeVar("T")


def asked(repo: str, revision: str, path: str) -> Source:
    """Gives what is asked for, its checksum still to be found.

    Args:
        repo: ``s3://BUCKET/PREFIX`` or ``gs://BUCKET/PREFIX``.
        revision: must be empty.
        path: the folder or object below the prefix; empty for all.

    Returns:
        The bucket as the address, and the whole prefix, or one object's name, as the path.

    Raises:
        UriError: if a revision is given, or the path climbs out of the prefix.
    """
    if revision:
        raise UriError(
            f"A bucket has no revisions, got {revision!r} for {repo}.",
            remedy="Leave the revision empty; the checksum pins what is taken.",
        )
    # Not urlsplit(): in an object's name `?` and `#` are letters like any other.
    scheme, _, place = repo.partition("://")
    bucket, _, prefix = place.partition("/")
    return Source(f"{scheme}://{bucket}", "", below(prefix, path), "")


def listed(
    path: str, names: Callable[[T], str], beginning: Callable[[str], Iterator[T]]
) -> tuple[str, list[T]]:
    """Finds the objects below a path; if there are none, the one whose whole name it is.

    Args:
        path: a prefix without slashes at its ends, or an object's name; empty for the bucket.
        names: gives an object's name.
        beginning: lists the objects whose names begin so, sorted by their names.

    Returns:
        What the names of all of them begin with, to be left out of their paths; and the objects.
    """
    prefix = f"{path}/".lstrip("/")
    # A name with a slash at its end is what a console shows as a folder.
    if inside := [item for item in beginning(prefix) if not names(item).endswith("/")]:
        return prefix, inside
    # It comes first of all that begin so: no need to list its neighbours.
    first = next(beginning(path), None) if path else None
    single = [first] if first is not None and names(first) == path else []
    return path[: path.rfind("/") + 1], single


def nothing_at(source: Source) -> MissingError:
    """Gives the error of a prefix without objects."""
    return MissingError(
        f"There is no object at {source.uri}/{source.path}.",
        remedy="Correct the data's address or `path`.",
    )
