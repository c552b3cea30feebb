"""An approval is of one file under one policy, in one role."""

from dataclasses import replace

import pytest

from wherry.contracts import Approval, Blessing, check_approvals, digest_bytes
from wherry.contracts.errors import ApprovalError

FILE, POLICY, OTHER = (digest_bytes(text) for text in (b"file", b"policy", b"other"))
BLESSED = Blessing(True, FILE, POLICY, FILE, (), required_approvals=("safety", "release"))
SAFETY = Approval("safety", FILE, POLICY, "ann", "I read the report.", "2026-06-01T00:00:00Z")
RELEASE = replace(SAFETY, role="release", who="bob")


def test_every_role_must_have_approved() -> None:
    check_approvals(BLESSED, [SAFETY, RELEASE])
    check_approvals(replace(BLESSED, required_approvals=()))
    with pytest.raises(ApprovalError, match="an approval as release") as caught:
        check_approvals(BLESSED, [SAFETY])
    assert (caught.value.code, caught.value.exit_code) == ("E_APPROVAL", 3)
    with pytest.raises(ApprovalError, match="safety, release"):
        check_approvals(BLESSED)


@pytest.mark.parametrize("field", ["model_digest", "policy_digest"])
def test_an_approval_of_something_else_does_not_count(field: str) -> None:
    stale = replace(RELEASE, **{field: OTHER})
    with pytest.raises(ApprovalError, match="release"):
        check_approvals(BLESSED, [SAFETY, stale])


@pytest.mark.parametrize("again", ["Ann", "ANN", " ann", "ａｎｎ"])
def test_one_person_by_several_spellings_is_one_person(again: str) -> None:
    with pytest.raises(ApprovalError, match="an approval as"):
        check_approvals(BLESSED, [SAFETY, replace(RELEASE, who=again)])
