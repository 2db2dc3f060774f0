import pytest

from benchmarks.base import Settings
from benchmarks.fit_throughput import FitThroughput


@pytest.fixture(scope='module')
def bench():
    return FitThroughput.prepared(Settings(quick=True))


def test_the_report_has_a_row_per_fit(bench, monkeypatch):
    asked = ('k-means', 'CBFE', 'retrieval')
    fits = [fit for fit in bench.fits() if fit.name.startswith(asked)]
    monkeypatch.setattr(bench, 'fits', lambda: fits)
    report = bench.measure()
    rows = report.tables[0].rows
    assert [row[0] for row in rows] == ['k-means, K = 5', 'CBFE, 150 clusters', 'retrieval, 30 neighbours']
    for name, points, seconds, rate, published, ratio, _ in rows:
        assert rate == pytest.approx(points / seconds)
        assert float(ratio[:-1]) == pytest.approx(rate / published, abs=.051)
        assert report.figures[f'{name.split(",")[0]} seconds'] == seconds
    assert abs(float(rows[0][-1].split()[-1])) < 1e-4


def test_both_sides_count_the_same(bench):
    assert abs(bench.cooccurrence() - bench.graycomatrix()).max() < 1e-9
    assert abs(bench.cbfe() - bench.masked_means()).max() < 1e-9
    assert abs(bench.pca() / bench.faiss_pca() - 1).max() < 1e-3
    assert (bench.assign() == bench.faiss_assign()).all()
