from dataclasses import asdict

from cavs_dist.doctor.finding import Finding


def test_a_finding_survives_the_way_between_processes() -> None:
    finding = Finding("warning", "little room", "free some")
    assert Finding(**asdict(finding)) == finding
