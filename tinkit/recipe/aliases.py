"""What other programs call the keys of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("learning_rate", "base_lr", "initial_lr", "eta", "learningrate"), "optim.lr"),
        **dict.fromkeys(("batch_size", "bs", "videos_per_gpu", "train_batch_size", "global_batch"), "optim.batch"),
        **dict.fromkeys(("wd", "decay_rate", "l2"), "optim.weight_decay"),
        **dict.fromkeys(("num_epochs", "max_epochs", "max_epoch", "total_epochs", "n_epochs"), "optim.epochs"),
        **dict.fromkeys(("optimizer", "optimiser", "opt", "optimizing_method", "optim_name"), "optim.name"),
        **dict.fromkeys(
            ("clip_gradient", "clip_grad_norm", "grad_clip", "max_norm", "gradient_clip"), "optim.clip_grad"
        ),
        **dict.fromkeys(("accumulate", "accumulation_steps", "grad_accumulation", "iter_size"), "optim.micro_batch"),
        **dict.fromkeys(("lr_type", "lr_policy", "lr_scheduler", "scheduler", "sched"), "schedule.kind"),
        **dict.fromkeys(("lr_steps", "steps", "decay_epochs", "step_epochs"), "schedule.milestones"),
        **dict.fromkeys(("warmup_iters", "warm_up_epochs", "warmup_steps"), "schedule.warmup_epochs"),
        **dict.fromkeys(("gamma_decay", "lr_decay", "decay_factor"), "schedule.factor"),
        **dict.fromkeys(
            ("n_segment", "n_segments", "num_segment", "segments", "num_frames", "n_frames", "clip_len", "frames"),
            "clip.num_segments",
        ),
        **dict.fromkeys(("frame_interval", "sampling_rate", "frame_stride"), "clip.stride"),
        **dict.fromkeys(("target_fps", "frame_rate", "frames_per_second"), "clip.fps"),
        **dict.fromkeys(("input_size", "img_size", "image_size", "crop_size", "resolution"), "clip.size"),
        **dict.fromkeys(("horizontal_flip", "hflip", "flip_ratio", "random_flip"), "clip.flip"),
        **dict.fromkeys(("arch", "architecture", "base_model", "model_name", "backbone_name"), "model.backbone"),
        **dict.fromkeys(("temporal_module", "shift_type", "is_shift"), "model.temporal"),
        **dict.fromkeys(("n_div", "shift_division", "fold_div"), "model.shift_div"),
        **dict.fromkeys(("dropout_ratio", "dropout_rate", "drop_rate", "drop", "drop_ratio"), "model.dropout"),
        **dict.fromkeys(("consensus_type", "crop_fusion_type"), "model.consensus"),
        **dict.fromkeys(("pretrain", "imagenet_pretrained", "init_weights"), "model.pretrained"),
        **dict.fromkeys(("init_std", "fc_init_std"), "model.classifier_std"),
        **dict.fromkeys(("no_partialbn", "partialbn", "freeze_bn"), "model.partial_bn"),
        **dict.fromkeys(("loss_type", "loss_func", "criterion"), "loss.name"),
        **dict.fromkeys(("loss_weight", "loss_scale"), "loss.weight"),
        **dict.fromkeys(("smoothing", "label_smooth"), "loss.label_smoothing"),
        **dict.fromkeys(("mixup_alpha",), "mix.mixup"),
        **dict.fromkeys(("cutmix_alpha",), "mix.cutmix"),
        **dict.fromkeys(("model_ema", "ema_decay", "model_ema_decay"), "ema.decay"),
        **dict.fromkeys(("num_workers", "workers_per_gpu", "j"), "train.workers"),
        **dict.fromkeys(("random_seed", "manual_seed"), "train.seed"),
        **dict.fromkeys(("mixed_precision", "fp16", "use_amp", "precision"), "train.amp"),
        **dict.fromkeys(("eval_freq", "val_freq", "eval_interval", "val_interval", "eval_period"), "train.val_every"),
        **dict.fromkeys(("save_freq", "checkpoint_period", "checkpoint_interval"), "save.every"),
        **dict.fromkeys(("num_class", "n_classes", "nb_classes", "classes"), "data.num_classes"),
        **dict.fromkeys(("image_tmpl", "img_tmpl", "filename_tmpl", "tmpl"), "data.frame_template"),
        **dict.fromkeys(("root_path", "data_root", "data_dir", "data_prefix", "data_path"), "data.root"),
        **dict.fromkeys(("train_list", "ann_file", "annotation"), "data.train"),
        **dict.fromkeys(("val_list",), "data.val"),
        **dict.fromkeys(("test_list",), "data.test"),
    }
)
"""A name in small letters to our dotted key. Of the TIN repository, X-Temporal, mit-han-lab's TSM, mmaction2,
PySlowFast and timm."""
