"""What is computed of a flow's measurements."""

from __future__ import annotations

from moorage.lab.traffic import Arrival, Failure, Probes, Side, Stall, TcpReport, UdpReport

MS = 1_000_000


def test_probes() -> None:
    # The second was lost, the third could not be sent, the last two changed places.
    probes = Probes(sent=(10, 20, 0, 40, 50), received=(12, 0, 0, 56, 53))
    assert probes.lost == 1
    assert probes.arrivals() == [12, 53, 56]
    assert probes.longest_gap() == 41
    assert Probes((), ()).longest_gap() == 0


def test_what_came_first_after_a_moment() -> None:
    up = Probes(sent=(10, 20, 30, 40), received=(35, 0, 48, 45))
    down = Probes(sent=(10, 20, 30), received=(15, 31, 29))
    report = UdpReport(up, down, ())
    # Upwards, what was sent before the moment does not count, even if it arrived later.
    assert report.up_after(15) == 45
    assert report.up_after(41) is None
    # Downwards, what counts is that it came over the link that the host had by then.
    assert report.down_after(16) == 29
    assert report.down_after(32) is None


def test_throughput_and_stalls() -> None:
    arrivals = (
        Arrival(1 * MS, 1 * MS, 100),
        Arrival(9 * MS, 10 * MS, 50),
        Arrival(75 * MS, 75 * MS, 7),
    )
    report = TcpReport(0, 80 * MS, arrivals, (), None)
    assert report.throughput(report.up) == [150, 0, 0, 0, 0, 0, 0, 7, 0]
    assert report.throughput(report.up, 40 * MS) == [150, 7, 0]
    assert report.stalls(report.up) == [Stall(10 * MS, 75 * MS)]
    assert report.stalls(report.up, 80 * MS) == []
    assert report.stalls(report.down) == [Stall(0, 80 * MS)]
    assert Stall(10, 75).duration == 65


def test_a_failure_is_readable() -> None:
    assert str(Failure(1, Side.FAR, 110)) == "far end: ETIMEDOUT"
    assert str(Failure(1, Side.NEAR, 0)) == "near end: closed"
