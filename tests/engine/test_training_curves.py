"""Curves stay small, and go on where a checkpoint was."""

from leopart_mm.engine.training_curves import TrainingCurves, halved


def test_points_are_added_and_replaced():
    curves = TrainingCurves()
    curves.add(1, dict(loss=4., lr=.1))
    curves.add(2, dict(loss=3.))
    curves.add(2, dict(loss=2.))
    assert curves.curves == dict(loss=dict(steps=[1, 2], values=[4., 2.]), lr=dict(steps=[1], values=[.1]))


def test_long_curves_are_thinned_without_changing_their_mean():
    curves = TrainingCurves(limit=8)
    for step in range(1, 101):
        curves.add(step, dict(loss=float(step)))
    points = curves.curves['loss']
    assert len(points['steps']) <= 8
    assert points['steps'] == sorted(points['steps'])
    assert points['steps'][-1] == 100
    assert points['values'][0] > 1  # a mean of the first steps


def test_pairs_become_their_mean():
    assert halved(dict(steps=[1, 2, 3, 4], values=[0., 2., 4., 8.])) == dict(steps=[2, 4], values=[1., 6.])


def state(run='a', **curves):
    return dict(run=run, resumed=[], curves=curves)


def test_a_resumed_run_takes_the_validation_that_followed_its_checkpoint():
    """The checkpoint of step 10 is saved before the validation of step 10; what came later is another run's future."""
    curves = TrainingCurves(state(loss=dict(steps=[10], values=[1.])))
    written = state(**{'loss': dict(steps=[10, 20], values=[1., .5]),
                       'val/mIoU': dict(steps=[10, 20], values=[40., 50.])})
    curves.resume(10, written)
    assert curves.state['resumed'] == [10]
    assert curves.curves['val/mIoU'] == dict(steps=[10], values=[40.])
    assert curves.curves['loss'] == dict(steps=[10], values=[1.])


def test_nothing_is_taken_from_the_page_of_another_run():
    curves = TrainingCurves(state(loss=dict(steps=[10], values=[1.])))
    curves.resume(10, state('b', **{'val/mIoU': dict(steps=[10], values=[40.])}))
    assert 'val/mIoU' not in curves.curves
    curves.resume(10, None)
    assert curves.state['resumed'] == [10]
