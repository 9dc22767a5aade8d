import shlex
from pathlib import Path

from cavs_dist.dashboard.offline import sync_command, unsent


def test_every_start_that_was_not_sent_is_named_in_a_line_that_a_shell_reads(tmp_path: Path) -> None:
    run = tmp_path / "it's a $(run)\n"
    first, second, sent, other = (
        run / "wandb" / name
        for name in (
            "offline-run-20260101_000000-abc",
            "offline-run-20260102_000000-abc",
            "offline-run-20260101_000001-abc",
            "offline-run-20260101_000000-xyz",
        )
    )
    for folder in (second, first, sent, other):
        folder.mkdir(parents=True)
        (folder / "run-abc.wandb").touch()
    (sent / "run-abc.wandb.synced").touch()
    (run / "wandb/latest-run").symlink_to(second)
    assert unsent(run, "abc", online=False) == [first, second]
    assert shlex.split(sync_command([first, second])) == ["wandb", "sync", str(first), str(second)]
    online = run / "wandb/run-20260103_000000-abc"
    online.mkdir()
    assert unsent(run, "abc", online=True) == [first, second, online]
    assert shlex.split(sync_command([online])) == ["wandb", "sync", "--include-online", str(online)]
