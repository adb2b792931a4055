"""Model folders: how they are opened and written, their cards, and conversions into and out of
them."""

from t5rank.model_folder.folder import (
    CARD,
    CONFIG,
    ONNX,
    best_step,
    chosen_step,
    from_written_form,
    is_model_folder,
    load_best,
    load_config,
    load_params,
    save_best,
    save_card,
    save_config,
    weights_path,
    written_form,
)

__all__ = [
    "CARD",
    "CONFIG",
    "ONNX",
    "best_step",
    "chosen_step",
    "from_written_form",
    "is_model_folder",
    "load_best",
    "load_config",
    "load_params",
    "save_best",
    "save_card",
    "save_config",
    "weights_path",
    "written_form",
]
