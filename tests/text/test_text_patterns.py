"""What the built-in patterns find, and what they let stand."""

import string
import time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.contracts.errors import SettingsError
from wherry.text.checks import luhn_holds
from wherry.text.measure import measure
from wherry.text.patterns import PII, SECRETS, Pattern

FOUND = {
    "pii_email": (
        "Write to ann.smith@example.org today.",
        "ANN@EXAMPLE.COM",
        "mailto:bob+news@mail.example.co.uk",
        "<o'neil@example.ie>",
        "Kontakt: jörg.müller@käse-händler.de",
        "first_last-99%x@sub.domain.example",
        "(a@b.io), c",
        "email=x.y@example.travel;next",
        "user:pw1@example.com in a link",
        "送信先：tanaka@example.jp",
        "ana@correo.com.py",
    ),
    "pii_phone": (
        "Call 212-555-0123 after six.",
        "Tel.: (030) 1234 5678",
        "mobile 07700 900123",
        "+44 20 7946 0958",
        "Reach us at +1 (212) 555-0123 or by post",
        "+49-30-901820",
        "fax 0301234567",
        "Phone: 2125550123",
        "Téléphone 01 23 45 67 89",
        "212.555.0123 (cell)",
        "He phoned from 1-800-555-0199.",
        "Call me on 020 7946 0958",
        "My number is 212-555-0123",
        "Contact me at 212-555-0123",
        "Contact number: 2125550123",
        "You may reach him at 212 555 0123.",
        "Ph: 212-555-0123",
        "Telefonnummer: 030 1234567",
        "Handynr. 0171 2345678",
        "Mobil 0171/2345678",
        "Rückrufnummer 0301234567",
        "phone 212\u2011555\u20110123",
        "Téléphone 01.02.03.04.05",
    ),
    "pii_card": (
        "Visa 4111 1111 1111 1111 exp 12/27",
        "4111111111111111",
        "5555-5555-5555-4444",
        "amex 3782 822463 10005",
        "378282246310005",
        "discover 6011000990139424.",
        "JCB 3530111333300000",
        "diners 3056 930902 5904",
        "2223003122003222 (Mastercard 2-series)",
        "paid: 12 4111 1111 1111 1111 123",
        "order 77, card:4222222222222",
        "4111\u00a01111\u00a01111\u00a01111",
        "Ann,3,4111111111111111,12/27,123",
        "4111111111111111,0527",
        "1111 1111 4111 1111 1111 1111",
    ),
    "pii_iban": (
        "DE89 3704 0044 0532 0130 00",
        "DE89370400440532013000",
        "IBAN: GB29 NWBK 6016 1331 9268 19 please",
        "gb29nwbk60161331926819",
        "FR1420041010050500013M02606",
        "NO9386011117947",
        "transfer to NL91-ABNA-0417-1643-00.",
        "CH9300762011623852957, Zürich",
        "XX12 ABCD GB29 NWBK 6016 1331 9268 19",
        "MT84MALT011000012345MTLCAST001S",
    ),
    "pii_ssn": (
        "SSN 123-45-6789",
        "123-45-6789",
        "social security number 123456789",
        "SSN: 123 45 6789.",
        "(001-01-0001)",
        "his ss# is 665-99-9999",
        "SSN=899.12.3456",
        "SSN,078-05-1120",
        "Ann,42,123-45-6789,7 Elm Street",
        "SSN-123-45-6789",
        "SSN/DOB: 123-45-6789/01-02-1990",
        "123\u201145\u20116789",
        "123–45–6789",
    ),
    "pii_ip": (
        "from 203.0.113.7",
        "host 10.2.3.4:8080 refused",
        "192.168.1.20.",
        "http://198.51.100.23/login",
        "2001:db8::1",
        "fe80::1ff:fe23:4567:890a%eth0",
        "[2001:0db8:85a3:0000:0000:8a2e:0370:7334]:443",
        "::ffff:192.0.2.128",
        "client=172.16.254.1,",
        "fd12:3456:789a:1::1 is ours.",
    ),
    "pii_mrn": (
        "MRN: 0012345",
        "MRN 00-12-34-56",
        "medical record no. A1234567",
        "Medical Record Number: 12345678",
        "patient id 998877",
        "Patient ID: PT-445566",
        "(MRN#7654321)",
        "patient id mrn 12345",
        "chart number is 445566",
        "NHS number 943 476 5919",
        "Pt ID 998877",
        "pt. no: 445566",
        "MR No. 123456",
        "Mr number is 445566",
    ),
}

LEFT = {
    "pii_email": (
        "Meet @ 5 p.m. at the ward",
        "@dataclass.field",
        "user@host",
        "icon@2x.png",
        "git@github.com:wherry-ml/wherry",
        "a @ b . com",
        "5mg@8h",
        "twitter: @example.org",
    ),
    "pii_phone": (
        "E11.9, I10 and M54.5; call the ward",
        "Seen on 2024-03-12, call back 12.03.2024",
        "Call if pain > 7; metformin 500 mg, 850 mg, 1000 mg",
        "Call about order 1234567890",
        "12345678 tablets",
        "212-555-0123",
        "phone consult for 401.9 250.00",
        "called at 10:30, BP 140/90, HR 88",
        "+5 points and +12.5 mg",
        "phone ref no. 2024-5566-7788",
        "on call: beds 12 13 14 15",
        "phoned on 03.12.24 10:30",
        "called on 12 03 2024",
        "pH: 7.35 / 45 / 189 / 24",
    ),
    "pii_card": (
        "4111 1111 1111 1112",
        "1234567890123",
        "120 80 72 36 98 14 110 70",
        "trace 4111111111111111a",
        "0.4111111111111111",
        "0,4111111111111111",
        "4111111111111111.5",
        "1700000000000",
        "ISBN 978-3-16-148410-0",
        "9999 9999 9999 9999",
        "4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1",
        "0000000000000000",
    ),
    "pii_iban": (
        "DE89 3704 0044 0532 0130 01",
        "DE8937040044053201300",
        "ZZ89370400440532013000",
        "AB12 this text goes on and on",
        "DE89370400440532013000X",
        "ICD E11 I10 J45",
        "GB29",
        "ES12 patients were seen today in all",
    ),
    "pii_ssn": (
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "123-00-4567",
        "123-45-0000",
        "123456789",
        "12-123-45-6789",
        "123-45-6789-22",
        "2024-03-12",
    ),
    "pii_ip": (
        "version 1.2.3.4",
        "v1.2.3.4",
        "firmware 10.2.3.4",
        "at 10:30:45 sharp",
        "127.0.0.1",
        "256.1.1.1",
        "1.2.3.4.5",
        "std::vector and a::b",
        "00:1A:2B:3C:4D:5E",
        "section 4.1.2.3",
        "ratio 1:2:3",
        "::1",
    ),
    "pii_mrn": (
        "MRN not recorded",
        "patient is 45 years old",
        "patient id verified 2024-03-12",
        "the patient had 12345 steps",
        "MRN: 2024-03-12",
        "record 12345",
        "patient no longer takes 1000 mg",
        "chart review of 5 cases",
        "pt no longer takes 1000 mg",
        "Mr Nolan took 1000 mg",
    ),
}


def found(name: str, text: str) -> bool:
    return bool(measure(pl.Series([text]), [name])[name][0])


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in FOUND.items() for t in texts])
def test_personal_data_is_found(name: str, text: str) -> None:
    assert found(name, text)
    assert found("pii", text)


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in LEFT.items() for t in texts])
def test_what_only_looks_like_it_is_let_stand(name: str, text: str) -> None:
    assert not found(name, text)


def test_every_built_in_pattern_of_personal_data_has_a_table() -> None:
    assert set(FOUND) == set(LEFT) == {f"pii_{pattern.name}" for pattern in PII}


# Put together here, so that no scanner takes this file for a leak.
LETTERS = "aB3dE5fG7hJ9kL1mN0pQ2rS4tU6vW8xY" * 4


def leaked(*parts: str) -> str:
    return "".join(parts)


SECRET = {
    "secret_private_key": (
        leaked(
            "-----BEGIN ", "RSA PRIVATE KEY-----\n", LETTERS[:64], "\n-----END RSA PRIVATE KEY-----"
        ),
        leaked("-----BEGIN ", "OPENSSH PRIVATE KEY-----"),
        leaked("key = '-----BEGIN ", "PRIVATE KEY-----\\n", LETTERS[:64], "'"),
    ),
    "secret_aws_key": (
        leaked("AK", "IA", "IOSFODNN7EXAMPLE"),
        leaked("aws_secret_", "access_key = ", LETTERS[:40]),
        leaked('AWS secret key: "', LETTERS[:40], '"'),
    ),
    "secret_github_token": (
        leaked("gh", "p_", LETTERS[:36]),
        leaked("github_", "pat_", LETTERS[:22], "_", LETTERS[:59]),
        leaked("token ghs", "_", LETTERS[:36], "."),
    ),
    "secret_gitlab_token": (leaked("glp", "at-", LETTERS[:20]), leaked("gld", "t-", LETTERS[:20])),
    "secret_slack_token": (
        leaked("xox", "b-123456789012-", LETTERS[:24]),
        leaked("https://hooks.", "slack.com/services/T000/B000/", LETTERS[:24]),
    ),
    "secret_google_key": (leaked("AI", "za", LETTERS[:35]),),
    "secret_anthropic_key": (leaked("sk-", "ant-api03-", LETTERS[:60]),),
    "secret_openai_key": (
        leaked("sk", "-", LETTERS[:48]),
        leaked("sk", "-proj-", LETTERS[:60]),
    ),
    "secret_hf_token": (leaked("h", "f_", LETTERS[:34]),),
    "secret_stripe_key": (leaked("sk", "_live_", LETTERS[:24]),),
    "secret_package_token": (
        leaked("np", "m_", LETTERS[:36]),
        leaked("py", "pi-", LETTERS[:60]),
    ),
    "secret_jwt": (leaked("ey", "J", LETTERS[:20], ".ey", "J", LETTERS[:30], ".", LETTERS[:43]),),
    "secret_url_password": (leaked("postgres://app:", "s3cr3t9", "@db.example/x"),),
    "secret_password": (
        leaked("password = ", "hunter2!x"),
        leaked('"api_key": "', LETTERS[:24], '"'),
        leaked("The password is ", "Tr0ub4dor&3."),
        leaked("client_secret:", "kJhG7fDs2A"),
        leaked("Authorization: ", "Bearer ", LETTERS[:24]),
        leaked("PWD=", "Winter2024!"),
        leaked("access token => '", LETTERS[:30], "'"),
        leaked("passphrase: ", "c0rrect-h0rse"),
        leaked("<db:password>", "Tr0ub4dor&3", "</db:password>"),
        leaked("deploy --db-password ", "Tr0ub4dor3", " --force"),
        leaked("login --token ", LETTERS[:24]),
    ),
}

NO_SECRET = {
    "secret_private_key": ("-----BEGIN PUBLIC KEY-----", "BEGIN PRIVATE KEY", "a private key"),
    "secret_aws_key": ("AKIA", "aws secret key: see the vault", "AKIAshort"),
    "secret_github_token": ("ghp_short", "the ghp_ prefix", "github_pat_x"),
    "secret_gitlab_token": ("glpat-", "glpat-short"),
    "secret_slack_token": ("xoxb-", "slack.com/services"),
    "secret_google_key": ("AIza", "AIzaShort"),
    "secret_anthropic_key": ("sk-ant-", "sk-ant-x"),
    "secret_openai_key": ("sk-learn-and-some-more-long-words", "risk-" + "a" * 30, "sk-12"),
    "secret_hf_token": ("hf_hub_download", "hf_short"),
    "secret_stripe_key": ("sk_live_", "task_live_abc"),
    "secret_package_token": ("npm_config_registry", "pypi-server"),
    "secret_jwt": ("eyJ", "eyJhbGciOi.only"),
    "secret_url_password": ("http://example.org:8080/a@b", "https://user@example.org"),
    "secret_password": (
        "password: required",
        "The password is required here",
        "password = os.environ['DB']",
        "api_key=YOUR_API_KEY_HERE1",
        "secret: xxxxxxxx1",
        "password=[SECRET]",
        "the secret is patience and practice",
        "max_tokens = 12345678",
        "password: ${DB_PASSWORD}",
        "credentials: MD, PhD, FACS",
        "<label>Password</label>",
        "run --max-new-tokens 12345678 --token-file secrets.txt",
    ),
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in SECRET.items() for t in texts])
def test_secrets_are_found(name: str, text: str) -> None:
    assert found(name, text)
    assert found(name, f"Note: {text}\nThanks.")
    assert found("secret", text)


@pytest.mark.parametrize(
    ("name", "text"), [(n, t) for n, texts in NO_SECRET.items() for t in texts]
)
def test_talk_of_secrets_is_none(name: str, text: str) -> None:
    assert not found(name, text)


def test_every_built_in_secret_has_a_table() -> None:
    assert set(SECRET) == set(NO_SECRET) == {f"secret_{pattern.name}" for pattern in SECRETS}


PROSE = st.text(alphabet=string.ascii_letters + string.digits + " .,;:!?äß漢\n", max_size=60)
SIZES = {"4": 16, "51": 16, "37": 15, "6011": 16, "2221": 16, "3528": 16}


@st.composite
def cards(draw: st.DrawFn) -> str:
    prefix = draw(st.sampled_from(sorted(SIZES)))
    rest = SIZES[prefix] - len(prefix) - 1
    body = prefix + draw(st.text(string.digits, min_size=rest, max_size=rest))
    digits = next(body + last for last in string.digits if luhn_holds(body + last))
    if len(digits) == 16 and (gap := draw(st.sampled_from(["", " ", "-"]))):
        return gap.join(digits[at : at + 4] for at in range(0, 16, 4))
    return digits


@st.composite
def ibans(draw: st.DrawFn) -> str:
    account = draw(st.text(string.digits, min_size=18, max_size=18))
    check = 98 - int(account + "131400") % 97  # D is 13, E is 14
    iban = f"DE{check:02}{account}"
    return " ".join(iban[at : at + 4] for at in range(0, 22, 4)) if draw(st.booleans()) else iban


LOCAL = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
LABEL = st.text(string.ascii_lowercase, min_size=2, max_size=10).filter(lambda word: word != "git")
EMAILS = st.builds(
    "{}.{}@{}.{}".format, LOCAL, LOCAL, LABEL, st.sampled_from(["org", "de", "co.uk", "museum"])
)


@settings(deadline=None)
@given(PROSE, cards(), PROSE)
def test_a_card_is_found_wherever_it_stands(before: str, card: str, after: str) -> None:
    assert found("pii_card", f"{before} | {card} | {after}")


@settings(deadline=None)
@given(PROSE, ibans(), PROSE)
def test_an_iban_is_found_wherever_it_stands(before: str, iban: str, after: str) -> None:
    assert found("pii_iban", f"{before} | {iban} | {after}")


@settings(deadline=None)
@given(PROSE, EMAILS, PROSE)
def test_an_email_is_found_wherever_it_stands(before: str, email: str, after: str) -> None:
    assert found("pii_email", f"{before} {email} {after}")


@settings(deadline=None)
@given(st.text(string.digits, min_size=13, max_size=19).filter(lambda d: not luhn_holds(d)))
def test_digits_that_fail_luhn_are_no_card(digits: str) -> None:
    assert not found("pii_card", f"number {digits} here")


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_a_measure(text: str) -> None:
    texts = pl.Series([text.encode("utf-8", "replace").decode()])
    assert measure(texts, ["pii", "secret"]).shape == (1, 2)


BADGE = Pattern("badge", r"\bB-[0-9]{6}\b", context=r"(?i)\b(?:badge|staff)\b", reach=10)


def test_a_team_adds_a_pattern_with_a_context() -> None:
    texts = pl.Series(["badge no. B-123456", "part B-123456", "badge of honour, then B-123456"])
    table = measure(texts, ["pii_badge", "pii"], [BADGE])
    assert table["pii_badge"].to_list() == table["pii"].to_list() == [True, False, False]


def test_a_team_adds_to_a_built_in_pattern() -> None:
    own = Pattern("mrn", r"\bKH[0-9]{5}\b")
    texts = pl.Series(["KH12345", "MRN 0012345"])
    assert measure(texts, ["pii_mrn"], [own])["pii_mrn"].to_list() == [True, True]


def test_a_team_checks_its_numbers_by_luhn() -> None:
    own = Pattern("member", r"\bM[0-9]{10}\b", check="luhn")
    texts = pl.Series(["M7992739871", "M0000000018", "M0000000019"])
    assert measure(texts, ["pii_member"], [own])["pii_member"].to_list() == [False, True, False]


@pytest.mark.parametrize(
    ("regex", "word"),
    [("(?=a)b", "look-around"), ("(", "does not compile"), ("a*", "empty"), (r"\b", "empty")],
)
def test_an_unfit_expression_is_refused_by_name(regex: str, word: str) -> None:
    with pytest.raises(SettingsError, match="'badge'") as raised:
        measure(pl.Series(["x"]), ["pii"], [Pattern("badge", regex)])
    assert word in str(raised.value)


def test_an_unfit_context_is_refused_too() -> None:
    with pytest.raises(SettingsError, match="does not compile"):
        measure(pl.Series(["x"]), ["pii"], [Pattern("badge", "b+", context="(?<=a)b")])


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Badge", "regex": "b"},
        {"name": "badge", "regex": ""},
        {"name": "badge", "regex": "b", "check": "nonsense"},
        {"name": "badge", "regex": "b", "reach": -1},
    ],
)
def test_a_pattern_that_could_never_work_is_refused(fields: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        Pattern(**fields)


def test_an_unknown_measure_is_refused_with_the_choices() -> None:
    with pytest.raises(SettingsError, match="'pii_badge' is unknown.*pii_email"):
        measure(pl.Series(["x"]), ["pii_badge"])


CROWDED = {"digits": "1 ", "fours": "1111 ", "telephones": "tel 212-555-0123, "}


@pytest.mark.parametrize("piece", CROWDED.values(), ids=CROWDED)
def test_a_long_text_of_numbers_alone_takes_no_time(piece: str) -> None:
    text = piece * (500_000 // len(piece))
    begun = time.process_time()
    measure(pl.Series([text]), ["pii_card", "pii_phone"])
    assert time.process_time() - begun < 4


def test_a_backtracker_s_bane_takes_no_time() -> None:
    nasty = Pattern("nasty", r"(?:a+)+!")
    assert not measure(pl.Series(["a" * 200_000]), ["pii_nasty"], [nasty])["pii_nasty"][0]
