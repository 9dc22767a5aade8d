import pytest

from cavs_dist.data.remote.address import Address, host_of, is_address, parse_address
from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.errors import InputError

RULES = RemoteConfig(hosts=("shards.example.org", "example.org:8443", "[::1]:8000"), buckets=("a.bucket",))


@pytest.mark.parametrize(
    ("text", "host", "path"),
    [
        ("https://shards.example.org/avs/v1/", "shards.example.org", "avs/v1"),
        ("https://SHARDS.example.org:443/avs", "shards.example.org", "avs"),
        ("https://example.org:8443/", "example.org:8443", ""),
        ("https://[::1]:8000/a b/ä", "[::1]:8000", "a b/ä"),
        ("s3://a.bucket/some/prefix", "a.bucket", "some/prefix"),
    ],
)
def test_what_is_listed_may_be_read(text: str, host: str, path: str) -> None:
    address = parse_address(text, RULES)
    assert (address.host, address.path) == (host, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://evil.example/avs", "'evil.example' may not be read: data.remote.hosts lists shards"),
        ("https://shards.example.org.evil.example/", "hosts"),
        ("https://example.org/avs", "hosts"),  # on another port
        ("http://shards.example.org/avs", "http:// may not be read"),
        ("file:///etc/passwd", "file:// may not be read: expected a folder, or an address of https, s3"),
        ("gopher://shards.example.org/", "gopher:// may not be read"),
        ("s3://shards.example.org/", "data.remote.buckets lists a.bucket"),
        ("https://a.bucket/", "hosts"),
        ("https:///avs", "''"),
        ("https://example.org:port/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
    ],
)
def test_what_is_not_listed_may_not(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        parse_address(text, RULES)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:geheim@shards.example.org/avs",
        "https://geheim@shards.example.org/avs",
        "https://shards.example.org/avs?token=geheim",
        "https://shards.example.org/avs#geheim",
        "https://shards.example.org/avs?",
        "https://shards.example.org/../geheim",
        "https://shards.example.org\\@evil.example/geheim",
        "https://shards.example.org/a\ngeheim",
        "s3://name:geheim@a.bucket/",
        "s3://a.bucket/x?versionId=geheim",
    ],
)
def test_a_secret_or_a_trick_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError, match="not shown: it may hold a secret") as caught:
        parse_address(text, RULES)
    assert "geheim" not in str(caught.value)


def test_places_below_and_above() -> None:
    folder = parse_address("https://shards.example.org/avs/v1", RULES)
    tar = folder / "train-000000.tar"
    assert str(tar) == "https://shards.example.org/avs/v1/train-000000.tar"
    assert (tar.name, tar.parent) == ("train-000000.tar", folder)
    assert str(Address("s3", "a.bucket", "", RULES) / "x.json") == "s3://a.bucket/x.json"


def test_hosts_have_one_spelling() -> None:
    assert host_of("https", "Example.org", 443) == host_of("https", "example.org", None) == "example.org"
    assert host_of("http", "example.org", 443) == "example.org:443"
    assert host_of("http", "::1", 80) == "[::1]"


def test_an_address_is_told_from_a_path() -> None:
    assert is_address("https://h/x") and is_address("s3://b") and is_address("file:///x")
    assert not is_address("pipe:curl https://h") and not is_address("shards") and not is_address("/a://b")
