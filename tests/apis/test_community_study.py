import pytest

from leopart_mm.apis.community_study import SearchSpace, run_study

optuna = pytest.importorskip('optuna')
SPACE = SearchSpace((5, 50, 5), (.01, .1, .01), (.1, 2., .1))


class Score:
    """A smooth function of the settings; may be interrupted."""

    def __init__(self, fail_at=None):
        self.trials, self.fail_at = [], fail_at

    def __call__(self, num_clusters, weight_threshold, markov_time):
        if len(self.trials) == self.fail_at:
            raise KeyboardInterrupt
        self.trials.append((num_clusters, weight_threshold, markov_time))
        return dict(value=-abs(num_clusters - 20) / 50 - abs(weight_threshold - .05) - abs(markov_time - 1), edges=7)


@pytest.fixture(scope='module')
def whole():
    score = Score()
    return score.trials, run_study(score, SPACE, 16)


def test_a_resumed_search_makes_the_trials_of_an_uninterrupted_one(whole, tmp_path):
    trials, result = whole
    assert len(set(trials)) > 12  # not the same again and again
    found = []
    for number in (3, 12, 16):  # the first ten are random, then TPE looks at those before
        score = Score()
        resumed = run_study(score, SPACE, number, storage=tmp_path / 'search.db')
        found += score.trials
    assert found == trials
    assert resumed == result
    assert result.trials == 16
    assert result.found == dict(edges=7)
    assert result.value == max(Score()(*settings)['value'] for settings in trials)


def test_a_trial_that_was_interrupted_is_made_again(whole, tmp_path):
    broken, score = Score(fail_at=5), Score()
    with pytest.raises(KeyboardInterrupt):
        run_study(broken, SPACE, 16, storage=tmp_path / 'search.db')
    assert run_study(score, SPACE, 16, storage=tmp_path / 'search.db') == whole[1]
    assert broken.trials + score.trials == whole[0]


def test_a_storage_does_not_mix_searches(tmp_path):
    storage = tmp_path / 'search.db'
    for key, space in (('a', SPACE), ('b', SPACE), ('a', SearchSpace((5, 10, 5)))):
        score = Score()
        assert run_study(score, space, 2, storage=storage, key=key).trials == 2
        assert len(score.trials) == 2
    again = Score()
    run_study(again, SPACE, 2, storage=storage, key='a')
    assert not again.trials
    for place in (storage, None):  # another seed makes its own trials, whatever is in the file
        again = Score()
        result = run_study(again, SPACE, 2, seed=7, storage=place, key='a')
        assert result.trials == len(again.trials) == 2


def test_no_trial_at_all():
    with pytest.raises(ValueError, match='--trials 0 must be at least 1'):
        run_study(Score(), SPACE, 0)
