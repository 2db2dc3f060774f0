"""Settings that follow from the number of images; what is given wins."""

import pytest
import torch
from PIL import Image

from leopart_mm.engine.by_images import choose_by_images
from leopart_mm.engine.config import load_config
from tests.paths import REPO

CONFIGS = REPO / 'configs'
LEOPART, NECO = CONFIGS / 'leopart/leopart_dino-vits16_folder.py', CONFIGS / 'neco/neco_dinov2r-vits14_folder.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """300 images."""
    root = tmp_path_factory.mktemp('images')
    Image.new('RGB', (8, 8)).save(root / '0.png')
    content = (root / '0.png').read_bytes()
    for number in range(1, 300):
        (root / f'{number}.png').write_bytes(content)
    return root


def chosen(path, folder, **options):
    options = dict(options, data_root=str(folder))
    return choose_by_images(load_config(path, options), options)


def test_few_images(folder):
    assert chosen(LEOPART, folder).options == dict(iterations=375, trainable='lora', backbone_lr=5e-5)  # 40·300/32
    assert chosen(NECO, folder).options == dict(iterations=200, trainable='lora', backbone_lr=5e-5,
                                                crop_sizes=[224, 98])
    text = chosen(NECO, folder).text()
    assert text.startswith('Chosen by the number of images (300): iterations=200, 40 passes over the images in batches')
    assert text.endswith("by_images=None keeps what the config says.")


def test_the_choice_reaches_every_place(folder):
    options = dict(chosen(NECO, folder).options, data_root=str(folder))
    config = load_config(NECO, options)
    assert config.train_cfg.max_iters == config.param_scheduler[0].T_max == 200
    assert config.model.backbone.trainable == 'lora'
    assert config.optim_wrapper.optimizer.lr == 5e-5
    assert config.train_dataloader.dataset.pipeline[1]['sizes'] == [224, 98]


def test_what_is_given_wins(folder):
    choice = chosen(LEOPART, folder, iterations=50, trainable='last_4')
    assert choice.options == {}
    assert 'Given, so kept: iterations, trainable.' in choice.text()
    assert chosen(LEOPART, folder, **{'model.backbone.trainable': 'last_2'}).options == dict(iterations=375)
    assert chosen(LEOPART, folder, backbone_lr=1e-6).options == dict(iterations=375, trainable='lora')
    assert chosen(LEOPART, folder, by_images=None) is None


def test_what_is_given_by_a_dotted_key_is_given(folder):
    dotted = {'train_cfg.max_iters': 70, 'optim_wrapper.optimizer.lr': 1e-4,
              'train_dataloader.dataset.pipeline.1.sizes': [140, 98]}
    choice = chosen(NECO, folder, **dotted)
    assert (choice.options, choice.kept) == (dict(trainable='lora'), ['iterations', 'backbone_lr', 'crop_sizes'])


def test_a_word_of_the_wrong_type_is_left_to_the_backbone_which_names_the_allowed_ones(folder):
    assert chosen(LEOPART, folder, trainable=4).options == dict(iterations=375)


def test_several_processes_share_a_pass(folder, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    options = dict(data_root=str(folder), **{'train_dataloader.batch_size': 8})
    config = load_config(LEOPART, options)
    assert choose_by_images(config, options).options['iterations'] == 1500  # the variable counts for its launcher alone
    config.launcher = 'pytorch'
    choice = choose_by_images(config, options)
    assert choice.options['iterations'] == 750
    assert 'in batches of 16,' in choice.text()


def test_fewer_images_than_a_batch_are_told(folder, monkeypatch):
    monkeypatch.setattr('leopart_mm.engine.by_images.count_images', lambda config: 3)
    choice = chosen(LEOPART, folder)
    assert choice.options['iterations'] == 200
    assert ' A batch of 32 shows images several times, in other crops. ' in choice.text()
    assert 'several times' not in chosen(LEOPART, folder, **{'train_dataloader.batch_size': 3}).text()


def test_a_resumed_run_keeps_what_it_began_with(folder, tmp_path, monkeypatch):
    """Though there are more images now; what is given still wins."""
    begun = load_config(LEOPART, dict(chosen(LEOPART, folder).options, data_root=str(folder)))
    monkeypatch.setattr('leopart_mm.engine.by_images.count_images', lambda config: 5000)
    options = dict(data_root=str(folder), iterations=900)
    config = load_config(LEOPART, options)
    config.work_dir = str(tmp_path)
    assert choose_by_images(config, options, 'auto').options == {}  # nothing was trained there yet
    torch.save(dict(meta=dict(cfg=begun.pretty_text), state_dict={}), tmp_path / 'iter_100.pth')
    (tmp_path / 'last_checkpoint').write_text('where/the/folder/was/iter_100.pth')
    for resume in ('auto', str(tmp_path / 'iter_100.pth')):
        choice = choose_by_images(config, options, resume)
        assert choice.options == dict(trainable='lora', backbone_lr=5e-5)
        assert choice.kept == ['iterations']
        assert 'As in the run that is resumed: trainable=lora, backbone_lr=5e-05, crop_sizes=(224' in choice.text()
    assert choose_by_images(config, options).options == {}


def test_a_network_without_weights_is_trained_whole(folder):
    assert chosen(LEOPART, folder, checkpoint=None).options == dict(iterations=375)
    loaded = chosen(LEOPART, folder, checkpoint=None, load_from='run.pth').options  # weights all the same
    assert loaded == dict(iterations=375, trainable='lora', backbone_lr=5e-5)


def test_what_an_inheriting_config_says_wins(folder, tmp_path):
    own = tmp_path / 'own.py'
    own.write_text(f"_base_ = ['{LEOPART}']\niterations = 2000\n")
    choice = chosen(own, folder)
    assert (choice.options, choice.kept) == (dict(trainable='lora', backbone_lr=5e-5), ['iterations'])


def test_many_images_are_trained_as_the_config_says(folder, monkeypatch):
    monkeypatch.setattr('leopart_mm.engine.by_images.count_images', lambda config: 5000)
    assert chosen(LEOPART, folder).options == {}
    assert chosen(LEOPART, folder, trainable='lora_4').options == dict(backbone_lr=5e-5)


def test_other_configs_choose_nothing():
    assert choose_by_images(load_config(CONFIGS / 'leopart/leopart_dino-vits16_coco.py')) is None
