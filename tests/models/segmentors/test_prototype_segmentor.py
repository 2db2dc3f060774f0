import pytest
import torch

from leopart_mm.evaluation import ClusterMetric
from leopart_mm.models.backbones.image_size import fit_to_patches
from leopart_mm.models.decode_heads import NotFittedError
from leopart_mm.models.losses.class_focal import class_focal_loss, pixel_cross_entropy
from leopart_mm.models.losses.cosine_kmeans import cosine_kmeans_loss
from leopart_mm.registry import MODELS
from tests.distributed import run_distributed
from tests.models.segmentors.prototypes import EM, KMEANS, on_features, samples, tiny, tiny_cfg

STUDENT = dict(type='leopart_mm.StudentAugmentation')


def images(batch=2, side=32, seed=0):
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def trained(**kwargs):
    model = tiny(**kwargs)
    model.initialise([model.features(images())])
    return model


def test_losses_by_hand():
    """Two of four pixels have a label; probabilities are (3/4, 1/4) at each."""
    logits = torch.tensor([3., 1.]).log().view(1, 2, 1, 1).expand(1, 2, 2, 2)
    labels = torch.tensor([[[0, 1], [255, 255]]])
    weighted = (1 / 4)**2 * torch.tensor(4 / 3).log() + (3 / 4)**2 * torch.tensor(4.).log()
    plain = torch.tensor(4 / 3).log() + torch.tensor(4.).log()
    for divisor, count in (('labelled', 2), ('all', 4)):
        torch.testing.assert_close(class_focal_loss(logits, labels, 2., divisor), weighted / count)
        torch.testing.assert_close(pixel_cross_entropy(logits, labels, divisor), plain / count)
    with pytest.raises(ValueError, match="'labelled'"):
        class_focal_loss(logits, labels, divisor='mean')
    scores = torch.tensor([[[[0.5, -0.2]], [[0.1, 0.3]]]], requires_grad=True)
    loss = cosine_kmeans_loss(scores)
    loss.backward()
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(-0.4)
    assert scores.grad.tolist() == [[[[-0.5, 0.]], [[0., -0.5]]]]


def test_only_prototypes_and_probe_learn():
    model = trained(student_augmentation=dict(STUDENT)).train()
    assert not model.backbone.training
    losses = model.loss(images(), samples())
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    learned = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learned == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learned == {'decode_head.weight_g', 'decode_head.weight_v', 'linear_probe.weight', 'linear_probe.bias'}
    assert 0 < losses['labelled'] < 1
    baseline = tiny(objective=KMEANS)
    assert {name for name, one in baseline.named_parameters() if one.requires_grad} == learned - {
        'decode_head.weight_g'}


def test_without_labels_it_trains_and_without_masks_it_says_so():
    model = trained(num_classes=None)
    assert set(model.loss(images(), samples(labels=False))) == {'loss_prototypes', 'labelled', 'used', 'agreement'}
    assert trained().loss(images(1), samples(1, labels=False))['loss_linear'] == 0
    with pytest.raises(ValueError, match=r'0\.jpg has no mask proposals'):
        model.loss(images(), samples(proposals=False))
    void = samples()
    for sample in void:
        sample.proposals.data.fill_(255)
    assert model.loss(images(), void)['loss_prototypes'] == 0


def test_the_student_sees_changed_images_and_the_labels_those_of_clean_ones():
    model = trained(num_classes=None, student_augmentation=dict(STUDENT))
    seen = []
    features = model.features
    model.features = lambda inputs: seen.append(inputs) or features(inputs)
    torch.manual_seed(3)
    changed = model.loss(images(), samples())
    torch.manual_seed(3)
    expected = model.student_augmentation(images(), model.data_preprocessor.mean, model.data_preprocessor.std)
    assert torch.equal(seen[0], images())
    assert torch.equal(seen[1], expected)
    clean, student = features(images()), features(expected)
    masks = torch.stack([sample.proposals.data[0] for sample in samples()])
    assert torch.equal(changed['loss_prototypes'], model.losses(clean, student, masks, None)['loss_prototypes'])
    model.objective = MODELS.build(dict(KMEANS))
    model.loss(images(), samples(proposals=False))
    assert len(seen) == 3  # k-means reads no changed images


def test_cached_features_are_the_same_and_computed_once():
    plain, cached = trained(num_classes=None), trained(num_classes=None, cache='memory')
    calls = []
    features = cached.features
    cached.features = lambda inputs: calls.append(len(inputs)) or features(inputs)
    both = torch.cat([images(), images().flip(-1)])
    for order in ([0, 1], [1, 2], [3, 0], [2, 3]):
        assert torch.equal(cached.clean_features(both[order]), plain.clean_features(both[order]))
    assert calls == [2, 1, 1]  # an image and its mirror image are two


@pytest.mark.parametrize(('objective', 'side'), [(EM, 32), (KMEANS, 30)])
def test_predictions_are_the_largest_interpolated_scores(objective, side):
    model = trained(objective=objective, num_prototypes=5, num_classes=4).eval()
    with torch.no_grad():
        model.decode_head.weight_v.add_(torch.randn(model.decode_head.weight_v.shape))
    inputs = images(side=side)
    found = model.predict(inputs, samples(side=side))
    maps = torch.nn.functional.interpolate(model.features(inputs), (32, 32), mode='bilinear')[..., :side, :side]
    for name, classifier in (('momentum', model.teacher.decode_head), ('running', model.decode_head),
                             ('linear', model.linear_probe)):
        ours = torch.cat([sample.get(f'pred_{name}').data for sample in found])
        assert (ours == classifier(maps).argmax(1)).float().mean() > 0.99, name
    assert torch.equal(found[0].pred_sem_seg.data, found[0].pred_momentum.data)
    assert found[0].num_clusters == model.num_labels == 5
    assert found[0].num_labels == dict(pred_linear=4)
    assert (found[0].pred_momentum.data != found[0].pred_running.data).any()


@pytest.mark.parametrize('side', [32, 28])
def test_the_mirror_image_counts_in_tests_and_not_in_validation(side):
    model, plain = trained(test_cfg=dict(flip=True)).eval(), trained().eval()
    inputs = images(side=side)
    mirrored = plain.features(fit_to_patches(inputs, 8).flip(-1)).flip(-1)
    torch.testing.assert_close(model.extract_dense(inputs).maps[0], (plain.features(inputs) + mirrored) / 2)
    data = dict(inputs=[torch.randint(0, 256, (3, side, side), dtype=torch.uint8)], data_samples=samples(1, side))
    assert torch.equal(model.val_step(data)[0].pred_momentum.data, plain.test_step(data)[0].pred_momentum.data)
    assert model.mirrors


def test_metrics_score_each_field_with_its_own_number_of_labels():
    model, scores = trained(num_prototypes=5, num_classes=4).eval(), {}
    found = [sample.to_dict() for sample in model.predict(images(), samples())]
    for field, matching in (('momentum', 'precision'), ('linear', 'direct')):
        metric = ClusterMetric(matching=matching, field=f'pred_{field}', prefix=field)
        metric.dataset_meta = dict(classes=list('abcd'))
        metric.process(None, found)
        scores.update(metric.evaluate(2))
        assert metric.tables_.shape[1] == (5 if field == 'momentum' else 4)
    valid = torch.cat([sample['gt_sem_seg']['data'] for sample in found])
    right = torch.cat([sample['pred_linear']['data'] for sample in found]) == valid
    assert scores['linear/aAcc'] == pytest.approx(100 * right[valid != 255].float().mean().item(), abs=1e-3)


def test_crf_sharpens_both_sets():
    model = trained(postprocessors=dict(crf=dict(type='leopart_mm.DenseCRF', iterations=2, backend='exact'))).eval()
    sample, = model.predict(images(1), samples(1))
    assert torch.equal(sample.pred_sem_seg.data, sample.pred_momentum_crf.data)
    for name in ('momentum', 'running', 'momentum_crf', 'running_crf', 'linear'):
        assert sample.get(f'pred_{name}').data.shape == (1, 32, 32)


def test_random_prototypes_do_not_predict_and_those_of_a_file_do():
    model = tiny()
    with pytest.raises(NotFittedError, match='random'):
        model.eval().predict(images())
    model.fit([model.extract_batch(images(), samples())])
    assert model.is_fitted
    weights = dict(model.decode_head.named_parameters())
    file = {f'backbone.{name}': value for name, value in model.backbone.state_dict().items()}
    file.update({f'decode_head.{name}': value for name, value in weights.items()})  # published files hold no more
    other = MODELS.build(tiny_cfg())
    other.load_state_dict(file, strict=False)
    assert other.is_fitted
    assert torch.equal(other.teacher.decode_head.weight_v, weights['weight_v'])
    assert other.teacher.decode_head.is_fitted


def test_too_few_channels_and_no_cell_are_errors():
    with pytest.raises(ValueError, match=r'9 prototypes .* 6 channels'):
        on_features(6, 9, EM).initialise([torch.randn(1, 6, 4, 4)])
    with pytest.raises(ValueError, match='empty'):
        on_features(6, 3, EM).initialise([])
    with pytest.raises(ValueError, match='NaN'):
        on_features(6, 3, EM).initialise([torch.full((1, 6, 4, 4), float('nan'))])


def test_collapse_and_few_masks_are_findings():
    objective = MODELS.build(EM)
    assert objective.findings(dict(used=0.5, labelled=0.8)) == []
    assert 'collapse' in objective.findings(dict(used=0.1, labelled=0.8))[0]
    assert '5.0% of the pixels' in objective.findings(dict(used=0.5, labelled=0.05))[0]


def _part(rank, world, divisor):
    """Gradients and PCA of one process's share of a batch of 4, with shares of unequal numbers of labels."""
    results = []
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4, 6, 4, 4, generator=generator)
    masks = torch.randint(0, 4, (4, 8, 8), generator=generator)
    masks[0] = 255
    masks[3, :5] = 255
    labels = torch.randint(0, 3, (4, 8, 8), generator=generator).masked_fill(masks == 255, 255)
    part = slice(rank * 4 // world, (rank + 1) * 4 // world)
    for objective in (KMEANS, dict(EM, divisor=divisor)):
        torch.manual_seed(0)
        model = on_features(6, 3, objective, 3, probe_divisor=divisor)
        model.initialise([one[None] for one in features[part]])
        losses = model.losses(features[part], features[part] + 0.1, masks[part], labels[part])
        (losses['loss_prototypes'] + losses['loss_linear']).backward()
        results.append([model.decode_head.weight_v.detach().clone(), model.decode_head.weight_v.grad,
                        model.linear_probe.weight.grad, model.linear_probe.bias.grad, losses['used']])
    return results


def _of_rank(divisor):
    from mmengine.dist import get_rank
    return _part(get_rank(), 2, divisor)


@pytest.mark.parametrize('divisor', ['labelled', 'all'])
def test_two_processes_are_one_with_the_joint_batch(divisor):
    whole = _part(0, 1, divisor)
    parts = run_distributed(_of_rank, 2, divisor)
    for objective, one in enumerate(whole):
        for index, value in enumerate(one):
            torch.testing.assert_close((parts[0][objective][index] + parts[1][objective][index]) / 2, value,
                                       atol=1e-6, rtol=1e-5)
