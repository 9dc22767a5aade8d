import dataclasses

from cavs_dist.data.remote.config import RemoteConfig


def test_every_key_is_described_and_no_server_is_trusted_unasked() -> None:
    described = str(RemoteConfig.__doc__)
    assert not [
        field.name
        for field in dataclasses.fields(RemoteConfig)
        if f"{field.name}:" not in described and f"{field.name}," not in described
    ]
    assert not RemoteConfig().hosts and not RemoteConfig().buckets and "http" not in RemoteConfig().schemes


def test_patience_with_one_file_ends_before_a_rank_counts_as_lost() -> None:
    rules = RemoteConfig()
    assert rules.attempts * rules.request + rules.backoff * 2**rules.attempts < 600
