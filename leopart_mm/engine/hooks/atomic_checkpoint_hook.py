"""A checkpoint hook that never leaves a run without a whole checkpoint."""

from collections.abc import Callable
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from leopart_mm.files import remove_temporary, write_text_whole, write_whole
from leopart_mm.folder_lock import lock_folder
from leopart_mm.registry import HOOKS


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook with every file written under a temporary name and then renamed.

    MMEngine's hook writes straight to the final name and, with ``max_keep_ckpts``, deletes the oldest file *before* the
    new one is written: a kill at the wrong moment leaves half a file, or none. Here every file that exists is whole,
    the pointer `last_checkpoint` always names such a file, and old files are deleted only after the new one is in
    place. A run that starts from the beginning in the folder of an earlier one drops that pointer, so that a later
    --resume does not continue the earlier run. Of two runs in one folder the second is refused. Where another hook ends
    the training early, the last step is saved too (`save_last`), so that --resume does not train again what was
    stopped. On remote storage (no local path) the behaviour is MMEngine's but for this.

    Args:
        **kwargs: As for :class:`mmengine.hooks.CheckpointHook`.
    """

    def before_train(self, runner: Runner) -> None:
        """Make saving atomic, and remove what a killed run left half-written."""
        super().before_train(runner)
        if not isinstance(self.file_backend, LocalBackend):
            return
        if is_main_process():
            self._locks = [lock_folder(folder) for folder in {self.out_dir, runner.work_dir}]
            remove_temporary(self.out_dir)
            if not getattr(runner, '_resume', False):
                self._forget_earlier_run(runner)
        make_saving_atomic(runner)

    def is_last_train_iter(self, runner: Runner) -> bool:
        """Whether no iteration follows, as the schedule or a hook before this one has it."""
        return super().is_last_train_iter(runner) or runner.train_loop.stop_training

    def is_last_train_epoch(self, runner: Runner) -> bool:
        """Whether no epoch follows, likewise."""
        return super().is_last_train_epoch(runner) or runner.train_loop.stop_training

    def _forget_earlier_run(self, runner: Runner) -> None:
        """Let --resume never continue an earlier run of the folder in place of this one."""
        pointer = Path(runner.work_dir) / 'last_checkpoint'
        if not pointer.exists():
            return
        last = pointer.read_text().strip()
        pointer.unlink()
        runner.logger.warning(
            f'{runner.work_dir} holds checkpoints of an earlier run. This one starts from the beginning and replaces '
            f'those of the same name; take another --work-dir to keep them. To continue the earlier run instead: '
            f'--resume {last}')

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = self._keep(runner, step)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir, filename, self.file_client_args, save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch,
            backend_args=self.backend_args, **self.args)
        if not is_main_process():
            return
        write_text_whole(Path(runner.work_dir) / 'last_checkpoint', self.last_ckpt)
        for old_step in outdated:
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old_step))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        # MMEngine deletes the previous best file first. Hidden from it, that file is deleted once the new one exists.
        several = len(self.key_indicators) > 1
        previous = dict(self.best_ckpt_path_dict) if several else {None: self.best_ckpt_path}
        if several:
            self.best_ckpt_path_dict = dict.fromkeys(previous)
        else:
            self.best_ckpt_path = None
        super()._save_best_checkpoint(runner, metrics)
        for key, old in previous.items():
            new = self.best_ckpt_path_dict[key] if several else self.best_ckpt_path
            if new is None and several:
                self.best_ckpt_path_dict[key] = old
            elif new is None:
                self.best_ckpt_path = old
            elif old and old != new and is_main_process() and self.file_backend.isfile(old):
                self.file_backend.remove(old)

    def _keep(self, runner: Runner, step: int) -> list[int]:
        """Note that `step` is kept; return the steps whose files may be deleted once it is written."""
        if self.max_keep_ckpts <= 0 or (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            return []
        outdated = []
        while len(self.keep_ckpt_ids) >= self.max_keep_ckpts:
            outdated.append(self.keep_ckpt_ids.popleft())
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return [old_step for old_step in outdated if old_step != step]


def make_saving_atomic(runner: Runner) -> None:
    """Let `Runner.save_checkpoint` write every file whole or not at all."""
    if not getattr(runner.save_checkpoint, 'atomic', False):
        runner.save_checkpoint = _atomic(runner.save_checkpoint)


def _atomic(save_checkpoint: Callable[..., None]) -> Callable[..., None]:
    """Wrap `Runner.save_checkpoint`: write beside the final name, flush to disk, rename."""

    def save(out_dir: str, filename: str, *args, **kwargs) -> None:
        if not is_main_process():  # writes nothing, but runs the hooks
            save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with write_whole(Path(out_dir) / filename, flush=True) as temporary:
            save_checkpoint(out_dir, temporary.name, *args, **kwargs)

    save.atomic = True
    return save
