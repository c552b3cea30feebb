"""The values that rooms hand each other: frozen, versioned, and light to import."""

from wherry.contracts.blessing import Blessing, Check
from wherry.contracts.dataset import (
    Cleaned,
    Dataset,
    Kind,
    Message,
    Row,
    Source,
    Split,
    fault_of,
    read_rows,
)
from wherry.contracts.digest import (
    ArtifactRef,
    Digest,
    FileEntry,
    Manifest,
    digest_bytes,
    digest_file,
    digest_record,
)
from wherry.contracts.errors import WherryError
from wherry.contracts.model import ModelRef
from wherry.contracts.release import Code, Deployment, Lineage, Release
from wherry.contracts.scores import Metric, Scores
from wherry.contracts.settings import read_settings
from wherry.contracts.uri import Uri, parse_uri
from wherry.contracts.validation import (
    Change,
    Expectation,
    Quarantined,
    ReasonCount,
    SetAside,
    Since,
    ValidationReport,
)

__all__ = [
    "ArtifactRef",
    "Blessing",
    "Change",
    "Check",
    "Cleaned",
    "Code",
    "Dataset",
    "Deployment",
    "Digest",
    "Expectation",
    "FileEntry",
    "Kind",
    "Lineage",
    "Manifest",
    "Message",
    "Metric",
    "ModelRef",
    "Quarantined",
    "ReasonCount",
    "Release",
    "Row",
    "Scores",
    "SetAside",
    "Since",
    "Source",
    "Split",
    "Uri",
    "ValidationReport",
    "WherryError",
    "digest_bytes",
    "digest_file",
    "digest_record",
    "fault_of",
    "parse_uri",
    "read_rows",
    "read_settings",
]
